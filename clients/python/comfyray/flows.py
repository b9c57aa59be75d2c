"""What the clients do, without doing it: generators that yield calls and receive their answers.

`Client` and `AsyncClient` drive the same flows, so that they cannot differ.
"""

import mimetypes
import random
import time
import uuid
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar
from urllib.parse import urljoin

import httpx

from comfyray.errors import RequestError, UnreachableError
from comfyray.files import document, is_file, sendable
from comfyray.results import Job, Output, Result

API = "api/v7/comfyui"
TRIES = 5
BUSY = frozenset({429, 502, 503, 504})
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 20.0
SILENCE_S = 60.0

Workflow: TypeAlias = "Mapping[str, Any] | str | Path"
Value = TypeVar("Value")


@dataclass(frozen=True)
class Call:
    """One request. The answer is sent into the flow, an `httpx.TransportError` thrown into it."""

    method: str
    path: str
    options: Mapping[str, Any] = field(default_factory=dict)  # of httpx.Client.request


@dataclass(frozen=True)
class Pause:
    """A time to wait, in seconds."""

    seconds: float


Flow: TypeAlias = Generator["Call | Pause", Any, Value]


def request(method: str, path: str, **options: Any) -> Flow[httpx.Response]:
    """One answer, asked for again while the service is busy or away.

    Raises:
        UnreachableError: it stayed away.
        RequestError: it refused.
    """
    pause_s = FIRST_PAUSE_S
    for left in range(TRIES - 1, -1, -1):
        retry_after_s = 0.0
        try:
            response: httpx.Response = yield Call(method, path, options)
        except httpx.TransportError as error:
            if not left:
                raise UnreachableError(str(error) or type(error).__name__) from error
        else:
            if response.status_code not in BUSY or not left:
                return _checked(response)
            retry_after_s = _seconds(response.headers.get("Retry-After", ""))
        yield Pause(min(max(retry_after_s, pause_s * random.uniform(0.5, 1)), LONGEST_PAUSE_S))
        pause_s *= 2
    raise AssertionError


def submit(
    workflow: Workflow, inputs: Mapping[str, Any] | None, options: Mapping[str, Any]
) -> Flow[Job]:
    """A job, accepted once however often the request had to be sent."""
    body = {"workflow": document(workflow), "inputs": (yield from _sent(inputs or {}))}
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    asked = {**options, **body, "wait": 0}
    response = yield from request("POST", f"{API}/execute", json=asked, headers=headers)
    return Job.of(response.json())


def fetch(job_id: int) -> Flow[Job]:
    response = yield from request("GET", f"{API}/fetch/{job_id}")
    return Job.of(response.json())


def wait(job: Job, timeout_s: float | None = None) -> Flow[Job]:
    """The job, ended.

    Raises:
        TimeoutError: it has not ended in time; it goes on all the same.
    """
    began = time.monotonic()
    while not job.ended:
        if timeout_s is not None and time.monotonic() - began >= timeout_s:
            raise TimeoutError(f"job {job.id} has not ended in {timeout_s} s")
        yield Pause(min(max(float(job.answer.get("eta") or 0) / 4, 0.1), 2.0))
        job = yield from fetch(job.id)
    return job


def result(job: Job) -> Flow[Result]:
    """The outputs of a job that has ended.

    Raises:
        JobFailedError: it did not succeed.
    """
    answer = job.succeeded().answer
    outputs = []
    for entry in answer["outputs"]:
        response = yield from request("GET", entry["url"])
        outputs.append(
            Output(
                entry["node_id"],
                entry["type"],
                entry["filename"],
                entry["mime_type"],
                entry["url"],
                response.content,
                entry.get("width"),
                entry.get("height"),
                bool(entry.get("temporary")),
                entry.get("subfolder") or "",
            )
        )
    return Result(job.id, tuple(outputs), answer)


def cancel(job_id: int) -> Flow[Job]:
    response = yield from request("POST", f"{API}/cancel/{job_id}")
    return Job.of(response.json())


def delete(job_id: int) -> Flow[None]:
    yield from request("DELETE", f"{API}/jobs/{job_id}")


def jobs(status: str | None, limit: int, cursor: str) -> Flow[dict[str, Any]]:
    asked = {"limit": limit, "cursor": cursor} | ({"status": status} if status else {})
    return (yield from _json("GET", f"{API}/jobs", params=asked))


def ask(route: str, workflow: Workflow) -> Flow[dict[str, Any]]:
    """What a route of the workflow's own ("schema", "convert") says of it."""
    return (yield from _json("POST", f"{API}/{route}", json={"workflow": document(workflow)}))


def quote(workflow: Workflow, inputs: Mapping[str, Any] | None) -> Flow[dict[str, Any]]:
    """What a run would be: stages, seconds, price, and what is missing."""
    kept = {name: value for name, value in (inputs or {}).items() if not is_file(value)}
    body = {"workflow": document(workflow), "inputs": kept, "dry_run": True}
    return (yield from _json("POST", f"{API}/execute", json=body))


def upload(file: Any, name: str | None = None) -> Flow[str]:
    """Send a file (a path, bytes, an open file, a PIL picture); the name LoadImage knows it by."""
    given, content = sendable(file, name)
    kind = mimetypes.guess_type(given)[0] or "application/octet-stream"
    response = yield from request("POST", "upload/image", files={"image": (given, content, kind)})
    stored = response.json()
    return "/".join(filter(None, (stored.get("subfolder"), stored["name"])))


def account() -> Flow[dict[str, Any]]:
    """What the owner used, and what the key may use."""
    return (yield from _json("GET", "api/v7/account"))


def models() -> Flow[dict[str, Any]]:
    """The models there are."""
    return (yield from _json("GET", "api/v7/models"))


def deliveries(job_id: int) -> Flow[dict[str, Any]]:
    """Every attempt to deliver a job's webhook."""
    return (yield from _json("GET", f"{API}/jobs/{job_id}/deliveries"))


def timeline(job_id: int) -> Flow[str]:
    """When each node of a job ran, as an SVG picture."""
    response = yield from request("GET", f"{API}/jobs/{job_id}/timeline.svg")
    return response.text


def events_call(job_id: int, after: str, *, preview: bool) -> Call:
    """The stream of a job's events that come after the one with the id `after`."""
    resumed = {"Last-Event-ID": after} if after else {}
    options = {"headers": resumed, "params": {"preview": preview}}
    return Call("GET", f"{API}/events/{job_id}", options)


def absolute(base_url: str, path: str) -> str:
    """`path` at the service, or a whole URL of an output as it is."""
    return urljoin(base_url.rstrip("/") + "/", path)


def headers(key: str | None, path: str) -> dict[str, str]:
    """The key goes to the service alone: an output's URL is signed, and may lead elsewhere."""
    return {"Authorization": f"Bearer {key}"} if key and "://" not in path else {}


def with_key(call: Call, key: str | None) -> dict[str, Any]:
    """The options of a call, with the key among its headers."""
    own = call.options.get("headers", {})
    return {**call.options, "headers": {**headers(key, call.path), **own}}


def _json(method: str, path: str, **options: Any) -> Flow[dict[str, Any]]:
    response = yield from request(method, path, **options)
    answer: dict[str, Any] = response.json()
    return answer


def _sent(inputs: Mapping[str, Any]) -> Flow[dict[str, Any]]:
    """`inputs` with the names of files that were sent in place of paths and bytes."""
    sent: dict[str, Any] = {}
    for name, value in inputs.items():
        if is_file(value):
            sent[name] = yield from upload(value)
        elif isinstance(value, Mapping):
            sent[name] = yield from _sent(value)
        else:
            sent[name] = value
    return sent


def with_advice(error: httpx.TransportError, url: str) -> httpx.TransportError:
    """The error of a request, in words that name the service and what to do."""
    said = str(error) or type(error).__name__
    advice = "Is it running? `make run` starts one; --url or COMFYRAY_URL names another."
    return type(error)(f"{url} does not answer ({said}). {advice}")


def checked_url(url: str) -> str:
    """The service's URL. Raises ValueError where it has no scheme."""
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url!r} is no URL: write http://{url} or https://{url}")
    return url


def left(job_id: int, deadline_s: float | None) -> float:
    """Seconds that a silent stream of events may take, whose signs of life come every 15.

    Raises:
        TimeoutError: the deadline has passed.
    """
    if deadline_s is None:
        return SILENCE_S
    seconds = deadline_s - time.monotonic()
    if seconds <= 0:
        raise TimeoutError(f"job {job_id} has not ended in time; it goes on")
    return min(seconds, SILENCE_S)


def check_status(status: int, url: str) -> None:
    """Raises RequestError where a download is refused."""
    if status >= 400:
        raise RequestError(status, {"message": f"{url} answered {status}"})


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    try:
        body = response.json()
    except ValueError:
        body = {}
    raise RequestError(response.status_code, body if isinstance(body, dict) else {})


def _seconds(text: str) -> float:
    return float(text) if text.isascii() and text.replace(".", "", 1).isdecimal() else 0.0
