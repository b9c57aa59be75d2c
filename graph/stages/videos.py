"""What nodes of video models may call on the sample stage."""

from collections.abc import Sequence
from typing import Any, Protocol

from graph.latent_sizes import LatentSize
from graph.values import (
    CameraPath,
    ClipVisionOutput,
    Conditioning,
    Image,
    Latent,
    Mask,
    Tensor,
    Vae,
)


class Videos(Protocol):
    """Pictures, controls and subjects, as models of videos are told of them."""

    async def encode_video(self, vae: Vae, frames: Image) -> Tensor:
        """Latents of one video."""

    async def video_latent_size(self, vae: Vae) -> LatentSize:
        """What the latents of an autoencoder of videos are."""

    def empty_latent(self, shape: tuple[int, ...]) -> Latent: ...

    def with_extras(self, conditioning: Conditioning, **extras: Any) -> Conditioning: ...

    def with_more(self, conditioning: Conditioning, **lists: Sequence[Any]) -> Conditioning: ...

    def fit_frames(
        self, image: Image, length: int, width: int, height: int, *, from_end: bool = False
    ) -> Image: ...

    def cover_frames(self, image: Image, length: int, width: int, height: int) -> Image: ...

    def frames_within(self, image: Image, length: int, longest: int) -> Image: ...

    def frames_on_grey(
        self, length: int, width: int, height: int, start: Image | None, end: Image | None = None
    ) -> Image: ...

    def unknown_latents(self, latent: Tensor, known: int) -> Tensor: ...

    def unknown_frames(self, latent: Tensor, first: int = 0, last: int = 0) -> Tensor: ...

    def blank_video(self, latent: Tensor) -> Tensor: ...

    def with_frames(self, video: Tensor, part: Tensor, channel: int = 0) -> Tensor: ...

    def join_channels(self, first: Tensor, second: Tensor) -> Tensor: ...

    def join_frames(self, latents: Sequence[Tensor]) -> Tensor: ...

    def join_seen(self, first: ClipVisionOutput, second: ClipVisionOutput) -> ClipVisionOutput: ...

    def vace_frames(self, image: Image | None, length: int, width: int, height: int) -> Image: ...

    def vace_mask(self, mask: Mask | None, length: int, width: int, height: int) -> Tensor: ...

    def vace_part(self, frames: Image, mask: Tensor, *, reactive: bool) -> Image: ...

    def vace_mask_channels(self, mask: Tensor, before: int) -> Tensor: ...

    def read_tracks(self, text: str) -> list[Tensor]: ...

    def moved_latents(
        self,
        latents: Sequence[Tensor],
        tracks: Sequence[Tensor],
        batch: int,
        size: tuple[int, int],
        *,
        temperature: float,
        topk: int,
    ) -> tuple[Tensor, Tensor]: ...

    def camera_path(
        self,
        pose: str,
        length: int,
        width: int,
        height: int,
        *,
        speed: float,
        focal: tuple[float, float],
        center: tuple[float, float],
    ) -> CameraPath: ...
