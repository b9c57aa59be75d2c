"""A running comfyray as the demo talks to it: over HTTP, as everybody does."""

import time
from collections.abc import Mapping
from typing import Any, Protocol

import cv2
import httpx
import numpy as np

from demo.drawing import Picture

Document = Mapping[str, Any]


class Drawing(Protocol):
    """What draws workflows."""

    def draw(self, workflow: Document) -> list[Picture]: ...

    def upload(self, picture: Picture, name: str) -> str: ...


class Service:
    """Draws workflows on a server. Safe to use from several threads."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=600)

    def close(self) -> None:
        self._http.close()

    def draw(self, workflow: Document) -> list[Picture]:
        """The pictures that a workflow saves.

        Raises:
            RuntimeError: the service says why there are none.
        """
        body = {"workflow": workflow, "wait": 60}
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
