"""Model files that cannot work, over HTTP: told at once, with node, input, file and reason."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import httpx
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from api.app import create_app
from api.jobs.service import Limits, Service
from deployments.clients import StageClients
from deployments.config import RouterConfig
from deployments.runner import WorkflowRunner
from deployments.settings import Settings
from deployments.stores import open_stores
from graph.cache import ResultCache
from graph.nodes import load_node_types
from storage.models.annotators import AnnotatorFolder
from storage.models.checks import ModelChecks
from storage.models.library import ModelLibrary
from tests.storage.test_model_headers import Bomb

EXECUTE = "/api/v7/comfyui/execute"
CASES = Path(__file__).parent.parent / "parity" / "cases"
CROSS = "transformer_blocks_0_attn2_to_k"


def lora(width: int = 768, rank: int = 2) -> dict[str, Tensor]:
    stem = f"lora_unet_input_blocks_1_1_{CROSS}"
    return {
        f"{stem}.lora_down.weight": torch.zeros(2, width),
        f"{stem}.lora_up.weight": torch.zeros(8, rank),
    }


def control_net(width: int = 768) -> dict[str, Tensor]:
    return {
        "control_model.zero_convs.0.0.weight": torch.zeros(4, 4, 1, 1),
        "control_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": torch.zeros(
            4, width
        ),
    }


CHECKPOINT = {
    "model.diffusion_model.input_blocks.0.0.weight": torch.zeros(8, 4, 3, 3),
    "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": torch.zeros(
        8, 768
    ),
    "first_stage_model.decoder.conv_in.weight": torch.zeros(8, 4, 3, 3),
}
UPSCALER = {"conv_first.weight": torch.zeros(8, 3, 3, 3), "conv_first.bias": torch.zeros(8)}
GOOD: Mapping[str, Mapping[str, Tensor]] = {
    "checkpoints/parity_sd15.safetensors": CHECKPOINT,
    "loras/parity_lora_a.safetensors": lora(),
    "controlnet/parity_control.safetensors": control_net(),
    "upscale_models/parity_esrgan_x4.safetensors": UPSCALER,
}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A models folder in which the parity cases' files are small and sound."""
    for name, tensors in GOOD.items():
        path = tmp_path / "models" / name
        path.parent.mkdir(parents=True)
        save_file(dict(tensors), path)
    return tmp_path / "models"


@pytest.fixture
async def client(models: Path, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The service over the folder, with the real runner and nothing behind it."""
    config = RouterConfig()
    stores = open_stores(Settings(models_dir=models, data_dir=tmp_path / "data"), config)
    folders = ModelLibrary(models, tmp_path / "private", staleness_s=0)
    runner = WorkflowRunner(
        node_types=load_node_types(),
        comfyui_nodes={},
        folders=folders,
        checks=ModelChecks(folders),
        annotators=AnnotatorFolder.of(models),
        inputs=stores.inputs,
        clients=StageClients({}, {}),
        cache=ResultCache(0),
        max_input_pixels=config.max_input_pixels,
    )
    service = Service(runner, stores, Limits())
    await service.open()
    transport = httpx.ASGITransport(create_app(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://here:8000") as opened:
        picture = {"image": ("scene.png", (CASES.parent / "input" / "scene.png").read_bytes())}
        assert (await opened.post("/upload/image", files=picture)).status_code == 200
        yield opened
    await service.close()


async def execute(client: httpx.AsyncClient, case: str) -> httpx.Response:
    workflow = json.loads((CASES / f"{case}.json").read_text())
    return await client.post(EXECUTE, json={"workflow": workflow, "dry_run": True})


Break = Callable[[Path], None]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def holding(tensors: Mapping[str, Tensor]) -> Break:
    return lambda path: save_file(dict(tensors), path)


@pytest.mark.parametrize(
    ("case", "file", "damage", "node", "reason"),
    [
        ("lora_one", "loras/parity_lora_a", cut, ("2", "lora_name"), "cut short"),
        ("lora_one", "loras/parity_lora_a", holding(lora(rank=3)), ("2", "lora_name"), "of rank 3"),
        ("lora_one", "loras/parity_lora_a", holding(lora(2048)), ("2", "lora_name"), "for SDXL"),
        ("lora_one", "loras/parity_lora_a", holding(UPSCALER), ("2", "lora_name"), "an upscaler"),
        ("lora_one", "checkpoints/parity_sd15", holding(lora()), ("1", "ckpt_name"), "is a lora"),
        ("lora_one", "checkpoints/parity_sd15", cut, ("1", "ckpt_name"), "cut short"),
        (
            "controlnet_basic",
            "controlnet/parity_control",
            holding(control_net(2048)),
            ("3", "control_net_name"),
            "for SDXL",
        ),
        (
            "controlnet_advanced_canny",
            "controlnet/parity_control",
            cut,
            ("4", "control_net_name"),
            "cut short",
        ),
        (
            "upscale_model",
            "upscale_models/parity_esrgan_x4",
            holding(UPSCALER | {"conv_first.bias": torch.zeros(4)}),
            ("2", "model_name"),
            "has 4 numbers",
        ),
    ],
)  # fmt: skip
async def test_a_malformed_file_is_a_422_at_once_and_the_next_request_works(
    client: httpx.AsyncClient, models: Path, case: str, file: str, damage: Break,
    node: tuple[str, str], reason: str,
) -> None:  # fmt: skip
    path = models / f"{file}.safetensors"
    sound = path.read_bytes()
    damage(path)
    answer = await execute(client, case)
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert (error["code"], error["node_id"], error["input"]) == ("bad_model_file", *node)
    assert f"{file}.safetensors: " in error["message"]
    assert reason in error["message"]
    assert error["dependent_outputs"]
    path.write_bytes(sound)
    assert (await execute(client, case)).status_code == 200


async def test_a_pickle_with_code_in_it_is_a_422_and_runs_nothing(
    client: httpx.AsyncClient, models: Path, tmp_path: Path
) -> None:
    torch.save(lora() | {"a": Bomb(tmp_path / "ran")}, models / "loras/bomb.pt")
    workflow = json.loads((CASES / "lora_one.json").read_text())
    workflow["2"]["inputs"]["lora_name"] = "bomb.pt"
    answer = await client.post(EXECUTE, json={"workflow": workflow})
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["code"]) == (422, "bad_model_file")
    assert "loras/bomb.pt: not a readable checkpoint: it holds" in error["message"]
    assert not (tmp_path / "ran").exists()
    assert (await execute(client, "lora_one")).status_code == 200


async def test_every_bad_file_is_told_at_once(client: httpx.AsyncClient, models: Path) -> None:
    for name in ("checkpoints/parity_sd15", "loras/parity_lora_a"):
        cut(models / f"{name}.safetensors")
    answer = await execute(client, "lora_one")
    assert [error["node_id"] for error in answer.json()["errors"]] == ["1", "2"]
