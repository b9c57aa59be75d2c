"""Control networks give what diffusers and ComfyUI make of the same weights.

tests/contract/controlnet.npz holds residuals of ComfyUI 0.3.64 (comfy/cldm/cldm.py, ControlNet, and
comfy/t2i_adapter/adapter.py), with weights of `seeded` by name, over inputs drawn as below; of the
union's, every tenth channel.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.adapter import T2IAdapter
from diffusers.models.controlnets.controlnet import ControlNetModel
from diffusers.models.controlnets.controlnet_union import ControlNetUnionModel
from torch import Tensor, nn

from diffusion.batch.union_types import UnionTypeError
from diffusion.families.registry import FAMILIES
from diffusion.families.sd.controlnet import HintChannelsError, LoadedControlNet
from diffusion.families.sd.controlnet_files import load_control_lora, load_control_net
from diffusion.families.sd.t2i_adapter import LoadedAdapter, load_adapter
from diffusion.networks.layers import sinusoids
from diffusion.weights import Weights, open_weights
from graph.errors import BadModelFile
from tests.diffusion.control_files import (
    control_tensors,
    control_weights,
    one_by_one,
    question,
    tensors_of,
)
from tests.diffusion.model_files import CPU, filled, recorded, recorded_shapes, seeded
from tests.diffusion.narrow_stage import LDM, NARROW, drawn, write_models

TIMES = torch.tensor([700.0, 20.0])
CANNY = "canny/lineart/anime_lineart/mlsd"
NARROW_NET: dict[str, Any] = {
    "block_out_channels": (32, 64),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "layers_per_block": 1,
    "cross_attention_dim": 768,
}


def hint_of(*shape: int, seed: int = 3) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def loaded_net(weights: Weights, **options: Any) -> LoadedControlNet:
    loaded = load_control_net(weights, dtype=torch.float32, device=CPU, **options)
    assert loaded is not None
    return loaded


def loaded_adapter(weights: Weights) -> LoadedAdapter:
    loaded = load_adapter(weights, dtype=torch.float32, device=CPU)
    assert loaded is not None
    return loaded


def seeded_module(module: nn.Module) -> dict[str, Tensor]:
    """Gives `module` weights that its names stand for, and these weights."""
    tensors = {name: seeded(name, tuple(p.shape)) for name, p in module.named_parameters()}
    module.load_state_dict(tensors)
    module.eval()
    return tensors


def assert_recorded(name: str, found: list[Tensor], channel_step: int = 1) -> None:
    expected = recorded("controlnet")
    for index, tensor in enumerate(found):
        torch.testing.assert_close(
            tensor[:, ::channel_step], expected[f"{name}.{index}"], rtol=1e-4, atol=1e-4
        )


@torch.inference_mode()
@pytest.mark.parametrize("prefix", ["", "control_model."])
def test_a_net_in_ldms_layout_gives_comfyuis_residuals(tmp_path: Path, prefix: str) -> None:
    tensors = {prefix + key: tensor for key, tensor in control_tensors().items()}
    net = loaded_net(control_weights(tmp_path, tensors))
    asked = question(net, drawn(1, 2, 4, 8, 6), TIMES, drawn(2, 2, 77, 768), hint_of(2, 3, 64, 48))
    assert_recorded("controlnet", tensors_of(net([asked])[0]))


@torch.inference_mode()
def test_jobs_with_their_own_hints_share_a_call(tmp_path: Path) -> None:
    net = loaded_net(control_weights(tmp_path, control_tensors()))
    asked = question(net, drawn(1, 2, 4, 8, 6), TIMES, drawn(2, 2, 77, 768), hint_of(2, 3, 64, 48))
    apart = [tensors_of(residuals) for residuals in net(one_by_one(asked))]
    assert_recorded("controlnet", [torch.cat(level) for level in zip(*apart, strict=True)])


@torch.inference_mode()
def test_a_net_in_diffusers_layout_gives_diffusers_residuals(tmp_path: Path) -> None:
    module = ControlNetModel(**NARROW_NET)
    net = loaded_net(control_weights(tmp_path, seeded_module(module)))
    x, context, hint = drawn(1, 2, 4, 8, 6), drawn(2, 2, 77, 768), hint_of(2, 3, 64, 48)
    skips, middle = module(x, TIMES, context, hint, return_dict=False)
    found = tensors_of(net([question(net, x, TIMES, context, hint)])[0])
    for one, other in zip(found, [*skips, middle], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def union_in_diffusers_names() -> dict[str, Tensor]:
    """ComfyUI's names of one level of 320 channels, as union files have them."""
    renames = (
        ("time_embed.0", "time_embedding.linear_1"),
        ("time_embed.2", "time_embedding.linear_2"),
        ("label_emb.0.0", "add_embedding.linear_1"),
        ("label_emb.0.2", "add_embedding.linear_2"),
        ("input_blocks.0.0", "conv_in"),
        ("input_blocks.1.0", "down_blocks.0.resnets.0"),
        ("input_blocks.1.1", "down_blocks.0.attentions.0"),
        ("middle_block.0", "mid_block.resnets.0"),
        ("middle_block.1", "mid_block.attentions.0"),
        ("middle_block.2", "mid_block.resnets.1"),
        ("middle_block_out.0", "controlnet_mid_block"),
        ("zero_convs.0.0", "controlnet_down_blocks.0"),
        ("zero_convs.1.0", "controlnet_down_blocks.1"),
        (".in_layers.0", ".norm1"),
        (".in_layers.2", ".conv1"),
        (".emb_layers.1", ".time_emb_proj"),
        (".out_layers.0", ".norm2"),
        (".out_layers.3", ".conv2"),
        ("input_hint_block.0.", "controlnet_cond_embedding.conv_in."),
        *(
            (f"input_hint_block.{2 * i}.", f"controlnet_cond_embedding.blocks.{i - 1}.")
            for i in range(1, 7)
        ),
        ("input_hint_block.14.", "controlnet_cond_embedding.conv_out."),
        (".attn.in_proj.", ".attn.in_proj_"),
    )
    named = {}
    for key, tensor in filled(recorded_shapes("controlnet_shapes")["union"]).items():
        new = key
        for old, name in renames:
            new = new.replace(old, name) if not new.startswith("control_add") else new
        named[new] = tensor
    return named


@torch.inference_mode()
@pytest.mark.parametrize(("kind", "name"), [(CANNY, "union"), ("", "union_auto")])
def test_a_union_gives_comfyuis_residuals(tmp_path: Path, kind: str, name: str) -> None:
    net = loaded_net(control_weights(tmp_path, union_in_diffusers_names()))
    asked = question(
        net,
        drawn(1, 2, 4, 8, 6),
        TIMES,
        drawn(2, 2, 77, 64),
        hint_of(2, 3, 64, 48),
        y=drawn(4, 2, 48),
        union_type=kind,
    )
    assert_recorded(name, tensors_of(net([asked])[0]), channel_step=10)


@torch.inference_mode()
def test_a_union_gives_diffusers_residuals_for_one_picture(tmp_path: Path) -> None:
    module = ControlNetUnionModel(
        block_out_channels=(320,),
        down_block_types=("CrossAttnDownBlock2D",),
        layers_per_block=1,
        cross_attention_dim=64,
        attention_head_dim=5,
        use_linear_projection=True,
        conditioning_embedding_out_channels=(16, 32, 96, 256),
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=16 + 6 * 256,
        num_control_type=8,
    )
    net = loaded_net(control_weights(tmp_path, seeded_module(module)))
    x, context, hint = drawn(1, 1, 4, 8, 6), drawn(2, 1, 77, 64), hint_of(1, 3, 64, 48)
    pooled, sizes = drawn(4, 1, 16), torch.tensor([[64.0, 48, 0, 0, 64, 48]])
    skips, middle = module(
        x,
        TIMES[:1],
        context,
        [hint],
        control_type=torch.eye(8)[6:7],
        control_type_idx=[6],
        conditioning_scale=[1.0],
        added_cond_kwargs={"text_embeds": pooled, "time_ids": sizes},
        return_dict=False,
    )
    y = torch.cat([pooled, sinusoids(sizes[0], 256).reshape(1, -1)], dim=1)
    asked = question(net, x, TIMES[:1], context, hint, y=y, union_type="tile")
    for one, other in zip(tensors_of(net([asked])[0]), [*skips, middle], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_a_union_names_the_type_it_does_not_know(tmp_path: Path) -> None:
    net = loaded_net(control_weights(tmp_path, union_in_diffusers_names()))
    asked = question(
        net,
        drawn(1, 1, 4, 8, 6),
        TIMES[:1],
        drawn(2, 1, 77, 64),
        hint_of(1, 3, 64, 48),
        union_type="tile",
    )
    with torch.inference_mode(), pytest.raises(UnionTypeError, match="knows 6 types"):
        net([asked])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    """The narrow model's file."""
    folder = tmp_path_factory.mktemp("base")
    write_models(folder)
    return open_weights(folder / NARROW.name, NARROW)


def beside_the_unet(base: Weights) -> set[str]:
    """The tensors of a ControlNet that a U-Net has too."""
    return {key for key in control_tensors() if key in base.under(LDM)}


@torch.inference_mode()
def test_a_control_lora_is_the_unets_encoder_under_its_changes(
    tmp_path: Path, base: Weights
) -> None:
    encoder = {key: base.under(LDM)[key].clone() for key in beside_the_unet(base)}
    own = {key: tensor for key, tensor in control_tensors().items() if key not in encoder}
    factors: dict[str, Tensor] = {}
    for key in ("input_blocks.3.0.in_layers.2", "middle_block.1.transformer_blocks.0.attn1.to_q"):
        weight = encoder[key + ".weight"]
        up, down = drawn(7, weight.shape[0], 4), drawn(8, 4, *weight.shape[1:]) * 0.02
        factors.update({key + ".up": up, key + ".down": down})
        encoder[key + ".weight"] += (up @ down.flatten(1)).reshape(weight.shape)
    encoder["input_blocks.1.0.in_layers.0.bias"] = own["replaced"] = drawn(9, 32)
    own["input_blocks.1.0.in_layers.0.bias"] = own.pop("replaced")
    merged = loaded_net(control_weights(tmp_path, {**encoder, **own}, "merged.safetensors"))
    unet = FAMILIES.load(base, dtype=torch.float32, device=CPU)
    lora = load_control_lora(
        control_weights(tmp_path, {**own, **factors, "lora_controlnet": torch.zeros(1)}),
        dict(unet.module.named_parameters()),
        unet.shape,
        dtype=torch.float32,
        device=CPU,
    )
    inputs = (drawn(1, 1, 4, 8, 6), TIMES[:1], drawn(2, 1, 77, 768), hint_of(1, 3, 64, 48))
    expected = tensors_of(merged([question(merged, *inputs)])[0])
    for one, other in zip(tensors_of(lora([question(lora, *inputs)])[0]), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_a_file_of_differences_needs_the_model_it_differs_from(tmp_path: Path) -> None:
    tensors = {f"control_model.{key}": tensor for key, tensor in control_tensors().items()}
    weights = control_weights(tmp_path, {**tensors, "difference": torch.zeros(1)})
    with pytest.raises(BadModelFile, match="DiffControlNetLoader"):
        loaded_net(weights)


@torch.inference_mode()
def test_differences_are_added_to_the_model(tmp_path: Path) -> None:
    tensors = {f"control_model.{key}": tensor for key, tensor in control_tensors().items()}
    first = "control_model.input_blocks.0.0.weight"
    under = drawn(5, *tensors[first].shape)
    differing = {**tensors, first: tensors[first] - under, "difference": torch.zeros(1)}
    net = loaded_net(control_weights(tmp_path, differing), base={"conv_in.weight": under})
    asked = question(net, drawn(1, 2, 4, 8, 6), TIMES, drawn(2, 2, 77, 768), hint_of(2, 3, 64, 48))
    assert_recorded("controlnet", tensors_of(net([asked])[0]))


@pytest.mark.parametrize("name", ["c_shuffle.safetensors", "c_shuffle_fp16.safetensors"])
def test_a_shuffle_net_controls_by_averages(tmp_path: Path, name: str) -> None:
    assert loaded_net(control_weights(tmp_path, control_tensors(), name)).pools


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["full", "xl", "light"])
def test_an_adapter_gives_comfyuis_features_at_odd_sizes(tmp_path: Path, kind: str) -> None:
    tensors = filled(recorded_shapes("controlnet_shapes")[kind])
    adapter = loaded_adapter(control_weights(tmp_path, tensors))
    side = (80, 96) if kind == "xl" else (72, 88)
    latent = drawn(1, 1, 4, 10, 12) if kind == "xl" else drawn(1, 1, 4, 9, 11)
    asked = question(adapter, latent, TIMES[:1], drawn(2, 1, 77, 768), hint_of(1, 3, *side, seed=5))
    assert_recorded(kind, tensors_of(adapter([asked])[0]))


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["full_adapter", "full_adapter_xl", "light_adapter"])
def test_an_adapter_in_diffusers_layout_gives_diffusers_features(tmp_path: Path, kind: str) -> None:
    channels = [32, 64, 128] if kind == "light_adapter" else [32, 64, 128, 128]
    module = T2IAdapter(
        channels=channels, adapter_type=kind, downscale_factor=16 if "xl" in kind else 8
    )
    adapter = loaded_adapter(control_weights(tmp_path, seeded_module(module)))
    hint = hint_of(1, 3, 128, 64)
    asked = question(adapter, drawn(1, 1, 4, 16, 8), TIMES[:1], drawn(2, 1, 77, 768), hint)
    for one, other in zip(tensors_of(adapter([asked])[0]), module(hint), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_a_hint_with_too_few_channels_is_refused(tmp_path: Path) -> None:
    net = loaded_net(control_weights(tmp_path, control_tensors()))
    asked = question(
        net, drawn(1, 1, 4, 8, 6), TIMES[:1], drawn(2, 1, 77, 768), hint_of(1, 1, 64, 48)
    )
    with torch.inference_mode(), pytest.raises(HintChannelsError, match="3 channels, got 1"):
        net([asked])
