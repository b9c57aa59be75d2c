"""Preprocessor nodes against the ControlNet-aux pack's declarations.

tests/contract/controlnet_aux_nodes.json.gz has what the classes of comfyui_controlnet_aux 1.1.5
(commit e8b689a) declare, in the format of /object_info.
"""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from graph.nodes import load_node_types
from graph.nodes.any_preprocessor import BY_NAME, NONE
from graph.nodes.hint_sizes import pixel_perfect_resolution, size_of_latent
from graph.object_info import describe
from graph.problems import WorkflowInvalidError
from graph.validation import Uploads, validate
from graph.values import InputFile, Latent
from graph.workflow import read_workflow
from imaging import colors
from tests.graph.test_ip_adapter_nodes import Files, node
from tests.graph.test_node_types import SAME, options

CONTRACT = Path(__file__).parent.parent / "contract" / "controlnet_aux_nodes.json.gz"
PACK = json.loads(gzip.decompress(CONTRACT.read_bytes()))
# Those of networks that are not here: YOLO-NAS.
PACK["DWPreprocessor"]["input"]["optional"]["bbox_detector"][0][3:] = []
# The pack leaves it to its widget that the first of two is the default.
PACK["Scribble_PiDiNet_Preprocessor"]["input"]["optional"]["safe"].append({"default": "enable"})
TYPES = load_node_types()
OURS = sorted(TYPES.keys() & PACK.keys())


@pytest.mark.parametrize("class_type", [name for name in OURS if name != "AIO_Preprocessor"])
def test_a_node_is_declared_as_in_the_pack(class_type: str) -> None:
    ours, theirs = describe(TYPES[class_type], Files({})), PACK[class_type]
    same = (*SAME, "display_name")
    assert {name: ours[name] for name in same} == {name: theirs[name] for name in same}
    for section in ("required", "optional"):
        mine, reference = (
            {name: options(list(spec)) for name, spec in one["input"].get(section, {}).items()}
            for one in (ours, theirs)
        )
        assert mine == reference


def test_the_node_for_all_of_them_has_theirs_by_name() -> None:
    ours = describe(TYPES["AIO_Preprocessor"], Files({}))
    theirs = PACK["AIO_Preprocessor"]
    assert {name: ours[name] for name in SAME} == {name: theirs[name] for name in SAME}
    assert {NONE, *BY_NAME} <= set(theirs["input"]["optional"]["preprocessor"][0])


def leres(**inputs: Any) -> dict[str, Any]:
    return {
        "1": node("LoadImage", image="scene.png"),
        "2": node("LeReS-DepthMapPreprocessor", image=["1", 0], **inputs),
        "3": node("SaveImage", images=["2", 0]),
    }


def test_leres_with_boost_is_refused_by_name() -> None:
    uploads = Uploads({("1", "image"): InputFile("scene.png", b"", "")})
    workflow = read_workflow(leres(boost="enable"), {})
    with pytest.raises(WorkflowInvalidError) as raised:
        validate(workflow, TYPES, Files({}), uploads)
    (problem,) = raised.value.problems
    assert (problem.code, problem.node_id) == ("not_available", "2")
    assert "LeReS-DepthMapPreprocessor with boost is not available" in problem.message


@pytest.mark.parametrize(
    ("mode", "side"), [("Just Resize", 512), ("Crop and Resize", 512), ("Resize and Fill", 384)]
)
def test_a_pixel_perfect_hint_is_as_fine_as_what_is_drawn(mode: str, side: int) -> None:
    image = torch.zeros(1, 300, 400, 3)
    found = pixel_perfect_resolution(
        colors, original_image=image, image_gen_width=512, image_gen_height=512, resize_mode=mode
    )
    assert found == side


def test_a_latents_size_is_that_of_its_picture() -> None:
    assert size_of_latent(None, latent=Latent(torch.zeros(1, 4, 64, 96))) == (768, 512)
