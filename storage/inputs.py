"""Resolves what LoadImage-like inputs name: upload, URL, data: URI, or earlier output."""

import asyncio
import hashlib
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from graph.values import InputFile
from storage.fetch import Fetcher, checked_url
from storage.files import read
from storage.jobs.earlier_outputs import EarlierOutputs
from storage.picture_processes.pool import Looked
from storage.uploads import Uploads


class Inputs:
    """Reads whatever an input may name, for one owner at a time."""

    def __init__(self, uploads: Uploads, fetcher: Fetcher, earlier: EarlierOutputs) -> None:
        self._uploads = uploads
        self._fetcher = fetcher
        self._earlier = earlier

    async def read(self, owner: str, value: str) -> InputFile:
        """The file that `value` names.

        Raises:
            ServiceError: which of the many things that can be wrong.
        """
        scheme = value[:8].lower()
        if scheme.startswith(("http://", "https://", "/outputs")):
            return await self._at_url(owner, value)
        if scheme.startswith("data:"):
            return _file("data", await asyncio.to_thread(self._fetcher.decode, value))
        if scheme.startswith("job:"):
            return _file(*await self._earlier.read(owner, value))
        return _file(value, await self._uploads.read(owner, value))

    async def picture(self, owner: str, value: str) -> tuple[InputFile, Looked]:
        """The picture that `value` names, which is safe to decode, and what its header says.

        Raises:
            PictureTooLargeError, TooManyFramesError: 413.
            ServiceError: which of the many other things that can be wrong.
        """
        file = await self.read(owner, value)
        return file, await self._uploads.pictures.check(owner, file)

    async def list(self, owner: str) -> tuple[str, ...]:
        """The uploaded files, for the choices of inputs."""
        return await asyncio.to_thread(self._uploads.list, owner)

    async def _at_url(self, owner: str, url: str) -> InputFile:
        """What this service gave out itself need not be fetched."""
        whole = not url.startswith("/")
        path = checked_url(url).path if whole else urlsplit(url).path
        name = PurePosixPath(path).name or "download"
        outputs = self._earlier.outputs
        if own := await asyncio.to_thread(outputs.given_out, owner, url):
            return _file(name, await asyncio.to_thread(read, outputs.files, own.key))
        return _file(name, await self._fetcher.read(url))


def _file(name: str, content: bytes) -> InputFile:
    return InputFile(name, content, hashlib.sha256(content).hexdigest())
