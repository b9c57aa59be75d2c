"""The names of layers that validation knows are those that a LoRA's keys are matched with."""

import pytest

from diffusion.families.sd.shapes import diffusers_keys, read_shape
from diffusion.families.sd.weight_names import UnetNames
from diffusion.weights import Entry, Weights
from graph.model_files.header import Entry as HeaderEntry
from graph.values import ModelFile
from storage.models.layer_names import changed_layers, unet_layers
from tests.diffusion.model_files import recorded_shapes
from tests.family_layouts import Shapes


def header(shapes: Shapes) -> dict[str, HeaderEntry]:
    return {name: HeaderEntry(tuple(shape), "F16") for name, shape in shapes.items()}


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model.", "unet."])
@pytest.mark.parametrize("name", recorded_shapes("unet_shapes"))
def test_every_weight_that_a_lora_can_name_is_known_from_the_header(name: str, prefix: str) -> None:
    shapes = recorded_shapes("unet_shapes")[name]
    entries = {key: Entry(tuple(sides), None) for key, sides in shapes.items()}
    weights = Weights(ModelFile("checkpoints", name), entries, lambda _: pytest.fail("not read"))
    shape = read_shape(weights)
    assert shape is not None
    parameters = UnetNames(shape, tuple(diffusers_keys(weights, shape))).parameters()
    names = {stem for stem, key in parameters.items() if key.endswith(".weight")}
    found = unet_layers(header({prefix + key: sides for key, sides in shapes.items()}))
    if "conv_in.weight" in shapes:  # diffusers' own layout is not looked into
        assert found == frozenset()
    else:
        assert names <= found
        assert len(found) < 2 * len(names)


@pytest.mark.parametrize(
    "key",
    [
        "lora_unet_down_blocks_1_attentions_0_proj_in.lora_down.weight",
        "lycoris_down_blocks_1_attentions_0_proj_in.lokr_w1",
        "unet.down_blocks.1.attentions.0.proj_in.lora_A.weight",
        "unet.base_model.model.down_blocks.1.attentions.0.proj_in.lora_A.default.weight",
        "base_model.model.unet.down_blocks.1.attentions.0.proj_in.lora_B.weight",
        "down_blocks.1.attentions.0.proj_in.lora.up.weight",
        "down_blocks.1.attentions.0.proj_in.lora_linear_layer.up.weight",
        "down_blocks.1.attentions.0.proj_in.up.weight",
        "lora_unet_down_blocks_1_attentions_0_proj_in.hada_w1_a",
        "lora_unet_down_blocks_1_attentions_0_proj_in.diff",
        "lora_unet_down_blocks_1_attentions_0_proj_in.a1.weight",
        "lora_unet_down_blocks_1_attentions_0_proj_in.oft_blocks",
        "diffusion_model.down_blocks.1.attentions.0.proj_in.lora_A",
    ],
)
def test_a_layer_is_told_in_every_naming(key: str) -> None:
    tensors = header({key: (1,), "lora_te_text_model_encoder_layers_0.alpha": ()})
    assert changed_layers(tensors) == {"down_blocks_1_attentions_0_proj_in"}
