"""The files of a request: few at once, and not too much together."""

import asyncio

import pytest

from deployments.request_inputs import READ_AT_ONCE, InputsTooLargeError, read_inputs
from graph.errors import ServiceError
from graph.values import InputFile
from storage.picture_limits import TooManyFramesError

NAMES = [f"{k}.png" for k in range(40)]


class Pictures:
    """Files of 1000 bytes each, and others that cannot be had."""

    def __init__(self) -> None:
        self.reading = self.most_reading = self.read = 0

    async def picture(self, _owner: str, value: str) -> tuple[InputFile, None]:
        self.reading += 1
        self.most_reading = max(self.reading, self.most_reading)
        for _ in range(3):
            await asyncio.sleep(0)
        self.reading -= 1
        self.read += 1
        if value == "missing":
            raise ServiceError
        if value == "long":
            raise TooManyFramesError(value, 1)
        return InputFile(value, b"x" * 1000, value), None


async def test_each_name_has_its_file_or_why_not() -> None:
    pictures = Pictures()
    found = await read_inputs(pictures, "acme", [*NAMES, "missing"])
    assert list(found) == [*NAMES, "missing"]
    assert isinstance(found["missing"], ServiceError)
    file = found["7.png"]
    assert isinstance(file, InputFile)
    assert file.name == "7.png"
    assert pictures.most_reading == READ_AT_ONCE


async def test_files_that_are_too_large_together_are_not_all_read() -> None:
    pictures = Pictures()
    with pytest.raises(InputsTooLargeError, match="over 9500 bytes"):
        await read_inputs(pictures, "acme", NAMES, most_bytes=9500)
    await asyncio.sleep(0)
    assert pictures.read <= 10 + READ_AT_ONCE
    assert await read_inputs(Pictures(), "acme", NAMES, most_bytes=40_000)


async def test_a_limit_of_the_service_ends_the_request() -> None:
    with pytest.raises(TooManyFramesError):
        await read_inputs(Pictures(), "acme", ["long", *NAMES])
