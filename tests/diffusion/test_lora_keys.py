"""Which weight a LoRA file's key names, in the spellings that files have."""

from collections.abc import Mapping

import pytest

from diffusion.families.sd.shapes import UnetShape, diffusers_keys, read_shape
from diffusion.families.sd.weight_names import UnetNames
from diffusion.lora.keys import ClipNames, by_stem
from diffusion.networks.weight_names import Names
from diffusion.weights import Entry, Weights
from graph.values import ModelFile
from tests.diffusion.model_files import recorded_shapes


def unet_names(name: str) -> UnetNames:
    entries = {
        key: Entry(tuple(s), None) for key, s in recorded_shapes("unet_shapes")[name].items()
    }
    weights = Weights(ModelFile("checkpoints", name), entries, pytest.fail)
    shape = read_shape(weights)
    assert isinstance(shape, UnetShape)
    return UnetNames(shape, tuple(diffusers_keys(weights, shape)))


def clip_names(*parts: str) -> ClipNames:
    layer = "text_model.encoder.layers.1"
    own = (f"{layer}.mlp.fc1.weight", f"{layer}.mlp.fc1.bias", "text_projection.weight")
    return ClipNames(tuple((part, own) for part in parts))


def named(names: Names, key: str, known: Mapping[str, str] | None = None) -> str | None:
    """The parameter that a file's key speaks of; `known` are the network's."""
    stems, strange = by_stem([key] if names.mine(key) else [])
    known = known or names.parameters()
    assert strange == []
    return next((known[s] for stem in stems for s in names.stems(stem) if s in known), None)


Q = "down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_q"


@pytest.mark.parametrize(
    "key",
    [
        "lora_unet_down_blocks_0_attentions_1_transformer_blocks_0_attn1_to_q.lora_up.weight",
        "lora_unet_input_blocks_2_1_transformer_blocks_0_attn1_to_q.hada_w1_a",
        "lycoris_down_blocks_0_attentions_1_transformer_blocks_0_attn1_to_q.lokr_w1",
        f"unet.{Q}.lora.up.weight",
        f"unet.{Q}.lora_A.weight",
        f"{Q}.lora_B.weight",
        f"base_model.model.{Q}.lora_A.weight",
        f"base_model.model.{Q}.lora_B.default.weight",
        f"unet.base_model.model.{Q}.lora_magnitude_vector",
        f"unet.{Q.replace('attn1.', 'attn1.processor.')}_lora.down.weight",
        "diffusion_model.input_blocks.2.1.transformer_blocks.0.attn1.to_q.diff",
    ],
)
def test_every_spelling_names_the_same_attention(key: str) -> None:
    assert named(unet_names("sd15"), key) == f"{Q}.weight"


@pytest.mark.parametrize(
    ("key", "parameter"),
    [
        (
            "lora_unet_input_blocks_4_1_transformer_blocks_1_attn2_to_out_0.alpha",
            "down_blocks.1.attentions.0.transformer_blocks.1.attn2.to_out.0.weight",
        ),
        (
            "unet.mid_block.attentions.0.transformer_blocks.9.attn2.processor.to_out_lora.up.weight",
            "mid_block.attentions.0.transformer_blocks.9.attn2.to_out.0.weight",
        ),
        (
            "lora_unet_input_blocks_3_0_op.lora_mid.weight",
            "down_blocks.0.downsamplers.0.conv.weight",
        ),
        ("lora_unet_output_blocks_2_2_conv.diff", "up_blocks.0.upsamplers.0.conv.weight"),
        ("lora_unet_label_emb_0_0.diff", "class_embedding.linear_1.weight"),
        ("unet.add_embedding.linear_2.lora_A.weight", "class_embedding.linear_2.weight"),
        ("lora_unet_time_embed_0.lora_up.weight", "time_embedding.linear_1.weight"),
        ("lora_unet_down_blocks_1_resnets_0_conv1.w_norm", "down_blocks.1.resnets.0.conv1.weight"),
        ("diffusion_model.middle_block.0.in_layers.2.bias.diff", "mid_block.resnets.0.conv1.bias"),
    ],
)
def test_layers_of_sdxl_are_found(key: str, parameter: str) -> None:
    assert named(unet_names("sdxl"), key) == parameter


def test_every_weight_of_a_unet_has_its_name_in_the_checkpoint() -> None:
    names = unet_names("sdxl")
    known = names.parameters()
    for key in recorded_shapes("unet_shapes")["sdxl"]:
        stem = key.removesuffix(".weight")
        assert named(names, f"diffusion_model.{stem}.diff", known) is not None


FC1 = "text_model.encoder.layers.1.mlp.fc1"
KOHYA = "text_model_encoder_layers_1_mlp_fc1.lora_down.weight"


@pytest.mark.parametrize(
    ("parts", "key", "found"),
    [
        ("l", f"lora_te_{KOHYA}", "l"),
        ("l", f"lora_te1_{KOHYA}", "l"),
        ("l", f"text_encoder.{FC1}.lora_linear_layer.up.weight", "l"),
        ("l", f"base_model.model.{FC1}.lora_A.weight", "l"),
        ("l", f"lora_te2_{KOHYA}", None),
        ("h", f"lora_te_{KOHYA}", "h"),
        ("g", f"lora_te_{KOHYA}", "g"),
        ("g", f"lora_te1_{KOHYA}", None),
        ("lg", f"lora_te1_{KOHYA}", "l"),
        ("lg", f"lora_te2_{KOHYA}", "g"),
        ("lg", f"text_encoder_2.{FC1}.lora_B.weight", "g"),
        ("lg", f"text_encoders.clip_g.transformer.{FC1}.diff", "g"),
        ("lg", "lora_unet_" + KOHYA, None),
    ],
)
def test_a_text_encoder_is_told_by_its_prefix(parts: str, key: str, found: str | None) -> None:
    wanted = None if found is None else f"{found}.{FC1}.weight"
    assert named(clip_names(*parts), key) == wanted
