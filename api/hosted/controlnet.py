"""ControlNet: v6 and v5, one or several at once, with hints drawn here or ready-made."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import AliasChoices, Field

from api.hosted.catalog import Catalog
from api.hosted.draft import Draft, Link
from api.hosted.example_picture import PICTURE
from api.hosted.family import Family
from api.hosted.fields import Flag, Items, Numbers, PictureText, Strength
from api.hosted.image_request import ImageRequest
from api.hosted.meta import image_meta, shown_pictures, yes_no
from api.hosted.parts import (
    Bench,
    Translation,
    add_highres_fix,
    add_ip_adapter,
    add_upscaling,
    canvas_size,
    fill,
    native_px,
    start_from_picture,
)
from api.hosted.problems import wrong_field
from graph.controlnet_types import AS_GIVEN, PREPROCESSOR_OF_TYPE

INPAINT = "inpaint"
OTHER_NAMES: Mapping[str, str] = {"segment": "segmentation", "softedge_hed": "hed"}
# What the public files of a type have in their names, where that is not the type's own.
IN_FILE_NAMES: Mapping[str, tuple[str, ...]] = {
    "segmentation": ("seg",),
    "normalbae": ("normal",),
    "pose": ("openpose", "pose"),
    "face_detector": ("face",),
    "qrcode": ("qr",),
    "blur": ("blur", "tile"),
    "gray": ("gray", "recolor"),
    "low_quality": ("low_quality", "tile"),
}
EDGES, LINES = "hed/pidi/scribble/ted", "canny/lineart/anime_lineart/mlsd"
UNION_TYPES: Mapping[str, str] = {
    "openpose": "openpose",
    "pose": "openpose",
    "depth": "depth",
    "hed": EDGES,
    "scribble": EDGES,
    "softedge": EDGES,
    "canny": LINES,
    "lineart": LINES,
    "mlsd": LINES,
    "normal": "normal",
    "normalbae": "normal",
    "segmentation": "segment",
    "tile": "tile",
    "blur": "tile",
    "inpaint": "repaint",
}


class ControlNet(ImageRequest):
    """A picture from a prompt that goes by a picture."""

    controlnet_model: Items = Field(default=[], description="Types, or files; several at once.")
    controlnet_type: Items = Field(default=[], description="How the hint is drawn.")
    auto_hint: Flag = Field(True, description="no: `init_image` is the hint.")
    guess_mode: Flag = Field(False, description="Go by the picture alone.")
    init_image: PictureText | None = None
    control_image: PictureText | None = Field(
        None,
        validation_alias=AliasChoices("control_image", "controlnet_image"),
        description="A ready-made hint; `init_image` is then what sampling starts from.",
    )
    mask_image: PictureText | None = Field(None, description="White is painted.")
    strength: Strength = Field(0.55, description="Where sampling starts from a picture.")
    controlnet_conditioning_scale: Numbers = Field(default=[], description="0 to 10, each.")


@dataclass(frozen=True)
class Control:
    """One of the ControlNets of a request."""

    type: str
    file: str
    union_type: str  # "" for a file of one type
    strength: float


async def translate(request: ControlNet, bench: Bench) -> Translation:
    draft = Draft.of("controlnet")
    fill(draft, request, bench)
    native = await native_px(draft, bench.catalog)
    width, height = canvas_size(request, native, native)
    draft.set("Canvas", width=width, height=height, batch_size=request.samples)
    controls = await _controls(request, bench.catalog, draft.inputs("Checkpoint")["ckpt_name"])
    mask = await _set_pictures(draft, request, bench, (width, height))
    sketch = _Sketch(draft, request, bench.catalog, mask, min(width, height))
    sketch.add(controls)
    await add_ip_adapter(draft, request, bench)
    if draft.has("Canvas"):
        await add_highres_fix(draft, request, bench.catalog, width, height)
    add_upscaling(draft, request, bench, width, height)
    meta = image_meta(draft, request, width, height) | _meta(request, controls)
    return Translation(draft, meta, request.ignored)


async def _controls(request: ControlNet, catalog: Catalog, checkpoint: str) -> list[Control]:
    """What is asked for. Names of types may stand for models and the other way round."""
    models = [OTHER_NAMES.get(name, name) for name in request.controlnet_model]
    types = [OTHER_NAMES.get(name, name) for name in request.controlnet_type]
    models, types = models or types, types or models
    if not models:
        raise wrong_field("controlnet_type", "is required")
    scales = request.controlnet_conditioning_scale or [1.0]
    found = []
    for k, model in enumerate(models):
        type_ = model if model in PREPROCESSOR_OF_TYPE else types[k if k < len(types) else 0]
        if type_ not in PREPROCESSOR_OF_TYPE:
            known = ", ".join(PREPROCESSOR_OF_TYPE)
            raise wrong_field("controlnet_type", f"must be one of {known}", type_)
        file, union_type = await _file(catalog, model, type_, checkpoint)
        scale = scales[k] if k < len(scales) else scales[-1]
        if not 0 <= scale <= 10:
            raise wrong_field("controlnet_conditioning_scale", "must be between 0 and 10", scale)
        found.append(Control(type_, file, union_type, scale))
    return found


async def _file(catalog: Catalog, model: str, type_: str, checkpoint: str) -> tuple[str, str]:
    """The file of a model, or one that a type's files are named like, or one of many types."""
    file = catalog.find("controlnet", model)
    if file in catalog.files("controlnet") or model != type_:
        return file, ""
    for words in ((word,) for word in IN_FILE_NAMES.get(type_, (type_,))):
        if named := await catalog.best("controlnet", words, like=checkpoint):
            return named, ""
    union = await catalog.best("controlnet", ("union", "promax"), like=checkpoint)
    return (union, UNION_TYPES.get(type_, "auto")) if union else (model, "")


async def _set_pictures(
    draft: Draft, request: ControlNet, bench: Bench, size: tuple[int, int]
) -> Link | None:
    """Set the picture to go by and the one to start from; the link to the mask, if any."""
    field = "control_image" if request.control_image else "init_image"
    hint = request.control_image or request.init_image
    if hint is None:
        raise wrong_field("init_image", "is required")
    shown = await bench.pictures.read(field, hint)
    draft.set("Control picture", image=shown.uri)
    mask: Link | None = None
    if request.mask_image:
        picture = await bench.pictures.read("mask_image", request.mask_image)
        mask = [draft.put("Mask", "LoadImageMask", image=picture.uri, channel="red"), 0]
    if request.init_image and (request.control_image or mask):
        start = await bench.pictures.read("init_image", request.init_image)
        latent = start_from_picture(draft, start.uri, *size, request.samples)
        draft.set("Sampler", denoise=request.strength)
        if mask:
            masked = draft.put("Paint", "SetLatentNoiseMask", samples=latent, mask=mask)
            draft.set("Sampler", latent_image=[masked, 0])
    return mask


@dataclass(frozen=True)
class _Sketch:
    """Adds ControlNets to a draft, whose file has one already."""

    draft: Draft
    request: ControlNet
    catalog: Catalog
    mask: Link | None
    short_side: int

    def add(self, controls: list[Control]) -> None:
        draft = self.draft
        positive, negative = [draft.id("Prompt"), 0], [draft.id("Negative prompt"), 0]
        unguided = negative
        for k, control in enumerate(controls):
            mark = f" {k + 1}" if k else ""
            applied = draft.put(
                f"Apply ControlNet{mark}",
                "ControlNetApplyAdvanced",
                positive=positive,
                negative=negative,
                control_net=self.net(control, mark),
                image=self.hint(control, mark),
                strength=control.strength,
                start_percent=0.0,
                end_percent=1.0,
            )
            positive, negative = [applied, 0], [applied, 1]
        # Guess mode: the prediction without the prompt does not see the picture either.
        draft.set(
            "Sampler",
            positive=positive,
            negative=unguided if self.request.guess_mode else negative,
        )

    def net(self, control: Control, mark: str) -> Link:
        net = self.draft.put(f"ControlNet{mark}", "ControlNetLoader", control_net_name=control.file)
        if not control.union_type:
            return [net, 0]
        title = f"Union{mark}"
        typed = {"control_net": [net, 0], "type": control.union_type}
        return [self.draft.put(title, "SetUnionControlNetType", **typed), 0]

    def hint(self, control: Control, mark: str) -> Link:
        """The picture as this ControlNet wants to see it."""
        picture = [self.draft.id("Control picture"), 0]
        title = f"Hint{mark}"
        class_type = PREPROCESSOR_OF_TYPE[control.type]
        ready = self.request.control_image is not None or not self.request.auto_hint
        inputs: dict[str, Any] = {"image": picture}
        if control.type == INPAINT and not ready:
            if self.mask is None:
                raise wrong_field("mask_image", "is required")
            inputs["mask"] = self.mask
        elif ready or class_type == AS_GIVEN:
            self.draft.remove(title)
            return picture
        known = self.catalog.node_types
        if class_type in known and "resolution" in self.catalog.inputs(class_type):
            inputs["resolution"] = max(64, self.short_side // 64 * 64)
        return [self.draft.put(title, class_type, **inputs), 0]


def _meta(request: ControlNet, controls: list[Control]) -> dict[str, Any]:
    return {
        "controlnet_model": ",".join(control.file for control in controls),
        "controlnet_type": ",".join(control.type for control in controls),
        "auto_hint": yes_no(request.auto_hint),
        "guess_mode": yes_no(request.guess_mode),
        "strength": request.strength,
        "controlnet_conditioning_scale": ",".join(f"{one.strength:g}" for one in controls),
        **shown_pictures(
            init_image=request.init_image,
            control_image=request.control_image,
            mask_image=request.mask_image,
        ),
    }


FAMILY = Family(
    ControlNet,
    translate,
    "ControlNet",
    ("/api/v6/images/controlnet", "/api/v5/controlnet"),
    example={"prompt": "a lighthouse", "controlnet_model": "canny", "init_image": PICTURE},
)
