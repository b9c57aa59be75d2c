"""The names and shapes in a checkpoint that torch pickled, found without running the pickle."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from storage.models.pickle_machine import Machine, NotACheckpointError, StoredTensor

MAX_PICKLE_BYTES = 64 * 2**20  # the longest of public models is a few MiB
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # torch.serialization.MAGIC_NUMBER
WRAPPERS = ("state_dict", "params_ema", "params", "string_to_param")


def read_pickled(path: Path) -> dict[str, StoredTensor]:
    """The tensors of a checkpoint by name, from under the wrappers of training scripts.

    Raises:
        NotACheckpointError: not written by torch, cut short, or holding more than tensors.
    """
    try:
        with path.open("rb") as stream:
            in_zip = stream.read(4) == b"PK\x03\x04"
            stream.seek(0)
            program = _from_zip(stream) if in_zip else _from_legacy(stream)
    except NotACheckpointError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        problem = (str(error).splitlines() or [type(error).__name__])[0]
        raise NotACheckpointError(problem) from error
    return dict(_tensors(program))


def _from_zip(stream: IO[bytes]) -> Any:
    size = stream.seek(0, io.SEEK_END)
    try:
        archive = zipfile.ZipFile(stream)
    except zipfile.BadZipFile as error:
        problem = "it is cut short"
        raise NotACheckpointError(problem) from error
    sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    if sum(sizes.values()) > size:  # torch stores, it never compresses
        problem = f"it would unpack to {sum(sizes.values())} bytes"
        raise NotACheckpointError(problem)
    name = next((name for name in sizes if name.rpartition("/")[2] == "data.pkl"), None)
    if name is None:
        problem = "a zip file without a checkpoint in it"
        raise NotACheckpointError(problem)
    if sizes[name] > MAX_PICKLE_BYTES:
        problem = f"a pickle of {sizes[name]} bytes is not believable"
        raise NotACheckpointError(problem)
    machine = Machine()
    value = machine.run(io.BytesIO(archive.read(name)))
    folder = name.removesuffix("data.pkl") + "data/"
    for storage in machine.storages.values():
        if sizes.get(folder + storage.key, -1) < storage.n_bytes:
            problem = f"it is cut short: storage {storage.key!r} is not whole"
            raise NotACheckpointError(problem)
    return value


def _from_legacy(stream: IO[bytes]) -> Any:
    """Before torch 1.6: a magic number, a version, a machine, the value, its storages' names."""
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    start = io.BytesIO(stream.read(MAX_PICKLE_BYTES))
    machine = Machine()
    if machine.run(start) != LEGACY_MAGIC:
        problem = "torch did not write it"
        raise NotACheckpointError(problem)
    machine.run(start)
    machine.run(start)
    value, keys = machine.run(start), machine.run(start)
    stored = sum(8 + machine.storages[str(key)].n_bytes for key in keys)
    if start.tell() + stored > size:
        problem = f"it is cut short: {start.tell() + stored - size} bytes are missing"
        raise NotACheckpointError(problem)
    return value


def _tensors(value: Any) -> Iterator[tuple[str, StoredTensor]]:
    """The tensors of a checkpoint, or of the parts of which one is made of several."""
    if not isinstance(value, dict):
        return
    wrapped = [value.get(name) for name in WRAPPERS]
    if len(value) == 1:
        wrapped.extend(value.values())
    source = next((inner for inner in wrapped if isinstance(inner, dict)), value)
    for key, inner in source.items():
        if isinstance(inner, StoredTensor):
            yield str(key), inner
        elif isinstance(inner, dict) and source is value:
            yield from ((f"{key}.{k}", t) for k, t in inner.items() if isinstance(t, StoredTensor))
