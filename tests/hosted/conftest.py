"""The service behind the hosted API's endpoints, with a folder of small model files."""

import base64
import io
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from api.hosted.options import HostedOptions
from graph.node import NodeType
from graph.nodes import load_node_types
from tests.api.conftest import OpenSite, Site, open_site  # noqa: F401 - a fixture
from tests.hosted.model_files import write_models
from tests.hosted.runner import GreyRunner, grey_runner

ALIASES = {
    "checkpoints": {
        "midjourney": "photo/dream_XL.safetensors",
        "inpaint": "v1-5-inpainting.safetensors",
        "default": "v1-5-pruned.safetensors",
    },
    "controlnet": {"qrcode": "control_v11f1e_sd15_tile.safetensors"},
}


class Hosted:
    """A service and what it ran."""

    def __init__(self, site: Site, runner: GreyRunner) -> None:
        self.site = site
        self.runner = runner

    def __repr__(self) -> str:
        return "Hosted()"  # it is printed with every failing body

    @property
    def client(self) -> httpx.AsyncClient:
        return self.site.client

    async def post(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = await self.client.post(f"/api/{path}", json=body or {})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def workflow(self, path: str, **body: Any) -> "Nodes":
        """What a request became."""
        answer = await self.post(path, body)
        assert answer["status"] == "success", answer
        return Nodes(dict(self.runner.prompts[-1]))


@dataclass
class Nodes:
    """A workflow in API format, to look at."""

    nodes: dict[str, Any]

    def all(self, class_type: str) -> list[dict[str, Any]]:
        return [n["inputs"] for n in self.nodes.values() if n["class_type"] == class_type]

    def one(self, class_type: str) -> dict[str, Any]:
        (inputs,) = self.all(class_type)
        return dict(inputs)

    def behind(self, inputs: dict[str, Any], name: str) -> tuple[str, dict[str, Any]]:
        """The class and the inputs of the node that an input is linked to."""
        node = self.nodes[inputs[name][0]]
        return node["class_type"], node["inputs"]


OpenHosted = Callable[..., Awaitable[Hosted]]


@pytest.fixture(scope="session")
def node_types() -> dict[str, NodeType]:
    return dict(load_node_types())


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def open_hosted(
    open_site: OpenSite,  # noqa: F811
    model_folder: Path,
    node_types: dict[str, NodeType],
) -> OpenHosted:
    """Opens the service with some options."""

    async def open_(**options: Any) -> Hosted:
        site: Site = await open_site(
            make_runner=partial(grey_runner, node_types, model_folder),
            hosted=HostedOptions(aliases=ALIASES, **options),
        )
        runner = site.service.runner
        assert isinstance(runner, GreyRunner)
        return Hosted(site, runner)

    return open_


@pytest.fixture
async def hosted(open_hosted: OpenHosted) -> Hosted:
    return await open_hosted()


def picture(width: int = 96, height: int = 64) -> str:
    """A small PNG in base64."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (200, 80, 40)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
