"""Records and answers execute requests and prompts that another process has read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from api.jobs.acceptance import Acceptance, Posted
from api.json_response import JsonResponse
from api.keys.access import Caller
from api.large_requests import (
    Asked,
    LargeRequests,
    ReadPrompt,
    ReadRequest,
    RefusedError,
    Rendered,
    with_members,
)
from storage.jobs.records import JobRecord

if TYPE_CHECKING:
    from api.jobs.service import Service


@dataclass(frozen=True)
class LargeJobs:
    """Jobs of requests that `reader` reads. Workflows are not in this process until they run."""

    service: "Service"
    reader: LargeRequests

    async def execute(
        self, caller: Caller, raw: bytes, posted: Posted, *, asynchronous: bool
    ) -> Rendered:
        """As Service.execute, of the bytes of a body.

        Raises:
            RefusedError, ServiceError: nothing was accepted.
        """
        how = {"asynchronous": asynchronous, "hashed": bool(posted.idempotency_key)}
        try:
            read = await self.reader.execute(Asked(caller.owner, raw, how))
        except RefusedError as error:
            record = await self._acceptance.replayed(caller, posted, error.body_hash)
            if record is None:
                raise
            return Rendered.of(await self.service.answer_within(record, 0, posted.base_url))
        if read.answer:
            return self._quoted(read)
        record = await self._accepted(caller, read, posted)
        wait_s = read.request.wait_s
        return Rendered.of(await self.service.answer_within(record, wait_s, posted.base_url))

    async def prompt(self, caller: Caller, raw: bytes, base_url: str) -> tuple[JobRecord, bytes]:
        """As Service.post, of a body of POST /prompt; also the errors of skipped nodes, as JSON.

        Raises:
            RefusedError, ServiceError: nothing was accepted.
        """
        how = {"retain_inputs": self.service.limits.keep_prompts}
        read: ReadPrompt = await self.reader.prompt(Asked(caller.owner, raw, how))
        posted = Posted(base_url, face="comfyui", **read.posted)
        return await self._accepted(caller, read.read, posted), read.node_errors

    @property
    def _acceptance(self) -> Acceptance:
        return self.service.acceptance

    def _quoted(self, read: ReadRequest) -> Rendered:
        """The answer to a dry run, with what this process alone knows."""
        estimate: Mapping[str, Any] = self._acceptance.estimate(read.prepared)
        members = {name: bytes(JsonResponse(value).body) for name, value in estimate.items()}
        return Rendered(with_members(read.answer, members))

    async def _accepted(self, caller: Caller, read: ReadRequest, posted: Posted) -> JobRecord:
        if earlier := await self._acceptance.replayed(caller, posted, read.body_hash):
            return earlier
        return await self._acceptance.record(
            caller, read.request, read.body, read.prepared, posted, body_hash=read.body_hash
        )
