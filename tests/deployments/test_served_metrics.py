"""Figures and timelines of the whole application on a real Ray."""

import json
from pathlib import Path

import httpx
import pytest

KIT = Path(__file__).resolve().parents[1] / "parity"
EXECUTE = "/api/v7/comfyui/execute"
pytestmark = pytest.mark.cluster


def test_a_page_has_every_stages_metrics_and_a_job_its_timeline(server: str) -> None:
    workflow = json.loads((KIT / "cases" / "sampler_euler_normal.json").read_text())
    (sampler,) = (node for node in workflow.values() if node["class_type"] == "KSampler")
    sampler["inputs"]["seed"] = 2048  # of its own: what is known already is not run
    with httpx.Client(base_url=server, timeout=120) as client:
        job = client.post(EXECUTE, json={"workflow": workflow, "wait": 60}).json()
        while job["status"] == "processing":
            job = client.get(job["fetch_result"]).json()
        page = client.get("/metrics").text
        picture = client.get(f"/api/v7/comfyui/jobs/{job['id']}/timeline.svg").text
    for stage in ("encode", "image", "sample", "upscale"):
        assert f'stage="{stage}"' in page
    lines = [line for line in page.splitlines() if line.startswith("comfyray_stage_batch_size_sum")]
    sums = {line.split('stage="')[1].split('"')[0]: float(line.split()[-1]) for line in lines}
    assert sums["encode"] > 0
    assert sums["sample"] > 0
    assert "KSampler" in picture
