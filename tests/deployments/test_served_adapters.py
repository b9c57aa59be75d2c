"""Adapters on the real application: pictures as prompts, tiles, and files that fail when run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from diffusion.families.sd.network import Unet
from diffusion.families.sd.shapes import find_unet
from diffusion.weights import open_weights
from graph.values import ModelFile
from tests.deployments.test_served import KIT, case, changed, pixels, run
from tests.diffusion.image_files import adapter_layers, base_projection, image_encoder, in_one_file

pytestmark = pytest.mark.cluster
CHECKPOINT = ModelFile("checkpoints", "parity_sd15.safetensors")
PROJECTION = "lora_unet_input_blocks_3_1_proj_in"


def placed(folder: Path, name: str, tensors: dict[str, Tensor]) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    save_file(tensors, path)
    return path


@pytest.fixture
def adapters(parity_models: Path) -> Iterator[None]:
    """An image encoder and an IP-Adapter for the parity model, under the names of a preset."""
    weights = open_weights(parity_models / "checkpoints" / CHECKPOINT.name, CHECKPOINT)
    with torch.device("meta"):
        unet = Unet(find_unet(weights)[1])
    files = {
        "clip_vision/CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors": image_encoder(),
        "ipadapter/ip-adapter_sd15.safetensors": in_one_file(
            base_projection(), adapter_layers(unet)
        ),
    }
    paths = [placed(parity_models, name, tensors) for name, tensors in files.items()]
    yield
    for path in paths:
        path.unlink()


@pytest.fixture
def http(server: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server, timeout=120) as client:
        yield client


def uploaded(http: httpx.Client) -> str:
    picture = ("scene.png", (KIT / "input" / "scene.png").read_bytes())
    name: str = http.post("/upload/image", files={"image": picture}).json()["name"]
    return name


def picture(http: httpx.Client, answer: dict[str, Any]) -> bytes:
    assert answer["status"] == "success", answer["message"]
    return pixels(http.get(answer["output"][0]).content)


def by_picture(http: httpx.Client, workflow: dict[str, Any], weight: float) -> dict[str, Any]:
    """The workflow, whose sampler's model goes by an uploaded picture too."""
    (sampler,) = (own for own in workflow.values() if own["class_type"] == "KSampler")
    workflow["20"] = {"class_type": "LoadImage", "inputs": {"image": uploaded(http)}}
    workflow["21"] = {
        "class_type": "IPAdapterUnifiedLoader",
        "inputs": {"model": sampler["inputs"]["model"], "preset": "STANDARD (medium strength)"},
    }
    workflow["22"] = {
        "class_type": "IPAdapter",
        "inputs": {
            "model": ["21", 0],
            "ipadapter": ["21", 1],
            "image": ["20", 0],
            "weight": weight,
            "start_at": 0.0,
            "end_at": 1.0,
            "weight_type": "standard",
        },
    }
    sampler["inputs"] |= {"model": ["22", 0], "steps": 3, "seed": 71}
    return workflow


@pytest.mark.usefixtures("adapters")
@pytest.mark.parametrize("name", ["lora_one", "controlnet_basic"])
def test_a_model_goes_by_a_picture_beside_what_else_it_goes_by(
    http: httpx.Client, name: str
) -> None:
    plain = case(name)
    (sampler,) = (own for own in plain.values() if own["class_type"] == "KSampler")
    sampler["inputs"] |= {"steps": 3, "seed": 71}
    drawn = picture(http, run(http, by_picture(http, case(name), 1.0)))
    assert drawn != picture(http, run(http, plain))
    assert drawn == picture(http, run(http, by_picture(http, case(name), 1.0)))
    assert picture(http, run(http, by_picture(http, case(name), 0.0))) == picture(
        http, run(http, plain)
    )


def test_a_picture_is_made_larger_and_drawn_again_in_tiles(http: httpx.Client) -> None:
    workflow = changed("5", seed=72, steps=1)
    workflow["30"] = {
        "class_type": "UpscaleModelLoader",
        "inputs": {"model_name": "parity_esrgan_x4.safetensors"},
    }
    own = {
        "image": ["6", 0], "model": ["1", 0], "positive": ["2", 0], "negative": ["3", 0],
        "vae": ["1", 2], "upscale_model": ["30", 0], "upscale_by": 2.0, "seed": 1, "steps": 1,
        "cfg": 1.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 0.3,
        "mode_type": "Chess", "tile_width": 64, "tile_height": 64, "mask_blur": 4,
        "tile_padding": 8, "seam_fix_mode": "None", "seam_fix_denoise": 1.0, "seam_fix_width": 16,
        "seam_fix_mask_blur": 4, "seam_fix_padding": 8, "force_uniform_tiles": True,
        "tiled_decode": False, "batch_size": 1,
    }  # fmt: skip
    workflow["31"] = {"class_type": "UltimateSDUpscale", "inputs": own}
    workflow["7"]["inputs"]["images"] = ["31", 0]
    answer = run(http, workflow)
    assert answer["status"] == "success", answer["message"]
    assert (answer["outputs"][0]["width"], answer["outputs"][0]["height"]) == (192, 128)
    assert {node["node_id"] for node in answer["timings"]["nodes"]} >= {"31", "6"}


def test_a_file_that_fails_when_it_is_laid_on_weights_is_told_and_the_next_request_works(
    http: httpx.Client, parity_models: Path
) -> None:
    shapes = {".lora_up.weight": (7, 2), ".lora_down.weight": (2, 640)}
    tensors = {PROJECTION + end: torch.zeros(shape) for end, shape in shapes.items()}
    path = placed(parity_models / "loras", "misfit.safetensors", tensors)
    try:
        workflow = case("lora_one")
        workflow["2"]["inputs"]["lora_name"] = path.name
        answer = run(http, workflow)
    finally:
        path.unlink()
    assert answer["status"] == "failed"
    assert "bad_model_file" in {error["code"] for error in answer["errors"]}
    assert "loras/misfit.safetensors" in answer["message"]
    assert run(http, changed("5", seed=73, steps=1))["status"] == "success"
