"""Lumina 2 against diffusers' own transformer; Gemma 2 against transformers'; their files."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from diffusion.dit.call import DitCall
from diffusion.dit.next_dit import next_dit
from diffusion.dit.next_dit_shape import NextDitShape
from diffusion.families.lumina2.family import LUMINA2
from diffusion.families.lumina2.shapes import TRAITS
from diffusion.families.lumina2.text import PAD, START
from diffusion.text.llm_network import LlmShape
from diffusion.text.llm_part import LlmPart, LlmReading, load_llm
from diffusion.text.networks import GEMMA2, find_gemma2
from diffusion.text.prompt import no_embeddings
from graph.errors import BadModelFile
from graph.nodes.transformers import encode_lumina2
from graph.values import Clip
from tests.diffusion.llm_files import letters
from tests.diffusion.model_files import CPU, loaded, seeded
from tests.diffusion.narrow_stage import drawn
from tests.diffusion.test_text_encoder import in_memory

SHAPE = NextDitShape(
    in_channels=16,
    out_channels=16,
    width=48,
    mlp=192,
    layers=2,
    refiners=2,
    heads=4,
    kv_heads=2,
    head=12,
    context_dim=24,
    time_hidden=48,
    time_width=48,
    activated=True,
    multiple=1,
    traits=TRAITS,
)
# What diffusers calls modules, and the files.
NAMES = {
    "time_caption_embed.caption_embedder": "cap_embedder",
    "time_caption_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
    "time_caption_embed.timestep_embedder.linear_2": "t_embedder.mlp.2",
    "attn.to_out.0": "attention.out",
    "attn.norm_q": "attention.q_norm",
    "attn.norm_k": "attention.k_norm",
    "feed_forward.linear_": "feed_forward.w",
    "norm1.linear": "adaLN_modulation.1",
    "norm1.norm": "attention_norm1",
    "norm_out.linear_1": "final_layer.adaLN_modulation.1",
    "norm_out.linear_2": "final_layer.linear",
    ".norm1.": ".attention_norm1.",
    ".norm2.": ".attention_norm2.",
}


def diffusers_module() -> Any:
    from diffusers import Lumina2Transformer2DModel  # noqa: PLC0415

    kind: Any = Lumina2Transformer2DModel
    module = kind(
        hidden_size=SHAPE.width,
        num_layers=SHAPE.layers,
        num_refiner_layers=SHAPE.refiners,
        num_attention_heads=SHAPE.heads,
        num_kv_heads=SHAPE.kv_heads,
        multiple_of=32,
        axes_dim_rope=SHAPE.axes,
        axes_lens=(64, 32, 32),
        cap_feat_dim=SHAPE.context_dim,
    ).eval()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(seeded(name, tuple(parameter.shape)))
    return module


def stored() -> dict[str, Tensor]:
    """Its weights as the model's own files have them."""
    tensors = {name: t.detach().clone() for name, t in diffusers_module().named_parameters()}
    found = {"norm_final.weight": torch.ones(SHAPE.width)}  # which nothing reads
    for name in list(tensors):
        if ".attn.to_q." in name:
            parts = (tensors.pop(name.replace("to_q", f"to_{letter}")) for letter in "qkv")
            found[name.replace("attn.to_q", "attention.qkv")] = torch.cat(list(parts))
    for name, tensor in tensors.items():
        own = name
        for theirs, ours in NAMES.items():
            own = own.replace(theirs, ours)
        found[own] = tensor
    return found


def test_it_answers_as_diffusers_does(tmp_path: Path) -> None:
    model = loaded(tmp_path, stored())
    assert (model.family, model.shape) == (LUMINA2, SHAPE)
    own = model.parameterization
    assert (own.kind, own.shift, own.multiplier) == ("flow", 6.0, 1.0)
    call = DitCall(
        sample=drawn(1, 2, 16, 8, 6),
        times=torch.tensor([0.7, 0.2]),
        context=drawn(2, 2, 5, SHAPE.context_dim),
        pooled=torch.zeros(2, 0),
    )
    seen = torch.ones(2, 5, dtype=torch.bool)
    with torch.no_grad():
        expected = diffusers_module()(
            call.sample, 1 - call.times, call.context, seen, return_dict=False
        )[0]
        assert torch.allclose(next_dit(model.module, call), -expected, atol=1e-4)


def test_what_is_wrong_with_a_file_is_named(tmp_path: Path) -> None:
    missing, misshapen = stored(), stored()
    del missing["context_refiner.1.feed_forward.w2.weight"]
    with pytest.raises(BadModelFile, match=r"context_refiner\.1\.feed_forward\.w2\.weight"):
        loaded(tmp_path, missing)
    misshapen["layers.1.adaLN_modulation.1.weight"] = torch.zeros(7, 48)
    with pytest.raises(BadModelFile, match=r"adaLN_modulation.1.weight' is \(7, 48\), not \(192"):
        loaded(tmp_path, misshapen)
    del missing["x_embedder.weight"]
    with pytest.raises(BadModelFile, match=r"incomplete.*x_embedder"):
        loaded(tmp_path, missing)


GEMMA = LlmShape(
    vocabulary=60, width=32, mlp=64, layers=3, heads=2, kv_heads=1, head=256, biased=False,
    normed=False, gemma=True, theta=10000.0,
)  # fmt: skip


def gemma_module() -> Any:
    from transformers import Gemma2Config, Gemma2Model  # noqa: PLC0415

    config: Any = Gemma2Config
    kind: Any = Gemma2Model
    module = kind(
        config(
            vocab_size=GEMMA.vocabulary,
            hidden_size=GEMMA.width,
            intermediate_size=GEMMA.mlp,
            num_hidden_layers=GEMMA.layers,
            num_attention_heads=GEMMA.heads,
            num_key_value_heads=GEMMA.kv_heads,
            head_dim=GEMMA.head,
            query_pre_attn_scalar=GEMMA.head,
            attn_logit_softcapping=None,
            attn_implementation="eager",
        )
    ).eval()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            drawn_one = seeded(name, tuple(parameter.shape))
            parameter.copy_(drawn_one - 1 if "norm" in name else drawn_one)
    return module


def gemma_tensors(prefix: str) -> dict[str, Tensor]:
    own = gemma_module().named_parameters()
    return {prefix + name: tensor.detach().clone() for name, tensor in own}


def gemma() -> LlmPart:
    reading = LlmReading("{}", (-2,), pad=PAD, start=START, weighted=True)
    module = load_llm(in_memory(gemma_tensors("")), torch.float32, CPU)
    assert module.shape == GEMMA
    return LlmPart(GEMMA2.name, GEMMA2.title, module, letters, reading)


def encoded(part: LlmPart, text: str) -> Tensor:
    with torch.inference_mode():
        (states,) = part.encoded([part.chunks(text, no_embeddings)], None)
    return states.tokens


def states(tokens: list[int], seen: list[int]) -> Tensor:
    with torch.no_grad():
        hidden = gemma_module()(
            torch.tensor([tokens]), attention_mask=torch.tensor([seen]), output_hidden_states=True
        ).hidden_states
    answer: Tensor = hidden[-2]
    return answer


def test_gemma_answers_as_transformers_does() -> None:
    tokens = [START, *letters("a red fox")]
    expected = states(tokens, [1] * len(tokens))
    assert torch.allclose(encoded(gemma(), "a red fox"), expected, atol=1e-4)


def test_weights_move_tokens_from_a_prompt_of_padding() -> None:
    part = gemma()
    plain, weighted = encoded(part, "a fox"), encoded(part, "a (fox:1.5)")
    empty = states([START, *[PAD] * 5], [1, *[0] * 5])
    moved = empty[:, 3:] + 1.5 * (plain - empty)[:, 3:]
    assert torch.allclose(weighted[:, 3:], moved, atol=1e-4)
    assert torch.allclose(weighted[:, :3], plain[:, :3], atol=1e-5)


@pytest.mark.parametrize("prefix", ["model.", "text_encoders.gemma2_2b.transformer.model."])
def test_gemma_is_found_where_files_keep_it(prefix: str) -> None:
    assert find_gemma2(in_memory(gemma_tensors(prefix))) is not None
    qwen = {f"{prefix}layers.0.self_attn.q_norm.weight": torch.zeros(4)}
    assert find_gemma2(in_memory(gemma_tensors(prefix) | qwen)) is None


class Heard:
    """Keeps the text that it is asked to encode."""

    async def encode_text(self, _clip: Clip, text: str) -> str:
        return text


async def test_the_system_prompt_stands_before_the_prompt() -> None:
    encoders: Any = Heard()
    said: Any = await encode_lumina2(
        encoders, system_prompt="alignment", user_prompt="a fox", clip=Clip(())
    )
    assert said.startswith("You are an assistant designed to generate high-quality images with")
    assert said.endswith("textual prompts. <Prompt Start> a fox")
