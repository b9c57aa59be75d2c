"""The step engine on elementwise models, whose answers do not depend on who shares a call."""

import asyncio
import pickle
import threading
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from diffusion.batch.rows import Asking, Row
from diffusion.engine.engine import (
    DeadlineError,
    Job,
    SamplingDivergedError,
    SamplingError,
    StepEngine,
    Track,
)
from graph.events import Progress, Warned

SIZE = (4, 4)
ANYTHING = cast(Any, None)


class Curved:
    """A model that answers sin(x) and remembers how many rows each call had."""

    def __init__(self, name: str = "", log: list[str] | None = None, *, limit: int = 100) -> None:
        self.calls: list[int] = []
        self.on_call: Callable[[Sequence[Row]], None] = lambda _rows: None
        self._name, self._log = name, [] if log is None else log
        self._limit = limit

    def limit(self, *size: int) -> int:
        return self._limit

    def forget(self) -> None: ...

    def __call__(self, rows: Sequence[Row]) -> list[Tensor]:
        self.calls.append(len(rows))
        self._log.append(self._name)
        self.on_call(rows)
        return [row.x.sin() for row in rows]


def steps(x: Tensor, count: int, track: Track) -> Asking[Tensor]:
    for index in range(count):
        track.sigma = float(count - index)
        (x,) = yield [Row(x, torch.tensor(track.sigma), ANYTHING, ANYTHING)]
        track.step, track.denoised = index + 1, x
    return x


def job(model: Curved, value: float = 1.0, *, count: int = 3, size: tuple[int, int] = SIZE) -> Job:
    track = Track(count)
    x = torch.full((1, 1, *size), value)
    return Job(f"node {value}", model, size, steps(x, count, track), track)


class Gate:
    """Holds the model's first call until it is opened, so that jobs can gather behind it."""

    def __init__(self, model: Curved, then: Callable[[Sequence[Row]], None] | None = None) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()
        self._then = then
        model.on_call = self._hold

    def _hold(self, rows: Sequence[Row]) -> None:
        self.entered.set()
        assert self.open.wait(30)
        if self._then is not None:
            self._then(rows)


async def until_waiting(engine: StepEngine, count: int) -> None:
    while engine.waiting < count:  # noqa: ASYNC110 - jobs begin on threads of their own
        await asyncio.sleep(0)


async def gathered(
    engine: StepEngine,
    model: Curved,
    jobs: Sequence[Job],
    note: Callable[[Sequence[Row]], None] | None = None,
) -> list[Any]:
    """Results of `jobs`, all of which wait while the first one's first step is computed."""
    gate = Gate(model, note)
    running = [asyncio.ensure_future(engine.run(jobs[0]))]
    await asyncio.to_thread(gate.entered.wait, 30)
    running += [asyncio.ensure_future(engine.run(job)) for job in jobs[1:]]
    await until_waiting(engine, len(jobs) - 1)
    gate.open.set()
    results = await asyncio.gather(*running, return_exceptions=True)
    await engine.close()
    return results


async def alone(job: Job) -> Tensor:
    engine = StepEngine()
    result = await engine.run(job)
    await engine.close()
    return result


async def test_jobs_that_wait_share_calls_and_get_what_they_would_have_got_alone() -> None:
    model = Curved()
    values = [0.5, 1.0, 2.0]
    results = await gathered(StepEngine(), model, [job(model, value) for value in values])
    expected = [await alone(job(Curved(), value)) for value in values]
    assert all(torch.equal(one, other) for one, other in zip(results, expected, strict=True))
    assert model.calls == [1, 3, 3, 2]


async def test_batching_can_be_switched_off() -> None:
    model = Curved()
    await gathered(StepEngine(batching=False), model, [job(model, v) for v in (1.0, 2.0)])
    assert model.calls == [1] * 6


async def test_a_step_has_no_more_rows_than_the_model_allows() -> None:
    model = Curved(limit=2)
    await gathered(StepEngine(), model, [job(model, v) for v in (1.0, 2.0, 3.0, 4.0)])
    assert max(model.calls) == 2


async def test_a_step_serves_one_latent_size() -> None:
    model = Curved()
    jobs = [job(model, 1.0), job(model, 2.0, size=(8, 4))]
    await gathered(StepEngine(), model, jobs)
    assert model.calls == [1] * 6


async def test_a_model_with_one_job_gets_its_turn_beside_a_model_with_many() -> None:
    log: list[str] = []
    busy, quiet = Curved("busy", log, limit=2), Curved("quiet", log)
    jobs = [*(job(busy, float(value)) for value in range(5)), job(quiet, 9.0)]
    await gathered(StepEngine(), busy, jobs)
    turns = [place for place, name in enumerate(log) if name == "quiet"]
    assert all(after - before <= 4 for before, after in pairwise([0, *turns]))


async def test_jobs_of_one_model_move_on_at_the_same_rate() -> None:
    model, spreads = Curved(limit=2), list[int]()
    jobs = [job(model, float(value), count=4) for value in range(5)]

    def note(rows: Sequence[Row]) -> None:
        done = [each.track.step for each in jobs]
        spreads.append(max(done) - min(done))

    await gathered(StepEngine(), model, jobs, note)
    assert max(spreads) == 1


async def test_what_a_sampler_raises_fails_its_own_job_by_name() -> None:
    model = Curved()
    broken = job(model, 2.0)

    def breaking(track: Track) -> Asking[Tensor]:
        track.sigma = 7.0
        yield [Row(torch.ones(1, 1, *SIZE), torch.tensor(7.0), ANYTHING, ANYTHING)]
        raise ValueError("no such luck")

    broken.asking = breaking(broken.track)
    fine, error = await gathered(StepEngine(), model, [job(model, 1.0), broken])
    assert torch.equal(fine, await alone(job(Curved(), 1.0)))
    assert str(error) == "Node node 2.0, step 1 of 3, sigma 7: ValueError: no such luck."


async def test_a_prediction_that_is_not_a_number_fails_its_own_job() -> None:
    model = Curved()
    poisoned = job(model, float("nan"))
    fine, error = await gathered(StepEngine(), model, [job(model, 1.0), poisoned])
    assert torch.equal(fine, await alone(job(Curved(), 1.0)))
    assert isinstance(error, SamplingDivergedError)


async def test_a_row_that_breaks_a_shared_call_fails_its_own_job() -> None:
    class Picky(Curved):
        def __call__(self, rows: Sequence[Row]) -> list[Tensor]:
            if any(float(row.x.max()) > 5 for row in rows):
                raise RuntimeError("too much")
            return super().__call__(rows)

    model = Picky()
    fine, error = await gathered(StepEngine(), model, [job(model, 1.0), job(model, 6.0)])
    assert torch.equal(fine, await alone(job(Curved(), 1.0)))
    assert isinstance(error, SamplingError)


async def test_a_cancelled_job_frees_its_rows_and_leaves_nothing_behind() -> None:
    model = Curved()
    gate = Gate(model)
    engine = StepEngine()
    staying = asyncio.ensure_future(engine.run(job(model, 1.0)))
    await asyncio.to_thread(gate.entered.wait, 30)
    leaving = asyncio.ensure_future(engine.run(job(model, 2.0)))
    await until_waiting(engine, 1)
    leaving.cancel()
    gate.open.set()
    await staying
    assert leaving.cancelled()
    assert (model.calls, engine.waiting) == ([1, 1, 1], 0)
    await engine.close()


async def test_a_job_cancelled_in_the_middle_of_its_step_does_not_take_another() -> None:
    model = Curved()
    gate = Gate(model)
    engine = StepEngine()
    leaving = asyncio.ensure_future(engine.run(job(model, 1.0)))
    await asyncio.to_thread(gate.entered.wait, 30)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    gate.open.set()
    await engine.run(job(model, 2.0))
    assert model.calls == [1, 1, 1, 1]
    await engine.close()


async def test_a_job_past_its_deadline_fails_by_name() -> None:
    model = Curved()
    late = job(model, 2.0)
    late.deadline = asyncio.get_running_loop().time() - 1
    fine, error = await gathered(StepEngine(), model, [job(model, 1.0), late])
    assert isinstance(fine, Tensor)
    assert isinstance(error, DeadlineError)


async def test_every_step_is_reported_with_a_preview_where_one_is_wanted() -> None:
    model, told = Curved(), list[Progress | Warned]()
    each = job(model, 1.0)
    each.report, each.preview = told.append, lambda _denoised: b"jpeg"
    await alone(each)
    assert told == [Progress("node 1.0", step, 3, b"jpeg") for step in (1, 2, 3)]


async def test_a_job_that_asks_nothing_ends_at_once() -> None:
    model = Curved()
    result = await alone(job(model, 1.0, count=0))
    assert torch.equal(result, torch.ones(1, 1, *SIZE))
    assert model.calls == []


async def test_closing_the_engine_fails_jobs_under_way() -> None:
    model = Curved()
    gate = Gate(model)
    engine = StepEngine()
    running = asyncio.ensure_future(engine.run(job(model, 1.0)))
    await asyncio.to_thread(gate.entered.wait, 30)
    closing = asyncio.ensure_future(engine.close())
    gate.open.set()
    await closing
    with pytest.raises(SamplingError, match="the step engine stopped"):
        await running


def test_sampling_errors_arrive_intact_from_a_replica() -> None:
    error = SamplingDivergedError("5", 2, 20, 3.5, "the prediction is not a number")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
