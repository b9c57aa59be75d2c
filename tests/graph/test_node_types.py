"""Declared node types against what ComfyUI says of them."""

from typing import Annotated, Any

import pytest

from graph.comfyui_nodes import load_comfyui_nodes
from graph.node import DeclarationError, Widget, declared_in, node
from graph.nodes import load_node_types
from graph.object_info import describe
from graph.stages import Stage
from graph.values import Image
from tests.graph.nodes_for_tests import TwoFiles

TYPES = load_node_types()
COMFYUI = load_comfyui_nodes()
SAME = ("input_order", "output", "output_is_list", "output_name", "output_node", "category")
FILES = "(files)"


def options(spec: list[Any]) -> dict[str, Any]:
    """The part of an input's description that says what it takes."""
    said = dict(spec[1]) if len(spec) > 1 else {}
    kind = spec[0]
    if kind == "COMBO" or isinstance(kind, list):
        choices = kind if isinstance(kind, list) else said.pop("options", [])
        said["choices"] = choices
        kind = "COMBO"
    for shown in ("multiselect", "remote", "image_folder", "tooltip", "advanced"):
        said.pop(shown, None)
    if kind == "COMFY_AUTOGROW_V3":
        said["template"] = grown(said["template"])
    if kind == "COMFY_DYNAMICCOMBO_V3":
        said["options"] = [nested(option) for option in said["options"]]
    return {"kind": kind, **said}


def grown(template: dict[str, Any]) -> dict[str, Any]:
    """Inputs that grow, by their names: ComfyUI says these, or their beginning and number."""
    if "prefix" not in template:
        return template
    rest = {name: said for name, said in template.items() if name not in {"prefix", "max"}}
    return {**rest, "names": [f"{template['prefix']}{k}" for k in range(template["max"])]}


def nested(option: dict[str, Any]) -> dict[str, Any]:
    """A choice of a combo and the inputs that it brings, each described as those of nodes are."""
    sections = {
        section: {name: options(spec) for name, spec in inputs.items()}
        for section, inputs in option["inputs"].items()
    }
    return {**option, "inputs": sections}


def without_files(described: dict[str, Any], class_type: str) -> dict[str, Any]:
    inputs = TYPES[class_type].inputs
    return {
        name: {**spec, "choices": FILES, "default": None}
        if inputs[name].files or inputs[name].upload
        else spec
        for name, spec in described.items()
    }


# Types of ComfyUI 0.33.0 that are described differently here, and why.
ANY_TYPE = "what comes out is said to be of any type, not of the type that went in"
DIFFERENT = {
    "CLIPLoader": "it has the types of encoders that newer versions read, too",
    "ContextWindowsManual": "it has the inputs of 0.3.64, within bounds",
    "WanContextWindowsManual": "it has the inputs of 0.3.64, within bounds",
    "CheckpointLoader": "the configs that ComfyUI ships are its choices, whatever files there are",
    "LTXVAddGuide": "it has no attention mask and IC-LoRA parameters, which came with LTX-2",
    "ComfyNumberConvert": "no other name is shown for an input",
    "ComfySwitchNode": ANY_TYPE,
    "CreateList": ANY_TYPE,
    "ResizeImageMaskNode": ANY_TYPE,
    "FluxKontextMultiReferenceLatentMethod": "it has the method of Qwen-Image-Edit-2511, too",
    "CreateHookKeyframesFromFloats": "its numbers come over a link, of which no more is told",
    "CustomCombo": "the place of the choice is an input, which the editor keeps to itself",
    "ImageCompare": "the view of the editor is no input",
    "SeedNode": "what the editor does with the seed afterwards begins as in other nodes",
}


def described() -> list[Any]:
    """The types that both describe; of those in DIFFERENT the test has to fail."""
    return [
        pytest.param(name, marks=pytest.mark.xfail(strict=True, reason=DIFFERENT[name]))
        if name in DIFFERENT
        else name
        for name in sorted(TYPES.keys() & COMFYUI.keys())
    ]


@pytest.mark.parametrize("class_type", described())
def test_a_node_type_is_described_as_comfyui_describes_it(class_type: str) -> None:
    ours, theirs = describe(TYPES[class_type], TwoFiles()), COMFYUI[class_type]
    assert {name: ours[name] for name in SAME} == {name: theirs[name] for name in SAME}
    for section in ("required", "optional"):
        both = [
            {name: options(spec) for name, spec in one["input"].get(section, {}).items()}
            for one in (ours, theirs)
        ]
        mine, reference = (without_files(described, class_type) for described in both)
        assert mine == reference


def test_a_node_name_is_declared_once() -> None:
    with pytest.raises(DeclarationError, match="Twice"):
        declared_in(_module_with_a_name_twice())


def _module_with_a_name_twice() -> Any:
    import types  # noqa: PLC0415 - a module of our own making

    module = types.ModuleType("twice")
    for name in ("one", "other"):

        @node("Twice", runs_on=Stage.INLINE)
        def function(*, width: Annotated[int, Widget(min=1)] = 1) -> Image:
            return width

        function.__module__ = "twice"
        setattr(module, name, function)
    return module
