"""The client for asyncio programs."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import httpx
from httpx_sse import aconnect_sse

from comfyray import flows
from comfyray.results import Event, Job, Result

Value = TypeVar("Value")


class AsyncClient:
    """`Client` for one event loop: the same methods, awaited. Use it in an `async with`."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        key: str | None = None,
        *,
        timeout_s: float = 60.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`timeout_s` is for one request, not for a job."""
        self._url = url
        self._key = key
        self._http = httpx.AsyncClient(timeout=timeout_s, transport=transport)

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def run(
        self,
        workflow: flows.Workflow,
        inputs: Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None = None,
        on_event: Callable[[Event], None] | None = None,
        **options: Any,
    ) -> Result:
        """Run a workflow and download what it saved: see `Client.run`."""
        if on_event is None:
            return await self._drive(flows.run(workflow, inputs, options, timeout_s))
        job = await self.submit(workflow, inputs, **options)
        async for event in self.events(job.id):
            on_event(event)
        return await self.result(await self.wait(job, timeout_s))

    async def submit(
        self, workflow: flows.Workflow, inputs: Mapping[str, Any] | None = None, **options: Any
    ) -> Job:
        """Start a job and do not wait for it."""
        return await self._drive(flows.submit(workflow, inputs, options))

    async def fetch(self, job_id: int) -> Job:
        """How a job stands."""
        return await self._drive(flows.fetch(job_id))

    async def wait(self, job: Job, timeout_s: float | None = None) -> Job:
        """The job, ended. Raises TimeoutError."""
        return await self._drive(flows.wait(job, timeout_s))

    async def result(self, job: Job) -> Result:
        """What an ended job saved. Raises JobFailedError."""
        return await self._drive(flows.result(job))

    async def events(self, job_id: int, *, preview: bool = False) -> AsyncIterator[Event]:
        """What happens in a job, to its end; with `preview` pictures on their way come too."""
        last, final = "", False
        while not final:
            call = flows.events_call(job_id, last, preview=preview)
            url, options = flows.absolute(self._url, call.path), flows.with_key(call, self._key)
            with suppress(httpx.TransportError):  # cut off: it goes on after the last event
                async with aconnect_sse(self._http, call.method, url, **options) as source:
                    if source.response.status_code == httpx.codes.NO_CONTENT:
                        return
                    if source.response.is_success:
                        async for sent in source.aiter_sse():
                            event = Event(sent.event, sent.json(), sent.id)
                            last, final = sent.id or last, event.final
                            yield event
            if not final:
                await self.fetch(job_id)  # raises where the service is gone, or knows no such job
                await asyncio.sleep(flows.FIRST_PAUSE_S)

    async def cancel(self, job_id: int) -> Job:
        """Stop a job at its next step."""
        return await self._drive(flows.cancel(job_id))

    async def delete(self, job_id: int) -> None:
        """Stop a job and remove all that is kept of it."""
        await self._drive(flows.delete(job_id))

    async def jobs(
        self, status: str | None = None, limit: int = 50, cursor: str = ""
    ) -> dict[str, Any]:
        """Your jobs, newest first: `jobs`, and `next_cursor` for the page after."""
        return await self._drive(flows.jobs(status, limit, cursor))

    async def upload(self, file: str | Path | bytes, name: str | None = None) -> str:
        """Send a picture; the name to give to a LoadImage node."""
        return await self._drive(flows.upload(file, name))

    async def schema(self, workflow: flows.Workflow) -> dict[str, Any]:
        """The parameters of a workflow, as JSON Schema."""
        return await self._drive(flows.ask("schema", workflow))

    async def convert(self, workflow: flows.Workflow) -> dict[str, Any]:
        """A workflow of the editor's format in API format."""
        converted: dict[str, Any] = (await self._drive(flows.ask("convert", workflow)))["workflow"]
        return converted

    async def quote(
        self, workflow: flows.Workflow, inputs: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """What a run would take, and what is missing for it, without running it."""
        return await self._drive(flows.quote(workflow, inputs))

    async def _drive(self, flow: flows.Flow[Value]) -> Value:
        step = next(flow)
        try:
            while True:
                if isinstance(step, flows.Pause):
                    await asyncio.sleep(step.seconds)
                    step = next(flow)
                    continue
                url = flows.absolute(self._url, step.path)
                options = flows.with_key(step, self._key)
                try:
                    answer = await self._http.request(step.method, url, **options)
                except httpx.TransportError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as end:
            value: Value = end.value
            return value
