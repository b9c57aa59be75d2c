"""Outputs of jobs that have ended, by what names them: `job:<id>/<node_id>/<k>`, or a file name."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

from graph.digits import whole_number
from graph.errors import ServiceError
from storage.files import StoredFile
from storage.jobs.output_names import OutputNames
from storage.jobs.records import SAFE_INTEGERS, JobFilter, JobRecord, JobRecords, MissingJobError
from storage.outputs import MissingOutputError, OutputStore, StoredOutput

PAGE = 50
LONGEST_ID = 16  # digits
MOST_SEARCHED = 500  # of an owner's newest jobs, for a file name


@dataclass(eq=False)
class EarlierOutputError(ServiceError):
    """A `job:` reference that leads to no output."""

    status = 422
    code = "output_not_found"
    template = "{reference!r} names no earlier output: {problem}."
    reference: str
    problem: str


@dataclass(frozen=True)
class EarlierOutputs:
    """Finds what an owner's jobs have saved."""

    jobs: JobRecords
    outputs: OutputStore
    names: OutputNames

    async def read(self, owner: str, reference: str) -> tuple[str, bytes]:
        """Name and content of `job:<id>/<node_id>/<k>`: the k-th file, from 0, that the node saved.

        Raises:
            EarlierOutputError: there is none.
        """
        job_id, k, node_id = _parts(reference)
        if job_id is None or k is None or not node_id:
            raise EarlierOutputError(reference[:200], "expected job:<id>/<node_id>/<k>")
        try:
            record = await self.jobs.get(owner, min(job_id, SAFE_INTEGERS))
        except MissingJobError as error:
            raise EarlierOutputError(reference[:200], str(error)) from error
        of_node = [output for output in _saved(record) if output.node_id == node_id]
        if k >= len(of_node):
            problem = f"the job is {record.status}, its node {node_id} has {len(of_node)} outputs"
            raise EarlierOutputError(reference[:200], problem)
        output = of_node[k]
        try:
            saved_by = output.job_id or record.id
            content = await asyncio.to_thread(self.outputs.read, owner, saved_by, output.location)
        except MissingOutputError as error:
            raise EarlierOutputError(reference[:200], "it has expired") from error
        return output.filename, content

    async def find(self, owner: str, location: str) -> StoredFile:
        """The file "output/x_00001_.png": of the job that alone has the name, or of the newest.

        "output/<job>/x_00001_.png" names the job itself. Files that no job lists are not found.

        Raises:
            MissingOutputError: no job has it, or it has expired.
        """
        kind, _, name = location.partition("/")
        first, _, rest = name.partition("/")
        job_id = whole_number(first, LONGEST_ID)
        if job_id is not None and rest:
            name = f"{kind}/{rest}"
            with suppress(MissingJobError):
                return await self._find(await self.jobs.get(owner, job_id), name)
            raise MissingOutputError(location[:200])
        if (job_id := await self.names.job_of(owner, location)) is not None:
            return await asyncio.to_thread(self.outputs.find, owner, job_id, location)
        async for record in self._newest(owner):
            if any(output.location == location for output in _saved(record)):
                return await self._find(record, location)
        raise MissingOutputError(location[:200])

    async def _find(self, record: JobRecord, location: str) -> StoredFile:
        for output in _saved(record):
            if output.location == location:
                job_id = output.job_id or record.id
                return await asyncio.to_thread(self.outputs.find, record.owner, job_id, location)
        raise MissingOutputError(location[:200])

    async def _newest(self, owner: str) -> AsyncIterator[JobRecord]:
        """The newest jobs of an owner, page by page as they are asked for."""
        page = JobFilter(limit=PAGE)
        for _ in range(MOST_SEARCHED // PAGE):
            records = await self.jobs.page(owner, page)
            for record in records:
                yield record
            if len(records) < PAGE:
                return
            page = JobFilter(before=(records[-1].created_s, records[-1].id), limit=PAGE)


def _parts(reference: str) -> tuple[int | None, int | None, str]:
    """Job, place and node of `job:<id>/<node_id>/<k>`."""
    job_id, _, rest = reference.partition(":")[2].partition("/")
    node_id, _, k = rest.rpartition("/")
    return whole_number(job_id, LONGEST_ID), whole_number(k), node_id


def _saved(record: JobRecord) -> list[StoredOutput]:
    return [StoredOutput.from_json(one) for one in (record.answer or {}).get("outputs", ())]
