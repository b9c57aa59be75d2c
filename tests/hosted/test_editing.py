"""Outpainting and super-resolution as workflows."""

from tests.hosted.conftest import Hosted, picture


async def test_outpainting_puts_the_picture_in_the_middle(hosted: Hosted) -> None:
    nodes = await hosted.workflow(
        "v6/image_editing/outpaint", image=picture(96, 64), width=256, height=128, overlap_width=20
    )
    pad = nodes.one("ImagePadForOutpaint")
    assert [pad[side] for side in ("left", "right", "top", "bottom")] == [80, 80, 32, 32]
    assert pad["feathering"] == 20
    assert nodes.one("KSampler")["denoise"] == 1.0
    texts = {node["text"] for node in nodes.all("CLIPTextEncode")}
    assert texts == {"high quality", "low quality"}
    assert nodes.one("CheckpointLoaderSimple") == {"ckpt_name": "v1-5-inpainting.safetensors"}


async def test_a_picture_larger_than_the_canvas_is_made_smaller(hosted: Hosted) -> None:
    nodes = await hosted.workflow(
        "v6/image_editing/outpaint", image=picture(400, 100), width=200, height=200
    )
    fit, pad = nodes.one("ImageScale"), nodes.one("ImagePadForOutpaint")
    assert (fit["width"], fit["height"]) == (200, 50)
    assert (pad["left"] + pad["right"], pad["top"] + pad["bottom"]) == (0, 150)


async def test_super_resolution_gives_exactly_the_scale(hosted: Hosted) -> None:
    nodes = await hosted.workflow(
        "v6/image_editing/super_resolution", init_image=picture(96, 64), scale="3"
    )
    kind, fit = nodes.behind(nodes.one("SaveImage"), "images")
    assert (kind, fit["width"], fit["height"]) == ("ImageScale", 288, 192)
    assert nodes.one("UpscaleModelLoader") == {"model_name": "RealESRGAN_x4plus.safetensors"}


async def test_an_upscaler_that_is_not_here_is_a_400(hosted: Hosted) -> None:
    body = {"image": picture(), "model_id": "RealESRGAN_x2plus"}
    answer = await hosted.client.post("/api/v6/image_editing/super_resolution", json=body)
    assert answer.status_code == 400
    assert answer.json()["message"] == "Model not found: RealESRGAN_x2plus"


async def test_the_oldest_path_answers_with_one_text(hosted: Hosted) -> None:
    answer = await hosted.post("v3/super_resolution", {"url": picture(), "scale": 2})
    assert isinstance(answer["output"], str)


async def test_a_picture_does_not_grow_without_bound(hosted: Hosted) -> None:
    body = {"init_image": picture(2000, 8), "scale": 8}
    answer = await hosted.client.post("/api/v6/image_editing/super_resolution", json=body)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("scale ")
