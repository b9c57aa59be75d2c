"""The output stage: what a job keeps."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from graph.values import Audio, FileNames, Image, Latent, Video


@dataclass(frozen=True)
class Combining:
    """How VHS_VideoCombine makes a file of pictures. Empty texts and None are the format's own."""

    format: str
    frame_rate: float
    loop_count: int = 0
    pingpong: bool = False
    saved: bool = True
    with_metadata: bool = True
    trim_to_audio: bool = False
    lossless: bool = True  # of WebP
    crf: int | None = None
    pixel_format: str = ""
    profile: str = ""  # of ProRes


@dataclass(frozen=True)
class PictureForm:
    """How a node wants its pictures to be written, whatever the job says of others."""

    extension: Literal["png", "jpg", "jpeg", "gif", "tiff", "webp", "bmp"]
    quality: int = 100  # of JPEG and WebP
    lossless: bool = False  # of WebP
    dpi: int = 300  # of PNG and JPEG
    with_metadata: bool = True


class OutputFunctions(Protocol):
    """What nodes that save may call."""

    async def save_animation(self, images: Image, filename_prefix: str, **how: Any) -> None: ...

    async def save_images(
        self,
        images: Image,
        filename_prefix: str,
        *,
        temporary: bool = False,
        form: PictureForm | None = None,
    ) -> None: ...

    async def save_images_as(
        self, images: Image, filename_prefix: str, *, format: str, bit_depth: str, colors: str
    ) -> None: ...

    async def save_latent(self, latent: Latent, filename_prefix: str) -> None: ...

    async def send_images(self, images: Image) -> None: ...

    async def show_text(self, text: str) -> None: ...

    async def save_video(
        self,
        video: Video,
        filename_prefix: str,
        container: str,
        codec: str,
        crf: float | None = None,
    ) -> None: ...

    async def save_webm(
        self, images: Image, filename_prefix: str, *, codec: str, fps: float, crf: float
    ) -> None: ...

    async def save_audio(
        self,
        audio: Audio,
        filename_prefix: str,
        *,
        kind: str,
        quality: str = "",
        temporary: bool = False,
    ) -> None: ...

    async def combine_video(
        self, images: Image, audio: Audio | None, filename_prefix: str, how: Combining
    ) -> FileNames: ...
