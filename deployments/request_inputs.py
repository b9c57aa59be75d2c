"""The files that the inputs of one request name, read within limits."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from graph.errors import ServiceError
from graph.node import NodeType
from graph.values import InputFile
from storage.picture_limits import (
    PictureQueueError,
    PicturesBusyError,
    PictureTooLargeError,
    TooManyFramesError,
)

READ_AT_ONCE = 8
MOST_BYTES = 512 * 2**20


@dataclass(eq=False)
class InputsTooLargeError(ServiceError):
    """Input files that are too large together; the rest of them was not read."""

    status = 413
    code = "inputs_too_large"
    template = "The input files of the request are over {limit_bytes} bytes together."
    limit_bytes: int


NOT_THE_WORKFLOWS_FAULT = (
    InputsTooLargeError,
    PictureTooLargeError,
    TooManyFramesError,
    PictureQueueError,
    PicturesBusyError,
)


class Pictures(Protocol):
    """Reads what an input names, for one owner."""

    async def picture(self, owner: str, value: str, /) -> tuple[InputFile, Any]: ...


class AnyFiles(Pictures, Protocol):
    """Reads files of other kinds too."""

    async def read(self, owner: str, value: str, /) -> InputFile: ...


@dataclass(frozen=True)
class Unlooked:
    """Files as they are: what a video or sound holds is looked at by the stage that decodes it."""

    files: AnyFiles

    async def picture(self, owner: str, value: str, /) -> tuple[InputFile, Any]:
        return await self.files.read(owner, value), None


async def read_kinds(
    inputs: AnyFiles, owner: str, named: Iterable[tuple[bool, str]], most_bytes: int
) -> Mapping[tuple[bool, str], InputFile | ServiceError]:
    """The file of each name, of which each is said to be a picture or not.

    Raises:
        ServiceError: as of `read_inputs`.
    """
    wanted = sorted(named)
    found: dict[tuple[bool, str], InputFile | ServiceError] = {}
    for is_picture, files in ((True, inputs), (False, Unlooked(inputs))):
        names = [name for of, name in wanted if of == is_picture]
        read = await read_inputs(files, owner, names, most_bytes)
        most_bytes -= sum(len(it.content) for it in read.values() if isinstance(it, InputFile))
        found |= {(is_picture, name): file for name, file in read.items()}
    return found


async def read_inputs(
    inputs: Pictures, owner: str, names: Iterable[str], most_bytes: int = MOST_BYTES
) -> Mapping[str, InputFile | ServiceError]:
    """The file of each name, or why it cannot be had. Few are read at a time, each once.

    Raises:
        InputsTooLargeError, or of NOT_THE_WORKFLOWS_FAULT: a limit of the service is reached.
    """
    few = asyncio.Semaphore(READ_AT_ONCE)
    left_bytes = most_bytes

    async def read(name: str) -> InputFile | ServiceError:
        nonlocal left_bytes
        async with few:
            try:
                file, _ = await inputs.picture(owner, name)
            except NOT_THE_WORKFLOWS_FAULT:
                raise
            except ServiceError as error:
                return error
            left_bytes -= len(file.content)
            if left_bytes < 0:
                raise InputsTooLargeError(most_bytes)
            return file

    tasks = {name: asyncio.create_task(read(name)) for name in names}
    try:
        await asyncio.gather(*tasks.values())
    finally:  # where one says that it is too much, the others need not go on
        for task in tasks.values():
            task.cancel()
    return {name: task.result() for name, task in tasks.items()}


def is_api_format(document: Any) -> bool:
    """Whether a workflow is in API format, and not a file of the editor."""
    nodes = document.values() if isinstance(document, Mapping) else ()
    return bool(nodes) and all(isinstance(it, Mapping) and "class_type" in it for it in nodes)


def may_name_uploads(document: Any, node_types: Mapping[str, NodeType]) -> bool:
    """Whether a workflow may need the list of uploads; a file of the editor is not read yet."""
    if not is_api_format(document):
        return True
    types = (node_types.get(str(node["class_type"])) for node in document.values())
    return any(known and known.may_name_uploads for known in types)
