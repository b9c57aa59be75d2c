"""The client for asyncio programs."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import httpx
from httpx_sse import aconnect_sse

from comfyray import flows
from comfyray.errors import ComfyrayError
from comfyray.files import create
from comfyray.model_files import OnProgress, upload_model
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
        self._url = flows.checked_url(url)
        self._key = key
        self._timeout_s = timeout_s
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
        preview: bool = False,
        **options: Any,
    ) -> Result:
        """Run a workflow and download what it saved: see `Client.run`."""
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        job = await self.submit(workflow, inputs, **options)
        try:
            if not job.ended:
                async for event in self.events(job.id, preview=preview, deadline_s=deadline_s):
                    if on_event is not None:
                        on_event(event)
            ended = await self.fetch(job.id) if not job.ended else job
            return await self.result(ended)
        except asyncio.CancelledError:
            with suppress(ComfyrayError):
                await asyncio.shield(self.cancel(job.id))
            raise

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

    async def events(
        self, job_id: int, *, preview: bool = False, deadline_s: float | None = None
    ) -> AsyncIterator[Event]:
        """What happens in a job, to its end; with `preview` pictures on their way come too.

        Raises:
            TimeoutError: it has not ended by `deadline_s` (time.monotonic()); it goes on.
        """
        last, final = "", False
        while not final:
            call = flows.events_call(job_id, last, preview=preview)
            url, options = flows.absolute(self._url, call.path), flows.with_key(call, self._key)
            options["timeout"] = httpx.Timeout(self._timeout_s, read=flows.left(job_id, deadline_s))
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

    async def upload(self, file: Any, name: str | None = None) -> str:
        """Send a file; the name to give to a LoadImage node.

        `file` is a path, bytes, an open file or a PIL picture.
        """
        return await self._drive(flows.upload(file, name))

    async def save(self, output: Mapping[str, Any], folder: str | Path) -> Path:
        """Download an entry of an answer's `outputs` into a folder, piece by piece; its path.

        Nothing is written over: a name that is taken counts on.
        """
        url, headers = (
            flows.absolute(self._url, output["url"]),
            flows.headers(self._key, output["url"]),
        )
        async with self._http.stream("GET", url, headers=headers) as answer:
            flows.check_status(answer.status_code, url)
            with create(folder, output["filename"], output.get("subfolder") or "") as file:
                async for piece in answer.aiter_bytes():
                    file.write(piece)
                return Path(file.name)

    async def account(self) -> dict[str, Any]:
        """What the owner used, and what the key may use."""
        return await self._drive(flows.account())

    async def models(self) -> dict[str, Any]:
        """The models there are."""
        return await self._drive(flows.models())

    async def upload_model(
        self,
        file: str | Path,
        folder: str | None = None,
        *,
        resume: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> dict[str, Any]:
        """Send a model file in pieces; the model, whose `id` is what workflows name.

        Without a `folder` ("loras" ...) the file's tensors decide. `on_progress` hears of each
        piece. After a break `resume`, the `upload_id` of a progress, sends what has not come.

        Raises:
            RequestError: the file is refused; the message says why.
            UnreachableError: the service stayed away; what has come is kept for a day.
        """
        return await self._drive(upload_model(file, folder, resume, on_progress))

    async def deliveries(self, job_id: int) -> dict[str, Any]:
        """Every attempt to deliver a job's webhook."""
        return await self._drive(flows.deliveries(job_id))

    async def timeline(self, job_id: int) -> str:
        """When each node of a job ran, as an SVG picture."""
        return await self._drive(flows.timeline(job_id))

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
                    step = flow.throw(flows.with_advice(error, self._url))
                else:
                    step = flow.send(answer)
        except StopIteration as end:
            value: Value = end.value
            return value
