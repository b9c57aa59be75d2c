"""The hosted API's Python package, unchanged, against the real service."""

import base64
import importlib
import io
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

KIT = Path(__file__).resolve().parents[1] / "parity" / "input"
MODEL = "parity_sd15"
SMALL = {"model_id": MODEL, "width": 64, "height": 64, "num_inference_steps": 2, "seed": 7}
pytestmark = [pytest.mark.cluster, pytest.mark.filterwarnings("ignore")]  # pydantic's, of theirs


def part(name: str) -> Any:
    """A module of the package, which has no types."""
    return importlib.import_module(f"modelslab_py.{name}")


@pytest.fixture
def client(server: str) -> Any:
    client = part("core.client").Client("a key", fetch_retry=120, fetch_timeout=1)
    client.base_url = f"{server}/api/"
    return client


@pytest.fixture
def community(client: Any) -> Any:
    return part("core.apis.community").Community(client)


@pytest.fixture
def editing(client: Any) -> Any:
    return part("core.apis.image_editing").Image_editing(client)


@pytest.fixture
def schemas() -> Any:
    return part("schemas.community")


def encoded(name: str) -> str:
    return base64.b64encode((KIT / name).read_bytes()).decode()


def finished(api: Any, answer: dict[str, Any]) -> dict[str, Any]:
    """The result, fetched as the package's users do it."""
    if answer["status"] == "processing":
        answer = api.fetch(str(answer["id"]))
    assert answer["status"] == "success", answer
    return answer


def shown(answer: dict[str, Any]) -> Image.Image:
    (url,) = answer["output"]
    return Image.open(io.BytesIO(httpx.get(url).raise_for_status().content))


def test_text_to_image_and_fetch(community: Any, schemas: Any) -> None:
    schema = schemas.Text2Image(prompt="a fox", lora_model="parity_lora_a", **SMALL)
    done = finished(community, community.text_to_image(schema))
    assert shown(done).size == (64, 64)
    fetched = community.fetch(str(done["id"]))
    assert (fetched["status"], len(fetched["output"])) == ("success", 1)


def test_image_to_image(community: Any, schemas: Any) -> None:
    schema = schemas.Image2Image(prompt="a fox", init_image=encoded("scene.png"), **SMALL)
    assert shown(finished(community, community.image_to_image(schema))).size == (64, 64)


def test_inpainting(community: Any, schemas: Any) -> None:
    pictures = {"init_image": encoded("scene.png"), "mask_image": encoded("scene_mask.png")}
    schema = schemas.Inpainting(prompt="a fox", **pictures, **SMALL)
    assert shown(finished(community, community.inpainting(schema))).size == (64, 64)


def test_controlnet(community: Any, schemas: Any) -> None:
    schema = schemas.ControlNet(
        prompt="a fox",
        init_image=encoded("scene.png"),
        controlnet_model="parity_control",
        controlnet_type="canny",
        **SMALL,
    )
    assert shown(finished(community, community.controlnet(schema))).size == (64, 64)


def test_super_resolution(editing: Any) -> None:
    schema = part("schemas.image_editing").SuperResolutionSchema(init_image=encoded("scene.png"))
    with Image.open(KIT / "scene.png") as scene:
        expected = (scene.width * 4, scene.height * 4)
    assert shown(finished(editing, editing.super_resolution(schema))).size == expected


def test_outpainting(editing: Any) -> None:
    schema = part("schemas.image_editing").OutpaintingSchema(
        prompt="a wide field",
        image=encoded("scene.png"),
        width=128,
        height=128,
        num_inference_steps=2,
        model_id=MODEL,
    )
    assert shown(finished(editing, editing.outpainting(schema))).size == (128, 128)


def test_realtime(client: Any) -> None:
    realtime = part("core.apis.realtime").Realtime(client)
    schema = part("schemas.realtime").RealtimeText2ImageSchema(
        prompt="a fox", width=64, height=64, num_inference_steps=2
    )
    assert shown(finished(realtime, realtime.text_to_image(schema))).size == (64, 64)
