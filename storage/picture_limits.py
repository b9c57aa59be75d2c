"""Pictures that are larger than they look: what a file would unfold to, read from its header."""

import io
import warnings
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from graph.errors import ServiceError
from graph.values import InputFile


@dataclass(eq=False)
class PictureTooLargeError(ServiceError):
    """A picture with more pixels than this service takes."""

    status = 413
    code = "image_too_large"
    template = "The picture {name!r} has {pixels} pixels; at most {limit} are taken."
    name: str
    pixels: int
    limit: int


@dataclass(eq=False)
class NoPictureError(ServiceError):
    """A file that is no picture of a known format."""

    status = 422
    code = "image_unreadable"
    template = "The file {name!r} is not a picture that can be read."
    name: str


def check_pixels(file: InputFile, limit: int) -> None:
    """Look at a picture's header, all frames counted, without decoding it.

    Raises:
        PictureTooLargeError: it would unfold to more than `limit` pixels.
        NoPictureError: it is no picture.
    """
    try:
        with warnings.catch_warnings():  # Pillow's own limit only warns, and is not ours
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(file.content))
            pixels = picture.width * picture.height * getattr(picture, "n_frames", 1)
    except Image.DecompressionBombError as error:
        raise PictureTooLargeError(file.name, 2 * (Image.MAX_IMAGE_PIXELS or 0), limit) from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise NoPictureError(file.name) from error
    if pixels > limit:
        raise PictureTooLargeError(file.name, pixels, limit)
