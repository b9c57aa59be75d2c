"""Stores a base64 picture and returns its URL."""

from pydantic import AliasChoices, Field

from api.hosted.draft import Draft
from api.hosted.example_picture import PICTURE
from api.hosted.family import Family
from api.hosted.fields import HostedRequest, PictureText
from api.hosted.meta import shown_pictures
from api.hosted.parts import Bench, Translation


class Base64ToUrl(HostedRequest):
    """A picture to keep for a while."""

    base64_string: PictureText = Field(
        validation_alias=AliasChoices("base64_string", "init_image", "image")
    )


async def translate(request: Base64ToUrl, bench: Bench) -> Translation:
    draft = Draft.of("base64_to_url")
    picture = await bench.pictures.read("base64_string", request.base64_string)
    draft.set("Picture", image=picture.uri)
    meta = {"W": picture.width, "H": picture.height, "track_id": request.track_id}
    return Translation(draft, meta | shown_pictures(init_image=request.base64_string))


FAMILY = Family(
    Base64ToUrl,
    translate,
    "A picture's URL",
    ("/api/v6/base64_to_url", "/api/v6/image_editing/base64_to_url"),
    example={"base64_string": PICTURE},
)
