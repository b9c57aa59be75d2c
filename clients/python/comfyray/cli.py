"""`comfyray run workflow.json -i 6.text="a boat" -o out/` and its kin."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from comfyray.client import Client
from comfyray.errors import ComfyrayError, RequestError
from comfyray.results import Event

FILE_MARK = "@"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit status."""
    given = _parser().parse_args(arguments)
    command: Callable[[Client, argparse.Namespace], None] = given.command
    try:
        with Client(given.url, given.key) as client:
            command(client, given)
    except (ComfyrayError, OSError, TimeoutError) as error:
        print(_told(error), file=sys.stderr)
        return 1
    return 0


def run(client: Client, given: argparse.Namespace) -> None:
    """Run a workflow; print the path of each file it saved."""
    with Progress() as progress:
        done = client.run(
            Path(given.workflow), _inputs(given.input), on_event=progress, format=given.format
        )
    for output in done.outputs:
        if not output.temporary:
            print(output.save(given.out))


def schema(client: Client, given: argparse.Namespace) -> None:
    """Print what of a workflow can be changed."""
    print(json.dumps(client.schema(Path(given.workflow)), indent=2))


def convert(client: Client, given: argparse.Namespace) -> None:
    """Print a workflow in API format."""
    print(json.dumps(client.convert(Path(given.workflow)), indent=2))


def jobs(client: Client, given: argparse.Namespace) -> None:
    """Print the newest jobs, one a line."""
    for job in client.jobs(limit=given.limit)["jobs"]:
        print(job["id"], job["status"], job["created_at"], sep="\t")


def cancel(client: Client, given: argparse.Namespace) -> None:
    """Stop a job; print how it stands."""
    job = client.cancel(given.job_id)
    print(job.id, job.answer.get("message") or job.status, sep="\t")


class Progress:
    """A bar on standard error: the steps of whichever node is at work."""

    def __init__(self) -> None:
        self._bar = tqdm(unit="step", leave=False, disable=None)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def __call__(self, event: Event) -> None:
        if event.type == "node" and event.data["state"] == "started":
            self._bar.reset()
            self._bar.set_description(str(event.data["class_type"]))
        elif event.type == "progress":
            self._bar.total = event.data["of"]
            self._bar.update(event.data["step"] - self._bar.n)


def _inputs(pairs: Sequence[str]) -> dict[str, Any]:
    """6.text=a boat: text; 3.steps=20: JSON where it is; 10.image=@photo.png: a file to send."""
    inputs: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise SystemExit(f"-i {pair!r}: expected NODE.INPUT=VALUE")
        inputs[name] = Path(text[1:]) if text.startswith(FILE_MARK) else _value(text)
    return inputs


def _value(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if isinstance(value, str) else value


def _told(error: Exception) -> str:
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("comfyray", description="Run ComfyUI workflows.")
    parser.add_argument(
        "--url",
        default=os.environ.get("COMFYRAY_URL", "http://127.0.0.1:8000"),
        help="the service, or COMFYRAY_URL (%(default)s)",
    )
    parser.add_argument("--key", default=os.environ.get("COMFYRAY_KEY"), help="or COMFYRAY_KEY")
    commands = parser.add_subparsers(required=True)

    def add(function: Callable[[Client, argparse.Namespace], None]) -> argparse.ArgumentParser:
        own = commands.add_parser(function.__name__, help=function.__doc__)
        own.set_defaults(command=function)
        return own

    running = add(run)
    running.add_argument("workflow", help="a file that ComfyUI saved, in either format")
    running.add_argument(
        "-i",
        "--input",
        action="append",
        default=[],
        metavar="NODE.INPUT=VALUE",
        help=f"may be given again; VALUE {FILE_MARK}FILE sends a file",
    )
    running.add_argument("-o", "--out", default=".", help="folder for what it saves")
    running.add_argument("--format", choices=("png", "webp", "jpeg"), default="png")
    add(schema).add_argument("workflow")
    add(convert).add_argument("workflow")
    add(jobs).add_argument("--limit", type=int, default=20)
    add(cancel).add_argument("job_id", type=int)
    return parser


if __name__ == "__main__":
    sys.exit(main())
