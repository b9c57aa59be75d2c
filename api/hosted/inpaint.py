"""Inpainting: v6 and v7 inpaint, realtime, image editing's, and their older names."""

from pydantic import Field

from api.hosted.draft import Draft
from api.hosted.example_picture import PICTURE
from api.hosted.family import Family
from api.hosted.fields import PictureText
from api.hosted.image_to_image import ImageToImage
from api.hosted.meta import image_meta, shown_pictures
from api.hosted.parts import (
    Bench,
    Translation,
    add_ip_adapter,
    add_upscaling,
    canvas_size,
    fill,
)


class Inpaint(ImageToImage):
    """A picture of which the masked part is painted anew."""

    mask_image: PictureText = Field(description="White is painted, black is kept.")


async def translate(request: Inpaint, bench: Bench) -> Translation:
    draft = Draft.of("inpaint")
    picture = await bench.pictures.read("init_image", request.init_image)
    mask = await bench.pictures.read("mask_image", request.mask_image)
    width, height = canvas_size(request, *picture.fitted())
    draft.set("Picture", image=picture.uri)
    draft.set("Mask", image=mask.uri)
    for title in ("Fit", "Fit mask"):
        draft.set(title, width=width, height=height)
    draft.set("Samples", amount=request.samples)
    draft.set("Sampler", denoise=request.strength)
    fill(draft, request, bench, "inpaint")
    await add_ip_adapter(draft, request, bench)
    add_upscaling(draft, request, bench, width, height)
    meta = image_meta(draft, request, width, height)
    meta |= {"strength": draft.inputs("Sampler")["denoise"]}
    meta |= shown_pictures(init_image=request.init_image, mask_image=request.mask_image)
    return Translation(draft, meta, request.ignored)


FAMILY = Family(
    Inpaint,
    translate,
    "Inpainting",
    (
        "/api/v6/images/inpaint",
        "/api/v7/images/inpaint",
        "/api/v6/realtime/inpaint",
        "/api/v6/image_editing/inpaint",
    ),
    ("/api/v3/inpaint", "/api/v3/dreambooth/inpaint", "/api/v4/dreambooth/inpaint"),
    {"prompt": "a lighthouse at dawn", "init_image": PICTURE, "mask_image": PICTURE, "seed": 42},
)
