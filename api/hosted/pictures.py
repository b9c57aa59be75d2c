"""Reads the pictures of a request before its workflow is built, which depends on their sizes."""

import asyncio
import base64
import re
from dataclasses import dataclass

from api.hosted.problems import wrong_field
from graph.errors import ServiceError
from storage.inputs import Inputs

BARE_BASE64 = re.compile(r"[A-Za-z0-9+/_=\-\s]{64,}")
EIGHT = 8
SMALLEST_SIDE, LARGEST_SIDE = 64, 1024  # of a picture that was made in its original's size


@dataclass(frozen=True)
class Picture:
    """A picture as LoadImage takes it, and its size once it is upright."""

    uri: str
    width: int
    height: int

    def fitted(self) -> tuple[int, int]:
        """The nearest size that can be sampled, in about the same proportions."""
        scale = min(1.0, LARGEST_SIDE / max(self.width, self.height))
        return _eighths(self.width * scale), _eighths(self.height * scale)


@dataclass(frozen=True)
class PictureReader:
    """Reads for one owner."""

    inputs: Inputs
    owner: str

    async def read(self, field: str, value: str) -> Picture:
        """The picture that a field names: a URL, a data: URI, base64, or an upload.

        Raises:
            HostedFieldsError: it cannot be had.
        """
        try:
            file, looked = await self.inputs.picture(self.owner, as_uri(value))
            content = await asyncio.to_thread(base64.b64encode, file.content)
            uri = f"data:{looked.mime};base64,{content.decode()}"
            return Picture(uri, looked.width, looked.height)
        except ServiceError as error:
            raise wrong_field(field, f"cannot be used: {error}", value) from error


def as_uri(value: str) -> str:
    """Bare base64 as a data: URI, anything else as it is."""
    bare = BARE_BASE64.fullmatch(value[:1000])
    return f"data:image/png;base64,{value}" if bare else value


def _eighths(side: float) -> int:
    return max(SMALLEST_SIDE, int(side) // EIGHT * EIGHT)
