"""Comfy's own SDK for Python against API v2, over HTTP, with the real runner."""

import asyncio
import io
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import Any, TypeVar

import pytest
import uvicorn
from comfy_sdk import Comfy, OutputReady, StatusChange
from comfy_sdk import Progress as ToldProgress
from comfy_sdk.exceptions import (
    ComfyError,
    HashMismatch,
    IdempotencyKeyReuse,
    InvalidWorkflow,
    MissingAsset,
    NotFound,
)
from PIL import Image

from tests.deployments.drawn_here import Drawn, drawn_here
from tests.ports import free_port

BLANK = {"width": 16, "height": 16, "batch_size": 1, "color": 255}
Result = TypeVar("Result")
Document = dict[str, Any]


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (255, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def inverted(image: object) -> Document:
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": image}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {
            "class_type": "SaveImage",
            "inputs": {"images": ["2", 0], "filename_prefix": "sdk"},
        },
    }


class Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@dataclass
class Served:
    drawn: Drawn
    client: Comfy

    async def __call__(self, call: Callable[[Comfy], Result]) -> Result:
        """What a program does with the client."""
        return await asyncio.to_thread(call, self.client)


@pytest.fixture
async def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    async with drawn_here(tmp_path) as drawn:
        port = free_port()
        config = uvicorn.Config(
            drawn.app, port=port, log_level="error", lifespan="off", ws="websockets-sansio"
        )
        server = Server(config)
        serving = asyncio.create_task(server.serve())
        await server.ready.wait()
        monkeypatch.setenv("COMFY_BASE_URL", f"http://127.0.0.1:{port}")
        with Comfy() as client:
            yield Served(drawn, client)
        server.should_exit = True
        await serving


async def test_a_picture_goes_in_and_comes_out(served: Served, tmp_path: Path) -> None:
    def program(client: Comfy) -> tuple[bytes, bytes, str]:
        asset = client.assets.from_bytes(picture(), filename="red.png")
        workflow = client.workflows.from_json(inverted(None))
        workflow.set_input("1", "image", asset)
        job = client.run(workflow, timeout=60)
        (output,) = job.get_outputs("3")
        path = output.to_file(tmp_path / output.name)
        assert asset.created_new
        assert client.jobs.get(job.id).get_workflow().graph["2"]["class_type"] == "ImageInvert"
        assert output.get_download_url().url.endswith("/content")
        return path.read_bytes(), output.to_bytes(range=(1, 3)), output.name

    whole, part, name = await served(program)
    drawn = Image.open(io.BytesIO(whole))
    assert drawn.getpixel((0, 0)) == (0, 255, 255)
    assert (part, name) == (b"PNG", "sdk_00001_.png")


async def test_the_same_bytes_are_uploaded_once(served: Served) -> None:
    def program(client: Comfy) -> None:
        first = client.assets.from_bytes(picture(), filename="a.png")
        again = client.assets.from_bytes(picture(), filename="b.png")
        assert first.commit() != again.commit()
        assert (first.created_new, again.created_new) == (True, False)
        found = client.assets.get(first.commit())
        assert (found.file_path, found.hash) == ("a.png", first.hash)
        first.delete()
        assert client.assets.get(again.commit()).hash == found.hash  # its bytes are there still
        again.delete()
        with pytest.raises(NotFound):
            client.assets.get(found.id or "")

    await served(program)


async def test_a_job_is_followed_as_it_runs(served: Served) -> None:
    def program(client: Comfy) -> list[Any]:
        asset = client.assets.from_bytes(picture(), filename="a.png")
        job = client.submit(client.workflows.from_json(inverted(asset)))
        events = list(job.events())
        job.wait(timeout=30)
        assert [one.node_id for one in job.outputs] == ["3"]
        return events

    events = await served(program)
    assert events[-1] == StatusChange("succeeded")
    for output in (one.output for one in events if isinstance(one, OutputReady)):
        assert (output.node_id, output.type, output.job_id is not None) == ("3", "image", True)
    shown = [one for one in events if isinstance(one, ToldProgress)]
    assert shown[-1].value == 1.0
    assert [one.value for one in shown] == sorted(one.value for one in shown)


async def test_an_output_is_the_input_of_the_next_job(served: Served) -> None:
    def program(client: Comfy) -> bytes:
        asset = client.assets.from_bytes(picture(), filename="a.png")
        first = client.run(client.workflows.from_json(inverted(asset)), timeout=60)
        drawn = client.assets.get(first.outputs[0].id)
        assert drawn.job_id == first.id
        second = client.run(client.workflows.from_json(inverted(drawn)), timeout=60)
        return second.outputs[0].to_bytes()

    back = Image.open(io.BytesIO(await served(program)))
    assert back.getpixel((0, 0)) == (255, 0, 0)


async def test_errors_are_the_sdks_own(served: Served) -> None:
    def program(client: Comfy) -> None:
        reference = {"__type": "core/ASSET", "info": {"id": "nope"}}
        for graph, error in (
            (inverted(reference), MissingAsset),
            ({"1": {"class_type": "NoSuchNode", "inputs": {}}}, InvalidWorkflow),
        ):
            with pytest.raises(error):
                client.submit(client.workflows.from_json(graph))
        with pytest.raises(NotFound):
            client.jobs.get("00000000-0000-0000-0000-000000000000")
        blank = client.workflows.from_json(
            {
                "1": {"class_type": "EmptyImage", "inputs": BLANK},
                "3": {
                    "class_type": "SaveImage",
                    "inputs": {"images": ["1", 0], "filename_prefix": "x"},
                },
            }
        )
        client.submit(blank, idempotency_key="k")
        with pytest.raises(IdempotencyKeyReuse):
            client.submit(blank, idempotency_key="k")
        with pytest.raises(ComfyError) as refused:
            client.submit(blank, metadata={"client": "acme"})
        assert refused.value.code == "metadata_not_supported"
        asset = client.assets.from_bytes(picture(), filename="a.png")
        asset._hash = "blake3:" + "0" * 64
        with pytest.raises(HashMismatch):
            asset.commit()

    await served(program)


async def test_jobs_are_listed_newest_first_page_by_page(served: Served) -> None:
    def program(client: Comfy) -> tuple[list[str], list[str]]:
        asset = client.assets.from_bytes(picture(), filename="a.png")
        made = []
        for _ in range(3):
            job = client.submit(client.workflows.from_json(inverted(asset)))
            made.append(job.wait(timeout=60).id)
            time.sleep(0.01)
        assert list(client.list_jobs(metadata={"client": "acme"})) == []
        return made, [one.id for one in client.list_jobs(limit=2)]

    made, listed = await served(program)
    assert listed == made[::-1]
