"""The image half of the encode stage: image embeddings, and image prompts made from them."""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from diffusion.memory.cache import ModelCache, leased
from diffusion.vision.clip_vision import ImageEncoder, load_clip_vision
from diffusion.vision.face_id import FaceReader
from diffusion.vision.face_projections import FaceProjection, load_face_projection, projects_faces
from diffusion.vision.ip_adapter import ImageProjection, fitted, load_projection
from diffusion.vision.photomaker import LoadedPhotoMaker, load_photomaker, with_person
from diffusion.vision.style_models import LoadedStyleModel, load_style_model, with_style
from diffusion.weights import Weights
from graph.errors import ServiceError
from graph.image_prompts import Embeds, FacePictures, ImagePrompt, ImageUse, Pictures
from graph.values import (
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
from imaging.clip_tiles import picture_tiles

OpenWeights: TypeAlias = Callable[[ModelFile], Weights]
BLANK_SIDE = 224


@dataclass(eq=False)
class NoImageEncoderError(ServiceError):
    """An IP-Adapter without anything that could look at its pictures."""

    status = 422
    code = "image_encoder_missing"
    template = (
        "IP-Adapter {name} needs an image encoder: link a CLIP_VISION, or use the unified loader."
    )
    name: str


@dataclass(eq=False)
class NoAdapterForModelError(ServiceError):
    """A preset of which there is no file for the family of the model."""

    status = 422
    code = "missing_model"
    template = "There is no IP-Adapter file for {family} models: there are {names}."
    family: str
    names: str


@dataclass(eq=False)
class FacesNeededError(ServiceError):
    """An adapter that goes by faces, where there are pictures alone."""

    status = 422
    code = "faces_needed"
    template = (
        "{name} goes by faces: apply it with IPAdapterFaceID, with an IPAdapterInsightFaceLoader "
        "or the unified loader for FaceID."
    )
    name: str


class VisionStage:
    """Image encoders and image projections of one device, within `budget_bytes`."""

    def __init__(
        self,
        open_weights: OpenWeights,
        *,
        dtype: torch.dtype,
        device: torch.device,
        budget_bytes: int,
        adapters_of: Callable[[Weights], str],
    ) -> None:
        """`adapters_of` says as what presets of IP-Adapters know the model in a file."""
        self._open = open_weights
        self._adapters_of = adapters_of
        self._place = {"dtype": dtype, "device": device}
        self.weights: ModelCache[Hashable, Any] = ModelCache(budget_bytes, lambda v: v.size)

    async def encode_image(
        self, clip_vision: ClipVision, image: Image, *, crop: bool
    ) -> ClipVisionOutput:
        """ComfyUI's CLIPVisionEncode."""
        async with self._encoder(clip_vision) as encoder:
            return await asyncio.to_thread(encoder.see, image, crop=crop)

    async def apply_style(
        self,
        conditioning: Conditioning,
        style_model: StyleModel,
        seen: ClipVisionOutput,
        *,
        strength: float,
        as_bias: bool,
    ) -> Conditioning:
        """ComfyUI's StyleModelApply.

        Raises:
            BadModelFile: the style model is of a kind that is not known.
        """

        def load() -> LoadedStyleModel:
            return load_style_model(self._open(style_model.file), **self._place)  # type: ignore[arg-type]

        async with leased(self.weights.lease(("style", style_model.file), load)) as loaded:
            tokens = await asyncio.to_thread(loaded, seen.last_hidden_state)
        return with_style(conditioning, tokens, strength, as_bias=as_bias)

    async def show_person(
        self, conditioning: Conditioning, photomaker: PhotoMaker, image: Image, place: int
    ) -> Conditioning:
        """ComfyUI's PhotoMakerEncode, from a prompt whose token at `place` becomes a person's.

        Raises:
            BadModelFile: the file is no PhotoMaker.
            IdentityPlaceError: the prompt has no such token.
        """

        def load() -> LoadedPhotoMaker:
            return load_photomaker(self._open(photomaker.file), **self._place)  # type: ignore[arg-type]

        async with leased(self.weights.lease(("photomaker", photomaker.file), load)) as loaded:
            return await asyncio.to_thread(with_person, conditioning, loaded, image, place)

    async def image_prompt(
        self,
        model: Model,
        adapter: IpAdapter,
        clip_vision: ClipVision | None,
        pictures: Pictures,
        use: ImageUse,
    ) -> ImagePrompt:
        """What `adapter` makes of pictures for `model`.

        Raises:
            NoImageEncoderError, NoAdapterForModelError, ImageEncoderMismatchError, BadModelFile.
        """
        file = await self._file(model, adapter)
        if await self._goes_by_faces(file):
            raise FacesNeededError(file.name)
        async with self._projection(file) as projection:
            eye = self._eye(file, projection, clip_vision or adapter.clip_vision)
            positive = pictures.seen_positive
            if positive is None:
                positive = await eye(pictures.positive)
            negative = await self._negative(eye, projection, pictures, positive)
            composition = await eye(pictures.composition)
            if pictures.combining != "concat" and not use.per_picture and len(positive) > 1:
                positive = combined(positive, pictures.combining)
                composition = (
                    None if composition is None else combined(composition, pictures.combining)
                )
            negative = fitted(negative, len(positive))
            tokens = [
                None if seen is None else await asyncio.to_thread(projection, seen)
                for seen in (positive, negative, composition)
            ]
        return ImagePrompt(file, tokens[0], tokens[1], tokens[2], use)

    async def face_prompt(
        self,
        model: Model,
        adapter: IpAdapter,
        clip_vision: ClipVision | None,
        faces: FacePictures,
        use: ImageUse,
    ) -> tuple[ImagePrompt, Image]:
        """What a FaceID adapter makes of faces for `model`, and the pictures of these faces.

        An adapter that goes by pictures takes them whole.

        Raises:
            FacesNeededError, NoFaceError, NoImageEncoderError, BadModelFile.
        """
        file = await self._file(model, adapter)
        if not await self._goes_by_faces(file):
            pictures = Pictures(faces.image, faces.negative, combining=faces.combining)
            prompt = await self.image_prompt(model, adapter, clip_vision, pictures, use)
            return prompt, faces.image
        if faces.faces is None or not faces.faces.each:
            raise FacesNeededError(file.name)
        encoder = clip_vision or adapter.clip_vision
        async with self._face_projection(file) as projection:
            reader = FaceReader(file, projection, self._sees(file, encoder), combined)
            return await reader.prompt(faces, use)

    async def instant_prompt(
        self, file: ModelFile, faces: FacePictures, use: ImageUse
    ) -> ImagePrompt:
        """What InstantID makes of faces. Raises NoFaceError, BadModelFile."""
        async with self._face_projection(file) as projection:
            reader = FaceReader(file, projection, self._sees(file, None), combined)
            return await reader.instant(faces, use)

    async def adapter_family(self, model: Model) -> str:
        """As what presets of IP-Adapters know a model."""
        return await asyncio.to_thread(self._family, model.file)

    def _sees(self, file: ModelFile, clip_vision: ClipVision | None) -> Any:
        async def see(image: Image) -> Any:
            if clip_vision is None:
                raise NoImageEncoderError(file.name)
            async with self._encoder(clip_vision) as encoder:
                return (await asyncio.to_thread(encoder.see, image)).penultimate_hidden_states

        return see

    async def _goes_by_faces(self, file: ModelFile) -> bool:
        return await asyncio.to_thread(lambda: projects_faces(self._open(file)))

    def _face_projection(self, file: ModelFile) -> AbstractAsyncContextManager[FaceProjection]:
        def load() -> FaceProjection:
            return load_face_projection(self._open(file), **self._place)  # type: ignore[arg-type]

        return leased(self.weights.lease(("faces", file), load))

    async def image_embeds(
        self,
        adapter: IpAdapter,
        clip_vision: ClipVision | None,
        image: Image,
        *,
        weight: float,
        mask: Mask | None,
    ) -> tuple[Embeds, Embeds]:
        """What `adapter` would read of pictures, `weight` times, and of no picture."""
        file = await self._file(None, adapter)
        async with self._projection(file) as projection:
            eye = self._eye(file, projection, clip_vision or adapter.clip_vision)
            positive = await eye(image, mask)
            negative = await self._negative(eye, projection, Pictures(), positive)
        return positive * weight, negative

    def combine_embeds(self, embeds: list[Embeds], method: str) -> Embeds:
        """One of several, or all of them one behind the other."""
        together = torch.cat(embeds)
        return together if method == "concat" else combined(together, method)

    def picture_tiles(
        self, image: Image, mask: Mask | None, sharpening: float
    ) -> list[tuple[Image, Mask]]:
        """Squares of pictures, each with where it counts."""
        return picture_tiles(image, mask, sharpening)

    def joined(self, tensors: Sequence[Tensor]) -> Tensor:
        """Batches one behind the other."""
        return torch.cat(tuple(tensors))

    def _eye(
        self, file: ModelFile, projection: ImageProjection, clip_vision: ClipVision | None
    ) -> Any:
        async def eye(image: Image | None, mask: Mask | None = None) -> Any:
            if image is None:
                return None
            if clip_vision is None:
                raise NoImageEncoderError(file.name)
            async with self._encoder(clip_vision) as encoder:
                own = None if mask is None else square(mask, encoder.side)
                seen = await asyncio.to_thread(encoder.see, image, mask=own)
            return getattr(seen, projection.reads)

        return eye

    async def _negative(
        self, eye: Any, projection: ImageProjection, pictures: Pictures, positive: Tensor
    ) -> Tensor:
        """Of the negative picture, or of none: a black one where the adapter reads all tokens."""
        if pictures.seen_negative is not None:
            return pictures.seen_negative  # type: ignore[no-any-return]
        image = pictures.negative
        if image is None and projection.reads == "image_embeds":
            return torch.zeros_like(positive)
        if image is None:
            image = torch.zeros(1, BLANK_SIDE, BLANK_SIDE, 3)
        seen: Tensor = await eye(image)
        return seen

    async def _file(self, model: Model | None, adapter: IpAdapter) -> ModelFile:
        """The one of `adapter`'s files that is made for `model`."""
        files = dict(adapter.files)
        if "" in files or model is None:
            return files.get("") or next(iter(files.values()))
        family = await asyncio.to_thread(self._family, model.file)
        if family not in files:
            raise NoAdapterForModelError(family, ", ".join(f.name for f in files.values()))
        return files[family]

    def _family(self, file: ModelFile) -> str:
        return self._adapters_of(self._open(file))

    def _encoder(self, clip_vision: ClipVision) -> AbstractAsyncContextManager[ImageEncoder]:
        load = partial(self._load_encoder, clip_vision.file)
        return leased(self.weights.lease(("clip_vision", clip_vision.file), load))

    def _load_encoder(self, file: ModelFile) -> ImageEncoder:
        return load_clip_vision(self._open(file), **self._place)  # type: ignore[arg-type]

    def _projection(self, file: ModelFile) -> AbstractAsyncContextManager[ImageProjection]:
        load = partial(self._load_projection, file)
        return leased(self.weights.lease(("projection", file), load))

    def _load_projection(self, file: ModelFile) -> ImageProjection:
        return load_projection(self._open(file), **self._place)  # type: ignore[arg-type]


def combined(seen: Tensor, method: str) -> Tensor:
    """Several [B, ...] as one [1, ...]."""
    methods: dict[str, Callable[[], Tensor]] = {
        "add": lambda: seen.sum(0),
        "subtract": lambda: seen[0] - seen[1:].mean(0),
        "average": lambda: seen.mean(0),
        "norm average": lambda: (seen / seen.norm(dim=0, keepdim=True)).mean(0),
        "max": lambda: seen.amax(0),
        "min": lambda: seen.amin(0),
    }
    return methods[method]()[None]


def square(mask: Mask, side: int) -> Tensor:
    """The middle of a mask [B, H, W], in the size in which the encoder looks."""
    height, width = mask.shape[-2:]
    least = min(height, width)
    y, x = round((height - least) / 2), round((width - least) / 2)
    cropped = mask[:, y : y + least, x : x + least].unsqueeze(1).float()
    resized = functional.interpolate(cropped, size=(side, side), mode="bicubic", antialias=True)
    return resized.squeeze(1)
