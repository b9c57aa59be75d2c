"""What Krita's plugin asks of a server beside ComfyUI's own API."""

import io

import pytest
from PIL import Image

from graph.nodes import load_node_types
from tests.api.conftest import Site

# ai_diffusion/backend/resources.py, required_custom_nodes
REQUIRED = {
    "InpaintPreprocessor", "DepthAnythingV2Preprocessor", "IPAdapterModelLoader", "IPAdapter",
    "ETN_LoadImageCache", "ETN_SaveImageCache", "ETN_Translate", "INPAINT_LoadFooocusInpaint",
    "INPAINT_ShrinkMask", "INPAINT_StabilizeMask", "INPAINT_ColorMatch",
}  # fmt: skip


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 2), "red").save(file, "PNG")
    return file.getvalue()


def test_every_node_type_that_the_plugin_looks_for_is_declared() -> None:
    assert load_node_types().keys() >= REQUIRED


async def test_a_picture_is_put_once_and_fetched(site: Site) -> None:
    url = "/api/etn/image/3f2a"
    assert (await site.client.put(url, content=picture())).status_code == 201
    again = await site.client.put(url, content=b"ignored")
    assert (again.status_code, again.json()) == (200, {"status": "cached"})
    assert (await site.client.get(url)).content == picture()
    assert (await site.client.get("/api/etn/image/none")).status_code == 404
    assert (await site.client.get("/api/etn/languages")).json() == []


@pytest.mark.parametrize("id_", ["a.png", "%2e%2e", "a" * 81])
async def test_other_ids_are_refused(site: Site, id_: str) -> None:
    assert (await site.client.put(f"/api/etn/image/{id_}", content=b"x")).status_code in {400, 404}
