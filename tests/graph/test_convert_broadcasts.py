"""Links that nodes of packs make without a line: Use Everywhere, SetNode and GetNode."""

from collections.abc import Mapping
from typing import Any

import pytest

from graph.comfyui_nodes import load_comfyui_nodes
from graph.prompt import Source, Workflow, WorkflowTooLarge
from graph.ui import convert_ui
from tests.graph.ui_files import document, node

KNOWN = load_comfyui_nodes()
LOADER = node(1, "CheckpointLoaderSimple", ["a"], outputs=["MODEL", "CLIP", "VAE"])
POSITIVE = node(2, "CLIPTextEncode", ["p"], inputs=[("clip", "CLIP", None)], outputs=["C"])
DECODE = node(3, "VAEDecode", inputs=[("samples", "LATENT", None), ("vae", "VAE", None)])


def sender(node_id: int, *inputs: tuple[str, str, int | None], **more: Any) -> dict[str, Any]:
    properties = {"ue_properties": {"version": "7.0", **more.pop("rules", {})}}
    kind = more.pop("kind", "Anything Everywhere")
    return node(node_id, kind, inputs=inputs, **{"properties": properties, **more})


def converted(*nodes: dict[str, Any], links: list[Any], **more: Any) -> Workflow:
    return convert_ui(document(list(nodes), links, **more), KNOWN)


CLIP = [1, 1, 1, 9, 0, "CLIP"]
EVERYWHERE = sender(9, ("anything", "CLIP", 1))


def test_a_value_is_sent_to_every_open_input_of_its_type() -> None:
    found = converted(LOADER, POSITIVE, DECODE, EVERYWHERE, links=[CLIP])
    assert found.nodes["2"].inputs["clip"] == Source("1", 1)
    assert "vae" not in found.nodes["3"].inputs
    assert "9" not in found.nodes


def test_several_values_go_by_type() -> None:
    both = sender(9, ("anything", "CLIP", 1), ("anything2", "VAE", 2), ("anything3", "*", None))
    found = converted(LOADER, POSITIVE, DECODE, both, links=[CLIP, [2, 1, 2, 9, 1, "VAE"]])
    assert found.nodes["2"].inputs["clip"] == Source("1", 1)
    assert found.nodes["3"].inputs["vae"] == Source("1", 2)


@pytest.mark.parametrize("mode", [2, 4])
def test_a_sender_that_is_off_sends_nothing(mode: int) -> None:
    found = converted(LOADER, POSITIVE, {**EVERYWHERE, "mode": mode}, links=[CLIP])
    assert "clip" not in found.nodes["2"].inputs


def test_an_input_that_is_linked_keeps_its_link() -> None:
    own = node(4, "CLIPLoader", ["x", "sdxl"], outputs=["CLIP"])
    linked = node(2, "CLIPTextEncode", ["p"], inputs=[("clip", "CLIP", 7)])
    found = converted(LOADER, own, linked, EVERYWHERE, links=[CLIP, [7, 4, 0, 2, 0, "CLIP"]])
    assert found.nodes["2"].inputs["clip"] == Source("4", 0)


@pytest.mark.parametrize(
    ("rules", "sent"),
    [
        ({"title_regex": "^Pos"}, True),
        ({"title_regex": "neg"}, False),
        ({"title_regex": "neg", "title_regex_invert": True}, True),
        ({"input_regex": "cl.p"}, True),
        ({"input_regex": "model"}, False),
        ({"title_regex": "(a+)+b"}, False),
        ({"title_regex": "("}, True),
        ({"group_regex": "Texts"}, True),
        ({"group_regex": "Others"}, False),
        ({"group_restricted": 1}, False),
        ({"group_restricted": 2}, True),
        ({"color_restricted": 1}, False),
        ({"color_restricted": 2}, True),
    ],
)
def test_rules_say_where_a_value_is_sent(rules: Mapping[str, Any], sent: bool) -> None:
    text = {**POSITIVE, "title": "Positive", "pos": [20, 50], "size": [10, 10], "color": "#123"}
    far = sender(9, ("anything", "CLIP", 1), rules=rules, pos=[500, 500], size=[10, 10])
    frames = [
        {"title": "Texts", "bounding": [0, 0, 100, 100]},
        {"title": "Others", "bounding": [400, 400, 200, 200]},
    ]
    found = converted(LOADER, text, far, links=[CLIP], groups=frames)
    assert ("clip" in found.nodes["2"].inputs) is sent


def test_rules_of_before_version_7_are_in_the_widgets() -> None:
    old = node(9, "Anything Everywhere?", ["neg", "", ""], inputs=[("anything", "*", 1)])
    assert "clip" not in converted(LOADER, POSITIVE, old, links=[CLIP]).nodes["2"].inputs
    old["widgets_values"] = ["CLIP", ".*", ".*"]
    assert "clip" in converted(LOADER, POSITIVE, old, links=[CLIP]).nodes["2"].inputs


def test_the_highest_priority_sends_and_of_equal_ones_none() -> None:
    other = node(4, "CLIPLoader", ["x", "sdxl"], outputs=["CLIP"])
    second = sender(8, ("anything", "CLIP", 2))
    links = [CLIP, [2, 4, 0, 8, 0, "CLIP"]]
    tied = converted(LOADER, POSITIVE, other, EVERYWHERE, second, links=links)
    assert "clip" not in tied.nodes["2"].inputs
    assert "8" in tied.warnings[0]
    second["properties"]["ue_properties"]["priority"] = 50
    found = converted(LOADER, POSITIVE, other, EVERYWHERE, second, links=links)
    assert found.nodes["2"].inputs["clip"] == Source("4", 0)


def test_prompts_go_to_inputs_named_for_them() -> None:
    slots = [("model", "MODEL", None), ("positive", "C", None), ("negative", "C", None)]
    sampler = node(5, "KSampler", [1, "fixed", 20, 8, "euler", "normal", 1], inputs=slots)
    negative = {**POSITIVE, "id": 4}
    prompts = sender(9, ("+ve", "*", 1), ("-ve", "*", 2), kind="Prompts Everywhere")
    links = [[1, 2, 0, 9, 0, "C"], [2, 4, 0, 9, 1, "C"]]
    inputs = converted(POSITIVE, negative, sampler, prompts, links=links).nodes["5"].inputs
    assert (inputs["positive"], inputs["negative"]) == (Source("2", 0), Source("4", 0))


@pytest.mark.parametrize("allowed", [True, False])
def test_a_seed_goes_to_widgets_that_take_it(allowed: bool) -> None:
    properties = {"ue_properties": {"version": "7", "widget_ue_connectable": {"seed": allowed}}}
    sampler = node(5, "KSampler", [1, "fixed", 20], inputs=[("seed", "INT", None, "seed")])
    seeds = node(9, "Seed Everywhere", [77, "fixed"], outputs=["INT"])
    found = converted({**sampler, "properties": properties}, seeds, links=[])
    assert found.nodes["5"].inputs["seed"] == (Source("9", 0) if allowed else 1)
    assert (found.nodes["9"].class_type, found.nodes["9"].inputs["value"]) == ("PrimitiveInt", 77)


def test_a_sender_in_a_subgraph_sends_what_its_input_is_fed_with() -> None:
    inner = {
        "id": "s",
        "nodes": [{**POSITIVE, "id": 31}, sender(32, ("anything", "*", 1))],
        "links": [{"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 32, "target_slot": 0}],
        "inputs": [{"name": "clip", "type": "CLIP", "linkIds": [1]}],
        "outputs": [],
    }
    instance = node(2, "s", inputs=[("clip", "CLIP", 5)])
    links = [[5, 1, 1, 2, 0, "CLIP"]]
    found = converted(LOADER, instance, links=links, definitions={"subgraphs": [inner]})
    assert found.nodes["2:31"].inputs["clip"] == Source("1", 1)


def test_senders_without_end_are_refused() -> None:
    senders = [sender(k, ("anything", "CLIP", 1)) for k in range(2, 4_000)]
    with pytest.raises(WorkflowTooLarge):
        converted(LOADER, *senders, links=[CLIP])


SETTERS = [("SetNode", "GetNode"), ("easy setNode", "easy getNode")]


@pytest.mark.parametrize(("setter", "getter"), SETTERS)
def test_a_getter_takes_what_the_setter_of_its_name_is_fed_with(setter: str, getter: str) -> None:
    nodes = [
        LOADER,
        node(4, setter, ["other"], inputs=[("CLIP", "CLIP", None)]),
        node(5, setter, ["clip"], inputs=[("CLIP", "CLIP", 1)], outputs=["CLIP"]),
        node(6, getter, ["clip"], outputs=["CLIP"]),
        node(2, "CLIPTextEncode", ["p"], inputs=[("clip", "CLIP", 2)]),
        node(3, "CLIPTextEncode", ["p"], inputs=[("clip", "CLIP", 3)]),
    ]
    links = [[1, 1, 1, 5, 0], [2, 6, 0, 2, 0], [3, 5, 0, 3, 0]]
    found = converted(*nodes, links=links)
    assert found.nodes["2"].inputs["clip"] == Source("1", 1)
    assert found.nodes["3"].inputs["clip"] == Source("1", 1)
    assert set(found.nodes) == {"1", "2", "3"}


def test_a_getter_in_a_subgraph_asks_the_graphs_around_it() -> None:
    inner = {
        "id": "s",
        "nodes": [
            node(31, "GetNode", ["clip"], outputs=["CLIP"]),
            node(32, "CLIPTextEncode", ["p"], inputs=[("clip", "CLIP", 1)]),
        ],
        "links": [{"id": 1, "origin_id": 31, "origin_slot": 0, "target_id": 32, "target_slot": 0}],
    }
    nodes = [LOADER, node(5, "SetNode", ["clip"], inputs=[("CLIP", "CLIP", 1)]), node(2, "s")]
    found = converted(*nodes, links=[[1, 1, 1, 5, 0]], definitions={"subgraphs": [inner]})
    assert found.nodes["2:32"].inputs["clip"] == Source("1", 1)
