"""An owner's model is called by its id like any file, by its owner and by no one else."""

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import numpy as np
import pytest
from safetensors.numpy import save

from api.app import create_app
from api.jobs.service import Limits, Service
from api.keys.key_access import KeyAccess
from api.keys.rates import Rates
from deployments.clients import StageClients
from deployments.config import ModelsConfig, RouterConfig
from deployments.runner import WorkflowRunner
from deployments.settings import Settings
from deployments.site import Site
from deployments.stores import open_stores
from graph.cache import ResultCache
from graph.nodes import load_node_types
from graph.problems import WorkflowInvalidError
from graph.values import ModelFile
from storage.keys import Keys, KeyTerms
from storage.models.annotators import AnnotatorFolder
from storage.models.own_embeddings import OwnEmbeddings
from tests.api.models import lora

CASE = Path(__file__).parent.parent / "parity" / "cases" / "batch_of_three.json"
NETWORK = "model.diffusion_model."


def checkpoint(seed: int = 0) -> bytes:
    """What tells a Stable Diffusion 1.x checkpoint, and little more."""
    text = f"{NETWORK}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
    return save(
        {
            f"{NETWORK}input_blocks.0.0.weight": np.full((8, 4, 3, 3), seed, np.float32),
            text: np.zeros((8, 768), np.float32),
            "first_stage_model.decoder.conv_in.weight": np.zeros((8, 4, 3, 3), np.float32),
        }
    )


class Running:
    """The service with the real runner, nothing behind it, and two owners."""

    def __init__(
        self, settings: Settings, comfyui_nodes: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        config = RouterConfig(models=ModelsConfig(min_free_bytes=0))
        self.stores = open_stores(settings, config)
        self.library = self.stores.models.library
        self.annotators = AnnotatorFolder.of(settings.models_dir, hub=False)
        self.runner = WorkflowRunner(
            node_types=load_node_types(),
            comfyui_nodes=comfyui_nodes,
            folders=self.library,
            checks=self.stores.models.checks,
            annotators=self.annotators,
            inputs=self.stores.inputs,
            clients=StageClients({}, {}),
            own_embeddings=OwnEmbeddings(self.library, self.stores.models.store.models),
            cache=ResultCache(0),
        )
        self.service = Service(self.runner, self.stores, Limits())
        self._keys = Keys(self.stores.database)
        access = KeyAccess(self._keys, Rates(), reading_rate="")
        self._app = create_app(self.service, access, manage_service=False)

    async def client(self, owner: str) -> httpx.AsyncClient:
        key, _ = await self._keys.create(owner, KeyTerms(("execute", "read", "models")))
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self._app),
            base_url="http://here:8000",
            headers={"X-API-Key": key},
        )


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    settings = Settings(models_dir=tmp_path / "models", data_dir=tmp_path / "data")
    opened = Running(settings)
    await opened.service.open()
    yield opened
    await opened.service.close()


async def added(client: httpx.AsyncClient, content: bytes, name: str = "m.safetensors") -> str:
    answer = await client.post("/api/v7/models", files={"file": (name, content)})
    return str(answer.json()["model"]["id"])


async def dry_run(client: httpx.AsyncClient, workflow: dict[str, Any]) -> dict[str, Any]:
    body = {"workflow": workflow, "dry_run": True}
    return dict((await client.post("/api/v7/comfyui/execute", json=body)).json())


def workflow(ckpt_name: str, lora_name: str) -> dict[str, Any]:
    """The parity case, with a LoRA in between, over the models named."""
    nodes: dict[str, Any] = json.loads(CASE.read_text())
    loader = next(i for i, n in nodes.items() if n["class_type"] == "CheckpointLoaderSimple")
    nodes[loader]["inputs"]["ckpt_name"] = ckpt_name
    nodes["lora"] = {
        "class_type": "LoraLoader",
        "inputs": {
            "model": [loader, 0],
            "clip": [loader, 1],
            "lora_name": lora_name,
            "strength_model": 1.0,
            "strength_clip": 1.0,
        },
    }
    sampler = next(n for n in nodes.values() if n["class_type"] == "KSampler")
    sampler["inputs"]["model"] = ["lora", 0]
    return nodes


async def test_a_model_is_called_by_its_id_by_its_owner_alone(running: Running) -> None:
    async with await running.client("alice") as alice, await running.client("bob") as bob:
        base, style = await added(alice, checkpoint()), await added(alice, lora())
        wanted = workflow(base, style)
        assert (await dry_run(alice, wanted))["status"] == "success"

        refused = await dry_run(bob, wanted)
        same = await dry_run(bob, workflow(f"mdl_{'0' * 20}", f"mdl_{'1' * 20}"))
        assert [e["code"] for e in refused["errors"]] == ["value_not_in_list"] * 2
        assert [e["expected"] for e in refused["errors"]] == [e["expected"] for e in same["errors"]]

        hers, his = [
            (await client.get("/object_info/LoraLoader")).json()["LoraLoader"]["input"]["required"][
                "lora_name"
            ][0]
            for client in (alice, bob)
        ]
        assert (hers, his) == ([style], [])
        await alice.delete(f"/api/v7/models/{style}")
        assert (await dry_run(alice, wanted))["errors"][0]["code"] == "value_not_in_list"


async def test_descriptions_of_two_owners_differ_and_lead_replicas_to_their_files(
    running: Running, tmp_path: Path
) -> None:
    async with await running.client("alice") as alice, await running.client("bob") as bob:
        found = {}
        for owner, client in (("alice", alice), ("bob", bob)):
            model_id = await added(client, checkpoint())
            found[owner] = running.library.find_for(owner, "checkpoints", model_id)
        assert found["alice"] != found["bob"]
        replica = Site(tmp_path / "models", tmp_path / "data" / "models")
        for owner, file in found.items():
            path = replica.library().path(file)
            assert path.parent == tmp_path / "data" / "models" / owner / "checkpoints"
            assert path.read_bytes() == checkpoint()


async def words(running: Running, owner: str, prompt: str) -> dict[str, ModelFile]:
    """The owner's own embeddings that the encoder of a prompt is told of."""
    nodes: dict[str, Any] = json.loads(CASE.read_text())
    loader = next(n for n in nodes.values() if n["class_type"] == "CheckpointLoaderSimple")
    loader["inputs"]["ckpt_name"] = "base.safetensors"
    for node in nodes.values():
        if node["class_type"] == "CLIPTextEncode":
            node["inputs"]["text"] = prompt
    prepared = await running.runner.prepare(owner, {"workflow": nodes})
    assert prepared.folded is not None
    steps = [s for s in prepared.folded.steps.values() if s.class_type == "CLIPTextEncode"]
    assert steps
    return {
        name: file for step in steps for name, file in step.constants["clip"].private_embeddings
    }


async def test_an_own_embedding_is_found_by_its_owners_prompts_alone(
    running: Running, tmp_path: Path
) -> None:
    shared = tmp_path / "models" / "checkpoints"
    shared.mkdir(parents=True)
    (shared / "base.safetensors").write_bytes(checkpoint())
    content = save({"emb_params": np.ones((2, 768), np.float32)})
    async with await running.client("alice") as alice:
        answer = await alice.post("/api/v7/models", files={"file": ("ink.safetensors", content)})
        model = answer.json()["model"]
        assert (model["kind"], model["folder"]) == ("embedding", "embeddings")
        file = running.library.find_for("alice", "embeddings", model["id"])
        for name in (model["id"], "ink", "ink.safetensors"):
            assert (await words(running, "alice", f"a fox, embedding:{name}"))[name] == file
            assert await words(running, "bob", f"a fox, embedding:{name}") == {}
        assert await words(running, "alice", "a fox in ink") == {}
        await alice.delete(f"/api/v7/models/{model['id']}")
        assert await words(running, "alice", "embedding:ink") == {}


async def test_of_two_embeddings_of_one_name_the_one_that_runs_is_checked(
    running: Running, tmp_path: Path
) -> None:
    shared = tmp_path / "models" / "embeddings" / "ink.safetensors"
    base = tmp_path / "models" / "checkpoints" / "base.safetensors"
    content = save({"emb_params": np.ones((2, 768), np.float32)})
    for path, written in ((base, checkpoint()), (shared, b"no tensors at all")):
        path.parent.mkdir(parents=True)
        path.write_bytes(written)
    async with await running.client("alice") as alice:
        model_id = await added(alice, content, "ink.safetensors")
    own = running.library.find_for("alice", "embeddings", model_id)
    assert await words(running, "alice", "embedding:ink") == {"ink": own}
    with pytest.raises(WorkflowInvalidError) as refused:
        await words(running, "bob", "embedding:ink")
    assert {problem.code for problem in refused.value.problems} == {"bad_model_file"}

    running.library.path(own).write_bytes(b"no tensors any more")
    shared.with_name("oil.safetensors").write_bytes(content)
    assert await words(running, "alice", "embedding:oil") == {}
    with pytest.raises(WorkflowInvalidError):
        await words(running, "alice", "embedding:ink")


async def test_a_replica_reads_an_own_embedding_and_knows_no_other_way_to_it(
    running: Running, tmp_path: Path
) -> None:
    from diffusion.text.embeddings import EmbeddingFiles, Lookup  # noqa: PLC0415 - torch

    content = save({"emb_params": np.ones((2, 768), np.float32)})
    async with await running.client("alice") as alice:
        model_id = await added(alice, content, "ink.safetensors")
    own = await running.runner.own_embeddings.of("alice")  # type: ignore[union-attr]
    replica = Site(tmp_path / "models", tmp_path / "data" / "models")
    vectors = EmbeddingFiles(replica.finder(), replica.opener())("l", 768)
    found = Lookup(vectors, "l", own)("ink")
    assert found is not None
    assert found.shape == (2, 768)
    for name in ("ink", model_id, f"alice/{model_id}", f"../alice/embeddings/{model_id}"):
        assert Lookup(vectors, "l")(name) is None
