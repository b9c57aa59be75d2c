"""Which values belong to which inputs, for the kinds of widgets that newer node types have."""

from collections.abc import Mapping
from typing import Any

import pytest

from graph.comfyui_nodes import load_comfyui_nodes
from graph.prompt import Source
from graph.ui import convert_ui
from tests.graph.ui_files import document, node

KNOWN = load_comfyui_nodes()
FORMATS = {
    "key": "mp4",
    "inputs": {"required": {"codec": ["COMFY_DYNAMICCOMBO_V3", {"options": [
        {"key": "h264", "inputs": {"optional": {"crf": ["FLOAT", {"default": 23.0}]}}},
        {"key": "none", "inputs": {}},
    ]}]}},
}  # fmt: skip
OTHER = {
    "key": "gif",
    "inputs": {
        "required": {"loops": ["INT", {"default": 1}], "seed": ["INT", {}], "mask": ["MASK", {}]}
    },
}
VIDEO = {
    "Video": {
        "input": {
            "required": {
                "format": ["COMFY_DYNAMICCOMBO_V3", {"options": [FORMATS, OTHER]}],
                "seed": ["INT", {}],
            }
        }
    }
}


def inputs_of(kind: str, values: list[Any], facts: Mapping[str, Any] = KNOWN) -> dict[str, Any]:
    return dict(convert_ui(document([node(1, kind, values)]), facts).nodes["1"].inputs)


@pytest.mark.parametrize(
    ("values", "inputs"),
    [
        (
            ["scale dimensions", 640, 480, "center", "area"],
            {"": "scale dimensions", ".width": 640, ".height": 480, ".crop": "center"},
        ),
        (["scale by multiplier", 2.5, "area"], {"": "scale by multiplier", ".multiplier": 2.5}),
        (["match size", "center", "area"], {"": "match size", ".crop": "center"}),
        (["by magic", "area"], {"": "by magic"}),
    ],
)
def test_a_choice_brings_inputs_of_its_own(values: list[Any], inputs: dict[str, Any]) -> None:
    named = {f"resize_type{name}": value for name, value in inputs.items()}
    assert inputs_of("ResizeImageMaskNode", values) == {**named, "scale_method": "area"}


@pytest.mark.parametrize(
    ("values", "inputs"),
    [
        ([], {"format": "mp4", "format.codec": "h264", "format.codec.crf": 23.0, "seed": 0}),
        (
            ["mp4", "h264", 18, 7, "fixed"],
            {"format": "mp4", "format.codec": "h264", "format.codec.crf": 18, "seed": 7},
        ),
        (["mp4", "none", 7], {"format": "mp4", "format.codec": "none", "seed": 7}),
        (
            ["gif", 3, 5, 7, "fixed"],
            {"format": "gif", "format.loops": 3, "format.seed": 5, "seed": 7},
        ),
        ([None, None, 18, 7], {"format": "mp4", "format.codec": "h264", "format.codec.crf": 18}),
    ],
)
def test_choices_within_choices(values: list[Any], inputs: dict[str, Any]) -> None:
    found = inputs_of("Video", values, VIDEO)
    assert found == {"seed": 7, **inputs}


def test_values_by_name_reach_the_inputs_of_a_choice() -> None:
    named = {"format": "gif", "format.loops": 9, "seed": 4}
    saved = node(1, "Video", widgets_values_named=named)
    found = convert_ui(document([saved]), VIDEO).nodes["1"].inputs
    assert found == {"format": "gif", "format.loops": 9, "format.seed": 0, "seed": 4}


@pytest.mark.parametrize(("values", "linked"), [(["gif"], True), (["mp4"], False)])
def test_a_link_into_an_input_that_the_choice_does_not_bring_is_dropped(
    values: list[Any], linked: bool
) -> None:
    saved = node(1, "Video", values, inputs=[("format.mask", "MASK", 1), ("extra", "MASK", 1)])
    found = convert_ui(document([saved, node(2, "Mask")], [[1, 2, 0, 1, 0]]), VIDEO)
    assert ("format.mask" in found.nodes["1"].inputs) is linked
    assert found.nodes["1"].inputs["extra"] == Source("2", 0)


def test_a_link_into_a_widget_that_the_type_does_not_have_is_dropped() -> None:
    saved = node(1, "VAEDecode", inputs=[("old", "INT", 1, "old"), ("vae", "VAE", 1)])
    found = convert_ui(document([saved, node(2, "Source")], [[1, 2, 0, 1, 0]]), KNOWN)
    assert dict(found.nodes["1"].inputs) == {"vae": Source("2", 0)}


def test_inputs_that_grow_keep_the_names_they_have_in_the_file() -> None:
    slots = [("images.image0", "IMAGE", 1), ("images.image1", "IMAGE", None)]
    saved = node(1, "BatchImagesNode", inputs=[*slots, ("images.image2", "IMAGE", 2)])
    links = [[1, 2, 0, 1, 0], [2, 3, 0, 1, 2]]
    found = convert_ui(document([saved, node(2, "A"), node(3, "A")], links), KNOWN)
    expected = {"images.image0": Source("2", 0), "images.image2": Source("3", 0)}
    assert dict(found.nodes["1"].inputs) == expected


def test_inputs_that_grow_as_widgets_are_there_from_the_start() -> None:
    template = {"input": {"required": {"n": ["INT", {"default": 3}]}}, "prefix": "n", "min": 1}
    facts = {"input": {"required": {"g": ["COMFY_AUTOGROW_V3", {"template": template}]}}}
    assert inputs_of("Grow", [8], {"Grow": facts}) == {"g.n0": 8, "g.n1": 3}


@pytest.mark.parametrize(
    ("values", "inputs"),
    [
        (
            [2, "a", 0.5, "b", 1.5, 7],
            {"r.0.name": "a", "r.0.w": 0.5, "r.1.name": "b", "r.1.w": 1.5},
        ),
        ([0, "a", 0.5, 7], {"r.0.name": "a", "r.0.w": 0.5}),
        ([9, "a"], {**{f"r.{k}.name": "" for k in (1, 2)}, "r.0.name": "a"}),
    ],
)
def test_a_group_of_rows_has_as_many_inputs_as_its_number_says(
    values: list[Any], inputs: dict[str, Any]
) -> None:
    row = {"required": {"name": ["STRING", {}]}, "optional": {"w": ["FLOAT", {"default": 1.0}]}}
    rows = ["COMFY_DYNAMICGROUP_V3", {"min": 1, "max": 3, "template": row}]
    facts = {"Rows": {"input": {"required": {"r": rows, "last": ["INT", {}]}}}}
    found = inputs_of("Rows", values, facts)
    last = found.pop("last")
    assert {name: value for name, value in found.items() if value != 1.0} == inputs
    assert last == (7 if 7 in values else 0)


@pytest.mark.parametrize(
    ("kind", "values", "inputs"),
    [
        ("ImageCompare", ["x", "y"], {"compare_view": ["", ""]}),
        ("LoadImageMask", ["a.png", "red", "image"], {"image": "a.png", "channel": "red"}),
        (
            "LoadImageOutput",
            ["a.png [output]", False, "refresh", "image"],
            {"image": "a.png [output]", "refresh": "refresh"},
        ),
        ("SaveGLB", ["p"], {"filename_prefix": "p", "image": ""}),
        (
            "ImageCropV2",
            [{"x": 1, "y": 2, "width": 3, "height": 4}, 0, 0, 512, 512],
            {"crop_region": {"x": 1, "y": 2, "width": 3, "height": 4}},
        ),
        (
            "Painter",
            ["m.png", 64, 128, "#ffffff", "image"],
            {"mask": "m.png", "width": 64, "height": 128, "bg_color": "#ffffff"},
        ),
        (
            "CurveEditor",
            [{"points": [[0, 1]], "interpolation": "linear"}],
            {
                "curve": {
                    "__type__": "CURVE",
                    "__value__": {"points": [[0, 1]], "interpolation": "linear"},
                }
            },
        ),
        (
            "Load3D",
            ["a.glb", "upload3dmodel", "uploadExtraResources", "clear", "", 8, 16],
            {"model_file": "a.glb", "image": "", "width": 8, "height": 16},
        ),
    ],
)
def test_widgets_that_only_the_editor_knows(
    kind: str, values: list[Any], inputs: dict[str, Any]
) -> None:
    assert inputs_of(kind, values) == inputs


@pytest.mark.parametrize(
    ("values", "index", "options"),
    [
        (["two", 0, "one", "two", ""], 1, ["one", "two", ""]),
        (["three", 0, "one"], -1, ["one", ""]),
        ([], -1, [""]),
    ],
)
def test_a_custom_combo_counts_its_options(
    values: list[Any], index: int, options: list[str]
) -> None:
    found = inputs_of("CustomCombo", values)
    assert found["index"] == index
    assert [found[f"option{k}"] for k in range(1, len(options) + 1)] == options
    assert f"option{len(options) + 1}" not in found


@pytest.mark.parametrize(
    ("properties", "second"),
    [({}, None), ({"Show Strengths": "Separate Model & Clip"}, 0.5)],
)
def test_the_loras_of_rgthrees_loader_are_numbered_in_their_order(
    properties: dict[str, Any], second: float | None
) -> None:
    one = {"on": True, "lora": "a.safetensors", "strength": 0.8, "strengthTwo": 0.5}
    two = {"on": False, "lora": "b.safetensors", "strength": 1}
    values = [{}, {"type": "PowerLoraLoaderHeaderWidget"}, one, two, {}, ""]
    facts: dict[str, Any] = {
        "Power Lora Loader (rgthree)": {"input": {"required": {}, "optional": {}}}
    }
    saved = node(1, "Power Lora Loader (rgthree)", values) | {"properties": properties}
    inputs = dict(convert_ui(document([saved]), facts).nodes["1"].inputs)
    assert list(inputs) == ["lora_1", "lora_2"]
    assert inputs["lora_1"].get("strengthTwo") == second
    assert inputs["lora_2"].get("strengthTwo") == (None if second is None else 1)
    assert {k: v for k, v in inputs["lora_1"].items() if k != "strengthTwo"} == {
        "on": True, "lora": "a.safetensors", "strength": 0.8
    }  # fmt: skip
