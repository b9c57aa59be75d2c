"""Wan's files: their layouts, what is wrong with them, LoRAs; and diffusers' own transformer."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from diffusion.batch.frame import Frame
from diffusion.dit.call import DitCall
from diffusion.families.registry import FAMILIES
from diffusion.families.wan.family import WAN
from diffusion.families.wan.names import AROUND, BLOCK, STACKS, TABLES
from diffusion.families.wan.network import SEEN, VACE, VACE_STRENGTHS, wan
from diffusion.families.wan.shapes import WanShape
from diffusion.guidance.model_changes import own_sampling
from diffusion.lora.file import read_lora
from diffusion.text.encodings import TextEncodings
from diffusion.weights import Weights
from graph.errors import BadModelFile
from graph.recognition import recognised
from graph.values import Condition
from imaging.sizes import SizeMismatchError
from tests.diffusion.model_files import seeded, written
from tests.diffusion.test_text_encoder import in_memory
from tests.diffusion.wan_files import I2V, SHAPES, T2V, loaded, plain, tensors_of


def in_diffusers_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    names = {}
    for key in tensors:
        stack, _, rest = key.partition(".")
        index, _, inner = rest.partition(".")
        layer, _, leaf = (inner if stack in STACKS else key).rpartition(".")
        if key in TABLES:
            names[key] = TABLES[key]
        elif stack not in STACKS:
            names[key] = f"{AROUND[layer]}.{leaf}"
        elif inner == "modulation":
            names[key] = f"{stack}.{index}.scale_shift_table"
        else:
            names[key] = f"{stack}.{index}.{BLOCK[layer]}.{leaf}"
    return {names[key]: tensor for key, tensor in tensors.items()}


def diffusers_module(shape: WanShape) -> Any:
    import diffusers  # noqa: PLC0415

    config: dict[str, Any] = {
        "num_attention_heads": shape.width // 128,
        "attention_head_dim": 128,
        "in_channels": shape.in_channels,
        "out_channels": shape.out_channels,
        "text_dim": shape.context_dim,
        "freq_dim": shape.time_dim,
        "ffn_dim": shape.mlp,
        "num_layers": shape.depth,
        "image_dim": shape.image_dim or None,
        "added_kv_proj_dim": shape.width if shape.image_dim else None,
    }
    kind: Any = diffusers.WanTransformer3DModel
    if shape.vace_depth:
        kind = diffusers.WanVACETransformer3DModel
        config |= {"vace_layers": [0], "vace_in_channels": shape.vace_channels}
    module = kind(**config)
    module.load_state_dict(in_diffusers_names(tensors_of(shape)))
    return module.eval()


def call(shape: WanShape, **options: Any) -> DitCall:
    return DitCall(
        sample=plain("sample", (2, shape.in_channels, 3, 4, 6)),
        times=torch.tensor([300.0, 700.0]),
        context=plain("context", (2, 5, shape.context_dim)),
        pooled=torch.zeros(2, 0),
        **options,
    )


@pytest.mark.parametrize("layout", ["published", "checkpoint", "diffusers"])
@pytest.mark.parametrize("name", ["t2v", "i2v", "vace"])
def test_every_layout_is_the_same_network(name: str, layout: str, tmp_path: Path) -> None:
    shape = SHAPES[name]
    own = stored = tensors_of(shape)
    if layout == "diffusers":
        stored = in_diffusers_names(own)
    elif layout == "checkpoint":
        stored = {f"model.diffusion_model.{key}": tensor for key, tensor in own.items()}
    model = loaded(tmp_path, stored)
    assert (model.family.name, model.shape) == ("wan", shape)
    found = dict(model.module.named_parameters())
    assert found.keys() == own.keys()
    assert all(torch.equal(found[key], own[key]) for key in own)
    known = recognised(written(tmp_path, stored).entries)
    assert known is not None
    assert (known.kind, known.family.name) == ("diffusion_model", "wan")


@torch.inference_mode()
def test_text_to_video_is_as_in_diffusers(tmp_path: Path) -> None:
    asked, module = call(T2V), diffusers_module(T2V)
    answer = wan(loaded(tmp_path, tensors_of(T2V)).module, asked)
    expected = module(asked.sample, asked.times, asked.context).sample
    torch.testing.assert_close(answer, expected, rtol=0, atol=1e-4)
    # A time of its own for each frame is one for each token there.
    times = torch.tensor([[0.0, 300.0, 700.0]] * 2)
    answer = wan(loaded(tmp_path, tensors_of(T2V)).module, replace(asked, times=times))
    expected = module(asked.sample, times.repeat_interleave(6, 1), asked.context).sample
    torch.testing.assert_close(answer, expected, rtol=0, atol=1e-4)


@torch.inference_mode()
def test_vace_is_as_in_diffusers(tmp_path: Path) -> None:
    shape = SHAPES["vace"]
    control = plain("control", (2, 1, 96, 3, 4, 6))
    strengths = torch.tensor([[0.7], [0.7]])
    asked = call(shape, beside={VACE: control, VACE_STRENGTHS: strengths})
    answer = wan(loaded(tmp_path, tensors_of(shape)).module, asked)
    expected = diffusers_module(shape)(
        asked.sample, asked.times, asked.context, None, control[:, 0], torch.tensor([0.7])
    ).sample
    torch.testing.assert_close(answer, expected, rtol=0, atol=2e-5)


def test_blocks_may_be_skipped(tmp_path: Path) -> None:
    module = loaded(tmp_path, tensors_of(T2V)).module
    plain_answer, skipped = (
        wan(module, call(T2V, skipped={"double": frozenset(blocks)})) for blocks in ((), (1,))
    )
    module.blocks = module.blocks[:1]
    assert not torch.allclose(plain_answer, skipped, atol=1e-3)
    assert torch.equal(wan(module, call(T2V)), skipped)


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        (T2V, "blocks.1.cross_attn.norm_k.weight"),
        (T2V, "blocks.0.modulation"),
        (T2V, "head.modulation"),
        (T2V, "patch_embedding.weight"),
        (I2V, "img_emb.proj.1.weight"),
        (I2V, "blocks.1.cross_attn.v_img.bias"),
        (SHAPES["vace"], "vace_blocks.0.after_proj.weight"),
        (SHAPES["vace"], "vace_patch_embedding.weight"),
        (SHAPES["camera"], "control_adapter.conv.weight"),
    ],
)
def test_a_missing_tensor_is_named(shape: WanShape, name: str, tmp_path: Path) -> None:
    tensors = tensors_of(shape)
    del tensors[name]
    with pytest.raises(BadModelFile, match=re.escape(name)):
        loaded(tmp_path, tensors)


@pytest.mark.parametrize("name", ["blocks.0.ffn.2.weight", "head.head.bias", "blocks.1.modulation"])
def test_a_tensor_of_another_shape_is_named(name: str, tmp_path: Path) -> None:
    tensors = tensors_of(T2V)
    tensors[name] = torch.zeros(3, *tensors[name].shape[1:])
    with pytest.raises(BadModelFile, match=rf"{re.escape(name)}.* is \(3, ?"):
        loaded(tmp_path, tensors)


def test_networks_that_cannot_be_are_refused(tmp_path: Path) -> None:
    odd = tensors_of(replace(T2V, width=192, mlp=8))
    with pytest.raises(BadModelFile, match="width 192 and heads of 128"):
        loaded(tmp_path, odd)
    uneven = tensors_of(replace(SHAPES["vace"], depth=5, vace_depth=2, mlp=8))
    with pytest.raises(BadModelFile, match="5 blocks and 2 of VACE"):
        loaded(tmp_path, uneven)


@pytest.mark.parametrize(
    ("mark", "title"),
    [
        ("casual_audio_encoder.encoder.final_linear.weight", "S2V"),
        ("audio_proj.audio_proj_glob_1.layer.bias", "HuMo"),
        ("face_adapter.fuser_blocks.0.k_norm.weight", "Animate"),
    ],
)
def test_relatives_are_refused_by_their_names(mark: str, title: str, tmp_path: Path) -> None:
    with pytest.raises(BadModelFile, match=title):
        loaded(tmp_path, tensors_of(T2V) | {mark: torch.zeros(2, 2)})


def test_its_text_encoder_is_no_other_familys() -> None:
    encodings: TextEncodings = FAMILIES.texts
    clip: Weights = in_memory({"text_model.embeddings.token_embedding.weight": torch.zeros(9, 768)})
    with pytest.raises(BadModelFile, match="CLIP-L found in it, which no the family 'wan' reads"):
        encodings.choose("wan", [clip], encodings.find([clip]))


def test_latents_of_another_size_are_refused(tmp_path: Path) -> None:
    model = loaded(tmp_path, tensors_of(SHAPES["i2v22"]))
    x = torch.zeros(1, 16, 3, 4, 6)
    frame = Frame(x, None, own_sampling(model.parameterization), model.latent_format)
    extras = {"concat_latent_image": torch.zeros(1, 16, 2, 4, 6)}
    condition = Condition(torch.zeros(1, 5, 4096), extras=extras)
    with pytest.raises(SizeMismatchError):
        model.family.embed(model, condition, "positive", frame)


LORA_STEMS = {
    "kohya": "lora_unet_blocks_1_self_attn_q",
    "comfyui": "diffusion_model.blocks.1.self_attn.q",
    "plain": "blocks.1.self_attn.q",
    "diffusers": "transformer.blocks.1.attn1.to_q",
}


@pytest.mark.parametrize("stem", LORA_STEMS.values(), ids=LORA_STEMS)
def test_loras_name_layers_in_four_ways(stem: str, tmp_path: Path) -> None:
    halves = (
        ("lora_up.weight", "lora_down.weight")
        if stem.startswith("lora_")
        else ("lora_B.weight", "lora_A.weight")
    )
    up, down = seeded("up", (128, 4)), seeded("down", (4, 128))
    lora = written(tmp_path, {f"{stem}.{halves[0]}": up, f"{stem}.{halves[1]}": down})
    names = WAN.weight_names(T2V, tuple(tensors_of(T2V)))
    read = read_lora(lora, names)
    assert list(read.patches) == ["blocks.1.self_attn.q.weight"]
    assert read.unfit == ()


def test_loras_change_norms_and_biases(tmp_path: Path) -> None:
    start = "diffusion_model.blocks.0"
    lora = written(
        tmp_path,
        {
            f"{start}.norm3.diff": torch.zeros(128),
            f"{start}.norm3.diff_b": torch.zeros(128),
            f"{start}.self_attn.norm_q.diff": torch.zeros(128),
            f"{start}.ffn.0.diff_b": torch.zeros(64),
            "diffusion_model.patch_embedding.diff": torch.zeros(128, 16, 1, 2, 2),
            "diffusion_model.head.head.diff_b": torch.zeros(64),
        },
    )
    names = WAN.weight_names(T2V, tuple(tensors_of(T2V)))
    assert set(read_lora(lora, names).patches) == {
        "blocks.0.norm3.weight",
        "blocks.0.norm3.bias",
        "blocks.0.self_attn.norm_q.weight",
        "blocks.0.ffn.0.bias",
        "patch_embedding.weight",
        "head.head.bias",
    }


def test_what_is_seen_is_heard_by_models_that_see(tmp_path: Path) -> None:
    seen = {SEEN: plain("seen", (2, 4, 1280))}
    for shape, sees in ((I2V, True), (T2V, False)):
        module = loaded(tmp_path, tensors_of(shape)).module
        with_it, without = wan(module, call(shape, beside=seen)), wan(module, call(shape))
        assert torch.equal(with_it, without) is not sees
