"""Qwen-Image against diffusers' own transformer; its files, its references and its prompts."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from diffusion.dit.call import DitCall
from diffusion.families.qwen_image.network import placed, qwen_image
from diffusion.families.qwen_image.shapes import QwenImageShape
from diffusion.families.qwen_image.text import START, USER, instructions
from diffusion.families.registry import FAMILIES
from diffusion.networks.packed_layers import PackedLinear
from diffusion.text.encoder import Prompt, load_text_encoder
from diffusion.text.encodings import Tokenizers
from diffusion.text.tokenizer import ClipTokenizer
from graph.errors import BadModelFile
from tests.diffusion.llm_files import QWEN25, letters, llm_tensors
from tests.diffusion.model_files import CPU, loaded, misshapen, seeded, without
from tests.diffusion.narrow_stage import drawn
from tests.diffusion.test_text_encoder import in_memory

SHAPE = QwenImageShape(
    in_channels=16,
    out_channels=16,
    width=64,
    mlp=256,
    layers=2,
    head=32,
    context_dim=24,
    layered=False,
    reference_method="index",
)


def diffusers_module(*, layered: bool = False, zero: bool = False) -> Any:
    from diffusers import QwenImageTransformer2DModel  # noqa: PLC0415

    kind: Any = QwenImageTransformer2DModel
    module = kind(
        num_layers=SHAPE.layers,
        attention_head_dim=SHAPE.head,
        num_attention_heads=SHAPE.width // SHAPE.head,
        joint_attention_dim=SHAPE.context_dim,
        axes_dims_rope=SHAPE.axes,
        use_additional_t_cond=layered,
        zero_cond_t=zero,
    ).eval()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(seeded(name, tuple(parameter.shape)))
    return module


def stored(**kind: bool) -> dict[str, Tensor]:
    own = diffusers_module(**kind).named_parameters()
    return {name: parameter.detach().clone() for name, parameter in own}


CALL = DitCall(
    sample=drawn(1, 1, 16, 1, 8, 8),
    times=torch.tensor([0.7]),
    context=drawn(2, 1, 9, SHAPE.context_dim),
    pooled=torch.zeros(1, 0),
    places="index",
)
WITH_REFERENCES = replace(CALL, references=(drawn(3, 1, 16, 1, 4, 8), drawn(4, 1, 16, 1, 8, 4)))


def diffusers_answer(module: Any, call: DitCall) -> Tensor:
    """What diffusers' own forward says of a call of one picture, as a latent.

    It centers an odd number of tokens otherwise than ComfyUI, so sides are even here.
    """
    pictures = [call.sample, *call.references]
    tokens = [
        picture[:, :, 0].unflatten(-1, (-1, 2)).unflatten(-3, (-1, 2)).permute(0, 2, 4, 1, 3, 5)
        for picture in pictures
    ]
    sizes = [(1, picture.shape[-2] // 2, picture.shape[-1] // 2) for picture in pictures]
    more = {"additional_t_cond": torch.tensor([0])} if hasattr(
        module.time_text_embed, "addition_t_embedding"
    ) else {}  # fmt: skip
    with torch.no_grad():
        answer = module(
            hidden_states=torch.cat([each.reshape(1, -1, 64) for each in tokens], dim=1),
            encoder_hidden_states=call.context,
            encoder_hidden_states_mask=torch.ones(1, call.context.shape[1], dtype=torch.bool),
            timestep=call.times,
            img_shapes=[sizes],
            return_dict=False,
            **more,
        )[0]
    _, rows, columns = sizes[0]
    own = answer[:, : rows * columns].unflatten(1, (rows, columns)).unflatten(-1, (16, 2, 2))
    latent: Tensor = own.permute(0, 3, 1, 4, 2, 5).reshape(call.sample.shape)
    return latent


@pytest.mark.parametrize("call", [CALL, WITH_REFERENCES], ids=["alone", "references"])
@pytest.mark.parametrize("layered", [False, True])
def test_it_answers_as_diffusers_does(tmp_path: Path, call: DitCall, layered: bool) -> None:
    model = loaded(tmp_path, stored(layered=layered))
    method = "negative_index" if layered else "index"
    assert model.shape == replace(SHAPE, layered=layered, reference_method=method)
    expected = diffusers_answer(diffusers_module(layered=layered), call)
    with torch.no_grad():
        assert torch.allclose(qwen_image(model.module, call), expected, atol=1e-4)


def test_references_may_be_told_that_they_have_no_noise(tmp_path: Path) -> None:
    tensors = stored() | {"__index_timestep_zero__": torch.zeros(0)}
    model = loaded(tmp_path, tensors)
    assert model.shape.reference_method == "index_timestep_zero"
    expected = diffusers_answer(diffusers_module(zero=True), WITH_REFERENCES)
    call = replace(WITH_REFERENCES, places="index_timestep_zero")
    with torch.no_grad():
        assert torch.allclose(qwen_image(model.module, call), expected, atol=1e-4)


def test_odd_sizes_go_on_at_the_other_side(tmp_path: Path) -> None:
    module = loaded(tmp_path, stored()).module
    odd = replace(CALL, sample=CALL.sample[..., :7, :5])
    wrapped = torch.cat([odd.sample, odd.sample[..., :1, :]], dim=-2)
    wrapped = torch.cat([wrapped, wrapped[..., :1]], dim=-1)
    with torch.no_grad():
        whole = qwen_image(module, replace(CALL, sample=wrapped))
        assert torch.equal(qwen_image(module, odd), whole[..., :7, :5])


def test_references_lie_where_the_method_says() -> None:
    pictures = [torch.zeros(1, 16, 1, *size) for size in ((8, 6), (4, 4), (4, 8))]
    corners = {}
    for method in ("index", "negative_index", "offset"):
        positions = placed(5, pictures, method)
        assert positions[:5].tolist() == [[2 + i] * 3 for i in range(5)]
        corners[method] = [positions[5 + 12].tolist(), positions[5 + 12 + 4].tolist()]
    assert corners["index"] == [[1, -1, -1], [2, -1, -2]]
    assert corners["negative_index"] == [[-1, -1, -1], [-2, -1, -2]]
    assert corners["offset"] == [[1, -1, -1], [1, 1, -2]]


def test_frames_are_layers_one_behind_the_other() -> None:
    positions = placed(0, [torch.zeros(1, 16, 3, 4, 4)], "index")
    assert positions[:, 0].tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_weights_of_eight_bits_stay_so(tmp_path: Path) -> None:
    narrow = {key: t.to(torch.float8_e4m3fn) if t.ndim == 2 else t for key, t in stored().items()}
    model = loaded(tmp_path, narrow)
    wide = loaded(tmp_path, {key: tensor.float() for key, tensor in narrow.items()})
    layers = [layer for layer in model.module.modules() if isinstance(layer, PackedLinear)]
    assert {layer.weight.dtype for layer in layers} == {torch.float8_e4m3fn}
    with torch.no_grad():
        assert torch.equal(qwen_image(model.module, CALL), qwen_image(wide.module, CALL))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (
            without("transformer_blocks.1.attn.to_k.bias"),
            r"blocks\.1\.attn\.to_k\.bias",
        ),
        (without("txt_in.weight"), "incomplete"),
        (misshapen("norm_out.linear.weight", 128, 60), r"norm_out\.linear\.weight' is \(128, 60\)"),
        (misshapen("transformer_blocks.0.attn.norm_q.weight", 20), "heads of 20"),
    ],
)
def test_a_damaged_file_is_told_by_what_is_wrong(
    tmp_path: Path, damage: Callable[[dict[str, Tensor]], object], said: str
) -> None:
    tensors = stored()
    damage(tensors)
    with pytest.raises(BadModelFile, match=said):
        loaded(tmp_path, tensors)


@pytest.mark.parametrize(
    "stem",
    [
        "transformer_blocks.1.attn.to_out.0",
        "transformer.transformer_blocks.1.attn.to_out.0",
        "diffusion_model.transformer_blocks.1.attn.to_out.0",
        "lora_unet_transformer_blocks_1_attn_to_out_0",
        "lycoris_transformer_blocks_1_attn_to_out_0",
    ],
)
def test_loras_of_all_layouts_are_known(tmp_path: Path, stem: str) -> None:
    model = loaded(tmp_path, stored())
    names = tuple(name for name, _ in model.module.named_parameters())
    known = model.family.weight_names(model.shape, names)
    parameters = known.parameters()
    found = {parameters.get(one) for one in known.stems(stem)}
    assert "transformer_blocks.1.attn.to_out.0.weight" in found


@pytest.mark.parametrize(
    ("tokens", "dropped"),
    [
        ([START, 5, 6, START, *USER, 7, 8], 6),
        ([START, 5, 6, START, 9, 9, 7, 8], 3),
        ([START, *USER, 7, 8], 3),
        ([5, 6, 7], 0),
    ],
)
def test_instructions_end_where_the_turn_of_the_user_begins(
    tokens: list[int], dropped: int
) -> None:
    assert instructions(tokens) == dropped


@pytest.mark.parametrize("kind", ["qwen_image", "stable_diffusion"])
def test_it_reads_the_last_states_of_the_template(kind: str) -> None:
    encoder = load_text_encoder(
        [in_memory(llm_tensors(QWEN25))],
        Tokenizers(ClipTokenizer(), lambda: letters, qwen=lambda: letters, umt5=lambda: letters),
        FAMILIES.texts,
        dtype=torch.float32,
        device=CPU,
        kind=kind,
    )
    templated, own = encoder.encode([Prompt("a fox"), Prompt("<|im_start|>a fox")])
    assert own.tokens.shape == (1, len("<|im_start|>a fox"), QWEN25.width)
    assert templated.tokens.shape[1] > len("Describe the image a fox")
    assert templated.pooled is None
