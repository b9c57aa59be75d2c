"""LoRAs are used with the families that they are made for, and with those of the same layers."""

import pytest

from graph.folding import fold
from graph.model_fit import misfits
from graph.nodes import load_node_types
from graph.nodes.prompts import set_t5_padding
from graph.validation import Uploads, validate
from graph.values import Clip, ModelFile
from graph.workflow import read_workflow
from tests.graph.nodes_for_tests import TwoFiles

TYPES = load_node_types()


class WithLora(TwoFiles):
    def models(self, folder: str) -> list[str]:
        return ["a.safetensors"]


@pytest.mark.parametrize(
    ("base", "lora", "fits"),
    [("chroma", "flux", True), ("chroma", "chroma", True), ("flux", "chroma", False)],
)
def test_a_lora_fits_families_whose_layers_have_its_names(base: str, lora: str, fits: bool) -> None:
    links = {"model": ["lora", 0], "positive": ["text", 0], "negative": ["text", 0]}
    how = {"seed": 1, "steps": 1, "cfg": 1, "sampler_name": "euler", "scheduler": "normal"}
    nodes = {
        "base": ("CheckpointLoaderSimple", {"ckpt_name": "a.safetensors"}),
        "lora": (
            "LoraLoaderModelOnly",
            {"model": ["base", 0], "lora_name": "a.safetensors", "strength_model": 1.0},
        ),
        "text": ("CLIPTextEncode", {"clip": ["base", 1], "text": "a fox"}),
        "empty": ("EmptyLatentImage", {"width": 64, "height": 64, "batch_size": 1}),
        "drawn": ("KSampler", {**links, **how, "latent_image": ["empty", 0], "denoise": 1.0}),
        "image": ("VAEDecode", {"samples": ["drawn", 0], "vae": ["base", 2]}),
        "saved": ("PreviewImage", {"images": ["image", 0]}),
    }
    document = {key: {"class_type": kind, "inputs": own} for key, (kind, own) in nodes.items()}
    checked = validate(read_workflow(document, {}), TYPES, WithLora(), Uploads())
    families = {"checkpoints": base, "loras": lora}
    found = misfits(checked, fold(checked, node_types=TYPES), lambda file: families[file.folder])
    assert [problem.node_id for problem in found] == ([] if fits else ["lora"])


def test_padding_is_told_with_the_text_encoder() -> None:
    clip = Clip((ModelFile("text_encoders", "a.safetensors"),), "chroma")
    assert set_t5_padding(clip=clip, min_padding=1, min_length=9).t5_padding == (9, 1)
