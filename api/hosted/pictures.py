"""Pictures of a request, read once, when it comes: their sizes decide what the workflow is."""

import asyncio
import base64
import io
import re
from dataclasses import dataclass

from PIL import Image, ImageOps

from api.hosted.problems import HostedFieldsError, wrong_field
from graph.errors import ServiceError
from graph.values import InputFile
from storage.inputs import Inputs
from storage.picture_limits import check_pixels

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
    most_pixels: int

    async def read(self, field: str, value: str) -> Picture:
        """The picture that a field names: a URL, a data: URI, base64, or an upload.

        Raises:
            HostedFieldsError: it cannot be had.
        """
        try:
            file = await self.inputs.read(self.owner, as_uri(value))
            check_pixels(file, self.most_pixels)
            return await asyncio.to_thread(_picture, file)
        except HostedFieldsError:
            raise
        except ServiceError as error:
            raise wrong_field(field, f"cannot be used: {error}", value) from error
        except (OSError, ValueError, SyntaxError) as error:
            raise wrong_field(field, "is not a picture that can be read", value) from error


def as_uri(value: str) -> str:
    """Bare base64 as a data: URI, anything else as it is."""
    bare = BARE_BASE64.fullmatch(value[:1000])
    return f"data:image/png;base64,{value}" if bare else value


def _picture(file: InputFile) -> Picture:
    with Image.open(io.BytesIO(file.content)) as opened:
        kind = Image.MIME.get(opened.format or "", "image/png")
        upright = ImageOps.exif_transpose(opened) if opened.getexif().get(0x0112) else opened
        width, height = upright.size
    content = base64.b64encode(file.content).decode()
    return Picture(f"data:{kind};base64,{content}", width, height)


def _eighths(side: float) -> int:
    return max(SMALLEST_SIDE, int(side) // EIGHT * EIGHT)
