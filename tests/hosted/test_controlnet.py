"""ControlNet requests as workflows."""

from typing import Any

import pytest

from tests.hosted.conftest import Hosted, Nodes, picture

PATH = "v6/images/controlnet"


def controls(nodes: Nodes) -> list[tuple[str, str, float]]:
    """(file, node that draws the hint, strength) of the ControlNets, the first one first."""
    found = []
    kind, applied = nodes.behind(nodes.one("KSampler"), "positive")
    while kind == "ControlNetApplyAdvanced":
        net = nodes.behind(applied, "control_net")[1]["control_net_name"]
        found.append((net, nodes.behind(applied, "image")[0], applied["strength"]))
        kind, applied = nodes.behind(applied, "positive")
    return found[::-1]


async def test_a_type_says_the_file_and_the_preprocessor(hosted: Hosted) -> None:
    nodes = await hosted.workflow(
        PATH, prompt="x", controlnet_type="canny", init_image=picture(), width=640
    )
    found = controls(nodes)
    assert found == [("control_v11p_sd15_canny.safetensors", "CannyEdgePreprocessor", 1.0)]
    assert nodes.one("CannyEdgePreprocessor")["resolution"] == 512
    assert nodes.one("EmptyLatentImage")["width"] == 640


async def test_a_model_may_be_a_file_and_the_type_beside_it(hosted: Hosted) -> None:
    nodes = await hosted.workflow(
        "v5/controlnet",
        prompt="x",
        controlnet_model="control_v11p_sd15_scribble",
        controlnet_type="tile",
        init_image=picture(),
        controlnet_conditioning_scale="0.4",
    )
    assert controls(nodes) == [("control_v11p_sd15_scribble.safetensors", "TilePreprocessor", 0.4)]


async def test_files_for_sdxl_go_with_models_for_sdxl(hosted: Hosted) -> None:
    nodes = await hosted.workflow(
        PATH, prompt="x", model_id="dream_XL", controlnet_model="canny", init_image=picture()
    )
    assert controls(nodes)[0][0] == "diffusers_xl_canny_full.safetensors"


async def test_several_at_once_each_with_its_own_hint(hosted: Hosted) -> None:
    nodes = await hosted.workflow(
        PATH,
        prompt="x",
        controlnet_model="canny, scribble,qrcode",
        controlnet_type="canny",
        init_image=picture(),
        controlnet_conditioning_scale="0.5,0.7,0.9",
    )
    assert controls(nodes) == [
        ("control_v11p_sd15_canny.safetensors", "CannyEdgePreprocessor", 0.5),
        ("control_v11p_sd15_scribble.safetensors", "Scribble_XDoG_Preprocessor", 0.7),
        ("control_v11f1e_sd15_tile.safetensors", "LoadImage", 0.9),
    ]


async def test_without_auto_hint_the_picture_is_the_hint(hosted: Hosted) -> None:
    nodes = await hosted.workflow(
        PATH, prompt="x", controlnet_model="canny", init_image=picture(), auto_hint="no"
    )
    assert controls(nodes) == [("control_v11p_sd15_canny.safetensors", "LoadImage", 1.0)]
    assert nodes.all("CannyEdgePreprocessor") == []


async def test_guess_mode_leaves_the_other_prediction_alone(hosted: Hosted) -> None:
    nodes = await hosted.workflow(
        PATH, controlnet_model="canny", init_image=picture(), guess_mode="yes"
    )
    sampler = nodes.one("KSampler")
    assert nodes.behind(sampler, "positive")[0] == "ControlNetApplyAdvanced"
    assert nodes.behind(sampler, "negative")[0] == "CLIPTextEncode"


async def test_a_ready_made_hint_leaves_the_picture_to_start_from(hosted: Hosted) -> None:
    nodes = await hosted.workflow(
        PATH,
        prompt="x",
        controlnet_model="canny",
        control_image=picture(),
        init_image=picture(),
        strength=0.3,
    )
    sampler = nodes.one("KSampler")
    assert sampler["denoise"] == 0.3
    assert nodes.behind(sampler, "latent_image")[0] == "RepeatLatentBatch"
    assert controls(nodes)[0][1] == "LoadImage"


async def test_the_inpaint_type_cuts_the_mask_out(hosted: Hosted) -> None:
    body = {"prompt": "x", "controlnet_model": "inpaint", "init_image": picture()}
    nodes = await hosted.workflow(PATH, **body, mask_image=picture())
    assert controls(nodes) == [
        ("control_v11p_sd15_inpaint.safetensors", "InpaintPreprocessor", 1.0)
    ]
    assert nodes.behind(nodes.one("KSampler"), "latent_image")[0] == "SetLatentNoiseMask"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"init_image": picture()}, "controlnet_type is required"),
        ({"controlnet_type": "canny"}, "init_image is required"),
        ({"controlnet_type": "nope", "init_image": picture()}, "controlnet_type must be one of"),
        ({"controlnet_type": "inpaint", "init_image": picture()}, "mask_image is required"),
        ({"controlnet_type": "shuffle", "init_image": picture()}, "Model not found: shuffle"),
    ],
)
async def test_a_wrong_request_says_why(hosted: Hosted, body: dict[str, Any], message: str) -> None:
    answer = await hosted.client.post(f"/api/{PATH}", json={"prompt": "x", **body})
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(message)


async def test_a_hint_that_nothing_here_draws_is_a_501(hosted: Hosted) -> None:
    body = {
        "prompt": "x",
        "controlnet_model": "control_v11p_sd15_canny",
        "controlnet_type": "face_detector",
        "init_image": picture(),
    }
    answer = await hosted.client.post(f"/api/{PATH}", json=body)
    assert answer.status_code == 501
    assert "MediaPipe-FaceMeshPreprocessor" in answer.json()["message"]
