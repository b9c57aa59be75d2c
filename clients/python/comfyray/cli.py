"""`comfyray run workflow.json -i 6.text="a boat" -o out/` and its kin."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from comfyray.client import Client
from comfyray.errors import ComfyrayError, RequestError, UnreachableError
from comfyray.model_files import ModelProgress
from comfyray.progress import FileProgress, Progress

FILE_MARK = "@"
INTERRUPTED = 130  # as a shell tells that Ctrl-C ended a command
URL, KEY = "COMFYRAY_URL", "COMFYRAY_KEY"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit status."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.command is None:
        parser.print_help()
        return 0
    command: Callable[[Client, argparse.Namespace], None] = given.command
    try:
        with Client(given.url, given.key) as client:
            command(client, given)
            sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # who reads has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ComfyrayError, OSError, ValueError) as error:
        print(_message(error), file=sys.stderr)
        return 1
    return 0


def run(client: Client, given: argparse.Namespace) -> None:
    """Run a workflow; print the path of each file it saved."""
    job = client.submit(_workflow(given), _inputs(given.input), format=given.format)
    if given.detach:
        print(json.dumps(dict(job.answer)) if given.json else job.id)
        return
    try:
        with nullcontext() if given.quiet else Progress(job.id) as progress:
            for event in client.events(job.id):
                if progress is not None:
                    progress(event)
    except KeyboardInterrupt:
        client.cancel(job.id)
        print(f"job {job.id} was cancelled; --detach leaves jobs running", file=sys.stderr)
        raise
    answer = client.fetch(job.id).succeeded().answer
    saved = [o for o in answer["outputs"] if not o.get("temporary")]
    paths = [str(client.save(output, given.out)) for output in saved]
    if given.json:
        print(json.dumps({**answer, "files": paths}))
    else:
        print(*paths, sep="\n")


def fetch(client: Client, given: argparse.Namespace) -> None:
    """Print how a job stands; with -o download what it saved."""
    job = client.fetch(given.job_id)
    if given.out is None:
        print(json.dumps(dict(job.answer), indent=2))
        return
    for output in job.succeeded().answer["outputs"]:
        print(client.save(output, given.out))


def schema(client: Client, given: argparse.Namespace) -> None:
    """Print what of a workflow can be changed."""
    print(json.dumps(client.schema(_workflow(given)), indent=2))


def convert(client: Client, given: argparse.Namespace) -> None:
    """Print a workflow in API format."""
    print(json.dumps(client.convert(_workflow(given)), indent=2))


def quote(client: Client, given: argparse.Namespace) -> None:
    """Print what a run would take, and what is missing for it."""
    print(json.dumps(client.quote(_workflow(given), _inputs(given.input)), indent=2))


def jobs(client: Client, given: argparse.Namespace) -> None:
    """Print the newest jobs, one a line."""
    page = client.jobs(given.status, given.limit)
    if given.json:
        print(json.dumps(page))
        return
    for job in page["jobs"]:
        when = str(job["created_at"])[:19].replace("T", " ")
        print(job["id"], job["status"], when, sep="\t")


def cancel(client: Client, given: argparse.Namespace) -> None:
    """Stop a job; print how it stands."""
    job = client.cancel(given.job_id)
    print(job.id, job.answer.get("message") or job.status, sep="\t")


def delete(client: Client, given: argparse.Namespace) -> None:
    """Stop a job and remove all that is kept of it."""
    client.delete(given.job_id)


def timeline(client: Client, given: argparse.Namespace) -> None:
    """Print when each node of a job ran, as an SVG picture."""
    print(client.timeline(given.job_id))


def deliveries(client: Client, given: argparse.Namespace) -> None:
    """Print every attempt to deliver a job's webhook."""
    print(json.dumps(client.deliveries(given.job_id), indent=2))


def models(client: Client, given: argparse.Namespace) -> None:  # noqa: ARG001
    """Print the models there are."""
    print(json.dumps(client.models(), indent=2))


def upload_model(client: Client, given: argparse.Namespace) -> None:
    """Send a model file; print the id that workflows name it by."""
    reached: list[ModelProgress] = []
    try:
        with nullcontext() if given.quiet else FileProgress(given.file) as shown:

            def show(progress: ModelProgress) -> None:
                reached[:] = [progress]
                if shown is not None:
                    shown(progress)

            model = client.upload_model(
                given.file, given.folder, resume=given.resume, on_progress=show
            )
    except (KeyboardInterrupt, UnreachableError):
        for progress in reached:
            print(
                f"{progress.sent} of {progress.size} bytes have come; "
                f"--resume {progress.upload_id} goes on",
                file=sys.stderr,
            )
        raise
    print(json.dumps(model) if given.json else model["id"])


def account(client: Client, given: argparse.Namespace) -> None:  # noqa: ARG001
    """Print what was used, and what the key may use."""
    print(json.dumps(client.account(), indent=2))


def _workflow(given: argparse.Namespace) -> str | Path:
    """The file that is named, or JSON from standard input."""
    return sys.stdin.read() if given.workflow == "-" else Path(given.workflow)


def _inputs(pairs: Sequence[str]) -> dict[str, Any]:
    """6.text=a boat: text; 3.steps=20: JSON where it is; 10.image=@photo.png: a file to send.

    @@ at the beginning of a value is one @ of a text.
    """
    inputs: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise SystemExit(f"-i {pair!r}: expected NODE.INPUT=VALUE")
        if text.startswith(FILE_MARK * 2):
            inputs[name] = text[1:]
        else:
            inputs[name] = Path(text[1:]) if text.startswith(FILE_MARK) else _value(text)
    return inputs


def _value(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if isinstance(value, str) else value


def _message(error: Exception) -> str:
    """Every problem of a refused workflow, a line each."""
    if isinstance(error, RequestError) and error.errors:
        return "\n".join(_problem(problem) for problem in error.errors)
    return str(error) or type(error).__name__


def _problem(problem: Mapping[str, Any]) -> str:
    place = " ".join(
        f"{word} {problem[name]}"
        for word, name in (("node", "node_id"), ("input", "input"))
        if problem.get(name)
    )
    facts = "; ".join(
        f"{name} {json.dumps(problem[name])}"
        for name in ("expected", "received", "suggestion")
        if problem.get(name) is not None
    )
    said = str(problem.get("message") or problem["code"])
    return ": ".join(filter(None, (place, said, facts)))


def _version() -> str:
    try:
        return version("comfyray-client")
    except PackageNotFoundError:
        return "not installed"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("comfyray", description="Run ComfyUI workflows.")
    parser.add_argument(
        "--url",
        default=os.environ.get(URL, "http://127.0.0.1:8000"),
        help=f"the service, or {URL} (%(default)s)",
    )
    parser.add_argument("--key", default=os.environ.get(KEY), help=f"an API key, or {KEY}")
    parser.add_argument("--version", action="version", version=_version())
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(metavar="command")

    def add(function: Callable[[Client, argparse.Namespace], None]) -> argparse.ArgumentParser:
        own = commands.add_parser(
            function.__name__.replace("_", "-"), help=function.__doc__, description=function.__doc__
        )
        own.set_defaults(command=function)
        return own

    for function in (run, schema, convert, quote):
        own = add(function)
        own.add_argument("workflow", help="a .json or .png with a workflow in it; - reads JSON")
        if function in {run, quote}:
            own.add_argument(
                "-i",
                "--input",
                action="append",
                default=[],
                metavar="NODE.INPUT=VALUE",
                help=f"may be given again; VALUE {FILE_MARK}FILE sends a file",
            )
        if function is run:
            own.add_argument("-o", "--out", default=".", help="folder for what it saves")
            own.add_argument("--format", choices=("png", "webp", "jpeg"), default="png")
            own.add_argument("--detach", action="store_true", help="print the job's id and leave")
            own.add_argument("--json", action="store_true", help="print the whole answer")
            own.add_argument("-q", "--quiet", action="store_true", help="no progress")
    listed = add(jobs)
    listed.add_argument("--limit", type=int, default=20)
    listed.add_argument("--status", choices=("queued", "running", "success", "failed", "cancelled"))
    listed.add_argument("--json", action="store_true")
    for function in (fetch, cancel, delete, timeline, deliveries):
        own = add(function)
        own.add_argument("job_id", type=int)
        if function is fetch:
            own.add_argument("-o", "--out", help="folder for what it saved")
    add(models)
    sent = add(upload_model)
    sent.add_argument("file", help="a .safetensors, .ckpt, .pth ... file")
    sent.add_argument("--folder", help="loras, vae ...; left out: told by its tensors")
    sent.add_argument("--resume", metavar="ID", help="go on with an upload that broke off")
    sent.add_argument("--json", action="store_true", help="print all of the model")
    sent.add_argument("-q", "--quiet", action="store_true", help="no progress")
    add(account)
    return parser


if __name__ == "__main__":
    sys.exit(main())
