"""Keeps models of a bucket on a node's own disk: checked by hash, within a budget.

The bucket has an index, `models.json`: {"files": {"checkpoints/x.safetensors": {"bytes": 1,
"sha256": "..."}}}. A file gets its place only once it is whole and its hash is right, so whoever
reads the folder meets no other. What nobody asked for the longest goes first when room is needed.
"""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from graph.errors import ServiceError
from storage.files import Files
from storage.paths import inside, relative_name

INDEX = "models.json"
MOST_INDEX_BYTES = 64 * 2**20
STATE = ".node_models.json"  # what was checked, and when it was wanted last
LOCK = ".node_models.lock"  # nodes are shared by pods, and a pod that starts waits for the other
PIECE_BYTES = 8 * 2**20
AT_ONCE = 4


@dataclass(eq=False)
class NodeDiskError(ServiceError):
    """Models that do not come to a node as the index says."""

    status = 500
    code = "model_not_fetched"
    template = "{name}: {problem}."
    name: str
    problem: str


class IndexedFile(BaseModel):
    """What a file of the bucket is."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class _Index(BaseModel):
    files: dict[str, IndexedFile]


class _Kept(BaseModel):
    """A file on the disk: as what it was checked, and its time of change then."""

    sha256: str
    bytes: int
    mtime_ns: int
    wanted_s: float


class _State(BaseModel):
    files: dict[str, _Kept] = {}


@dataclass(frozen=True)
class Fetched:
    """What was done."""

    came: tuple[str, ...]
    went: tuple[str, ...]
    kept_bytes: int


def read_index(files: Files) -> Mapping[str, IndexedFile]:
    """The files that the bucket has, by name.

    Raises:
        NodeDiskError: the index is not one.
    """
    text = b""
    for piece in files.stream(INDEX):
        text += piece
        if len(text) > MOST_INDEX_BYTES:
            raise NodeDiskError(INDEX, f"it has more than {MOST_INDEX_BYTES} bytes")
    try:
        found = _Index.model_validate_json(text).files
    except ValidationError as error:
        raise NodeDiskError(
            INDEX, f"it is no index of models ({error.errors()[0]['msg']})"
        ) from error
    for name in found:
        if relative_name(name) != name or Path(name).name.startswith("."):
            raise NodeDiskError(INDEX, f"{name[:80]!r} is not the name of a model file")
    return found


def index_of(folder: Path) -> str:
    """An index of all files in a folder, to be put beside them into the bucket."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != INDEX)
    named = {str(path.relative_to(folder)): path for path in paths if path.name[0] != "."}
    files: dict[str, Any] = {
        name: {"bytes": path.stat().st_size, "sha256": _hash(path)} for name, path in named.items()
    }
    return json.dumps({"files": files}, indent=1)


def bring(files: Files, folder: Path, patterns: Sequence[str], most_bytes: int) -> Fetched:
    """Have the files of the bucket that match one of `patterns` in `folder`; others if they fit.

    Raises:
        NodeDiskError: nothing matches, the files are larger than `most_bytes`, or one that came is
            not what the index says.
    """
    index = read_index(files)
    wanted = {n: one for n, one in index.items() if any(fnmatchcase(n, p) for p in patterns)}
    need = sum(one.bytes for one in wanted.values())
    if not wanted:
        raise NodeDiskError(INDEX, f"no file matches {' '.join(patterns)!r}")
    if need > most_bytes:
        raise NodeDiskError(INDEX, f"what is wanted has {need} bytes, and {most_bytes} may be kept")
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        state = _read_state(folder)
        _forget_what_changed(folder, state, index)
        _remove_remains(folder, state, index)
        missing = {name: one for name, one in wanted.items() if name not in state.files}
        went = _make_room(folder, state, wanted, most_bytes - need)
        _write_state(folder, state)
        with ThreadPoolExecutor(AT_ONCE) as threads:
            coming = {
                threads.submit(_fetch, files, folder, name, one): name
                for name, one in missing.items()
            }
            for done in as_completed(coming):
                if done.exception() is None:  # kept at once: the next may take hours, or fail
                    state.files[coming[done]] = done.result()
                    _write_state(folder, state)
        for name in wanted.keys() & state.files.keys():
            state.files[name].wanted_s = time.time()
        _write_state(folder, state)
        for done in coming:
            done.result()
    return Fetched(tuple(missing), went, sum(one.bytes for one in state.files.values()))


def _forget_what_changed(folder: Path, state: _State, index: Mapping[str, IndexedFile]) -> None:
    """Remove files that are not what was checked, or of which the bucket has another by now."""
    for name, kept in list(state.files.items()):
        path = inside(folder, name)
        try:
            found = path.stat()
        except OSError:
            del state.files[name]
            continue
        same = (found.st_size, found.st_mtime_ns) == (kept.bytes, kept.mtime_ns)
        now = index.get(name)
        if not same or (now is not None and now.sha256 != kept.sha256):
            path.unlink()
            del state.files[name]


def _remove_remains(folder: Path, state: _State, index: Mapping[str, IndexedFile]) -> None:
    """Remove files of the bucket that were never finished or noted: they take room unseen."""
    noted = {inside(folder, name) for name in state.files}
    for path in {inside(folder, name) for name in index} - noted:
        path.unlink(missing_ok=True)
    for path in list(folder.rglob(".*.part")):
        path.unlink()


def _make_room(
    folder: Path, state: _State, wanted: Mapping[str, IndexedFile], most_bytes: int
) -> tuple[str, ...]:
    """Remove files that are not wanted, the longest unwanted first, until others fit."""
    others = {name: one for name, one in state.files.items() if name not in wanted}
    used = sum(one.bytes for one in others.values())
    went = []
    for name in sorted(others, key=lambda name: others[name].wanted_s):
        if used <= most_bytes:
            break
        inside(folder, name).unlink(missing_ok=True)
        used -= state.files.pop(name).bytes
        went.append(name)
    return tuple(went)


def _fetch(files: Files, folder: Path, name: str, expected: IndexedFile) -> _Kept:
    path = inside(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    digest, size = hashlib.sha256(), 0
    try:
        with partial.open("wb") as file:
            for piece in files.stream(name):
                size += len(piece)
                if size > expected.bytes:
                    break
                digest.update(piece)
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        if (size, digest.hexdigest()) != (expected.bytes, expected.sha256):
            raise NodeDiskError(name, "what came is not what the index says")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return _Kept(
        sha256=expected.sha256,
        bytes=size,
        mtime_ns=path.stat().st_mtime_ns,
        wanted_s=time.time(),
    )


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_state(folder: Path) -> _State:
    try:
        return _State.model_validate_json((folder / STATE).read_bytes())
    except (OSError, ValidationError):  # then all is fetched again, in place of what is there
        return _State()


def _write_state(folder: Path, state: _State) -> None:
    partial = folder / f"{STATE}.part"
    partial.write_text(state.model_dump_json())
    partial.replace(folder / STATE)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
