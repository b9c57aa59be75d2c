"""The files that the inputs of one request name, read within limits."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from graph.errors import ServiceError
from graph.values import InputFile
from storage.picture_limits import (
    PictureQueueError,
    PicturesBusyError,
    PictureTooLargeError,
    TooManyFramesError,
)

READ_AT_ONCE = 8
MOST_BYTES = 512 * 2**20
NOT_THE_WORKFLOWS_FAULT = (
    PictureTooLargeError,
    TooManyFramesError,
    PictureQueueError,
    PicturesBusyError,
)


@dataclass(eq=False)
class InputsTooLargeError(ServiceError):
    """Input files that are too large together; the rest of them was not read."""

    status = 413
    code = "inputs_too_large"
    template = "The input files of the request are over {limit_bytes} bytes together."
    limit_bytes: int


class Pictures(Protocol):
    """Reads what an input names, for one owner."""

    async def picture(self, owner: str, value: str, /) -> tuple[InputFile, Any]: ...


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
