"""Outpainting: extends a picture beyond its borders."""

from pydantic import AliasChoices, Field

from api.hosted.draft import Draft
from api.hosted.example_picture import PICTURE
from api.hosted.family import Family
from api.hosted.fields import Overlap, PictureText
from api.hosted.image_request import ImageRequest
from api.hosted.meta import image_meta, shown_pictures
from api.hosted.parts import Bench, Translation, add_ip_adapter, add_upscaling, fill
from api.hosted.pictures import Picture

WIDTH, HEIGHT = 1280, 720  # the hosted API's defaults


class Outpaint(ImageRequest):
    """A picture made larger by what could be around it."""

    image: PictureText = Field(validation_alias=AliasChoices("image", "init_image"))
    overlap_width: Overlap = Field(10, description="How far old and new overlap.")


async def translate(request: Outpaint, bench: Bench) -> Translation:
    draft = Draft.of("outpaint")
    picture = await bench.pictures.read("image", request.image)
    width, height = request.width or WIDTH, request.height or HEIGHT
    draft.set("Picture", image=picture.uri)
    _place(draft, picture, width, height)
    draft.set("Canvas", feathering=request.overlap_width)
    draft.set("Samples", amount=request.samples)
    fill(draft, request, bench, "outpaint", "inpaint")
    await add_ip_adapter(draft, request, bench)
    add_upscaling(draft, request, bench, width, height)
    meta = image_meta(draft, request, width, height)
    meta |= {"overlap_width": request.overlap_width}
    return Translation(draft, meta | shown_pictures(image=request.image), request.ignored)


def _place(draft: Draft, picture: Picture, width: int, height: int) -> None:
    """Put the picture in the middle, made smaller where it would not fit."""
    scale = min(1.0, width / picture.width, height / picture.height)
    across, down = max(1, int(picture.width * scale)), max(1, int(picture.height * scale))
    draft.set("Fit", width=across, height=down)
    left, top = (width - across) // 2, (height - down) // 2
    draft.set("Canvas", left=left, right=width - across - left, top=top, bottom=height - down - top)


FAMILY = Family(
    Outpaint,
    translate,
    "Outpainting",
    ("/api/v6/image_editing/outpaint",),
    example={"image": PICTURE, "width": 128, "height": 64, "prompt": "a wide sea", "seed": 42},
)
