"""What packs ask of the service, over the demo model: the same as the service's own nodes give."""

import io
import json
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.one_process import ROOT, running
from tests.packs.hosts import FOLDER

pytestmark = pytest.mark.packs
ENDS_WITHIN_S = 600
Nodes = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The application's address."""
    folder = tmp_path_factory.mktemp("packs")
    (folder / "packs").mkdir()
    for name in ("calling_pack", "toy_pack"):
        (folder / "packs" / name).symlink_to(FOLDER / name)
    settings = {
        "COMFYRAY_AUTH": "off",
        "COMFYRAY_DATA_DIR": str(folder / "data"),
        "COMFYRAY_MODELS_DIR": str(ROOT / "models"),
        "COMFYRAY_PACKS_DIR": str(folder / "packs"),
    }
    with running(settings) as url:
        yield url


def asked(url: str, body: Any = None) -> Any:
    """What a route answers, as JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as answer:
        return json.load(answer)


def ran(base: str, nodes: Nodes) -> Mapping[str, Any]:
    """The entry in the history of a workflow."""
    prompt_id = asked(f"{base}/prompt", {"prompt": nodes})["prompt_id"]
    deadline_s = time.monotonic() + ENDS_WITHIN_S
    while not (entry := asked(f"{base}/history/{prompt_id}")):
        assert time.monotonic() < deadline_s, f"prompt {prompt_id} does not end"
        time.sleep(0.1)
    found: Mapping[str, Any] = entry[prompt_id]
    assert found["status"]["completed"], found["status"]
    return found


def picture(base: str, nodes: Nodes) -> NDArray[Any]:
    """The pixels that a workflow saves."""
    (file,) = ran(base, nodes)["outputs"]["save"]["images"]
    with urllib.request.urlopen(f"{base}/view?filename={file['filename']}", timeout=60) as answer:
        return np.asarray(Image.open(io.BytesIO(answer.read())))


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def common(seed: int) -> Nodes:
    """What both workflows begin and end with; ids are those of the steps between."""
    return {
        "load": node("CheckpointLoaderSimple", ckpt_name="comfyray-demo.safetensors"),
        "empty": node("EmptyLatentImage", width=128, height=128, batch_size=1),
        "save": node("SaveImage", images=["again", 0], filename_prefix=f"seed{seed}"),
    }


def by_the_service(seed: int) -> Nodes:
    """LoRA, prompts, two samplings with pixels between them: our own nodes."""
    prompts = {"positive": ["positive", 0], "negative": ["negative", 0]}
    sampling = {"model": ["lora", 0], **prompts}
    return common(seed) | {
        "lora": node(
            "LoraLoader", model=["load", 0], clip=["load", 1],
            lora_name="comfyray-demo-night.safetensors", strength_model=0.8, strength_clip=0.6,
        ),
        "positive": node("CLIPTextEncode", clip=["lora", 1], text="a (red:1.2) circle"),
        "negative": node("CLIPTextEncode", clip=["lora", 1], text="blue"),
        "first": node(
            "KSampler", latent_image=["empty", 0], seed=seed, steps=8, cfg=5.0,
            sampler_name="dpmpp_2m", scheduler="karras", denoise=0.9, **sampling,
        ),
        "decode": node("VAEDecode", samples=["first", 0], vae=["load", 2]),
        "encode": node("VAEEncode", pixels=["decode", 0], vae=["load", 2]),
        "euler": node("KSamplerSelect", sampler_name="euler"),
        "sigmas": node(
            "BasicScheduler", model=["lora", 0], scheduler="normal", steps=6, denoise=0.5
        ),
        "second": node(
            "SamplerCustom", add_noise=True, noise_seed=seed, cfg=4.0, sampler=["euler", 0],
            sigmas=["sigmas", 0], latent_image=["encode", 0], **sampling,
        ),
        "again": node("VAEDecode", samples=["second", 0], vae=["load", 2]),
    }  # fmt: skip


def by_a_pack(seed: int) -> Nodes:
    """The same by nodes of a pack."""
    sampling = {"model": ["lora", 0], "positive": ["positive", 0], "negative": ["negative", 0]}
    return common(seed) | {
        "lora": node("CallingLora", model=["load", 0], clip=["load", 1]),
        "positive": node("CallingEncode", clip=["lora", 1], text="a (red:1.2) circle"),
        "negative": node("CallingEncodeByNode", clip=["lora", 1], text="blue"),
        "first": node("CallingSample", latent=["empty", 0], seed=seed, **sampling),
        "decode": node("CallingDecode", latent=["first", 0], vae=["load", 2]),
        "encode": node("CallingEncodePixels", pixels=["decode", 0], vae=["load", 2]),
        "second": node("CallingSampleCustom", latent=["encode", 0], seed=seed, **sampling),
        "again": node("CallingDecode", latent=["second", 0], vae=["load", 2]),
    }


def batch_sizes(base: str) -> tuple[float, float]:
    """How many model calls there were, and how many rows they had together."""
    with urllib.request.urlopen(f"{base}/metrics", timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    name = "comfyray_stage_batch_size"
    found = [
        sum(float(line.split()[-1]) for line in lines if line.startswith(f"{name}_{end}"))
        for end in ("count", "sum")
    ]
    return found[0], found[1]


def test_a_pack_draws_what_our_own_nodes_draw(base: str) -> None:
    own = picture(base, by_the_service(5))
    assert np.array_equal(picture(base, by_a_pack(5)), own)
    assert not np.array_equal(picture(base, by_the_service(6)), own)


def test_a_packs_samplings_share_batches_with_others(base: str) -> None:
    def drawn(made: Callable[[int], Nodes]) -> list[NDArray[Any]]:
        return [picture(base, made(seed)) for seed in range(10, 14)]

    calls, rows = batch_sizes(base)
    with ThreadPoolExecutor(2) as pool:  # at any time one of each
        by_both = list(pool.map(drawn, (by_a_pack, by_the_service)))
    more_calls, more_rows = batch_sizes(base)
    assert (more_rows - rows) / (more_calls - calls) > 2  # one alone has two, with guidance
    for one, other in zip(*by_both, strict=True):  # whose company differs
        assert np.abs(one.astype(int) - other.astype(int)).max() <= 2
