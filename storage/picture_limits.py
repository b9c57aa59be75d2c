"""Errors of pictures that exceed the limits."""

from dataclasses import dataclass

from graph.errors import ServiceError


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
class TooManyFramesError(ServiceError):
    """A picture with more frames or pages than this service takes."""

    status = 413
    code = "image_too_large"
    template = "The picture {name!r} has more than {limit} frames or pages, the most that is taken."
    name: str
    limit: int


@dataclass(eq=False)
class NoPictureError(ServiceError):
    """A file that is no picture of a known format."""

    status = 422
    code = "image_unreadable"
    template = (
        "The file {name!r} is not a picture that can be read ({problem}); {formats} are read."
    )
    name: str
    problem: str
    formats: str


@dataclass(eq=False)
class MaskSizeError(ServiceError):
    """A mask that does not fit the picture it was drawn on."""

    status = 422
    code = "mask_size"
    template = "The mask is {mask_px} pixels, its original {original_px}."
    mask_px: tuple[int, int]
    original_px: tuple[int, int]


@dataclass(eq=False)
class PictureQueueError(ServiceError):
    """As many pictures of one owner wait to be looked at as may."""

    status = 429
    code = "picture_limit"
    template = "{waiting} of your pictures are being read; try again in {retry_after_s} s."
    waiting: int
    retry_after_s: int


@dataclass(eq=False)
class PicturesBusyError(ServiceError):
    """As many pictures wait to be looked at as may, of all owners."""

    status = 503
    code = "pictures_busy"
    template = "The service is reading {waiting} pictures; try again in {retry_after_s} s."
    waiting: int
    retry_after_s: int


@dataclass(frozen=True)
class PictureLimits:
    """What a picture may unfold to, and what a preview shows of one."""

    most_pixels: int = 64 * 2**20  # of all frames together
    most_frames: int = 1024
    preview_pixels: int = 4 * 2**20  # a larger one is shown smaller
    preview_side: int = 16383  # WebP's largest
