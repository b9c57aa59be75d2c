"""The client for programs without an event loop."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import httpx
from httpx_sse import connect_sse

from comfyray import flows
from comfyray.errors import ComfyrayError
from comfyray.files import create
from comfyray.model_files import OnProgress, upload_model
from comfyray.results import Event, Job, Result

Value = TypeVar("Value")


class Client:
    """A comfyray service. Close it at the end, or use it in a `with`."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        key: str | None = None,
        *,
        timeout_s: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """`timeout_s` is for one request, not for a job."""
        self._url = flows.checked_url(url)
        self._key = key
        self._timeout_s = timeout_s
        self._http = httpx.Client(timeout=timeout_s, transport=transport)

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def run(
        self,
        workflow: flows.Workflow,
        inputs: Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None = None,
        on_event: Callable[[Event], None] | None = None,
        preview: bool = False,
        **options: Any,
    ) -> Result:
        """Run a workflow and download what it saved.

        `workflow` is the JSON that ComfyUI saves, in either format: a mapping, its text, or the
        path of a file, which may be a PNG with a workflow in it. `inputs` changes it:
        {"6.text": "a boat", "10.image": Path("photo.png")}; paths, bytes, open files and PIL
        pictures are uploaded. `on_event` hears of every step, with `preview` of pictures on their
        way too. `options` go into the request (`format`, `quality`, `priority`, `webhook` ...).
        Ctrl-C cancels the job.

        Raises:
            RequestError: the workflow cannot run; `errors` names every node and input.
            JobFailedError: it ended without its result.
            TimeoutError: it has not ended in `timeout_s`; it goes on all the same.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        job = self.submit(workflow, inputs, **options)
        try:
            if not job.ended:
                for event in self.events(job.id, preview=preview, deadline_s=deadline_s):
                    if on_event is not None:
                        on_event(event)
            ended = self.fetch(job.id) if not job.ended else job
            return self.result(ended)
        except KeyboardInterrupt:
            with suppress(ComfyrayError):
                self.cancel(job.id)
            raise

    def submit(
        self, workflow: flows.Workflow, inputs: Mapping[str, Any] | None = None, **options: Any
    ) -> Job:
        """Start a job and do not wait for it."""
        return self._drive(flows.submit(workflow, inputs, options))

    def fetch(self, job_id: int) -> Job:
        """How a job stands."""
        return self._drive(flows.fetch(job_id))

    def wait(self, job: Job, timeout_s: float | None = None) -> Job:
        """The job, ended. Raises TimeoutError."""
        return self._drive(flows.wait(job, timeout_s))

    def result(self, job: Job) -> Result:
        """What an ended job saved. Raises JobFailedError."""
        return self._drive(flows.result(job))

    def events(
        self, job_id: int, *, preview: bool = False, deadline_s: float | None = None
    ) -> Iterator[Event]:
        """What happens in a job, to its end; with `preview` pictures on their way come too.

        Raises:
            TimeoutError: it has not ended by `deadline_s` (time.monotonic()); it goes on.
        """
        last, final = "", False
        while not final:
            call = flows.events_call(job_id, last, preview=preview)
            url, options = flows.absolute(self._url, call.path), flows.with_key(call, self._key)
            options["timeout"] = httpx.Timeout(self._timeout_s, read=flows.left(job_id, deadline_s))
            with (
                suppress(httpx.TransportError),  # cut off: it goes on after the last event
                connect_sse(self._http, call.method, url, **options) as source,
            ):
                if source.response.status_code == httpx.codes.NO_CONTENT:
                    return
                if source.response.is_success:
                    for sent in source.iter_sse():
                        event = Event(sent.event, sent.json(), sent.id)
                        last, final = sent.id or last, event.final
                        yield event
            if not final:
                self.fetch(job_id)  # raises where the service is gone, or knows no such job
                time.sleep(flows.FIRST_PAUSE_S)

    def cancel(self, job_id: int) -> Job:
        """Stop a job at its next step."""
        return self._drive(flows.cancel(job_id))

    def delete(self, job_id: int) -> None:
        """Stop a job and remove all that is kept of it."""
        self._drive(flows.delete(job_id))

    def jobs(self, status: str | None = None, limit: int = 50, cursor: str = "") -> dict[str, Any]:
        """Your jobs, newest first: `jobs`, and `next_cursor` for the page after."""
        return self._drive(flows.jobs(status, limit, cursor))

    def upload(self, file: Any, name: str | None = None) -> str:
        """Send a file; the name to give to a LoadImage node.

        `file` is a path, bytes, an open file or a PIL picture.
        """
        return self._drive(flows.upload(file, name))

    def save(self, output: Mapping[str, Any], folder: str | Path) -> Path:
        """Download an entry of an answer's `outputs` into a folder, piece by piece; its path.

        Nothing is written over: a name that is taken counts on.
        """
        url, headers = (
            flows.absolute(self._url, output["url"]),
            flows.headers(self._key, output["url"]),
        )
        with self._http.stream("GET", url, headers=headers) as answer:
            flows.check_status(answer.status_code, url)
            with create(folder, output["filename"], output.get("subfolder") or "") as file:
                for piece in answer.iter_bytes():
                    file.write(piece)
                return Path(file.name)

    def account(self) -> dict[str, Any]:
        """What the owner used, and what the key may use."""
        return self._drive(flows.account())

    def models(self) -> dict[str, Any]:
        """The models there are."""
        return self._drive(flows.models())

    def upload_model(
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
        return self._drive(upload_model(file, folder, resume, on_progress))

    def deliveries(self, job_id: int) -> dict[str, Any]:
        """Every attempt to deliver a job's webhook."""
        return self._drive(flows.deliveries(job_id))

    def timeline(self, job_id: int) -> str:
        """When each node of a job ran, as an SVG picture."""
        return self._drive(flows.timeline(job_id))

    def schema(self, workflow: flows.Workflow) -> dict[str, Any]:
        """The parameters of a workflow, as JSON Schema."""
        return self._drive(flows.ask("schema", workflow))

    def convert(self, workflow: flows.Workflow) -> dict[str, Any]:
        """A workflow of the editor's format in API format."""
        converted: dict[str, Any] = self._drive(flows.ask("convert", workflow))["workflow"]
        return converted

    def quote(
        self, workflow: flows.Workflow, inputs: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """What a run would take, and what is missing for it, without running it."""
        return self._drive(flows.quote(workflow, inputs))

    def _drive(self, flow: flows.Flow[Value]) -> Value:
        step = next(flow)
        try:
            while True:
                if isinstance(step, flows.Pause):
                    time.sleep(step.seconds)
                    step = next(flow)
                    continue
                url = flows.absolute(self._url, step.path)
                options = flows.with_key(step, self._key)
                try:
                    answer = self._http.request(step.method, url, **options)
                except httpx.TransportError as error:
                    step = flow.throw(flows.with_advice(error, self._url))
                else:
                    step = flow.send(answer)
        except StopIteration as end:
            value: Value = end.value
            return value
