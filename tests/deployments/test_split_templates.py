"""Workflows as the editor saves them, whose models lie in files of their own: there, and not."""

import json
import pickle
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import torch
from safetensors.torch import save_file

from api.app import create_app
from api.jobs.service import Limits, Service
from api.metrics.replica_metrics import ReplicaMetrics
from deployments.clients import StageClients
from deployments.config import RouterConfig
from deployments.encode_functions import NodeEncoding
from deployments.runner import WorkflowRunner
from deployments.settings import Settings
from deployments.stores import open_stores
from deployments.transport import Small, load, to_arrays, to_tensors
from diffusion.engine.stage import SampleStage
from diffusion.families.registry import FAMILIES
from diffusion.memory.budget import MemoryBudget
from diffusion.text.stage import EncodeStage
from diffusion.weights import Weights, open_weights
from graph.cache import Handle, ResultCache
from graph.events import Done, StepEvent
from graph.nodes import load_node_types
from graph.plan import Segment
from graph.prompt import Source
from graph.segment_run import Report
from graph.stages import Stage
from graph.values import ModelFile
from storage.models.annotators import AnnotatorFolder
from storage.models.checks import ModelChecks
from storage.models.library import ModelLibrary
from tests.deployments.test_random_graphs import InProcess
from tests.diffusion.dit_files import DEV, drawn_module, reference_layout
from tests.diffusion.model_files import CPU, filled, recorded_shapes, seeded
from tests.diffusion.test_lora_text import clip_tensors
from tests.diffusion.test_t5 import WIDTH, t5_tensors

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


@dataclass
class Stages(InProcess):
    """Every tensor stage in this process, as one replica; values as between several."""

    encoder: EncodeStage | None = None
    idle: int = 1

    async def metrics(self) -> tuple[ReplicaMetrics, ...]:
        return ()

    def for_node(self, stage: Stage, node_id: str, report: Report) -> object:
        if stage == Stage.ENCODE:
            nobody: Any = object()
            return NodeEncoding(cast(EncodeStage, self.encoder), nobody, node_id, report, "")
        return super().for_node(stage, node_id, report)

    async def run(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[StepEvent, None]:
        given = {link: Handle(await load(handle, to_tensors)) for link, handle in inputs.items()}
        async for event in super().run(segment, given):
            if isinstance(event, Done) and event.outputs is not None:
                sent = [pickle.dumps(to_arrays(handle.value)) for handle in event.outputs]
                yield replace(event, outputs=tuple(Handle(Small(data)) for data in sent))
            else:
                yield event


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The service over `tmp_path / "models"`, with the real runner and real stages."""
    config, models = RouterConfig(), tmp_path / "models"
    models.mkdir()
    stores = open_stores(Settings(models_dir=models, data_dir=tmp_path / "data"), config)
    folders = ModelLibrary(models, tmp_path / "private")

    def file_opened(file: ModelFile) -> Weights:
        return open_weights(models / file.folder / file.name, file)

    memory = MemoryBudget(2**31)
    where: Any = {"device": CPU, "dtype": torch.float32, "memory": memory}
    encoder = EncodeStage(file_opened, cache_bytes=0, encodings=FAMILIES.texts, **where)
    stages = Stages(SampleStage(file_opened, **where), encoder=encoder)
    runner = WorkflowRunner(
        node_types=load_node_types(),
        comfyui_nodes={},
        folders=folders,
        checks=ModelChecks(folders),
        annotators=AnnotatorFolder.of(models),
        inputs=stores.inputs,
        clients=StageClients(dict.fromkeys((Stage.ENCODE, Stage.SAMPLE), stages), {}),
        cache=ResultCache(0),
    )
    service = Service(runner, stores, Limits())
    await service.open()
    transport = httpx.ASGITransport(create_app(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://here:8000") as opened:
        yield opened
    await service.close()
    await stages.sampling.close()
    encoder.close()


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


def write_flux(folder: Path) -> None:
    """Narrow files of the names that the template asks for, in the layouts of published ones."""
    shape = replace(DEV, y_dim=64)
    t5 = {**t5_tensors(), "shared.weight": seeded("shared.weight", (32128, WIDTH))}
    for name, tensors in {
        "diffusion_models/flux1-dev": reference_layout(drawn_module(shape), shape),
        "text_encoders/clip_l": clip_tensors(64, 49408),
        "text_encoders/t5xxl_fp16": t5,
        "vae/ae": filled(recorded_shapes("vae_shapes")["vae16"]),
    }.items():
        path = folder / f"{name}.safetensors"
        path.parent.mkdir(exist_ok=True)
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path)


async def test_it_runs_once_its_files_are_there(client: httpx.AsyncClient, tmp_path: Path) -> None:
    write_flux(tmp_path / "models")
    smaller = {"27": {"width": 64, "height": 64}, "31": {"steps": 2}}
    body = {"workflow": template("flux_dev_split"), "inputs": smaller, "wait": 60}
    answer = (await client.post(EXECUTE, json=body)).json()
    assert answer["status"] == "success", answer
    (picture,) = answer["outputs"]
    assert (picture["node_id"], picture["width"], picture["height"]) == ("9", 64, 64)


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
