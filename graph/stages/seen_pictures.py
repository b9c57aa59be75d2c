"""The sample stage: what pictures say to models that go by them."""

from collections.abc import Sequence
from typing import Any, Protocol

from graph.values import ClipVisionOutput, Conditioning, Image, Latent, Tensor, Vae


class PictureConditioning(Protocol):
    """Prompts that are a picture."""

    async def condition_on_picture(
        self,
        seen: ClipVisionOutput,
        image: Image,
        vae: Vae,
        *,
        motion_bucket_id: int,
        fps: int,
        augmentation_level: float,
    ) -> tuple[Conditioning, Conditioning]: ...

    async def condition_on_orbit(
        self,
        seen: ClipVisionOutput,
        image: Image,
        vae: Vae,
        *,
        elevations: Sequence[float],
        azimuths: Sequence[float],
    ) -> tuple[Conditioning, Conditioning]: ...

    async def condition_on_views(
        self,
        seen: ClipVisionOutput,
        image: Image,
        vae: Vae,
        views: Sequence[tuple[float, float]],
    ) -> tuple[Conditioning, Conditioning]: ...

    def empty_latent(self, shape: tuple[int, ...]) -> Latent: ...


class LowResolution(Protocol):
    """Pictures beside the noise, small and as they are."""

    def low_resolution(self, images: Image, height: int, width: int) -> Tensor: ...

    def with_extras(self, conditioning: Conditioning, **extras: Any) -> Conditioning: ...

    def empty_latent(self, shape: tuple[int, ...]) -> Latent: ...
