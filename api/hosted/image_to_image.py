"""Image to image: v6 img2img, v7 image-to-image, realtime, and their older names."""

from pydantic import Field

from api.hosted.draft import Draft
from api.hosted.example_picture import PICTURE
from api.hosted.family import Family
from api.hosted.fields import PictureText, Strength
from api.hosted.image_request import ImageRequest
from api.hosted.meta import image_meta, shown_pictures
from api.hosted.parts import (
    Bench,
    Translation,
    add_ip_adapter,
    add_upscaling,
    canvas_size,
    fill,
)

EXAMPLE = {"prompt": "a lighthouse at dawn", "init_image": PICTURE, "strength": 0.7, "seed": 42}


class ImageToImage(ImageRequest):
    """A picture from a prompt and a picture."""

    init_image: PictureText
    strength: Strength | None = Field(None, description="1 keeps nothing of the picture.")


async def translate(request: ImageToImage, bench: Bench, *roles: str) -> Translation:
    draft = Draft.of("image_to_image")
    picture = await bench.pictures.read("init_image", request.init_image)
    width, height = canvas_size(request, *picture.fitted())
    draft.set("Picture", image=picture.uri)
    draft.set("Fit", width=width, height=height)
    draft.set("Samples", amount=request.samples)
    draft.set("Sampler", denoise=request.strength)
    fill(draft, request, bench, *roles)
    await add_ip_adapter(draft, request, bench)
    add_upscaling(draft, request, bench, width, height)
    meta = image_meta(draft, request, width, height)
    meta |= {"strength": draft.inputs("Sampler")["denoise"]}
    meta |= shown_pictures(init_image=request.init_image)
    return Translation(draft, meta, request.ignored)


async def translate_realtime(request: ImageToImage, bench: Bench) -> Translation:
    return await translate(request, bench, "realtime")


FAMILY = Family(
    ImageToImage,
    translate,
    "Image to image",
    ("/api/v6/images/img2img", "/api/v7/images/image-to-image"),
    (
        "/api/v6/images/image-to-image",
        "/api/v3/img2img",
        "/api/v3/dreambooth/img2img",
        "/api/v4/dreambooth/img2img",
    ),
    EXAMPLE,
)
REALTIME = Family(
    ImageToImage,
    translate_realtime,
    "Image to image, realtime",
    ("/api/v6/realtime/img2img",),
    example=EXAMPLE,
)
