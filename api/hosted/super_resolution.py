"""Super-resolution: enlarges a picture with an upscaling model."""

from pydantic import AliasChoices, Field

from api.hosted.catalog import Catalog
from api.hosted.draft import Draft
from api.hosted.example_picture import PICTURE
from api.hosted.family import Family
from api.hosted.fields import Flag, HostedRequest, PictureText, Scale, Text
from api.hosted.meta import shown_pictures, yes_no
from api.hosted.parts import Bench, Translation
from api.hosted.problems import wrong_field

ANY = "ultra_resolution"  # the hosted API's own upscaler, for which any will do
LARGEST_SIDE = 8192


class SuperResolution(HostedRequest):
    """A picture made larger."""

    init_image: PictureText = Field(validation_alias=AliasChoices("init_image", "image", "url"))
    model_id: Text = Field(ANY, description="An upscaling model's file name, or an alias.")
    scale: Scale = Field(3, description="So many times as wide and high.")
    face_enhance: Flag = Field(False, description="Accepted; there is none here.")


async def translate(request: SuperResolution, bench: Bench) -> Translation:
    draft = Draft.of("super_resolution")
    picture = await bench.pictures.read("init_image", request.init_image)
    width, height = picture.width * request.scale, picture.height * request.scale
    if max(width, height) > LARGEST_SIDE:
        raise wrong_field("scale", f"makes a side longer than {LARGEST_SIDE} px", request.scale)
    model = _model(bench.catalog, request.model_id)
    draft.set("Picture", image=picture.uri)
    draft.set("Upscaler", model_name=model)
    draft.set("Fit", width=width, height=height)
    meta = {
        "model_id": model,
        "scale": request.scale,
        "W": width,
        "H": height,
        "face_enhance": "no",
        "base64": yes_no(request.base64),
        "track_id": request.track_id,
        **shown_pictures(init_image=request.init_image),
    }
    return Translation(draft, meta, ["face_enhance"] if request.face_enhance else [])


def _model(catalog: Catalog, name: str) -> str:
    if name == ANY and ANY not in catalog.aliases("upscale_models"):
        return catalog.default("upscale_models")
    return catalog.find("upscale_models", name)


FAMILY = Family(
    SuperResolution,
    translate,
    "Super-resolution",
    ("/api/v6/image_editing/super_resolution",),
    ("/api/v3/super_resolution",),
    {"init_image": PICTURE, "scale": 2},
    one_output=("/api/v3/super_resolution",),
)
