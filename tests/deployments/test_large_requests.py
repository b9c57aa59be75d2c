"""Large requests are read in another process, and answered as small ones are."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from PIL import Image

from api.heavy_work import HeavyRequestsError
from api.large_requests import Asked
from benchmarks.shapes import many_outputs, many_problems
from deployments.large_requests.pool import LargeProcesses, ProcessLimits
from deployments.large_requests.process import ReadingLostError, TooMuchWorkError
from deployments.large_requests.setup import Costs
from storage.jobs.prompts import PromptFilter
from tests.deployments.drawn_here import Drawn, drawn_here

API = "/api/v7/comfyui"
LEAST = 10_000
PADDING = {"_meta": {"title": "x" * LEAST}}  # makes a node large, and says nothing
RED, BLUE = 0xFF0000, 0x0000FF
Document = dict[str, Any]


@pytest.fixture
async def drawn(tmp_path: Path) -> AsyncIterator[Drawn]:
    async with drawn_here(tmp_path, {}, ProcessLimits(least_bytes=LEAST)) as opened:
        yield opened


def large(drawn: Drawn) -> LargeProcesses:
    assert isinstance(drawn.service.large, LargeProcesses)
    return drawn.service.large


def saving(color: int = RED, **more: Any) -> Document:
    """A workflow of two nodes that is large."""
    size = {"width": 16, "height": 16, "batch_size": 1, "color": color, **more}
    return {
        "1": {"class_type": "EmptyImage", "inputs": size, **PADDING},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }


def told(answer: httpx.Response) -> tuple[int, Any, Mapping[str, str]]:
    """All that a caller sees of an answer; estimates are left out, as they change."""
    body = answer.json()
    shown = {name: it for name, it in body.items() if not name.startswith("estimated_")}
    return answer.status_code, shown, {k: v for k, v in answer.headers.items() if k != "date"}


async def test_answers_are_those_of_the_routers_own_process(drawn: Drawn) -> None:
    requests = [
        (f"{API}/execute", {"a": [{"b": 1}] * 5_000, "key": "k"}),
        (f"{API}/execute", many_outputs(300) | {"key": "k"}),
        (f"{API}/execute", many_problems(300)),
        (f"{API}/execute", {"workflow": saving(width=-1), "wait": "x", "webhook": "ftp://x"}),
        (f"{API}/schema", {"workflow": saving()}),
        (f"{API}/schema", {"workflow": saving(), "more": 1}),
        (f"{API}/convert", {"workflow": json.dumps(saving())}),
        (f"{API}/convert", {"workflow": {"nodes": "x" * LEAST}}),
        ("/prompt", {"prompt": saving(width=-1)}),
        ("/prompt", {"prompt": saving() | {"3": {}}}),
        ("/prompt", {"prompt": saving(), "prompt_id": "no UUID"}),
        ("/prompt", {"prompt": "x" * LEAST}),
        (f"{API}/execute", [1] * LEAST),
        (f"{API}/execute", {"workflow": saving() | {"2": {"class_type": "Nope", "inputs": {}}}}),
    ]
    there = [told(await drawn.client.post(path, json=body)) for path, body in requests]
    drawn.service.large, here = None, []
    for path, body in requests:
        here.append(told(await drawn.client.post(path, json=body)))
    assert there == here
    assert {status for status, *_ in there} == {200, 400, 422}
    ours = "deployments.large_requests.child"
    processes = [it for it in psutil.Process().children() if ours in it.cmdline()]
    assert processes
    maps = (one for process in processes for one in process.memory_maps())
    loaded = {Path(one.path).name for one in maps}
    assert not any("torch" in name or "raylet" in name for name in loaded)


async def test_large_jobs_run(drawn: Drawn) -> None:
    body = {"workflow": saving(), "inputs": {"1.color": BLUE}, "track_id": "7"}
    headers = {"Idempotency-Key": "once"}
    answer = (await drawn.client.post(f"{API}/execute", json=body, headers=headers)).json()
    assert (answer["status"], answer["track_id"]) == ("success", "7")
    again = (await drawn.client.post(f"{API}/execute", json=body, headers=headers)).json()
    assert again["id"] == answer["id"]
    other = await drawn.client.post(f"{API}/execute", json=body | {"wait": 1}, headers=headers)
    assert other.status_code == 409
    picture = Image.open(io.BytesIO((await drawn.client.get(answer["output"][0])).content))
    assert picture.convert("RGB").getpixel((0, 0)) == (0, 0, 255)
    assert json.loads(picture.info["prompt"])["1"]["inputs"]["color"] == BLUE
    await prompt_with_an_upload(drawn)


async def prompt_with_an_upload(drawn: Drawn) -> None:
    """It runs, and is kept."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "lime").save(file, "PNG")
    await drawn.client.post("/upload/image", files={"image": ("lime.png", file.getvalue())})
    prompt = saving() | {
        "1": {"class_type": "LoadImage", "inputs": {"image": "lime.png"}, **PADDING},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["9", 0], "filename_prefix": "y"}},
    }
    answer = (await drawn.client.post("/prompt", json={"prompt": prompt, "number": 5})).json()
    assert (answer["number"], list(answer["node_errors"])) == (5, ["3"])
    found, _ = await drawn.service.stores.prompts.page("local", PromptFilter(limit=1))
    await drawn.service.ended("local", found[0].id)
    entry = (await drawn.client.get("/history")).json()[answer["prompt_id"]]
    assert entry["prompt"][2] == prompt
    (image,) = entry["outputs"]["2"]["images"]
    content = (await drawn.client.get("/view", params=image)).content
    assert Image.open(io.BytesIO(content)).convert("RGB").getpixel((0, 0)) == (0, 255, 0)


async def test_what_takes_too_much_is_refused_by_name(tmp_path: Path) -> None:
    body = json.dumps(many_outputs(4_000)).encode()
    for costs, most_s, error in (
        (Costs(cpu_s=-1), 120.0, TooMuchWorkError),
        (Costs(memory_bytes=1), 120.0, TooMuchWorkError),
        (Costs(), 0.0, ReadingLostError),
    ):
        limits = ProcessLimits(LEAST, costs=costs, most_s=most_s)
        async with drawn_here(tmp_path, {}, limits) as drawn:
            how = {"asynchronous": False, "hashed": False}
            with pytest.raises(error):
                await large(drawn).execute(Asked("a", body, how))


async def test_an_owner_may_have_few_of_them_at_once(drawn: Drawn) -> None:
    asked = Asked("a", json.dumps({"workflow": saving()}).encode())
    reading = [asyncio.create_task(large(drawn).schema(asked)) for _ in range(16)]
    await asyncio.sleep(0)
    with pytest.raises(HeavyRequestsError):
        await large(drawn).schema(asked)
    other = await large(drawn).schema(Asked("b", asked.raw))
    assert other.status == 200
    assert sum(one.done() for one in reading) < len(reading)
    await asyncio.gather(*reading)


async def test_a_job_whose_reader_is_lost_is_read_again(
    drawn: Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, asked = drawn.service.large, []
    assert reader is not None
    opened = reader.opened

    async def lost_once(one: Asked) -> Any:
        asked.append(one.owner)
        if len(asked) == 1:
            raise ReadingLostError(1)
        return await opened(one)

    monkeypatch.setattr(reader, "opened", lost_once)
    body = {"workflow": saving(), "wait": 30}
    answer = (await drawn.client.post(f"{API}/execute", json=body)).json()
    assert (answer["status"], len(asked)) == ("success", 2)
