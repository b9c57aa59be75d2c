"""Both clients against the running service."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from comfyray import AsyncClient, Client, RequestError
from comfyray.cli import main

ROOT = Path(__file__).resolve().parents[2]
HELLO = ROOT / "examples" / "hello.json"
JAVASCRIPT = ROOT / "clients" / "javascript"
PNG = b"\x89PNG"
pytestmark = pytest.mark.cluster


def test_a_workflow_gives_its_pictures(server: str) -> None:
    told: list[str] = []
    with Client(server) as client:
        result = client.run(HELLO, on_event=lambda event: told.append(event.type))
        assert client.fetch(result.id).status == "success"
        assert client.jobs(limit=1)["jobs"][0]["id"] == result.id
    assert result.pictures[0].content.startswith(PNG)
    assert (told[0], told[-1]) == ("queued", "success")


async def test_the_same_by_await(server: str) -> None:
    async with AsyncClient(server) as client:
        job = await client.submit(json.loads(HELLO.read_text()))
        result = await client.result(await client.wait(job, timeout_s=60))
    assert result.pictures[0].content.startswith(PNG)


def test_a_file_is_sent_and_used(server: str, tmp_path: Path) -> None:
    workflow = {
        "1": {"class_type": "LoadImage", "inputs": {"image": ""}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }
    with Client(server) as client:
        (first, *_) = client.run(HELLO).pictures
        (again,) = client.run(workflow, {"1.image": first.save(tmp_path)}).pictures
    assert (again.width, again.height) == (first.width, first.height)


def test_a_workflow_that_cannot_run_says_why(server: str) -> None:
    with Client(server) as client, pytest.raises(RequestError) as caught:
        client.run({"1": {"class_type": "NoSuchNode", "inputs": {}}})
    assert caught.value.status == 422
    assert caught.value.errors


def test_the_command_saves_pictures(
    server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--url", server, "run", str(HELLO), "-o", str(tmp_path)]) == 0
    (path,) = capsys.readouterr().out.split()
    assert Path(path).read_bytes().startswith(PNG)


def test_the_command_says_what_is_wrong(
    server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "wrong.json"
    wrong.write_text('{"1": {"class_type": "NoSuchNode", "inputs": {}}}')
    assert main(["--url", server, "run", str(wrong)]) == 1
    assert "NoSuchNode" in capsys.readouterr().err


def test_the_javascript_client_passes_its_own_tests(server: str) -> None:
    npm = shutil.which("npm")
    assert npm, "Node is needed for the JavaScript client"
    ran = subprocess.run(
        [npm, "test"],
        cwd=JAVASCRIPT,
        env={**os.environ, "COMFYRAY_URL": server},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "# skipped 0" in ran.stdout


def test_a_poller_of_comfyuis_api_gets_the_picture(server: str) -> None:
    """As nodes of n8n and simple scripts do: no socket, the history until the prompt is in it."""
    body = json.dumps({"prompt": json.loads(HELLO.read_text())}).encode()
    with urlopen(f"{server}/prompt", body) as answer:  # a form, says its Content-Type
        prompt_id = json.load(answer)["prompt_id"]
    deadline = time.monotonic() + 60
    history: dict[str, Any] = {}
    while not history:
        assert time.monotonic() < deadline
        with urlopen(f"{server}/history/{prompt_id}") as answer:
            history = json.load(answer)
    assert history[prompt_id]["status"]["completed"]
    (output,) = history[prompt_id]["outputs"].values()
    with urlopen(f"{server}/view?{urlencode(output['images'][0])}") as answer:
        assert answer.read().startswith(PNG)


def test_a_model_is_sent_in_pieces(server: str, parity_models: Path) -> None:
    file = next((parity_models / "loras").glob("*.safetensors"))
    with Client(server) as client:
        model = client.upload_model(file, "loras")
        assert model["folder"] == "loras"
        assert model["id"] in {known["id"] for known in client.models()["models"]}
