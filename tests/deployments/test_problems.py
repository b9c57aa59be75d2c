"""Wrong requests against the real runner: all that is wrong is told, and nothing is a 5xx."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployments.settings import Settings
from graph.comfyui_nodes import load_comfyui_nodes
from tests.deployments.test_private_models import Running, checkpoint

API = "/api/v7/comfyui"
Document = dict[str, Any]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "base.safetensors").write_bytes(checkpoint())
    return folder


@pytest.fixture
async def client(models: Path, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    running = Running(Settings(models_dir=models, data_dir=tmp_path), load_comfyui_nodes())
    await running.service.open()
    async with await running.client("alice") as client:
        yield client
    await running.service.close()


def node(class_type: str, **inputs: Any) -> Document:
    return {"class_type": class_type, "inputs": inputs}


def square() -> Document:
    """A workflow that needs no model."""
    return {
        "1": node("EmptyImage", width=64, height=64, batch_size=1, color=255),
        "2": node("SaveImage", images=["1", 0], filename_prefix="x"),
    }


async def dry(client: httpx.AsyncClient, document: Any, **fields: Any) -> Document:
    body = {"workflow": document, "dry_run": True, **fields}
    return dict((await client.post(f"{API}/execute", json=body)).json())


async def test_skipped_outputs_are_named_and_strict_refuses(client: httpx.AsyncClient) -> None:
    loaded = node("VAELoader", vae_name="none.safetensors")
    document = square() | {
        "3": node("Save Text File", images=["1", 0]),
        "4": node("SaveGLB", mesh=["1", 0]),
        "5": loaded,
        "6": node("VAEDecode", samples=["7", 0], vae=["5", 0]),
        "7": node("EmptyLatentImage", width=64, height=64, batch_size=1),
        "8": node("PreviewImage", images=["6", 0]),
        "9": node("SaveImage", images=["1", 0], filename_prefix=["a"]),
    }
    answer = await dry(client, document)
    assert answer["status"] == "success"
    found = {one["node_id"]: (one["class_type"], one["pack"]) for one in answer["skipped"]}
    assert found == {
        "3": ("Save Text File", "was-node-suite-comfyui"),
        "4": ("SaveGLB", "comfy-core"),
        "8": ("PreviewImage", None),
        "9": ("SaveImage", None),
    }
    assert all(one["errors"] for one in answer["skipped"])
    assert "Save Text File" in json.dumps(answer["meta"]["warnings"])
    assert [one["node_id"] for one in answer["missing_nodes"]] == ["3", "4"]
    (model,) = answer["missing_models"]
    assert (model["folder"], model["name"], model["node_id"]) == ("vae", "none.safetensors", "5")
    refused = await dry(client, document, strict=True)
    assert {one["node_id"] for one in refused["errors"]} == {"3", "4", "5", "9"}
    assert [one["node_id"] for one in refused["missing_nodes"]] == ["3", "4"]


async def test_every_problem_is_told_with_every_field(client: httpx.AsyncClient) -> None:
    document = square() | {
        "3": {"inputs": {"images": ["1", 0]}},
        "4": 7,
        "5": node("ImageInvert", image=["5", 0]),
        "6": node("SaveImage", images=["5", 0], filename_prefix="y"),
        "7": node("CheckpointLoaderSimple", ckpt_name="bas.safetensors"),
        "8": node("VAEDecode", samples=["77", 0], vae=["7", 2]),
        "9": node("SaveImage", images=["8", 0], filename_prefix="z"),
        "10": node("No such node", images=["8", 0]),
    }
    answer = await dry(client, document, inputs={"1.widht": 3, "99.x": 1, "1.width": 0})
    found = {(one.get("node_id"), one["code"]) for one in answer["errors"]}
    assert found == {
        ("3", "invalid_prompt"),
        ("4", "invalid_prompt"),
        (None, "override_not_found"),
        ("1", "value_smaller_than_min"),
        ("5", "dependency_cycle"),
        ("7", "value_not_in_list"),
        ("8", "bad_linked_input"),
        ("10", "missing_node_type"),
    }
    fields = {"code", "message", "node_id", "class_type", "input", "expected", "received"}
    assert all(
        fields | {"suggestion", "dependent_outputs"} <= one.keys() for one in answer["errors"]
    )
    near = {one["suggestion"] for one in answer["errors"]}
    assert {"1.width", "base.safetensors"} <= near


def ui_node(number: int, kind: str, link: int | None = None, *values: Any) -> Document:
    slots = [] if link is None else [{"name": "images", "type": "IMAGE", "link": link}]
    outputs = [] if kind == "SaveImage" else [{"name": "IMAGE", "type": "IMAGE", "links": []}]
    facts = {"id": number, "type": kind, "mode": 0, "inputs": slots, "outputs": outputs}
    return facts | {"widgets_values": list(values), "properties": {"cnr_id": "some-pack"}}


async def test_broken_links_of_an_editors_file_are_told_with_the_rest(
    client: httpx.AsyncClient,
) -> None:
    nodes = [
        ui_node(1, "EmptyImage", None, 64, 64, 1, 255),
        ui_node(2, "SaveImage", 7, "x"),
        ui_node(3, "SaveImage", 99, "y"),
        ui_node(4, "Odd Saver", 8),
    ]
    links = [[7, 1, 0, 2, 0, "IMAGE"], [8, 1, 0, 4, 0, "IMAGE"]]
    document = {"nodes": nodes, "links": links, "version": 0.4}
    answer = await dry(client, document)
    assert answer["status"] == "success"
    assert [(one["node_id"], one["pack"]) for one in answer["skipped"]] == [
        ("3", "some-pack"),
        ("4", "some-pack"),
    ]
    (broken,) = answer["skipped"][0]["errors"]
    assert (broken["code"], broken["input"]) == ("bad_linked_input", "images")
    refused = await dry(client, document, strict=True, inputs={"2.x": 1})
    assert [one["code"] for one in refused["errors"]] == [
        "override_not_found",
        "bad_linked_input",
        "missing_node_type",
    ]


async def test_the_schema_names_what_is_missing(client: httpx.AsyncClient) -> None:
    document = square() | {
        "3": node("Fancy (rgthree)"),
        "4": node("VAELoader", vae_name="none.safetensors"),
        "5": node("UnetLoaderGGUF", unet_name="none.gguf"),
    }
    answer = (await client.post(f"{API}/schema", json={"prompt": document})).json()
    assert [one["pack"] for one in answer["missing_nodes"]] == ["rgthree-comfy"]
    missing = [(one["folder"], one["name"]) for one in answer["missing_models"]]
    assert missing == [("vae", "none.safetensors"), ("diffusion_models", "none.gguf")]
    assert answer["properties"]["1.width"]["default"] == 64


async def test_a_private_url_is_refused_although_other_outputs_could_run(
    client: httpx.AsyncClient,
) -> None:
    document = square() | {
        "3": node("LoadImage", image="http://127.0.0.1:9/x.png"),
        "4": node("SaveImage", images=["3", 0], filename_prefix="y"),
    }
    answer = await dry(client, document)
    (problem,) = answer["errors"]
    assert (problem["code"], problem["node_id"], problem["input"]) == ("url_refused", "3", "image")
    assert "COMFYRAY_ALLOWED_HOSTS" in problem["message"]


@pytest.mark.parametrize("place", ["value", "key", "class", "node", "list", "override", "many"])
async def test_no_answer_repeats_what_is_large(client: httpx.AsyncClient, place: str) -> None:
    long = "\U0001f600A" * 100_000
    document = square()
    inputs: Document = {}
    if place == "value":
        document["1"]["inputs"]["width"] = long
    elif place == "key":
        document["2"] = node("SaveImage", **{long: 1})
    elif place == "class":
        document["2"]["class_type"] = long
    elif place == "node":
        document[long] = node(long, x=[long, 0])
        del document["2"]
    elif place == "list":
        document["1"]["inputs"]["width"] = [[long] * 3] * 3
    elif place == "override":
        inputs = {f"{long}.{long}": long}
    else:
        document |= {f"n{k}": node("SaveImage", images=[long[:1000], k]) for k in range(300)}
        del document["2"]
    body = {"workflow": document, "inputs": inputs, "dry_run": True}
    response = await client.post(f"{API}/execute", json=body)
    assert response.status_code == 422
    assert len(response.content) < 65536
    assert response.json()["errors"]


async def test_many_skipped_outputs_are_all_named_in_a_bounded_answer(
    client: httpx.AsyncClient,
) -> None:
    odd = {f"n{k}": node("Odd" * 100, images=["1", 0], x="y" * 100) for k in range(1000)}
    body = {"workflow": square() | odd, "dry_run": True}
    response = await client.post(f"{API}/execute", json=body)
    answer = response.json()
    assert {one["node_id"] for one in answer["skipped"]} == odd.keys()
    assert all(one["message"].startswith("Output node n") for one in answer["skipped"])
    assert len(answer["meta"]["warnings"]) == 21
    assert len(response.content) < 2**20


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=8,
)
CLASSES = ["EmptyImage", "SaveImage", "KSampler", "LoadImage", "CLIPTextEncode", "Nope", ""]
LINKS = st.tuples(st.sampled_from(["1", "2", "3", "9", 1, 2]), st.integers(-1, 3)).map(list)
NAMES = st.sampled_from(["images", "image", "width", "seed", "text", "filename_prefix", "note"])
NODES = st.fixed_dictionaries(
    {"class_type": st.sampled_from(CLASSES) | JSON, "inputs": st.dictionaries(NAMES, LINKS | JSON)},
    optional={"_meta": JSON},
)
DOCUMENTS = st.dictionaries(st.sampled_from(["1", "2", "3", "4:5"]), NODES | JSON, max_size=4)
FIELDS = st.sampled_from(
    ["inputs", "wait", "webhook", "format", "priority", "prompt", "strict", "x"]
)
PYTHON = ("NoneType", "dict[", "'dict'", "Traceback", "torch", "tuple", "object has no")


@pytest.mark.parametrize("route", ["execute", "schema", "convert"])
async def test_any_json_anywhere_is_no_fault_of_ours(client: httpx.AsyncClient, route: str) -> None:
    bodies: list[Document] = []

    @given(JSON | DOCUMENTS, st.dictionaries(FIELDS, JSON, max_size=2))
    @settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def draw(document: Any, fields: Document) -> None:
        bodies.append({"workflow": document, **fields})

    draw()
    for body in bodies:
        asked = body | {"dry_run": True} if route == "execute" else body
        content = json.dumps(asked).encode()
        response = await client.post(
            f"{API}/{route}", content=content, headers={"Content-Type": "application/json"}
        )
        assert response.status_code < 500, (asked, response.text)
        if not response.is_success:
            assert not [word for word in PYTHON if word in response.json()["message"]], asked
