"""IP-Adapter nodes against the pack's declarations, and presets against file names.

tests/contract/ip_adapter_nodes.json.gz has what the classes of ComfyUI_IPAdapter_plus (commit
9d076a3) declare, in the format of /object_info.
"""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from graph.checked import CheckedWorkflow
from graph.folding import fold
from graph.model_fit import misfits
from graph.node import REQUIRED
from graph.nodes import load_node_types
from graph.object_info import describe
from graph.plan import ExecutionGraph
from graph.problems import Problem, WorkflowInvalidError
from graph.segments import base_of
from graph.validation import Library, Uploads, validate
from graph.values import ClipVision, InputFile, IpAdapter, ModelFile
from graph.workflow import read_workflow
from tests.graph.nodes_for_tests import TwoFiles
from tests.graph.test_node_types import SAME, options, without_files

CONTRACT = Path(__file__).parent.parent / "contract" / "ip_adapter_nodes.json.gz"
PACK = json.loads(gzip.decompress(CONTRACT.read_bytes()))
# Kolors is another family of models.
PACK["IPAdapterUnifiedLoaderCommunity"]["input"]["required"]["preset"][0].remove("Kolors")
TYPES = load_node_types()
ALL_FILES = {
    "checkpoints": ["sd15.safetensors", "sdxl.safetensors"],
    "clip_vision": [
        "CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors",
        "CLIP-ViT-bigG-14-laion2B-39B-b160k.safetensors",
    ],
    "ipadapter": [
        "ip-adapter-full-face_sd15.safetensors",
        "ip-adapter-plus-face_sd15.safetensors",
        "ip-adapter-plus-face_sdxl_vit-h.safetensors",
        "ip-adapter-plus_sd15.safetensors",
        "ip-adapter-plus_sdxl_vit-h.safetensors",
        "ip-adapter_sd15.safetensors",
        "ip-adapter_sd15_light_v11.bin",
        "ip-adapter_sd15_vit-G.safetensors",
        "ip-adapter_sdxl.safetensors",
        "ip-adapter_sdxl_vit-h.safetensors",
    ],
}


class Files(Library):
    """A models folder, and the family of each file that its name tells."""

    def __init__(self, files: dict[str, list[str]]) -> None:
        self._files = files

    def models(self, folder: str) -> list[str]:
        return self._files.get(folder, [])

    def uploads(self, _kind: str) -> list[str]:
        return ["scene.png"]

    def find(self, folder: str, name: str) -> ModelFile:
        return ModelFile(folder, name)


@pytest.mark.parametrize("class_type", sorted(TYPES.keys() & PACK.keys()))
def test_a_node_is_declared_as_in_the_pack(class_type: str) -> None:
    ours, theirs = describe(TYPES[class_type], TwoFiles()), PACK[class_type]
    same = (*SAME, "display_name")
    assert {name: ours[name] for name in same} == {name: theirs[name] for name in same}
    for section in ("required", "optional"):
        both = [
            {name: options(spec) for name, spec in one["input"].get(section, {}).items()}
            for one in (ours, theirs)
        ]
        mine, reference = (without_files(described, class_type) for described in both)
        assert mine == reference


def document(
    preset: str, checkpoint: str = "sd15.safetensors", **of_sampler: Any
) -> dict[str, Any]:
    prompt = {"clip": ["1", 1], "text": "x"}
    sampler = {
        "model": ["4", 0], "positive": ["5", 0], "negative": ["5", 0], "latent_image": ["6", 0],
        "sampler_name": "euler", "scheduler": "normal",
    }  # fmt: skip
    nodes: dict[str, tuple[str, dict[str, Any]]] = {
        "1": ("CheckpointLoaderSimple", {"ckpt_name": checkpoint}),
        "2": ("IPAdapterUnifiedLoader", {"model": ["1", 0], "preset": preset}),
        "3": ("LoadImage", {"image": "scene.png"}),
        "4": (
            "IPAdapter",
            {
                "model": ["2", 0],
                "ipadapter": ["2", 1],
                "image": ["3", 0],
                "weight_type": "standard",
            },
        ),
        "5": ("CLIPTextEncode", prompt),
        "6": ("EmptyLatentImage", {}),
        "7": ("KSampler", {**sampler, **of_sampler}),
        "8": ("VAEDecode", {"samples": ["7", 0], "vae": ["1", 2]}),
        "9": ("SaveImage", {"images": ["8", 0]}),
    }
    return {i: node(name, **inputs) for i, (name, inputs) in nodes.items()}


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    """A node with its widgets' defaults, unless `inputs` say otherwise."""
    declared = TYPES[class_type].inputs.values()
    defaults = {i.name: i.default for i in declared if i.required and i.default is not REQUIRED}
    return {"class_type": class_type, "inputs": defaults | inputs}


def checked(
    workflow: dict[str, Any], files: dict[str, list[str]] | None = None
) -> tuple[CheckedWorkflow, ExecutionGraph]:
    library = Files(ALL_FILES if files is None else files)
    uploads = Uploads({("3", "image"): InputFile("scene.png", b"", "")})
    found = validate(read_workflow(workflow, {}), TYPES, library, uploads)
    return found, fold(found, node_types=TYPES)


def problems(workflow: dict[str, Any], files: dict[str, list[str]]) -> tuple[Problem, ...]:
    with pytest.raises(WorkflowInvalidError) as raised:
        checked(workflow, files)
    return raised.value.problems


@pytest.mark.parametrize(
    ("preset", "sd15", "sdxl", "eye"),
    [
        ("LIGHT - SD1.5 only (low strength)", "ip-adapter_sd15_light_v11.bin", None, "H"),
        ("STANDARD (medium strength)", "ip-adapter_sd15", "ip-adapter_sdxl_vit-h", "H"),
        ("VIT-G (medium strength)", "ip-adapter_sd15_vit-G", "ip-adapter_sdxl", "bigG"),
        ("PLUS (high strength)", "ip-adapter-plus_sd15", "ip-adapter-plus_sdxl_vit-h", "H"),
        ("PLUS FACE (portraits)", "ip-adapter-plus-face_sd15", "ip-adapter-plus-face_sdxl_vit-h",
         "H"),
        ("FULL FACE - SD1.5 only (portraits stronger)", "ip-adapter-full-face_sd15", None, "H"),
    ],
)  # fmt: skip
def test_a_preset_stands_for_the_files_that_are_published_for_it(
    preset: str, sd15: str, sdxl: str | None, eye: str
) -> None:
    _, folded = checked(document(preset))
    adapter: IpAdapter = folded.steps["4"].constants["ipadapter"]
    stems = {use: file.name.removesuffix(".safetensors") for use, file in adapter.files}
    assert stems == {"sd15": sd15} | ({"sdxl": sdxl} if sdxl else {})
    assert isinstance(adapter.clip_vision, ClipVision)
    assert f"ViT-{eye}-14" in adapter.clip_vision.file.name


def test_a_preset_without_files_is_told_with_the_names_that_are_missing() -> None:
    (problem,) = problems(document("PLUS (high strength)"), {**ALL_FILES, "ipadapter": []})
    assert (problem.code, problem.node_id, problem.input) == ("missing_model", "2", "preset")
    assert problem.model == {"folder": "ipadapter", "name": "ip-adapter-plus_sd15.safetensors"}


def test_an_adapter_for_another_family_is_told_at_the_preset() -> None:
    found = checked(document("LIGHT - SD1.5 only (low strength)", "sdxl.safetensors"))
    (problem,) = misfits(*found, lambda file: "sdxl" if "sdxl" in file.name else "sd15")
    assert (problem.code, problem.node_id, problem.input) == ("bad_model_file", "2", "preset")
    found = checked(document("PLUS (high strength)", "sdxl.safetensors"))
    assert misfits(*found, lambda file: "sdxl" if "sdxl" in file.name else "sd15") == ()


def test_a_sampler_knows_the_base_of_a_model_that_goes_by_pictures() -> None:
    _, folded = checked(document("PLUS (high strength)"))
    assert base_of(folded.steps["7"]) == "sd15.safetensors"


FACES = {
    "insightface": ["models/buffalo_l/det_10g.onnx", "models/buffalo_l/w600k_r50.onnx"],
    "loras": ["ip-adapter-faceid_sd15_lora.safetensors"],
    "ipadapter": ["ip-adapter-faceid_sd15.bin", *ALL_FILES["ipadapter"]],
}


def of_face() -> dict[str, Any]:
    workflow = document("PLUS (high strength)")
    workflow["2"] = node(
        "IPAdapterUnifiedLoaderFaceID", model=["1", 0], preset="FACEID", provider="CPU"
    )
    workflow["4"] = node(
        "IPAdapterFaceID",
        model=["2", 0],
        ipadapter=["2", 1],
        image=["3", 0],
        weight_type="linear",
        combine_embeds="concat",
        embeds_scaling="V only",
    )
    return workflow


def test_faces_are_found_and_made_into_a_prompt_by_two_stages() -> None:
    _, folded = checked(of_face(), ALL_FILES | FACES)
    made = [step for node_id, step in folded.steps.items() if node_id.startswith("4.")]
    assert sorted(TYPES[step.class_type].stage for step in made) == ["encode", "image"]
    assert base_of(folded.steps["7"]) == "sd15.safetensors"


def test_networks_that_know_faces_are_asked_for_with_their_licence() -> None:
    (problem,) = problems(of_face(), ALL_FILES | FACES | {"insightface": []})
    assert (problem.code, problem.node_id) == ("missing_model", "2")
    assert "models/buffalo_l/det_10g.onnx" in problem.message
    assert "non-commercial" in problem.message
