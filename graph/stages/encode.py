"""The encode stage: text encoders and image encoders."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from graph.choices import TextEncoderName
from graph.image_prompts import Embeds, FacePictures, ImagePrompt, ImageUse
from graph.image_prompts import Pictures as PromptPictures
from graph.values import (
    Clip,
    ClipVision,
    ClipVisionOutput,
    Conditioning,
    Image,
    IpAdapter,
    Mask,
    Model,
    ModelFile,
    PhotoMaker,
    StyleModel,
)


class TextEncoding(Protocol):
    """Prompts."""

    async def encode_sdxl(
        self, clip: Clip, *, text_g: str, text_l: str, sizes: dict[str, int]
    ) -> Conditioning: ...

    async def encode_sdxl_refiner(
        self, clip: Clip, *, text: str, ascore: float, width: int, height: int
    ) -> Conditioning: ...

    async def encode_text(self, clip: Clip, text: str) -> Conditioning: ...

    async def encode_flux(
        self, clip: Clip, *, clip_l: str, t5xxl: str, guidance: float
    ) -> Conditioning: ...

    async def encode_sd3(
        self, clip: Clip, *, texts: Mapping[TextEncoderName, str], padded: bool
    ) -> Conditioning: ...

    async def encode_shown(
        self, clip: Clip, text: str, *, pictures: Sequence[Image], area_px: int
    ) -> Conditioning: ...


class PromptScheduling(Protocol):
    """Prompts that change from frame to frame."""

    async def encode_text(self, clip: Clip, text: str) -> Conditioning: ...

    def blend_prompts(
        self, parts: Sequence[tuple[Conditioning, Conditioning, float]]
    ) -> Conditioning: ...


class VisionEncoding(Protocol):
    """Pictures as an image encoder sees them."""

    async def encode_image(
        self, clip_vision: ClipVision, image: Image, *, crop: bool
    ) -> ClipVisionOutput: ...

    async def apply_style(
        self,
        conditioning: Conditioning,
        style_model: StyleModel,
        seen: ClipVisionOutput,
        *,
        strength: float,
        as_bias: bool,
    ) -> Conditioning: ...


class PersonEncoding(Protocol):
    """Prompts with a person in them."""

    async def encode_text(self, clip: Clip, text: str) -> Conditioning: ...

    async def show_person(
        self, conditioning: Conditioning, photomaker: PhotoMaker, image: Image, place: int
    ) -> Conditioning: ...


class ImagePrompting(Protocol):
    """Image prompts of IP-Adapters."""

    async def image_prompt(
        self,
        model: Model,
        adapter: IpAdapter,
        clip_vision: ClipVision | None,
        pictures: PromptPictures,
        use: ImageUse,
    ) -> ImagePrompt: ...

    async def image_embeds(
        self,
        adapter: IpAdapter,
        clip_vision: ClipVision | None,
        image: Image,
        *,
        weight: float,
        mask: Mask | None,
    ) -> tuple[Embeds, Embeds]: ...

    def combine_embeds(self, embeds: list[Embeds], method: str) -> Embeds: ...

    def picture_tiles(
        self, image: Image, mask: Mask | None, sharpening: float
    ) -> list[tuple[Image, Mask]]: ...

    def joined(self, tensors: Sequence[Image]) -> Image: ...


class FacePrompting(Protocol):
    """Image prompts of faces."""

    async def face_prompt(
        self,
        model: Model,
        adapter: IpAdapter,
        clip_vision: ClipVision | None,
        faces: FacePictures,
        use: ImageUse,
    ) -> tuple[ImagePrompt, Image]: ...

    async def instant_prompt(
        self, file: ModelFile, faces: FacePictures, use: ImageUse
    ) -> ImagePrompt: ...

    async def adapter_family(self, model: Model) -> str: ...


class EncodeFunctions(
    TextEncoding,
    PromptScheduling,
    VisionEncoding,
    PersonEncoding,
    ImagePrompting,
    FacePrompting,
    Protocol,
):
    """What nodes of the encode stage may call."""
