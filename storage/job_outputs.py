"""The files of one job, as its output nodes save them."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt

from graph.digits import whole_number
from graph.file_prefix import expand_prefix
from graph.new_files import NewFile
from storage.animations import Animation
from storage.encoded_files import animation_file, in_thread, other_file, picture_files
from storage.output_names import NameCounter, Names, split_prefix, temporary_mark
from storage.outputs import JobFolder, StoredOutput, folder_of
from storage.paths import relative_name
from storage.patience import patiently
from storage.pictures import Encoding


async def all_admitted(_outputs: int) -> None:
    """Nothing stands against it."""


class JobOutputs:
    """What an output node talks to: saves files of one job and keeps the list of them.

    Belongs to one event loop; encoding and writing happen in worker threads. `admit` is asked
    before each file, with how many there will be then, and raises where it may not be; `stored`
    hears of each file once it can be read. A store that is away is waited for. `send` takes what is
    for the job's client alone; without it that is kept for as short as previews are.
    """

    def __init__(
        self,
        folder: JobFolder,
        encoding: Encoding | None = None,
        stored: Callable[[StoredOutput], None] = lambda _: None,
        admit: Callable[[int], Awaitable[None]] = all_admitted,
        names: Names | None = None,
        *,
        send: Callable[[str, bytes], None] | None = None,
    ) -> None:
        self.sent = 0  # pictures that went to the client and are not kept
        self._folder = folder
        self._encoding = encoding or Encoding()
        self._stored = stored
        self._admit = admit
        self._send = send
        self._begun = 0  # files, of which the last may still be on its way
        self._counter: Names = names or NameCounter()
        self._outputs: list[StoredOutput] = []
        self._named: dict[tuple[str, str], list[str]] = {}  # of each node's last batch

    @property
    def saved(self) -> tuple[StoredOutput, ...]:
        """In the order in which they were saved."""
        return tuple(self._outputs)

    @property
    def outputs(self) -> tuple[StoredOutput, ...]:
        """By node id, as saved within a node; previews after all others."""
        return tuple(sorted(self._outputs, key=lambda o: (o.temporary, _natural(o.node_id))))

    @property
    def encoding(self) -> Encoding:
        """How pictures are written, and the documents that go into files."""
        return self._encoding

    async def keep(self, file: NewFile, *, node_id: str) -> StoredOutput | None:
        """Name and store a file that was made, or send it; then there is none.

        Raises:
            UnsafePathError: its prefix leads out of the output folder.
            DiskQuotaError: the owner's disk quota has no room for it.
        """
        async with self._admitted():
            if file.sent and self._send:
                self._send(node_id, file.content)
                self.sent += 1
                return None
            name = await patiently(lambda: self._name(file, node_id))
            output = await patiently(lambda: self._write(file, name, node_id))
        self._list(output)
        return output

    async def has(self, files: Sequence[StoredOutput]) -> bool:
        """Whether these are there still, of earlier jobs."""
        there = partial(asyncio.to_thread, lambda: all(map(self._folder.has, files)))
        return await patiently(there)

    async def list_again(self, files: Sequence[StoredOutput], *, node_id: str) -> None:
        """List files that an earlier job saved, as this one would save the same."""
        for file in files:
            async with self._admitted():
                self._list(replace(file, node_id=node_id))

    @asynccontextmanager
    async def _admitted(self) -> AsyncIterator[None]:
        """Within, one more file is handed out; it counts no more where that fails."""
        self._begun += 1
        try:
            await patiently(lambda: self._admit(self._begun))
            yield
        except BaseException:
            self._begun -= 1
            raise

    def _list(self, output: StoredOutput) -> None:
        self._outputs.append(output)
        self._stored(output)

    async def save_images(
        self,
        images: npt.NDArray[np.float32],
        filename_prefix: str = "ComfyUI",
        *,
        node_id: str,
        temporary: bool = False,
    ) -> tuple[StoredOutput, ...]:
        """Save a batch [B, H, W, C], float32 in 0..1, picture by picture. Raises as `keep` does."""
        files = picture_files(images, filename_prefix, self._encoding, temporary=temporary)
        return tuple([await self._kept(file, node_id) async for file in in_thread(files)])

    async def save_animation(
        self,
        images: npt.NDArray[np.float32],
        filename_prefix: str,
        animation: Animation,
        *,
        node_id: str,
    ) -> StoredOutput:
        """Save a batch [B, H, W, C], float32 in 0..1, as one file. Raises as `keep` does."""
        text = self._encoding.text
        file = await asyncio.to_thread(animation_file, images, filename_prefix, animation, text)
        return await self._kept(file, node_id)

    async def save_file(
        self, content: bytes, filename_prefix: str, extension: str, *, node_id: str
    ) -> StoredOutput:
        """Save any other file; `extension` is ".mp4", ".latent" ..."""
        return await self._kept(other_file(content, filename_prefix, extension), node_id)

    async def _kept(self, file: NewFile, node_id: str) -> StoredOutput:
        output = await self.keep(file, node_id=node_id)
        assert output is not None
        return output

    async def _name(self, file: NewFile, node_id: str) -> str:
        """Its path under the job's folder; the names of a batch are taken with its first file."""
        batch = (node_id, file.prefix)
        if file.batch_num == 0 or batch not in self._named:
            self._named[batch] = await self._names(file, node_id)
        return self._named[batch][file.batch_num % len(self._named[batch])]

    async def _names(self, file: NewFile, node_id: str) -> list[str]:
        mark = temporary_mark(f"{self._folder.prefix}{node_id}") if file.temporary else ""
        now = datetime.now().astimezone()  # ComfyUI's variables are in local time
        size = {"width": file.width or 0, "height": file.height or 0}
        expanded = expand_prefix(file.prefix + mark, now=now, **size)
        subfolder, start = split_prefix(expanded)
        folder, path = folder_of(temporary=file.temporary), str(PurePosixPath(subfolder, start))
        names = await self._counter.take(
            folder, path, file.batch_size, file.extension, tail=file.tail
        )
        return [str(PurePosixPath(subfolder, PurePosixPath(name).name)) for name in names]

    async def _write(self, file: NewFile, name: str, node_id: str) -> StoredOutput:
        """Count a file and store it. Raises DiskQuotaError: there is no room for it."""
        place, size = self._folder, len(file.content) + len(file.poster or b"")
        await place.disk.take(place.owner, size)
        try:
            return await asyncio.to_thread(self._put, file, name, node_id)
        except BaseException:
            await asyncio.shield(place.disk.give_back(place.owner, size))
            raise

    def _put(self, file: NewFile, name: str, node_id: str) -> StoredOutput:
        folder, _, filename = name.rpartition("/")
        number = filename.removesuffix(f"{file.tail}{file.extension}")
        expires = datetime.fromtimestamp(time.time() + self._folder.retention_s, UTC)
        output = StoredOutput(
            node_id=node_id,
            type=file.type,
            mime_type=file.mime_type,
            width=file.width,
            height=file.height,
            temporary=file.temporary,
            filename=filename,
            subfolder=folder,
            size=len(file.content),
            sha256=hashlib.sha256(file.content).hexdigest(),
            expires_at=expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
            facts=file.facts,
            poster=f"{number}{file.poster_tail}" if file.poster else "",
        )
        if file.poster:
            self._folder.files.put(self._key(output.poster_location), file.poster)
        self._folder.files.put(self._key(output.location), file.content)
        return output

    def _key(self, location: str) -> str:
        return self._folder.prefix + relative_name(location)


def _natural(node_id: str) -> tuple[tuple[bool, int, str], ...]:
    """Node ids in the order of their numbers: 9 before 10, 4:3 before 4:12; names after numbers."""
    parts = [(part, whole_number(part)) for part in node_id.split(":")]
    return tuple((number is None, number or 0, part) for part, number in parts)
