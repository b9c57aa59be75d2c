"""Templates of our own, as the editor's browser reads them."""

import pytest

from graph.comfyui_nodes import load_comfyui_nodes
from graph.nodes import load_node_types
from graph.workflow import read_workflow
from tests.api.conftest import Site


async def test_each_template_has_its_workflow_and_its_picture(site: Site) -> None:
    (group,) = (await site.client.get("/templates/index.json")).json()
    names = [one["name"] for one in group["templates"]]
    assert names[0] == "text_to_image"
    ours, known = load_node_types(), load_comfyui_nodes()
    for name in names:
        document = (await site.client.get(f"/templates/{name}.json")).json()
        workflow = read_workflow(document, known)
        assert {node.class_type for node in workflow.nodes.values()} <= set(ours)
        assert "LoadImage" not in {node.class_type for node in workflow.nodes.values()}
        picture = await site.client.get(f"/templates/{name}-1.png")
        assert picture.headers["content-type"] == "image/png"
    assert (await site.client.get("/api/workflow_templates")).json() == {}


@pytest.mark.parametrize("file", ["none.json", "..%2F..%2Fpyproject.json", "index_logo.json"])
async def test_other_files_are_not_there(site: Site, file: str) -> None:
    assert (await site.client.get(f"/templates/{file}")).status_code == 404


async def test_the_editor_finds_every_loader_that_it_asks_for() -> None:
    wanted = {
        "CheckpointLoaderSimple", "LoraLoader", "LoraLoaderModelOnly", "VAELoader",
        "ControlNetLoader", "UNETLoader", "UpscaleModelLoader", "StyleModelLoader",
        "ImageOnlyCheckpointLoader", "GLIGENLoader",
    }  # fmt: skip
    assert wanted <= set(load_node_types())
