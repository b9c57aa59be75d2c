"""The nodes of ComfyUI_UltimateSDUpscale against the pack's declarations, and as steps.

tests/contract/ultimate_upscale_nodes.json.gz has what the pack's classes (commit 34a3c2c) declare.
"""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from graph.folding import fold
from graph.object_info import describe
from graph.plan import make_plan
from graph.stages import Stage
from graph.validation import Uploads, validate
from graph.values import InputFile
from graph.workflow import read_workflow
from tests.graph.nodes_for_tests import TwoFiles
from tests.graph.test_ip_adapter_nodes import ALL_FILES, TYPES, Files, node
from tests.graph.test_node_types import SAME, options

CONTRACT = Path(__file__).parent.parent / "contract" / "ultimate_upscale_nodes.json.gz"
PACK: dict[str, Any] = json.loads(gzip.decompress(CONTRACT.read_bytes()))
LIBRARY = Files({**ALL_FILES, "upscale_models": ["x4.safetensors"]})


@pytest.mark.parametrize("class_type", sorted(PACK))
def test_a_node_is_declared_as_in_the_pack(class_type: str) -> None:
    ours, theirs = describe(TYPES[class_type], TwoFiles()), PACK[class_type]
    same = (*SAME, "display_name")
    assert {name: ours[name] for name in same} == {name: theirs[name] for name in same}
    for section in ("required", "optional"):
        mine, reference = (
            {name: options(spec) for name, spec in one["input"].get(section, {}).items()}
            for one in (ours, theirs)
        )
        assert mine == reference


def document(class_type: str, **inputs: Any) -> dict[str, Any]:
    models = {"model": ["1", 0], "vae": ["1", 2], "positive": ["4", 0], "negative": ["4", 0]}
    return {
        "1": node("CheckpointLoaderSimple", ckpt_name="sd15.safetensors"),
        "2": node("UpscaleModelLoader", model_name="x4.safetensors"),
        "3": node("LoadImage", image="scene.png"),
        "4": node("CLIPTextEncode", clip=["1", 1], text="x"),
        "5": node(
            class_type,
            **{**models, "sampler_name": "euler", "scheduler": "normal", "mode_type": "Linear"},
            **{"seam_fix_mode": "None", **inputs},
        ),
        "6": node("SaveImage", images=["5", 0]),
    }


def planned(workflow: dict[str, Any]) -> list[tuple[Stage, list[str]]]:
    uploads = Uploads({("3", "image"): InputFile("scene.png", b"", "")})
    checked = validate(read_workflow(workflow, {}), TYPES, LIBRARY, uploads)
    plan = make_plan(fold(checked, node_types=TYPES), lambda _: False)
    return [(s.stage, [step.class_type for step in s.steps]) for s in plan.segments]


def test_a_picture_is_made_larger_on_the_upscale_stage_first() -> None:
    plan = planned(document("UltimateSDUpscale", image=["3", 0], upscale_model=["2", 0]))
    stages = [stage for stage, _ in plan]
    upscaling = plan[stages.index(Stage.UPSCALE)]
    assert upscaling == (Stage.UPSCALE, ["ImageUpscaleWithModel"])
    assert stages.index(Stage.UPSCALE) < stages.index(Stage.SAMPLE)


def test_a_picture_that_a_node_of_its_own_makes_larger_is_made_so_once() -> None:
    workflow = document("UltimateSDUpscale", image=["3", 0], upscale_model=["2", 0])
    workflow["7"] = node("ImageUpscaleWithModel", upscale_model=["2", 0], image=["3", 0])
    workflow["8"] = node("SaveImage", images=["7", 0])
    classes = [name for _, names in planned(workflow) for name in names]
    assert sorted(classes).count("ImageUpscaleWithModel") == 1
    assert "comfyray.RedrawInTiles" in classes


@pytest.mark.parametrize(
    ("class_type", "image"),
    [("UltimateSDUpscaleNoUpscale", "upscaled_image"), ("UltimateSDUpscaleCustomSample", "image")],
)
def test_without_a_model_nothing_is_done_before(class_type: str, image: str) -> None:
    plan = planned(document(class_type, **{image: ["3", 0]}))
    assert Stage.UPSCALE not in [stage for stage, _ in plan]
