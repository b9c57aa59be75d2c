"""A large batch over two real samplers: both work at it, and the pictures are those of one."""

import base64
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest
import yaml
from PIL import Image

from tests.conftest import ROOT, served

CASES = ROOT / "tests" / "parity" / "cases"
BATCH = 8
JOBS = 12
ENDS_WITHIN_S = 600
MOST_APART = 0.01  # of a level, in the mean: a batch of another size is summed in another order
pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def client(parity_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Of an application with two samplers, and without the stages that are not needed here."""
    folder = tmp_path_factory.mktemp("two_samplers")
    config = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    args = config["applications"][0]["args"]
    args["profile"] = "cluster"
    args["sampler"] |= {"min_replicas": 2, "max_replicas": 2}
    for name in ("preprocessor", "upscaler"):
        args[name]["min_replicas"] = 0
    path = folder / "serve_config.yaml"
    path.write_text(yaml.safe_dump(config))
    with (
        served(folder / "data", parity_models, {}, "--config", str(path)) as url,
        httpx.Client(base_url=url, timeout=120) as opened,
    ):
        yield opened


def ended(client: httpx.Client, answer: dict[str, Any]) -> dict[str, Any]:
    """What a job came to, once it has ended."""
    deadline_s = time.monotonic() + ENDS_WITHIN_S
    while answer["status"] == "processing":
        assert time.monotonic() < deadline_s, f"job {answer['id']} does not end"
        time.sleep(0.1)
        answer = client.get(answer["fetch_result"]).json()
    assert answer["status"] == "success", answer["message"]
    return answer


def pictures(client: httpx.Client, workflow: dict[str, Any]) -> npt.NDArray[np.float32]:
    """What it draws [B, H, W, 3], in levels."""
    body = {"workflow": workflow, "wait": 60, "base64": True}
    answer = ended(client, client.post("/api/v7/comfyui/execute", json=body).json())
    files = [io.BytesIO(base64.b64decode(text)) for text in answer["output"]]
    return np.stack([np.asarray(Image.open(file), np.float32) for file in files])


def sampled(client: httpx.Client) -> dict[str, float]:
    """How many rows each sampler has denoised a step."""
    lines = [
        line
        for line in client.get("/metrics").text.splitlines()
        if line.startswith("comfyray_stage_batch_size_sum") and 'stage="sample"' in line
    ]
    return {line.split('replica="')[1].split('"')[0]: float(line.split()[-1]) for line in lines}


def with_latent(case: str, latent: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A parity case of few steps, begun with `latent`, whose last node is called "latent"."""
    workflow: dict[str, Any] = json.loads((CASES / f"{case}.json").read_text())
    ours = {"latent_image": ["latent", 0], "steps": 2}
    for node in workflow.values():
        node["inputs"] |= {name: ours[name] for name in ours.keys() & node["inputs"].keys()}
    return workflow | latent


def empty(batch: int) -> dict[str, Any]:
    return {
        "class_type": "EmptyLatentImage",
        "inputs": {"width": 64, "height": 64, "batch_size": batch},
    }


@pytest.mark.parametrize("case", ["batch_of_three", "custom_sampler"])
def test_a_large_batch_is_shared_and_its_pictures_are_the_same(
    client: httpx.Client, case: str
) -> None:
    repeated = {  # as many, but the router does not know how many, and leaves them whole
        "class_type": "RepeatLatentBatch",
        "inputs": {"samples": ["one", 0], "amount": BATCH},
    }
    before = sampled(client)
    shared = pictures(client, with_latent(case, {"latent": empty(BATCH)}))
    between = sampled(client)
    whole = pictures(client, with_latent(case, {"one": empty(1), "latent": repeated}))
    after = sampled(client)

    assert np.abs(shared - whole).mean((1, 2, 3)).max() <= MOST_APART
    assert np.abs(shared[1:] - shared[:-1]).mean((1, 2, 3)).min() > 1
    by_both = sorted(between[replica] - before[replica] for replica in before)
    by_one = sorted(after[replica] - between[replica] for replica in between)
    assert by_both == [by_one[1] / 2] * 2
    assert by_one[0] == 0


def test_one_model_s_jobs_get_to_both_samplers(client: httpx.Client) -> None:
    before = sampled(client)
    bodies = []
    for seed in range(JOBS):  # of a picture each, and of one base model
        workflow = with_latent("sampler_euler_normal", {"latent": empty(1)})
        sampler = next(n for n in workflow.values() if n["class_type"] == "KSampler")
        sampler["inputs"] |= {"seed": seed, "steps": 20}
        bodies.append({"workflow": workflow})
    answers = [client.post("/api/v7/comfyui/execute", json=body).json() for body in bodies]
    for answer in answers:
        ended(client, answer)
    after = sampled(client)
    assert all(after[replica] > before.get(replica, 0) for replica in after)
    assert len(after) == 2
