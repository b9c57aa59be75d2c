"""Two routers: whichever a client is connected to, it follows a job that either runs."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.conftest import ROOT, served

CASE = ROOT / "tests" / "parity" / "cases" / "sampler_euler_normal.json"
API = "/api/v7/comfyui"
FOLLOWERS = 8  # at two routers: all at one of them once in 128 times
pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def url(parity_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("two_routers")
    config = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    args = config["applications"][0]["args"]
    args["router"] |= {"min_replicas": 2, "max_replicas": 2}
    path = folder / "serve_config.yaml"
    path.write_text(yaml.safe_dump(config))
    with served(folder / "data", parity_models, {}, "--config", str(path)) as base:
        yield base


def _followed(url: str, job_id: int) -> list[dict[str, str]]:
    """A job's events to its end, on a connection of its own."""
    stream = f"{url}{API}/events/{job_id}?preview=true"
    text = httpx.get(stream, timeout=120).text
    blocks = [block for block in text.split("\n\n") if block.startswith("id: ")]
    return [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]


def test_a_job_is_followed_at_both_routers(url: str) -> None:
    workflow: dict[str, Any] = json.loads(CASE.read_text())
    for node in workflow.values():
        if node["class_type"] == "KSampler":
            node["inputs"] |= {"steps": 300, "seed": 77}
    posted = httpx.post(f"{url}{API}/execute", json={"workflow": workflow, "wait": 0}, timeout=60)
    job_id = posted.json()["id"]
    with ThreadPoolExecutor(FOLLOWERS) as pool:
        seen = list(pool.map(lambda _: _followed(url, job_id), range(FOLLOWERS)))
    told = [
        [(one["id"], one["event"]) for one in events if one["event"] != "queued"] for events in seen
    ]
    assert [kind for _, kind in told[0]].count("progress") == 300
    assert all(of_one == told[0] for of_one in told)
    assert all(any("preview" in one["data"] for one in of_one) for of_one in seen)
