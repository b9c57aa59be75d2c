"""Runs jobs on this replica: those it accepted with a free slot, and those from the queue."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from api.errors import AbandonedError, JobCancelledError, known, message_body
from api.jobs.ending import write_end
from api.jobs.event_log import EventLog
from api.jobs.events import Happened, JobAddress, Queued, ended_event
from api.jobs.requests import JobRequests
from api.jobs.run import EVENTS_PER_EPOCH, JobRun, Workplace
from api.jobs.runner import Prepared
from graph.errors import ServiceError
from storage.jobs.leases import Claim, JobLeases
from storage.jobs.records import JobRecord, JobStatus

LOG = logging.getLogger(__name__)
LOOK_STOPS = 3  # one look around may take so often the time to stop; then it is tried anew
UNAVAILABLE = 503
RENEWALS = 4  # in the time of a lease
MOST_KEPT, MOST_KEPT_BYTES = 200, 32 * 2**20  # jobs whose events are kept after their end


@dataclass(frozen=True)
class WorkerLimits:
    """How many jobs run at once, how often to look around, how long events stay."""

    running: int
    look_s: float
    events_kept_s: float


@dataclass(frozen=True, eq=False)
class PastRun:
    """What is kept of a job that ended here: its record, and its events for who comes late."""

    record: JobRecord
    log: EventLog
    ended: asyncio.Future[None]
    abandoned: bool = False

    @classmethod
    def of(cls, run: JobRun) -> "PastRun":
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        ended.set_result(None)
        return cls(run.record, run.log, ended)

    def cancel(self) -> None:
        """Nothing is left to stop."""

    def abandon(self) -> None:
        """As cancel."""


class Worker:
    """Runs as many jobs as there is room for. Belongs to one event loop.

    `moved` hears of each job that was begun, or ended, or was lost here.
    """

    def __init__(
        self,
        place: Workplace,
        leases: JobLeases,
        requests: JobRequests,
        limits: WorkerLimits,
        moved: Callable[[JobRecord], None],
    ) -> None:
        self.waiting = 0  # queued jobs of all replicas, when last counted
        self._place = place
        self._leases = leases
        self._requests = requests
        self._limits = limits
        self._moved = moved
        self._runs: dict[int, JobRun | PastRun] = {}
        self._kept: deque[PastRun] = deque()  # ended ones, the oldest first
        self._taken = 0  # places: of running jobs, and of those about to
        self._orphans: set[int] = set()
        self._expected: set[int] = set()  # being recorded: their rows may be there before they run
        self._opening: set[asyncio.Task[None]] = set()  # large requests
        self._wake = asyncio.Event()
        self._closing = False
        self._renewed_s = time.monotonic()

    @property
    def running(self) -> int:
        return self._taken

    def run_of(self, job_id: int) -> JobRun | PastRun | None:
        """The job as it runs, or lately ran, here; one that was lost is another's to tell of."""
        run = self._runs.get(job_id)
        return None if run is None or run.abandoned else run

    def take_place(self) -> bool:
        """Take a place for a job that is about to be recorded, unless others wait for one."""
        free = self._taken < self._limits.running and self.waiting == 0 and not self._closing
        self._taken += free
        return free

    def expect(self, job_id: int) -> None:
        """A job that has a place is being recorded, and is started then."""
        self._expected.add(job_id)

    def expect_no_more(self, job_id: int) -> None:
        """It is not started, and its place is free again."""
        self._expected.discard(job_id)
        self._give_place_back()

    def _give_place_back(self) -> None:
        self._taken -= 1
        self._wake.set()

    def start(
        self, record: JobRecord, body: Mapping[str, Any], prepared: Prepared | None = None
    ) -> JobRun:
        """Run a job whose place was taken."""
        self._expected.discard(record.id)
        run = self._runs[record.id] = JobRun(record, body, self._place, prepared)
        run.ended.add_done_callback(lambda _: self._after(run))
        self._tell(record)
        return run

    def queued(self, record: JobRecord) -> None:
        """A job was queued here."""
        self._place.board.announce(Happened(JobAddress.of(record), 0, record.created_s, Queued()))
        self.waiting += 1
        self._wake.set()

    def forget(self, job_id: int) -> None:
        """Drop what is kept of a job that ended."""
        run = self._runs.get(job_id)
        if run and run.ended.done():
            del self._runs[job_id]
            if isinstance(run, PastRun):
                self._kept.remove(run)

    async def work(self) -> None:
        """Keep leases, and begin jobs as there is room for them; runs until it is cancelled."""
        look_at_s = 0.0
        while True:
            self._wake.clear()
            try:
                async with asyncio.timeout(LOOK_STOPS * self._place.stop_s):
                    if time.monotonic() >= look_at_s:
                        await self._look()
                        look_at_s = time.monotonic() + self._limits.look_s
                    await self._begin()
            except Exception:  # most often a database that does not answer
                LOG.exception("looking for queued jobs failed; retrying")
                await asyncio.sleep(self._limits.look_s)
                self._mind_time()
            with suppress(TimeoutError):
                async with asyncio.timeout(look_at_s - time.monotonic()):
                    await self._wake.wait()

    async def close(self) -> None:
        """Put running jobs back in the queue, for other replicas."""
        self._closing = True
        for opening in self._opening:
            opening.cancel()
        runs = [run for run in self._running_here() if not run.ended.done()]
        for run in runs:
            run.abandon()
        if runs:
            await asyncio.wait([run.ended for run in runs], timeout=self._place.stop_s)
        await self._leases.release()

    async def _look(self) -> None:
        """Act on what others did: cancel, take jobs over, die, queue jobs."""
        self._forget_old()
        known = self._running_here()  # what begins while the table is read is not in it
        held = await self._leases.held()
        self._mind(known, held)
        await self._put_back(held)
        if time.monotonic() - self._renewed_s > self._leases.lease_s / RENEWALS:
            if self._taken:
                await self._leases.renew()
            self._renewed_s = time.monotonic()
            await self._take_up()
        self.waiting = await self._leases.queued()

    async def _put_back(self, held: Mapping[int, tuple[int, bool]]) -> None:
        """Jobs that are this replica's and do not run here, seen twice so that none just begins."""
        running = {job_id for job_id, run in self._runs.items() if not run.ended.done()}
        orphans = held.keys() - running - self._expected
        again = orphans & self._orphans
        self._orphans = orphans - again
        if again:
            LOG.warning("%d jobs leased to this replica were not running; queued again", len(again))
            await self._end_hopeless((await self._leases.put_back(again)).hopeless)

    def _running_here(self) -> list[JobRun]:
        return [run for run in self._runs.values() if isinstance(run, JobRun)]

    def _mind(self, runs: Sequence[JobRun], held: Mapping[int, tuple[int, bool]]) -> None:
        for run in runs:
            if run.ending:
                continue
            epoch, cancel_asked = held.get(run.record.id, (0, False))
            if epoch != run.record.epoch:
                LOG.warning("job %d: this replica lost its lease", run.record.id)
                run.abandon()
            elif cancel_asked:
                run.cancel()

    def _mind_time(self) -> None:
        """Give up what this replica could not hold on to, before another takes it up."""
        if time.monotonic() - self._renewed_s > self._leases.lease_s:
            self._mind(self._running_here(), {})

    async def _take_up(self) -> None:
        expired = await self._leases.take_up_expired()
        if expired.requeued:
            LOG.warning("%d jobs of dead replicas are queued again", expired.requeued)
        await self._end_hopeless(expired.hopeless)

    async def _end_hopeless(self, records: Sequence[JobRecord]) -> None:
        for record in records:
            await self._end_alone(record, _hopeless(record))

    async def _end_alone(self, record: JobRecord, error: ServiceError) -> None:
        """End a job, or meet it again later; the others go on."""
        try:
            await self.end_unrun(record, error)
        except Exception:
            LOG.exception("job %d could not be ended", record.id)

    async def end_unrun(self, record: JobRecord, error: ServiceError) -> bool:
        """End a job that nobody runs; False where somebody does."""
        status: JobStatus = "cancelled" if isinstance(error, JobCancelledError) else "failed"
        ended = replace(
            record,
            status=status,
            error=message_body(error),
            ended_s=time.time(),
            last_event=2 + EVENTS_PER_EPOCH * record.epoch,
        )
        written = await write_end(self._place.jobs, ended, self._place.stop_s, pauses_s=())
        if written is None:
            return False
        self._place.board.announce(
            Happened(JobAddress.of(written), written.last_event, time.time(), ended_event(written))
        )
        self._tell(written)
        return True

    async def _begin(self) -> None:
        free = self._limits.running - self._taken
        if self._closing or free <= 0 or self.waiting == 0:
            return
        self._taken += free
        claims: Sequence[Claim] = ()
        started = 0
        try:
            claims = await self._leases.claim(free, time.time())
            for claim in claims:
                started += await self._started(claim.record, claim.request)
        finally:
            self._taken -= free - started
        self.waiting = max(0, self.waiting - len(claims)) if len(claims) == free else 0

    async def _started(self, record: JobRecord, request: bytes) -> bool:
        """Whether the job runs now; one that cannot be run is ended."""
        if record.cancel_asked or record.epoch > self._leases.most_epochs:
            attempted = replace(record, epoch=record.epoch - 1)  # not this time
            await self._end_alone(record, _hopeless(attempted))
            return False
        if self._requests.is_large(request):  # the others need not wait for it
            self.expect(record.id)
            opening = asyncio.create_task(self._start_large(record, request))
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)
            return True
        try:
            body = await self._requests.opened(record.id, request)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this job's alone
            await self._end_alone(record, known(error))
            return False
        await self._start_anew(record, body)
        return True

    async def _start_large(self, record: JobRecord, request: bytes) -> None:
        """Run a job whose request another process reads first."""
        try:
            body, prepared = await self._requests.prepared(record, request)
        except Exception as error:  # noqa: BLE001 - as of any request
            self.expect_no_more(record.id)
            problem = known(error)
            if problem.status == UNAVAILABLE:  # not its own fault: it is queued again, and counted
                LOG.warning("job %d was not read: %s", record.id, problem)
            else:
                await self._end_alone(record, problem)
        else:
            await self._start_anew(record, body, prepared)

    async def _start_anew(
        self, record: JobRecord, body: Mapping[str, Any], prepared: Prepared | None = None
    ) -> None:
        """Run a job from the queue, of which an earlier run may be here still."""
        if (old := self._runs.get(record.id)) and not old.ended.done():
            old.abandon()
            await asyncio.wait([old.ended])
        self.start(record, body, prepared)

    def _after(self, run: JobRun) -> None:
        """What follows a job's end here."""
        if run.record.client_id:  # the client's next job waits for this end
            self.waiting = max(self.waiting, 1)
        self._give_place_back()
        if not run.ended.cancelled() and (error := run.ended.exception()):
            LOG.error("job %d: its end could not be written", run.record.id, exc_info=error)
        if self._runs.get(run.record.id) is run:
            del self._runs[run.record.id]
            if run.record.ended:
                self._runs[run.record.id] = past = PastRun.of(run)
                self._kept.append(past)
        self._tell(run.record)

    def _tell(self, record: JobRecord) -> None:
        """A job has moved. Who hears of it does not change what becomes of it."""
        try:
            self._moved(record)
        except Exception:
            LOG.exception("job %d has changed, and not all watchers were notified", record.id)

    def _forget_old(self) -> None:
        oldest_s = time.time() - self._limits.events_kept_s
        nbytes = sum(run.log.nbytes for run in self._kept)
        while self._kept and (
            len(self._kept) > MOST_KEPT
            or nbytes > MOST_KEPT_BYTES
            or (self._kept[0].record.ended_s or 0.0) < oldest_s
        ):
            run = self._kept.popleft()
            nbytes -= run.log.nbytes
            if self._runs.get(run.record.id) is run:
                del self._runs[run.record.id]


def _hopeless(record: JobRecord) -> ServiceError:
    """Why a job is not attempted again."""
    return JobCancelledError() if record.cancel_asked else AbandonedError(record.epoch)
