"""Runs the steps of the Containerfile in a folder: python -m cluster.image_steps FOLDER [--port N].

For where there is no container engine. The folder stands for the image's root. Packages of the
system are not installed, only looked for, and the user stays who it is; files are copied as
.dockerignore says, `RUN` runs, and the command at the end serves until it has answered /healthz.
"""

import argparse
import fnmatch
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "cluster" / "Containerfile"
SERVES_WITHIN_S = 300
ENDS_WITHIN_S = 60
NOT_KEPT = ("COMFYRAY_", "RAY_", "PYTHONPATH", "VIRTUAL_ENV")  # how variables begin
PROGRAMS = {"libc6-dev": "/usr/include/stdlib.h"}  # packages that are no program of their name


@dataclass(frozen=True)
class Step:
    """One instruction: RUN, COPY ..."""

    name: str
    text: str

    def words(self) -> list[str]:
        """Its arguments, without options."""
        return [word for word in shlex.split(self.text) if not word.startswith("--")]


def read_steps(text: str) -> list[Step]:
    """All instructions, lines that go on joined."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", lines)
    parts = (line.strip().partition(" ") for line in joined.splitlines() if line.strip())
    return [Step(name, " ".join(rest.split())) for name, _, rest in parts]


class Folder:
    """A folder that stands for the image's root, and what the steps have set so far."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._work = root
        self._environment: dict[str, str] = {}

    def run(self, step: Step) -> None:
        """Do what a step says, or what can be done of it here."""
        match step.name:
            case "WORKDIR":
                self._work = self._inside(step.text)
                self._work.mkdir(parents=True, exist_ok=True)
            case "COPY":
                *sources, target = step.words()
                for source in sources:
                    self._copy(source, self._work / target, several=target.endswith("/"))
            case "ENV":
                for name, value in (word.split("=", 1) for word in step.words()):
                    self._environment[name] = self._placed(_filled(value, self.environment()))
            case "RUN" if "apt-get" in step.text:
                _look_for_packages(step.text)
                for folder in _folders(step.text):
                    self._inside(folder).mkdir(parents=True, exist_ok=True)
            case "RUN":
                subprocess.run(
                    ["sh", "-ec", step.text], cwd=self._work, env=self.environment(), check=True
                )

    def serve(self, step: Step, port: int) -> str:
        """Run the command until it has answered, stop it as the image does; what it answered."""
        command = [*json.loads(step.text), "--port", str(port)]
        process = subprocess.Popen(command, cwd=self._work, env=self.environment())
        try:
            return _answer(f"http://127.0.0.1:{port}/healthz", process)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(ENDS_WITHIN_S)

    def environment(self) -> dict[str, str]:
        """What a step's programs find, of this process' own only what installing needs."""
        kept = {name: os.environ[name] for name in os.environ if not name.startswith(NOT_KEPT)}
        home = self._inside("/home/ray")  # a step may remove what is in it
        home.mkdir(parents=True, exist_ok=True)
        return kept | {"HOME": str(home)} | self._environment

    def _inside(self, path: str) -> Path:
        return self._root / path.lstrip("/")

    def _placed(self, value: str) -> str:
        """A value whose folders of the image are this folder's."""
        parts = value.split(":")
        own = ("/app", "/data", "/models")
        return ":".join(str(self._inside(p)) if p.startswith(own) else p for p in parts)

    def _copy(self, source: str, target: Path, *, several: bool) -> None:
        ignored = (ROOT / "cluster" / "Containerfile.dockerignore").read_text().split()
        whole = ROOT / source
        if whole.is_file():
            place = target / whole.name if several or target.is_dir() else target
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(whole, place)
            return
        for path in _kept(whole, ignored):
            place = target / path.relative_to(whole)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, place)


def _kept(root: Path, ignored: list[str]) -> Iterator[Path]:
    """The files of a folder but for those that .dockerignore names."""
    for folder, folders, files in os.walk(root):
        here = Path(folder).relative_to(root)
        folders[:] = [name for name in folders if not _is_ignored(here / name, ignored)]
        yield from (Path(folder, name) for name in files if not _is_ignored(here / name, ignored))


def _is_ignored(path: Path, ignored: list[str]) -> bool:
    return any(
        fnmatch.fnmatch(path.name, pattern.removeprefix("**/"))
        if pattern.startswith("**/")
        else fnmatch.fnmatch(str(path), pattern)
        for pattern in ignored
    )


def _filled(value: str, known: Mapping[str, str]) -> str:
    return re.sub(r"\$(\w+)", lambda found: known.get(found[1], ""), value)


def _look_for_packages(command: str) -> None:
    named = command.partition("apt-get install")[2].partition("&&")[0].split()
    for package in (name for name in named if not name.startswith("--")):
        place = PROGRAMS.get(package)
        if not (Path(place).exists() if place else shutil.which(package)):
            sys.exit(f"{package} is not installed here, which the image has")


def _folders(command: str) -> list[str]:
    """What `install --directory` makes."""
    made = command.partition("install --directory")[2].partition("&&")[0].split()
    return [word for word in made if word.startswith("/")]


def _answer(url: str, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + SERVES_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return str(answer.read(), "utf-8")
        except OSError:
            time.sleep(0.5)
    sys.exit(f"{url} did not answer")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    folder = Folder(arguments.folder.resolve())
    for step in read_steps(FILE.read_text()):
        sys.stdout.write(f"image: {step.name} {step.text[:90]}\n")
        sys.stdout.flush()
        if step.name == "CMD":
            sys.stdout.write(f"image: {folder.serve(step, arguments.port)}\n")
        else:
            folder.run(step)


if __name__ == "__main__":
    main()
