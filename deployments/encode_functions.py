"""The functions that nodes of the ENCODE stage call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from diffusion.text.prompt_schedules import blended
from diffusion.text.stage import EncodeStage
from diffusion.vision.stage import VisionStage
from graph.choices import TextEncoderName
from graph.events import Warned
from graph.image_prompts import Embeds, FacePictures, ImagePrompt, ImageUse, Pictures
from graph.segment_run import Report
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


@dataclass(frozen=True)
class NodeEncoding:
    """The encode stage as one node sees it: what is left out of a prompt is told under its id."""

    text: EncodeStage
    vision: VisionStage
    node_id: str
    report: Report
    owner: str

    def _warn(self, text: str) -> None:
        self.report(Warned(self.node_id, text))

    async def encode_text(self, clip: Clip, text: str) -> Conditioning:
        return await self.text.encode_text(clip, text, warn=self._warn, owner=self.owner)

    async def encode_sdxl(
        self, clip: Clip, *, text_g: str, text_l: str, sizes: dict[str, int]
    ) -> Conditioning:
        return await self.text.encode_sdxl(
            clip, text_g=text_g, text_l=text_l, sizes=sizes, warn=self._warn, owner=self.owner
        )

    async def encode_sdxl_refiner(
        self, clip: Clip, *, text: str, ascore: float, width: int, height: int
    ) -> Conditioning:
        return await self.text.encode_sdxl_refiner(
            clip,
            text=text,
            ascore=ascore,
            width=width,
            height=height,
            warn=self._warn,
            owner=self.owner,
        )

    async def encode_flux(
        self, clip: Clip, *, clip_l: str, t5xxl: str, guidance: float
    ) -> Conditioning:
        return await self.text.encode_flux(
            clip, clip_l=clip_l, t5xxl=t5xxl, guidance=guidance, warn=self._warn, owner=self.owner
        )

    async def encode_sd3(
        self, clip: Clip, *, texts: Mapping[TextEncoderName, str], padded: bool
    ) -> Conditioning:
        return await self.text.encode_sd3(
            clip, texts=texts, padded=padded, warn=self._warn, owner=self.owner
        )

    def blend_prompts(
        self, parts: Sequence[tuple[Conditioning, Conditioning, float]]
    ) -> Conditioning:
        return blended(parts)

    async def encode_shown(
        self, clip: Clip, text: str, *, pictures: Sequence[Image], area_px: int
    ) -> Conditioning:
        return await self.text.encode_shown(
            clip, text, pictures=pictures, area_px=area_px, warn=self._warn, owner=self.owner
        )

    async def encode_image(
        self, clip_vision: ClipVision, image: Image, *, crop: bool
    ) -> ClipVisionOutput:
        return await self.vision.encode_image(clip_vision, image, crop=crop)

    async def apply_style(
        self,
        conditioning: Conditioning,
        style_model: StyleModel,
        seen: ClipVisionOutput,
        *,
        strength: float,
        as_bias: bool,
    ) -> Conditioning:
        return await self.vision.apply_style(
            conditioning, style_model, seen, strength=strength, as_bias=as_bias
        )

    async def show_person(
        self, conditioning: Conditioning, photomaker: PhotoMaker, image: Image, place: int
    ) -> Conditioning:
        return await self.vision.show_person(conditioning, photomaker, image, place)

    async def image_prompt(
        self,
        model: Model,
        adapter: IpAdapter,
        clip_vision: ClipVision | None,
        pictures: Pictures,
        use: ImageUse,
    ) -> ImagePrompt:
        return await self.vision.image_prompt(model, adapter, clip_vision, pictures, use)

    async def face_prompt(
        self,
        model: Model,
        adapter: IpAdapter,
        clip_vision: ClipVision | None,
        faces: FacePictures,
        use: ImageUse,
    ) -> tuple[ImagePrompt, Image]:
        return await self.vision.face_prompt(model, adapter, clip_vision, faces, use)

    async def instant_prompt(
        self, file: ModelFile, faces: FacePictures, use: ImageUse
    ) -> ImagePrompt:
        return await self.vision.instant_prompt(file, faces, use)

    async def adapter_family(self, model: Model) -> str:
        return await self.vision.adapter_family(model)

    async def image_embeds(
        self,
        adapter: IpAdapter,
        clip_vision: ClipVision | None,
        image: Image,
        *,
        weight: float,
        mask: Mask | None,
    ) -> tuple[Embeds, Embeds]:
        return await self.vision.image_embeds(adapter, clip_vision, image, weight=weight, mask=mask)

    def combine_embeds(self, embeds: list[Embeds], method: str) -> Embeds:
        return self.vision.combine_embeds(embeds, method)

    def picture_tiles(
        self, image: Image, mask: Mask | None, sharpening: float
    ) -> list[tuple[Image, Mask]]:
        return self.vision.picture_tiles(image, mask, sharpening)

    def joined(self, tensors: Sequence[Image]) -> Image:
        return self.vision.joined(tensors)
