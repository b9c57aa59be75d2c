"""Prompts that cannot run, told in ComfyUI's shapes and words, against the real runner."""

from typing import Any

import httpx
import pytest

from tests.deployments.test_problems import client, models, node, square

__all__ = ["client", "models"]  # fixtures
Document = dict[str, Any]


def drawing(**sampler: Any) -> Document:
    """A picture drawn with the checkpoint; an input of None is left out."""
    inputs = {
        "model": ["1", 0], "positive": ["2", 0], "negative": ["3", 0], "latent_image": ["4", 0],
        "seed": 1, "steps": 2, "cfg": 4.0, "sampler_name": "euler", "scheduler": "normal",
        "denoise": 1.0,
    }  # fmt: skip
    given = {name: value for name, value in {**inputs, **sampler}.items() if value is not None}
    return {
        "1": node("CheckpointLoaderSimple", ckpt_name="base.safetensors"),
        "2": node("CLIPTextEncode", text="a fox", clip=["1", 1]),
        "3": node("CLIPTextEncode", text="", clip=["1", 1]),
        "4": node("EmptyLatentImage", width=64, height=64, batch_size=1),
        "5": node("KSampler", **given),
        "6": node("VAEDecode", samples=["5", 0], vae=["1", 2]),
        "7": node("SaveImage", images=["6", 0], filename_prefix="x"),
    }


async def refused(client: httpx.AsyncClient, prompt: Document, **more: Any) -> Document:
    answer = await client.post("/prompt", json={"prompt": prompt, **more})
    assert answer.status_code == 400, answer.text
    return dict(answer.json())


async def test_every_problem_is_told_at_its_node_and_input(client: httpx.AsyncClient) -> None:
    wrong = {"sampler_name": "nope", "steps": 0, "cfg": "many", "latent_image": ["1", 0]}
    prompt = drawing(**wrong, scheduler=None, denoise=2.5)
    prompt["3"]["inputs"]["clip"] = ["1"]
    body = await refused(client, prompt)
    assert body["error"] == {
        "type": "prompt_outputs_failed_validation",
        "message": "Prompt outputs failed validation",
        "details": "",
        "extra_info": {},
    }
    assert set(body["node_errors"]) == {"3", "5"}
    sampler = body["node_errors"]["5"]
    assert (sampler["class_type"], sampler["dependent_outputs"]) == ("KSampler", ["7"])
    found = {error["extra_info"]["input_name"]: error for error in sampler["errors"]}
    told = {name: (one["type"], one["message"], one["details"]) for name, one in found.items()}
    assert told["steps"] == ("value_smaller_than_min", "Value 0 smaller than min of 1", "steps")
    assert told["denoise"][:2] == ("value_bigger_than_max", "Value 2.5 bigger than max of 1.0")
    kind, message, details = told["cfg"]
    assert (kind, message) == (
        "invalid_input_type",
        "Failed to convert an input value to a FLOAT value",
    )
    assert details.startswith("cfg, many, ")
    assert told["scheduler"] == (
        "required_input_missing",
        "Required input is missing",
        "scheduler",
    )
    assert told["latent_image"] == (
        "return_type_mismatch",
        "Return type mismatch between linked nodes",
        "latent_image, received_type(MODEL) mismatch input_type(LATENT)",
    )
    assert told["sampler_name"][0:2] == ("value_not_in_list", "Value not in list")
    assert "'nope' not in (list of length " in told["sampler_name"][2]
    assert found["steps"]["extra_info"]["received_value"] == 0
    assert found["steps"]["extra_info"]["input_config"][0] == "INT"
    assert found["sampler_name"]["extra_info"]["input_config"] is None
    assert found["latent_image"]["extra_info"]["linked_node"] == ["1", 0]
    (link,) = body["node_errors"]["3"]["errors"]
    assert link["type"] == "bad_linked_input"
    assert link["extra_info"]["received_value"] == ["1"]


async def test_an_outputs_own_errors_are_in_the_details(client: httpx.AsyncClient) -> None:
    body = await refused(client, {"3": node("PreviewImage")})
    assert body["error"]["details"] == "Required input is missing: images"


@pytest.mark.parametrize("name", ["nope.png", "nope.png [output]", "nope.png [temp]"])
async def test_a_picture_that_is_not_there(client: httpx.AsyncClient, name: str) -> None:
    prompt = {"1": node("LoadImage", image=name), "2": node("PreviewImage", images=["1", 0])}
    (error,) = (await refused(client, prompt))["node_errors"]["1"]["errors"]
    assert error["type"] == "custom_validation_failed"
    assert error["message"] == "Custom validation failed for node"
    assert error["extra_info"] == {"input_name": "image"}
    assert "nope.png" in error["details"]


async def test_unknown_nodes_in_the_newer_words(client: httpx.AsyncClient) -> None:
    prompt = {"4": {**node("NoSuchNode"), "_meta": {"title": "T"}}}
    error = (await refused(client, prompt))["error"]
    assert error["type"] == "missing_node_type"
    facts = {"node_id": "4", "class_type": "NoSuchNode", "node_title": "T"}
    assert error["extra_info"] == facts


@pytest.mark.parametrize("targets", [["1"], [], ["no such node"]])
async def test_targets_that_are_no_outputs(client: httpx.AsyncClient, targets: list[str]) -> None:
    body = await refused(client, square(), partial_execution_targets=targets)
    assert body["error"]["type"] == "prompt_no_outputs"


async def test_what_can_run_is_accepted_and_the_rest_is_told(client: httpx.AsyncClient) -> None:
    prompt = square() | {"3": node("PreviewImage"), "4": node("PreviewImage", images=["1", 0])}
    answer = await client.post("/prompt", json={"prompt": prompt, "client_id": "c"})
    assert answer.status_code == 200
    errors = answer.json()["node_errors"]
    assert list(errors) == ["3"]
    assert errors["3"]["errors"][0]["type"] == "required_input_missing"
    assert errors["3"]["dependent_outputs"] == ["3"]
    queue = (await client.get("/queue")).json()
    (item,) = queue["queue_running"] or queue["queue_pending"]
    assert item[4] == ["2", "4"]


async def test_values_are_converted_unwrapped_or_ignored(client: httpx.AsyncClient) -> None:
    prompt = {
        "1": node("EmptyImage", width="16", height=16.0, batch_size=1, color={"__value__": 255}),
        "2": node("PreviewImage", images=["1", 0], no_such_input="x"),
    }
    answer = await client.post("/prompt", json={"prompt": prompt})
    assert (answer.status_code, answer.json()["node_errors"]) == (200, {})


@pytest.mark.parametrize("value", [None, 7, "x", [], {"a": []}, ["1", 0, 0], True])
async def test_any_value_anywhere_is_no_fault_of_ours(
    client: httpx.AsyncClient, value: object
) -> None:
    for prompt in (
        {"1": value},
        {"1": {"class_type": value}},
        {"1": node("SaveImage", images=value)},
    ):
        answer = await client.post("/prompt", json={"prompt": prompt, "extra_data": value})
        assert answer.status_code == 400
        assert answer.json()["error"]["type"]
    for field in ("client_id", "number", "front", "partial_execution_targets", "prompt_id"):
        unknown = {"1": node("NoSuchNode")}
        answer = await client.post("/prompt", json={"prompt": unknown, field: value})
        assert answer.status_code == 400
