"""Prompts of ComfyUI's API over the real runner: what is cached, sent, and told to nodes."""

import io
import json
import struct
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from PIL import Image

from graph.node import Hidden, declared_in, node
from graph.stages import Stage
from graph.stages.output import OutputFunctions
from tests.api.comfyui.asgi_socket import AsgiSocket, connected
from tests.deployments.drawn_here import Drawn, drawn_here

Document = dict[str, Any]
COLOR = 65280


@node("Told", runs_on=Stage.OUTPUT, output_node=True)
async def told(
    outputs: OutputFunctions,
    *,
    text: str = "",
    prompt: Annotated[object, Hidden.PROMPT] = None,
    extra_pnginfo: Annotated[object, Hidden.EXTRA_PNGINFO] = None,
    unique_id: Annotated[str, Hidden.NODE_ID] = "",
) -> None:
    """Say what it was told."""
    await outputs.show_text(json.dumps([text, prompt, extra_pnginfo, unique_id]))


@pytest.fixture
async def drawn(tmp_path: Path) -> AsyncIterator[Drawn]:
    import tests.deployments.test_prompts_run as here  # noqa: PLC0415 - its node above

    async with drawn_here(tmp_path, declared_in(here)) as opened:
        yield opened


def saving(color: int = COLOR, batch: int = 1, saver: str = "SaveImage") -> Document:
    size = {"width": 16, "height": 16, "batch_size": batch, "color": color}
    return {
        "1": {"class_type": "EmptyImage", "inputs": size},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {
            "class_type": saver,
            "inputs": {"images": ["2", 0], "filename_prefix": "ComfyUI"},  # others ignore it
        },
    }


async def posted(drawn: Drawn, prompt: Document, **more: Any) -> str:
    answer = await drawn.client.post("/prompt", json={"prompt": prompt, **more})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["prompt_id"])


async def entry_of(drawn: Drawn, prompt_id: str) -> Document:
    """Its entry in the history, once it has ended."""
    record = (await drawn.service.stores.prompts.find("local", prompt_id)).record
    await drawn.service.ended("local", record.id)
    return dict((await drawn.client.get(f"/history/{prompt_id}")).json()[prompt_id])


async def run(drawn: Drawn, prompt: Document, **more: Any) -> Document:
    return await entry_of(drawn, await posted(drawn, prompt, **more))


def of_prompt(socket: AsgiSocket, kind: str, prompt_id: str) -> list[Document]:
    return [one for one in socket.of(kind) if one.get("prompt_id") == prompt_id]


def saved_under(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.png"))


async def test_the_same_prompt_again_saves_nothing_and_is_told_all_the_same(
    drawn: Drawn, tmp_path: Path
) -> None:
    async with connected(drawn.app, "/ws?clientId=c") as socket:
        first = await posted(drawn, saving(), client_id="c")
        entry = await entry_of(drawn, first)
        saved, ran = saved_under(tmp_path), list(drawn.stages.ran)
        again = await posted(drawn, saving(), client_id="c")
        second = await entry_of(drawn, again)
        await socket.until("execution_success", 2)
        await socket.until("status", 5)
        assert (saved_under(tmp_path), drawn.stages.ran) == (saved, ran)
        (cached,) = of_prompt(socket, "execution_cached", again)
        assert sorted(cached["nodes"]) == ["1", "2", "3"]
        (executed,) = of_prompt(socket, "executed", again)
        image = {"filename": "ComfyUI_00001_.png", "subfolder": "", "type": "output"}
        assert executed["output"] == {"images": [image]}
        assert [one["node"] for one in of_prompt(socket, "executing", again)] == [None]
    assert second["outputs"] == entry["outputs"] == {"3": {"images": [image]}}
    assert sorted(dict(second["status"]["messages"])["execution_cached"]["nodes"]) == list("123")
    assert (await drawn.client.get("/view", params=image)).status_code == 200


async def test_an_output_that_changed_runs_and_the_other_does_not(drawn: Drawn) -> None:
    preview = {"4": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}}}
    first = await run(drawn, saving() | preview)
    prompt = saving() | preview
    prompt["3"]["inputs"]["filename_prefix"] = "other"
    drawn.stages.ran.clear()
    entry = await run(drawn, prompt)
    assert "3" in drawn.stages.ran
    assert "4" not in drawn.stages.ran
    assert dict(entry["status"]["messages"])["execution_cached"]["nodes"] == ["4"]
    assert entry["outputs"]["4"] == first["outputs"]["4"]


async def test_names_go_on_from_prompt_to_prompt(drawn: Drawn) -> None:
    entries = [await run(drawn, saving(color)) for color in (1, 2)]
    names = [entry["outputs"]["3"]["images"][0]["filename"] for entry in entries]
    assert names == ["ComfyUI_00001_.png", "ComfyUI_00002_.png"]


async def test_what_was_saved_is_saved_again_once_it_is_gone(drawn: Drawn) -> None:
    prompt_id = await posted(drawn, saving())
    await entry_of(drawn, prompt_id)
    record = (await drawn.service.stores.prompts.find("local", prompt_id)).record
    await drawn.client.delete(f"/api/v7/comfyui/jobs/{record.id}")
    entry = await run(drawn, saving())
    (image,) = entry["outputs"]["3"]["images"]
    assert image["filename"] == "ComfyUI_00002_.png"
    assert (await drawn.client.get("/view", params=image)).status_code == 200


async def test_a_file_that_expired_is_saved_again(drawn: Drawn, tmp_path: Path) -> None:
    await run(drawn, saving())
    for path in saved_under(tmp_path):
        path.unlink()
    (image,) = (await run(drawn, saving()))["outputs"]["3"]["images"]
    assert (await drawn.client.get("/view", params=image)).status_code == 200


async def test_a_job_of_the_other_api_saves_its_own(drawn: Drawn, tmp_path: Path) -> None:
    await run(drawn, saving())
    saved = saved_under(tmp_path)
    body = {"workflow": saving(), "wait": 30}
    answer = (await drawn.client.post("/api/v7/comfyui/execute", json=body)).json()
    assert answer["status"] == "success"
    assert len(saved_under(tmp_path)) == len(saved) + 1


async def test_what_is_listed_again_can_be_read_in_every_api(drawn: Drawn) -> None:
    await run(drawn, saving())
    again = await posted(drawn, saving())
    await entry_of(drawn, again)
    record = (await drawn.service.stores.prompts.find("local", again)).record
    answer = (await drawn.client.get(f"/api/v7/comfyui/fetch/{record.id}")).json()
    job = (await drawn.client.get(f"/api/v2/jobs/{again}")).json()
    for url in (*answer["output"], job["outputs"][0]["url"]):
        assert (await drawn.client.get(url)).status_code == 200
    load = {"class_type": "LoadImage", "inputs": {"image": f"job:{record.id}/3/0"}}
    loaded = {"1": load, "3": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}}
    assert (await run(drawn, loaded))["status"]["status_str"] == "success"


async def test_pictures_are_sent_to_the_client_and_not_kept(drawn: Drawn, tmp_path: Path) -> None:
    prompt = saving(batch=2, saver="SaveImageWebsocket")
    async with connected(drawn.app, "/ws?clientId=c") as socket:
        for _ in range(2):  # never cached
            prompt_id = await posted(drawn, prompt, client_id="c")
            entry = await entry_of(drawn, prompt_id)
        await socket.until("execution_success", 2)
        frames = socket.frames()
    assert [struct.unpack(">II", one[:8]) for one in frames] == [(1, 2)] * 4
    picture = Image.open(io.BytesIO(frames[0][8:]))
    assert (picture.format, picture.info) == ("PNG", {})
    assert picture.getpixel((0, 0)) == (255, 0, 255)
    assert (entry["outputs"], saved_under(tmp_path)) == ({}, [])


async def test_where_no_client_is_named_they_are_previews(drawn: Drawn) -> None:
    entry = await run(drawn, saving(batch=2, saver="SaveImageWebsocket"))
    assert [one["type"] for one in entry["outputs"]["3"]["images"]] == ["temp", "temp"]


async def test_nodes_are_told_the_prompt_and_what_came_with_it(drawn: Drawn) -> None:
    more = {"workflow": {"id": str(uuid.uuid4())}}
    for text, extra, expected in (("x", {"extra_pnginfo": more}, more), ("y", {}, None)):
        prompt = {"7": {"class_type": "Told", "inputs": {"text": text}}}
        entry = await run(drawn, prompt, extra_data=extra)
        (file,) = entry["outputs"]["7"]["files"]
        said = (await drawn.client.get("/view", params=file)).json()
        assert said == [text, prompt, expected, "7"]
