"""Text to image: v6 text2img, v7 text-to-image, realtime, and their older names."""

from pydantic import Field

from api.hosted.draft import Draft
from api.hosted.family import Family
from api.hosted.fields import Text
from api.hosted.image_request import ImageRequest
from api.hosted.meta import image_meta
from api.hosted.parts import (
    Bench,
    Translation,
    add_highres_fix,
    add_ip_adapter,
    add_upscaling,
    canvas_size,
    fill,
    native_px,
)

EXAMPLE = {
    "prompt": "a lighthouse at dawn",
    "width": "512",
    "height": "512",
    "samples": 1,
    "num_inference_steps": 20,
    "guidance_scale": 7.5,
    "safety_checker": "no",
    "seed": 42,
}


class TextToImage(ImageRequest):
    """A picture from a prompt."""

    prompt: Text = Field(description="What the picture shows.")


async def translate(request: TextToImage, bench: Bench, *roles: str) -> Translation:
    draft = Draft.of("text_to_image")
    fill(draft, request, bench, *roles)
    native = await native_px(draft, bench.catalog)
    width, height = canvas_size(request, native, native)
    draft.set("Canvas", width=width, height=height, batch_size=request.samples)
    await add_ip_adapter(draft, request, bench)
    await add_highres_fix(draft, request, bench.catalog, width, height)
    add_upscaling(draft, request, bench, width, height)
    return Translation(draft, image_meta(draft, request, width, height), request.ignored)


async def translate_realtime(request: TextToImage, bench: Bench) -> Translation:
    return await translate(request, bench, "realtime")


FAMILY = Family(
    TextToImage,
    translate,
    "Text to image",
    (
        "/api/v6/images/text2img",
        "/api/v6/images/text-to-image",
        "/api/v7/images/text-to-image",
    ),
    ("/api/v3/text2img", "/api/v3/dreambooth", "/api/v4/dreambooth", "/api/v6/images/flux"),
    EXAMPLE,
)
REALTIME = Family(
    TextToImage,
    translate_realtime,
    "Text to image, realtime",
    ("/api/v6/realtime/text2img",),
    example=EXAMPLE,
)
