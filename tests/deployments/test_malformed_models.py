"""Model files that cannot work, over HTTP: told at once, with node, input, file and reason."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

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
from graph.families import title_of
from graph.nodes import load_node_types
from storage.models.annotators import AnnotatorFolder
from storage.models.checks import ModelChecks
from storage.models.library import ModelLibrary
from tests.family_layouts import NETWORKS, OTHERS, Shapes, lora_shapes, shapes_of
from tests.graph.test_ip_adapter_nodes import node
from tests.storage.test_model_headers import Bomb

EXECUTE = "/api/v7/comfyui/execute"
SCENE = Path(__file__).parent.parent / "parity" / "input" / "scene.png"
CROSS = "transformer_blocks_0_attn2_to_k"
ATTENTION = "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
Tensors = Mapping[str, Tensor]
Workflow = dict[str, dict[str, Any]]


def lora(width: int = 768, rank: int = 2, out: int = 8) -> Tensors:
    stem = f"lora_unet_input_blocks_1_1_{CROSS}"
    return {
        f"{stem}.lora_down.weight": torch.zeros(2, width),
        f"{stem}.lora_up.weight": torch.zeros(out, rank),
    }


def control_net(width: int = 768, out: int = 8) -> Tensors:
    return {
        "control_model.zero_convs.0.0.weight": torch.zeros(8, 8, 1, 1),
        f"control_model.{ATTENTION}": torch.zeros(out, width),
    }


def zeros(shapes: Shapes) -> Tensors:
    """Tensors of these shapes, in a byte each."""
    return {name: torch.zeros(shape, dtype=torch.uint8) for name, shape in shapes.items()}


def ip_adapter(width: int = 768, out: int = 8) -> Tensors:
    return {
        "image_proj.norm.weight": torch.zeros(width),
        **{f"ip_adapter.1.to_{part}_ip.weight": torch.zeros(out, width) for part in ("k", "v")},
    }


def image_encoder(patches: int = 16) -> Tensors:
    start = "vision_model.embeddings."
    return {
        start + "class_embedding": torch.zeros(16),
        start + "patch_embedding.weight": torch.zeros(patches, 3, 14, 14),
        start + "position_embedding.weight": torch.zeros(257, 16),
    }


CHECKPOINT: Tensors = {
    "model.diffusion_model.input_blocks.0.0.weight": torch.zeros(8, 4, 3, 3),
    f"model.diffusion_model.{ATTENTION}": torch.zeros(8, 768),
    "first_stage_model.decoder.conv_in.weight": torch.zeros(8, 4, 3, 3),
}
UPSCALER: Tensors = {
    "conv_first.weight": torch.zeros(8, 3, 3, 3),
    "conv_first.bias": torch.zeros(8),
}
VAE: Tensors = {"decoder.conv_in.weight": torch.zeros(8, 4, 3, 3)}
EMBEDDING: Tensors = {"emb_params": torch.zeros(2, 768)}
SOUND: Mapping[str, Tensors] = {
    "checkpoints": CHECKPOINT,
    "loras": lora(),
    "controlnet": control_net(),
    "ipadapter": ip_adapter(),
    "clip_vision": image_encoder(),
    "embeddings": EMBEDDING,
    "vae": VAE,
    "upscale_models": UPSCALER,
}
# Where the workflow names the file of a folder.
NAMED: Mapping[str, tuple[str, str]] = {
    "checkpoints": ("1", "ckpt_name"),
    "loras": ("2", "lora_name"),
    "controlnet": ("3", "control_net_name"),
    "ipadapter": ("4", "ipadapter_file"),
    "clip_vision": ("5", "clip_name"),
    "embeddings": ("8", "text"),
    "vae": ("12", "vae_name"),
    "upscale_models": ("14", "model_name"),
}


def workflow(names: Mapping[str, str]) -> Workflow:
    """A picture by all kinds of files, each by its folder's entry in `names`."""
    word = names["embeddings"].partition(".")[0]
    prompt = {"positive": ["9", 0], "negative": ["8", 0]}
    return {
        "1": node("CheckpointLoaderSimple", ckpt_name=names["checkpoints"]),
        "2": node("LoraLoader", model=["1", 0], clip=["1", 1], lora_name=names["loras"]),
        "3": node("ControlNetLoader", control_net_name=names["controlnet"]),
        "4": node("IPAdapterModelLoader", ipadapter_file=names["ipadapter"]),
        "5": node("CLIPVisionLoader", clip_name=names["clip_vision"]),
        "6": node("LoadImage", image="scene.png"),
        "7": node("IPAdapterAdvanced", model=["2", 0], ipadapter=["4", 0], image=["6", 0],
                  clip_vision=["5", 0], weight_type="linear", combine_embeds="concat",
                  embeds_scaling="V only"),
        "8": node("CLIPTextEncode", clip=["2", 1], text=f"a fox, (embedding:{word}:1.2), snow"),
        "9": node("ControlNetApply", conditioning=["8", 0], control_net=["3", 0], image=["6", 0]),
        "10": node("EmptyLatentImage"),
        "11": node("KSampler", model=["7", 0], latent_image=["10", 0], sampler_name="euler",
                   scheduler="normal", **prompt),
        "12": node("VAELoader", vae_name=names["vae"]),
        "13": node("VAEDecode", samples=["11", 0], vae=["12", 0]),
        "14": node("UpscaleModelLoader", model_name=names["upscale_models"]),
        "15": node("ImageUpscaleWithModel", upscale_model=["14", 0], image=["13", 0]),
        "16": node("SaveImage", images=["15", 0]),
    }  # fmt: skip


NAMES = dict.fromkeys(SOUND, "sound.safetensors")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A models folder with a small and sound file of every kind."""
    for folder, tensors in SOUND.items():
        path = tmp_path / "models" / folder / "sound.safetensors"
        path.parent.mkdir(parents=True)
        save_file(dict(tensors), path)
    return tmp_path / "models"


@pytest.fixture
async def client(models: Path, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The service over the folder, with the real runner and nothing behind it."""
    config = RouterConfig()
    stores = open_stores(Settings(models_dir=models, data_dir=tmp_path / "data"), config)
    folders = ModelLibrary(models, tmp_path / "private")
    runner = WorkflowRunner(
        node_types=load_node_types(),
        comfyui_nodes={},
        folders=folders,
        checks=ModelChecks(folders),
        annotators=AnnotatorFolder.of(models),
        inputs=stores.inputs,
        clients=StageClients({}, {}),
        cache=ResultCache(0),
    )
    service = Service(runner, stores, Limits())
    await service.open()
    transport = httpx.ASGITransport(create_app(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://here:8000") as opened:
        picture = {"image": ("scene.png", SCENE.read_bytes())}
        assert (await opened.post("/upload/image", files=picture)).status_code == 200
        yield opened
    await service.close()


async def execute(client: httpx.AsyncClient, names: Mapping[str, str] = NAMES) -> httpx.Response:
    return await client.post(EXECUTE, json={"workflow": workflow(names), "dry_run": True})


async def refused(client: httpx.AsyncClient, folder: str, names: Mapping[str, str] = NAMES) -> str:
    """The reason for which the file of a folder is refused, which names it."""
    answer = await execute(client, names)
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert (error["code"], error["node_id"], error["input"]) == ("bad_model_file", *NAMED[folder])
    assert error["dependent_outputs"] == ["16"]
    file, _, reason = error["message"].removeprefix("Model file ").partition(": ")
    assert file == f"{folder}/{names[folder]}"
    return str(reason)


MISFITS = [
    ("checkpoints", lora(), "it is a lora, not a diffusion model"),
    ("loras", lora(rank=3), "of rank 3"),
    ("loras", lora(2048), "it is made for SDXL"),
    ("loras", lora(out=9), "a layer 'attn2.to_k' of shape (9, 768), and those of checkpoints"),
    ("loras", UPSCALER, "it is an upscaler, not a LoRA"),
    ("controlnet", control_net(2048), "it is made for SDXL"),
    ("controlnet", control_net(out=4), "a layer 'attn2.to_k' of shape (4, 768)"),
    ("controlnet", lora(), "it is a lora, not a ControlNet"),
    ("ipadapter", ip_adapter(2048), "it is made for SDXL"),
    ("ipadapter", ip_adapter(out=4), "a layer 'attn2.to_k' of shape (4, 768)"),
    ("ipadapter", image_encoder(), "it is a clip vision, not an IP-Adapter"),
    ("clip_vision", image_encoder(8), "embeddings are of different widths"),
    ("clip_vision", ip_adapter(), "it is an ip adapter, not an image encoder"),
    ("embeddings", lora(), "it is a lora, not an embedding"),
    ("embeddings", {"step": torch.zeros(())}, "no embedding in it"),
    ("vae", UPSCALER, "it is an upscaler, not an autoencoder"),
    ("upscale_models", {**UPSCALER, "conv_first.bias": torch.zeros(4)}, "has 4 numbers"),
    ("upscale_models", {"weight": torch.zeros(4, 4)}, "no upscaling model in it"),
    ("upscale_models", CHECKPOINT, "it is a checkpoint, not an upscaling model"),
    ("loras", zeros(lora_shapes("lora_unet_double_blocks_0_img_attn_qkv", 3072, 9216)),
     "it is made for Flux, and checkpoints/sound.safetensors is Stable Diffusion 1.x"),
    ("loras", zeros(lora_shapes("lora_unet_nowhere", 8, 8)),
     "none of the 1 layers that it changes, such as 'nowhere', is in checkpoints/sound"),
    ("loras", zeros(lora_shapes("unet.up_blocks.3.resnets.2.conv1", 8, 8)),
     "such as 'up_blocks_3_resnets_2_conv1', is in checkpoints/sound.safetensors"),
    ("loras", zeros(lora_shapes("lora_unet_double_blocks_0_img_mlp_fc1", 64, 64)),
     "it is a LoRA of HunyuanVideo, which is not served here"),
    ("controlnet", zeros(shapes_of(OTHERS["hunyuan_dit", "controlnet"][0])),
     "it is a ControlNet of Hunyuan-DiT, which is not served here"),
    ("controlnet", zeros(shapes_of(OTHERS["sd3", "controlnet"][0])),
     "it is made for Stable Diffusion 3, and checkpoints/sound.safetensors is Stable Diffusion"),
    ("vae", zeros(shapes_of(OTHERS["mochi", "vae"][0])),
     "it is an autoencoder of Mochi, which is not served here"),
    *(("checkpoints", zeros(shapes_of(f"model.diffusion_model.{NETWORKS[family][0]}")),
       f"it is a diffusion model of {title_of(family)}, which is not served here")
      for family in ("lens", "hunyuan_video", "ltx2", "hidream", "stable_cascade", "krea2")),
]  # fmt: skip


@pytest.mark.parametrize(("folder", "tensors", "reason"), MISFITS)
async def test_a_file_that_does_not_belong_is_a_422_and_the_next_request_works(
    client: httpx.AsyncClient, models: Path, folder: str, tensors: Tensors, reason: str
) -> None:
    path = models / folder / "sound.safetensors"
    sound = path.read_bytes()
    save_file(dict(tensors), path)
    assert reason in await refused(client, folder)
    path.write_bytes(sound)
    assert (await execute(client)).status_code == 200


@pytest.mark.parametrize("folder", SOUND)
async def test_a_file_that_is_cut_short_is_a_422_and_the_next_request_works(
    client: httpx.AsyncClient, models: Path, folder: str
) -> None:
    path = models / folder / "sound.safetensors"
    sound = path.read_bytes()
    path.write_bytes(sound[:-10])
    assert "cut short" in await refused(client, folder)
    path.write_bytes(sound)
    assert (await execute(client)).status_code == 200


@pytest.mark.parametrize("folder", SOUND)
async def test_bytes_after_the_last_tensor_are_a_422_that_names_the_node(
    client: httpx.AsyncClient, models: Path, folder: str
) -> None:
    path = models / folder / "sound.safetensors"
    path.write_bytes(path.read_bytes() + bytes(16))
    assert "16 bytes follow its last tensor" in await refused(client, folder)


async def test_a_file_is_there_and_gone_as_soon_as_it_is(
    client: httpx.AsyncClient, models: Path
) -> None:
    for name in ("one.safetensors", "two.safetensors"):
        save_file(dict(lora()), models / "loras" / name)
        assert (await execute(client, {**NAMES, "loras": name})).status_code == 200
    (models / "loras" / "two.safetensors").unlink()
    answer = await execute(client, {**NAMES, "loras": "two.safetensors"})
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["code"]) == (422, "value_not_in_list")
    assert "two.safetensors" not in (*error["expected"], error.get("suggestion"))


@pytest.mark.parametrize("folder", SOUND)
async def test_a_pickle_with_code_in_it_is_a_422_and_runs_nothing(
    client: httpx.AsyncClient, models: Path, tmp_path: Path, folder: str
) -> None:
    torch.save({**SOUND[folder], "a": Bomb(tmp_path / "ran")}, models / folder / "bomb.pt")
    reason = await refused(client, folder, {**NAMES, folder: "bomb.pt"})
    assert reason.startswith("not a readable checkpoint: it holds")
    assert not (tmp_path / "ran").exists()
    assert (await execute(client)).status_code == 200


async def test_every_bad_file_is_told_at_once(client: httpx.AsyncClient, models: Path) -> None:
    for folder in SOUND:
        path = models / folder / "sound.safetensors"
        path.write_bytes(path.read_bytes()[:-10])
    errors = (await execute(client)).json()["errors"]
    assert {(error["node_id"], error["input"]) for error in errors} == set(NAMED.values())


@pytest.mark.parametrize(
    ("layer", "fits"),
    [
        ("transformer.single_transformer_blocks.0.attn.to_q", True),
        ("double_blocks.0.processor.qkv_lora1", True),
        ("img_in", True),
        ("lora_unet_nowhere", False),
        ("unet.down_blocks.0.resnets.0.conv1", False),
    ],
)
async def test_a_lora_of_a_transformer_changes_layers_that_it_has(
    client: httpx.AsyncClient, models: Path, layer: str, fits: bool
) -> None:
    flux = shapes_of("double_blocks.0.img_attn.qkv.weight img_in.weight vector_in.in_layer.weight")
    (models / "unet").mkdir()
    save_file(dict(zeros(flux)), models / "unet" / "flux.safetensors")
    save_file(dict(zeros(lora_shapes(layer, 4, 4))), models / "loras" / "one.safetensors")
    document = workflow(NAMES)
    document["17"] = node("UNETLoader", unet_name="flux.safetensors", weight_dtype="default")
    document["18"] = node("LoraLoaderModelOnly", model=["17", 0], lora_name="one.safetensors")
    document["11"]["inputs"]["model"] = ["18", 0]
    for name in ("3", "9"):
        del document[name]
    document["11"]["inputs"]["positive"] = ["8", 0]
    answer = await client.post(EXECUTE, json={"workflow": document, "dry_run": True})
    assert answer.status_code == (200 if fits else 422), answer.text
    if not fits:
        (error,) = answer.json()["errors"]
        assert (error["node_id"], error["input"]) == ("18", "lora_name")
        assert "is in diffusion_models/flux.safetensors" in error["message"]


async def test_a_lora_on_a_model_that_goes_by_pictures_is_held_to_its_base(
    client: httpx.AsyncClient, models: Path
) -> None:
    save_file(dict(lora(2048)), models / "loras" / "xl.safetensors")
    document = workflow(NAMES)
    document["17"] = node("LoraLoaderModelOnly", model=["7", 0], lora_name="xl.safetensors")
    document["11"]["inputs"]["model"] = ["17", 0]
    answer = await client.post(EXECUTE, json={"workflow": document, "dry_run": True})
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["node_id"], error["input"]) == (422, "17", "lora_name")
    assert "it is made for SDXL" in error["message"]
