"""Workflows as the editor saves them, whose models lie in files of their own: there, and not."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from safetensors.torch import save_file

from api.app import create_app
from api.jobs.service import Limits, Service
from deployments.clients import StageClients
from deployments.config import RouterConfig
from deployments.runner import WorkflowRunner
from deployments.settings import Settings
from deployments.stores import open_stores
from graph.cache import ResultCache
from graph.nodes import load_node_types
from storage.models.annotators import AnnotatorFolder
from storage.models.checks import ModelChecks
from storage.models.library import ModelLibrary

EXECUTE = "/api/v7/comfyui/execute"
TEMPLATES = Path(__file__).parent.parent / "data" / "templates"
NAMES = ("flux_dev_split", "sd35_large_split")
# A name by which each folder's files are known to be what they should be.
MARKS = {
    "diffusion_models": "double_blocks.0.img_attn.qkv.weight",
    "text_encoders": "text_model.embeddings.token_embedding.weight",
    "vae": "decoder.conv_in.weight",
}


def template(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((TEMPLATES / f"{name}.json").read_text())
    return document


def named_models(document: dict[str, Any]) -> list[dict[str, str]]:
    return [model for node in document["nodes"] for model in node["properties"].get("models", ())]


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The service over `tmp_path / "models"`, with the real runner and nothing behind it."""
    config, models = RouterConfig(), tmp_path / "models"
    models.mkdir()
    stores = open_stores(Settings(models_dir=models, data_dir=tmp_path / "data"), config)
    folders = ModelLibrary(models, tmp_path / "private", staleness_s=0)
    runner = WorkflowRunner(
        node_types=load_node_types(),
        comfyui_nodes={},
        folders=folders,
        checks=ModelChecks(folders),
        annotators=AnnotatorFolder.of(models),
        inputs=stores.inputs,
        clients=StageClients({}, {}),
        cache=ResultCache(0),
        max_input_pixels=config.max_input_pixels,
    )
    service = Service(runner, stores, Limits())
    await service.open()
    transport = httpx.ASGITransport(create_app(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://here:8000") as opened:
        yield opened
    await service.close()


async def planned(client: httpx.AsyncClient, document: dict[str, Any]) -> httpx.Response:
    return await client.post(EXECUTE, json={"workflow": document, "dry_run": True})


@pytest.mark.parametrize("name", NAMES)
async def test_every_missing_file_is_told_with_where_to_have_it(
    client: httpx.AsyncClient, name: str
) -> None:
    document = template(name)
    answer = await planned(client, document)
    assert answer.status_code == 422
    errors = answer.json()["errors"]
    assert {error["code"] for error in errors} == {"value_not_in_list"}
    told = {error["received"]: error["model"] for error in errors}
    expected = named_models(document)
    assert told.keys() == {model["name"] for model in expected}
    for model in expected:
        own = told[model["name"]]
        assert (own["folder"], own["url"]) == (model["directory"], model["url"])
        assert own.get("hash", "") == model.get("hash", "")


@pytest.mark.parametrize("name", NAMES)
async def test_it_is_planned_once_its_files_are_there(
    client: httpx.AsyncClient, tmp_path: Path, name: str
) -> None:
    document = template(name)
    for model in named_models(document):
        path = tmp_path / "models" / model["directory"] / model["name"]
        path.parent.mkdir(exist_ok=True)
        save_file({MARKS[model["directory"]]: torch.zeros(4, 4)}, path)
    answer = await planned(client, document)
    assert answer.status_code == 200, answer.text
    stages = json.dumps(answer.json())
    assert "sample" in stages


async def test_four_text_encoders_are_refused_by_name(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    document = template("sd35_large_split")
    files = [model for model in named_models(document) if model["directory"] == "text_encoders"]
    loader = next(node for node in document["nodes"] if node["type"] == "TripleCLIPLoader")
    loader["type"] = "QuadrupleCLIPLoader"
    loader["widgets_values"] = [*loader["widgets_values"], files[0]["name"]]
    for model in named_models(document):
        path = tmp_path / "models" / model["directory"] / model["name"]
        path.parent.mkdir(exist_ok=True)
        save_file({MARKS[model["directory"]]: torch.zeros(4, 4)}, path)
    answer = await planned(client, document)
    assert answer.status_code == 422
    assert "QuadrupleCLIPLoader" in answer.json()["message"]
