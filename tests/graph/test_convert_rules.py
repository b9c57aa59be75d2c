"""The rules of the editor's format that the recorded files do not reach."""

from collections.abc import Mapping
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from graph.comfyui_nodes import load_comfyui_nodes
from graph.prompt import (
    DependencyCycle,
    RequiredModel,
    Source,
    WorkflowTooLarge,
    WorkflowUnreadable,
)
from graph.ui import convert_ui
from graph.ui.replacements import choose, fill_in
from tests.graph.ui_files import document, golden, node

KNOWN = load_comfyui_nodes()
SAMPLER = [42, "randomize", 20, 8, "euler", "normal", 1]


def inputs_of(*nodes: dict[str, Any], links: list[Any] | None = None) -> Mapping[str, Any]:
    """The inputs of node 1."""
    return convert_ui(document(list(nodes), links or []), KNOWN).nodes["1"].inputs


@pytest.mark.parametrize("control", ["fixed", "increment-wrap", True, False])
def test_the_control_after_a_seed_is_skipped(control: object) -> None:
    inputs = inputs_of(node(1, "KSampler", [42, control, *SAMPLER[2:]]))
    assert (inputs["seed"], inputs["steps"], inputs["denoise"]) == (42, 20, 1)


def test_junk_in_the_place_of_a_control_is_skipped() -> None:
    assert inputs_of(node(1, "KSampler", [42, [], *SAMPLER[2:]]))["steps"] == 20


def test_values_without_the_control_are_read_and_reported() -> None:
    workflow = convert_ui(document([node(1, "KSampler", [42, *SAMPLER[2:]])]), KNOWN)
    assert workflow.nodes["1"].inputs["sampler_name"] == "euler"
    assert "Node 1 (KSampler)" in workflow.repairs[0]


def test_values_with_a_control_that_the_type_does_not_have_are_read_and_reported() -> None:
    workflow = convert_ui(document([node(1, "EmptyLatentImage", [512, "fixed", 768, 2])]), KNOWN)
    assert dict(workflow.nodes["1"].inputs) == {"width": 512, "height": 768, "batch_size": 2}
    assert workflow.repairs


def test_an_upload_slot_is_not_an_input() -> None:
    assert dict(inputs_of(node(1, "LoadImage", ["x.png", "image"]))) == {"image": "x.png"}


def test_too_many_values_are_ignored_and_missing_ones_are_defaults() -> None:
    assert dict(inputs_of(node(1, "EmptyLatentImage", [64, 64, 1, 9, "x"])))["batch_size"] == 1
    assert dict(inputs_of(node(1, "EmptyLatentImage", [64])))["height"] == 512


def test_values_by_name_are_read_only_where_there_are_no_positions() -> None:
    named = {"seed": 1, "control_after_generate": "fixed", "steps": 2}
    inputs = inputs_of(node(1, "KSampler", SAMPLER, widgets_values_named=named))
    assert (inputs["seed"], inputs["steps"], inputs["cfg"]) == (42, 20, 8)
    inputs = inputs_of(node(1, "KSampler", widgets_values_named=named))
    assert (inputs["seed"], inputs["steps"], inputs["cfg"]) == (1, 2, 8)


def test_an_object_of_values_is_read_for_custom_nodes_only() -> None:
    facts = {"input": {"required": {"rate": ["FLOAT", {"default": 8}]}}}
    saved = document([node(1, "Video", {"rate": 24})])
    custom = convert_ui(saved, {"Video": {**facts, "python_module": "custom_nodes.video"}})
    assert custom.nodes["1"].inputs == {"rate": 24}
    assert convert_ui(saved, {"Video": facts}).nodes["1"].inputs == {"rate": 24}
    core = convert_ui(saved, {"Video": {**facts, "python_module": "comfy_extras.nodes_video"}})
    assert core.nodes["1"].inputs == {"rate": 8}
    assert core.warnings


@pytest.mark.parametrize(
    ("saved", "read"), [("Euler", "euler"), ("sample_euler", "euler"), ("eulr", "eulr")]
)
def test_a_choice_is_mended_where_only_its_spelling_differs(saved: str, read: str) -> None:
    assert (
        inputs_of(node(1, "KSampler", [*SAMPLER[:4], saved, *SAMPLER[5:]]))["sampler_name"] == read
    )


def test_a_null_choice_is_the_first() -> None:
    inputs = inputs_of(node(1, "KSampler", [*SAMPLER[:4], None, None, 1]))
    assert (inputs["sampler_name"], inputs["scheduler"]) == ("euler", "simple")


def test_an_input_that_is_forced_has_no_widget() -> None:
    facts = {"A": {"input": {"required": {"x": ["INT", {"forceInput": True}], "y": ["INT", {}]}}}}
    assert convert_ui(document([node(1, "A", [5])]), facts).nodes["1"].inputs == {"y": 5}


def test_links_of_version_1_are_read() -> None:
    link = {"id": 1, "origin_id": 2, "origin_slot": 1, "target_id": 1, "target_slot": 0}
    nodes = [
        node(1, "CLIPTextEncode", ["x"], inputs=[("clip", "CLIP", 1)]),
        node(2, "CheckpointLoaderSimple", ["a"]),
    ]
    assert inputs_of(*nodes, links=[link])["clip"] == Source("2", 1)


def test_inputs_that_the_file_leaves_out_come_from_the_links() -> None:
    text = node(1, "CLIPTextEncode", ["x"])
    del text["inputs"]
    links = [None, [7, 2, 1, 1, 0, "CLIP"]]
    assert inputs_of(text, node(2, "CheckpointLoaderSimple"), links=links)["clip"] == Source("2", 1)


def test_of_two_links_to_one_input_the_last_counts() -> None:
    text = node(1, "CLIPTextEncode", ["x"])
    text["inputs"] = [{"name": "clip", "type": "CLIP"}]
    links = [[7, 2, 1, 1, 0, "CLIP"], [8, 3, 1, 1, 0, "CLIP"]]
    loaders = [node(2, "CheckpointLoaderSimple"), node(3, "CheckpointLoaderSimple")]
    assert inputs_of(text, *loaders, links=links)["clip"] == Source("3", 1)


@pytest.mark.parametrize("links", [[], [[5, 99, 0, 1, 0, "CLIP"]]])
def test_a_link_from_nowhere_names_node_and_input(links: list[Any]) -> None:
    text = node(1, "CLIPTextEncode", ["x"], inputs=[("clip", "CLIP", 5)])
    (problem,) = convert_ui(document([text], links), KNOWN).broken_links
    assert (problem.code, problem.class_type) == ("bad_linked_input", "CLIPTextEncode")
    assert str(problem).startswith("Node 1, input 'clip': ")
    assert str(problem).endswith("is not in the file.")


def test_reroutes_in_a_circle_are_a_cycle() -> None:
    nodes = [
        node(1, "CLIPTextEncode", ["x"], inputs=[("clip", "CLIP", 1)]),
        node(2, "Reroute", inputs=[("", "*", 2)], outputs=["*"]),
        node(3, "Reroute", inputs=[("", "*", 3)], outputs=["*"]),
    ]
    links = [[1, 2, 0, 1, 0, "*"], [2, 3, 0, 2, 0, "*"], [3, 2, 0, 3, 0, "*"]]
    (problem,) = convert_ui(document(nodes, links), KNOWN).broken_links
    assert (problem.code, problem.node_id, problem.input) == ("dependency_cycle", "1", "clip")


def test_nodes_linked_by_name_are_followed() -> None:
    nodes = [
        node(1, "CLIPTextEncode", ["x"], inputs=[("clip", "CLIP", 1)]),
        node(2, "GetNode", ["CLIP"], outputs=["CLIP"]),
        node(3, "SetNode", ["CLIP"], inputs=[("CLIP", "CLIP", 2)], outputs=["*"]),
        node(4, "CheckpointLoaderSimple", ["a"]),
    ]
    links = [[1, 2, 0, 1, 0, "CLIP"], [2, 4, 1, 3, 0, "CLIP"]]
    assert inputs_of(*nodes, links=links)["clip"] == Source("4", 1)


@pytest.mark.parametrize(
    ("kinds", "wanted", "passed_on"),
    [
        (["MASK", "IMAGE"], "IMAGE", "second"),
        (["IMAGE", "IMAGE"], "IMAGE", "first"),
        (["MASK", "image,latent"], "IMAGE", "second"),
        (["MASK", "LATENT"], "IMAGE", None),
        (["MASK", "LATENT"], "*", "first"),
    ],
)
def test_a_bypassed_node_passes_on_the_input_of_the_type(
    kinds: list[str], wanted: str, passed_on: str | None
) -> None:
    slots = [("a", kinds[0], 1), ("b", kinds[1], 2)]
    nodes = [
        node(1, "Save", inputs=[("images", wanted, 3)]),
        node(2, "Pass", inputs=slots, outputs=["IMAGE"], mode=4),
        node("first", "A"),
        node("second", "A"),
    ]
    links = [[1, "first", 0, 2, 0], [2, "second", 0, 2, 1], [3, 2, 0, 1, 0]]
    found = inputs_of(*nodes, links=links).get("images")
    assert found == (Source(passed_on, 0) if passed_on else None)


def test_modes_other_than_muted_and_bypassed_run() -> None:
    nodes = [node(mode, "A", mode=mode) for mode in range(5)]
    assert set(convert_ui(document(nodes), {}).nodes) == {"0", "1", "3"}


def test_an_unknown_node_keeps_class_title_and_pack() -> None:
    properties = {"cnr_id": "some-pack", "ver": "1.2", "Node name for S&R": "Odd"}
    saved = node(1, "Odd", [1], title="Mine", properties=properties)
    found = convert_ui(document([saved]), KNOWN).nodes["1"]
    assert (found.class_type, found.title, found.pack) == ("Odd", "Mine", "some-pack@1.2")


def test_models_of_nodes_that_run_are_required() -> None:
    wanted = {"name": "a.safetensors", "directory": "vae", "url": "https://x/a", "hash": "00"}
    nodes = [
        node(1, "VAELoader", ["a.safetensors"], properties={"models": [wanted, wanted]}),
        node(2, "VAELoader", ["b"], properties={"models": [{**wanted, "name": "b"}]}, mode=2),
    ]
    found = convert_ui(document(nodes), KNOWN).models
    assert found == (RequiredModel("a.safetensors", "vae", "https://x/a", "00"),)


def test_app_mode_names_inputs_and_outputs() -> None:
    workflow = convert_ui(golden("30"), KNOWN)
    assert workflow.named_inputs == {"text": ("2", "text"), "seed": ("5", "seed")}
    assert workflow.output_ids == ("7",)


def test_equal_names_in_app_mode_are_told_apart_by_title() -> None:
    saved = golden("16")  # one of its two prompts is titled "Positive"
    saved["extra"] = {"linearData": {"inputs": [[2, "text"], [3, "text"], [99, "x"]]}}
    workflow = convert_ui(saved, KNOWN)
    assert workflow.named_inputs["Positive.text"] == ("2", "text")
    assert "99" in workflow.warnings[0]


def test_proxy_widgets_set_the_nodes_inside() -> None:
    saved = golden("23")
    one, other = (item for item in saved["nodes"] if item["id"] in (4, 6))
    one["properties"]["proxyWidgets"] = [["3", "steps"], ["-1", "seed"], ["3", "cfg"]]
    one["widgets_values"] = [5, 77, None]
    other["properties"]["proxyWidgets"] = [["3", "steps"]]
    other["widgets_values"] = []
    nodes = convert_ui(saved, KNOWN).nodes
    sampler, second = nodes["4:8"].inputs, nodes["6:8"].inputs
    assert (sampler["steps"], sampler["seed"], sampler["cfg"]) == (5, 77, 8)
    assert (second["steps"], second["seed"]) == (20, 42)


def test_inputs_of_an_instance_go_by_name() -> None:
    saved = golden("21")
    instance = next(item for item in saved["nodes"] if item["id"] == 4)
    instance["inputs"].reverse()
    assert convert_ui(saved, KNOWN).to_api() == convert_ui(golden("21"), KNOWN).to_api()


def test_a_subgraph_that_holds_itself_is_a_cycle() -> None:
    saved = golden("21")
    definition = saved["definitions"]["subgraphs"][0]
    definition["nodes"].append(node(77, definition["id"]))
    with pytest.raises(DependencyCycle):
        convert_ui(saved, KNOWN)


def chained(depth: int, width: int) -> dict[str, Any]:
    """Subgraphs that hold the next one `width` times, `depth` deep."""
    subgraphs = [
        {"id": f"s{k}", "name": f"s{k}", "nodes": [node(i, f"s{k + 1}") for i in range(width)]}
        for k in range(depth)
    ]
    return document([node(1, "s0")], definitions={"subgraphs": subgraphs})


@pytest.mark.parametrize(("depth", "width"), [(200, 1), (40, 2)])
def test_subgraphs_that_grow_too_deep_or_too_many_are_refused(depth: int, width: int) -> None:
    with pytest.raises(WorkflowTooLarge):
        convert_ui(chained(depth, width), KNOWN)


def test_a_group_node_shares_out_its_values_and_links() -> None:
    saved = golden("29")
    group = next(item for item in saved["nodes"] if item["id"] == 8)
    group["inputs"] = [{"name": "vae", "type": "VAE", "link": 11}]
    group["widgets_values"] = [640, 480, 2]
    decode = {
        "type": "VAEDecode",
        "inputs": [
            {"name": "samples", "type": "LATENT", "link": None},
            {"name": "vae", "type": "VAE", "link": None},
        ],
        "outputs": [{"name": "IMAGE", "type": "IMAGE"}],
    }
    definition = saved["extra"]["groupNodes"]["mygroup"]
    definition["nodes"][1] = decode
    definition["links"] = [[0, 0, 1, 0, 1, "LATENT"]]
    saved["links"].append([11, 1, 2, 8, 0, "VAE"])
    nodes = convert_ui(saved, KNOWN).nodes
    assert nodes["11:9"].inputs["width"] == 640
    assert nodes["11:10"].inputs == {"samples": Source("11:9", 0), "vae": Source("1", 2)}
    assert nodes["5"].inputs["latent_image"] == Source("11:10", 0)
    assert "8:1" in nodes["11:10"].names


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("a {b|c} d", {"a b d", "a c d"}),
        ("{a|{b|c}}", {"a", "b", "c"}),
        ("{a|b", {"a", "b"}),
        ("a } | b", {"a } | b"}),
        (r"\{a\|b\} (c\)", {r"{a|b} (c\)"}),
        ("a // b\nc /* d\ne */ f", {"a \nc  f"}),
        ("a /* b // c\nd", {"a /* b \nd"}),
        ("/*/ a */b", {"b"}),
        ("", {""}),
    ],
)
def test_dynamic_prompts_draw_one_choice(text: str, drawn: set[str]) -> None:
    assert {choose(text, Random(seed)) for seed in range(60)} == drawn


def test_a_dynamic_prompt_is_drawn_from_the_seed() -> None:
    saved = document([node(1, "CLIPTextEncode", ["{a|b|c|d|e|f|g|h}"])])
    texts = [convert_ui(saved, KNOWN, seed=seed).nodes["1"].inputs["text"] for seed in (1, 1, 2, 3)]
    assert texts[0] == texts[1]
    assert len(set(texts)) > 1


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("%date:yyyy-MM-dd_hh.mm.ss%", "2026-03-04_05.06.07"),
        ("%date:yy M d%", "26 3 4"),
        ("%A.x%", "a_b"),
        ("%A.y% %B.x% %width% 5%", "%A.y% %B.x% %width% 5%"),
    ],
)
def test_replacements_in_file_names(text: str, filled: str) -> None:
    values = {("A", "x"): "a/b"}
    now = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    assert fill_in(text, now, lambda *key: values.get(key)) == filled


def chain(texts: list[dict[str, Any]]) -> dict[str, Any]:
    """400 reroutes in a row, and after them texts that take link 1."""
    reroutes = [node(k, "Reroute", inputs=[("", "*", k)], outputs=["*"]) for k in range(2, 400)]
    links = [[k, k + 1, 0, k, 0, "*"] for k in range(1, 400)]
    return document([*reroutes, *texts, node(400, "Clip")], links)


def test_a_way_that_many_inputs_share_is_followed_once() -> None:
    texts = [node(k, "Text", inputs=[("clip", "CLIP", 1)]) for k in range(1_000, 4_500)]
    nodes = convert_ui(chain(texts), KNOWN).nodes
    assert {nodes[str(k)].inputs["clip"] for k in range(1_000, 4_500)} == {Source("400", 0)}


def test_links_that_take_too_long_to_follow_are_refused() -> None:
    texts = [node(k, "Text", inputs=[("clip", f"C{k}", 1)]) for k in range(1_000, 4_500)]
    with pytest.raises(WorkflowTooLarge):
        convert_ui(chain(texts), KNOWN)


def test_replacements_cannot_blow_up_a_text() -> None:
    nodes = [
        node(1, "CLIPTextEncode", ["x" * 10_000], title="Big"),
        node(2, "SaveImage", ["%Big.text%" * 1_000]),
    ]
    with pytest.raises(WorkflowTooLarge):
        convert_ui(document(nodes), KNOWN)


def test_an_id_that_two_nodes_come_to_have_is_refused() -> None:
    saved = golden("21")
    saved["nodes"].append(node("4:6", "SaveImage"))
    with pytest.raises(WorkflowUnreadable):
        convert_ui(saved, KNOWN)


def test_links_may_be_an_object() -> None:
    text = node(1, "CLIPTextEncode", ["x"], inputs=[("clip", "CLIP", 5)])
    link = {"id": 5, "origin_id": 2, "origin_slot": 1, "target_id": 1, "target_slot": 0}
    saved = document([text, node(2, "CheckpointLoaderSimple")]) | {"links": {"5": link}}
    assert convert_ui(saved, KNOWN).nodes["1"].inputs["clip"] == Source("2", 1)


def test_comments_that_never_end_take_no_longer_than_others() -> None:
    text = "/* " * 200_000
    assert choose(text, Random(0)) == text


def test_group_nodes_that_hold_too_much_are_refused() -> None:
    inner = [{"type": "VAEDecode"} for _ in range(100)]
    groups = [node(k, "workflow>g") for k in range(100)]
    saved = document(groups, extra={"groupNodes": {"g": {"nodes": inner, "links": []}}})
    with pytest.raises(WorkflowTooLarge):
        convert_ui(saved, KNOWN)


def test_two_group_nodes_get_ids_one_after_the_other() -> None:
    groups = [node(k, "workflow/g", [k]) for k in (1, 2)]
    inner = [{"type": "EmptyLatentImage", "widgets_values": [64, 64, 1]}]
    saved = document(groups, extra={"groupNodes": {"g": {"nodes": inner, "links": []}}})
    nodes = convert_ui(saved, KNOWN).nodes
    assert {key: found.inputs["width"] for key, found in nodes.items()} == {"4:3": 1, "6:5": 2}
