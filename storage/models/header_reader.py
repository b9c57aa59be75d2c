"""Reads headers of model files off the event loop, a few at once, within the service's limits."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from graph.model_files.header import DEFAULT, Header, read_header
from graph.model_files.limits import HeaderLimits
from graph.values import ModelFile

T = TypeVar("T")


class HeaderReader:
    """Reads headers; `at_once` bounds how many are read beside the event loop. Thread-safe."""

    def __init__(self, limits: HeaderLimits = DEFAULT, *, at_once: int = 1) -> None:
        self._limits = limits
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="headers")

    def read(self, path: Path, file: ModelFile) -> Header:
        """The header of `path`, which messages call `file`. This blocks.

        Raises:
            BadModelFile: not a sound model file.
        """
        return read_header(path, file, self._limits)

    async def beside(self, work: Callable[[], T]) -> T:
        """The result of work that reads headers, done in one of the reader's threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
