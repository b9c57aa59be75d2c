"""A running comfyray as the demo talks to it: over HTTP, as everybody does."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import httpx
import numpy as np

from demo.drawing import Picture

ROOT = Path(__file__).resolve().parent.parent
READY_WITHIN_S = 480.0
Document = Mapping[str, Any]


class Service:
    """Draws workflows. Safe to use from several threads."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=600)

    def draw(self, workflow: Document, inputs: Mapping[str, Any] | None = None) -> list[Picture]:
        """The pictures that a workflow saves, with these inputs changed.

        Raises:
            RuntimeError: the service says why there are none.
        """
        body = {"workflow": workflow, "inputs": inputs or {}, "wait": 60}
        answer = self._http.post("/api/v7/comfyui/execute", json=body).json()
        while answer.get("status") == "processing":
            time.sleep(0.2)
            answer = self._http.get(answer["fetch_result"]).json()
        if answer.get("status") != "success":
            raise RuntimeError(str(answer)[:2000])
        return [decoded(self._http.get(url).content) for url in answer["output"]]

    def upload(self, picture: Picture, name: str) -> str:
        """Put a picture where LoadImage finds it; its name there."""
        files = {"image": (name, encoded(picture), "image/png")}
        answer = self._http.post("/upload/image", files=files).json()
        return str(answer["name"])


def decoded(png: bytes) -> Picture:
    pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB).astype(np.uint8)


def encoded(picture: Picture) -> bytes:
    pixels = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.shape[-1] == 3 else picture
    return bytes(cv2.imencode(".png", pixels)[1])


@contextmanager
def started(models: Path, port: int) -> Iterator[str]:
    """The application over a models folder, for as long as this lasts; its URL."""
    with TemporaryDirectory() as folder:
        log = Path(folder) / "log.txt"
        environment = {
            **os.environ,
            "COMFYRAY_AUTH": "off",
            "COMFYRAY_DATA_DIR": f"{folder}/data",
            "COMFYRAY_MODELS_DIR": str(models.resolve()),
        }
        command = [sys.executable, "-m", "deployments.launch", "--port", str(port)]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=output, stderr=output
            )
        try:
            _wait(process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(60)


def _wait(process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Until the launcher prints the line to try, its last word."""
    deadline = time.monotonic() + READY_WITHIN_S
    while "\ncurl " not in log.read_text():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(log.read_text())
        time.sleep(0.2)
