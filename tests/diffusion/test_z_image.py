"""Z-Image against diffusers' own transformer; its files, its text and its LoRAs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from diffusion.dit.call import DitCall
from diffusion.dit.next_dit import next_dit
from diffusion.dit.next_dit_shape import NextDitShape, pieces
from diffusion.families.registry import FAMILIES
from diffusion.families.z_image.shapes import TRAITS
from diffusion.lora.applying import LORA, Loras
from diffusion.networks.packed_layers import PackedLinear, TrueWeights
from diffusion.text.encoder import Prompt, TextEncoder, load_text_encoder
from diffusion.text.encodings import Tokenizers
from diffusion.text.tokenizer import ClipTokenizer
from diffusion.weights import open_weights
from graph.errors import BadModelFile
from graph.model_files.header import Entry, Header
from graph.values import Change, ModelFile
from storage.models.kinds import nature_of
from tests.diffusion.llm_files import QWEN3, QWEN25, letters, llm_tensors
from tests.diffusion.model_files import CPU, loaded, misshapen, seeded, without
from tests.diffusion.narrow_stage import drawn
from tests.diffusion.test_text_encoder import in_memory

SHAPE = NextDitShape(
    in_channels=16,
    out_channels=16,
    width=48,
    mlp=128,
    layers=2,
    refiners=2,
    heads=3,
    kv_heads=3,
    head=16,
    context_dim=24,
    time_hidden=1024,
    time_width=48,
    activated=False,
    multiple=32,
    traits=TRAITS,
)


def diffusers_module() -> Any:
    from diffusers import ZImageTransformer2DModel  # noqa: PLC0415

    kind: Any = ZImageTransformer2DModel
    module = kind(
        dim=SHAPE.width,
        n_layers=SHAPE.layers,
        n_refiner_layers=SHAPE.refiners,
        n_heads=SHAPE.heads,
        n_kv_heads=SHAPE.heads,
        cap_feat_dim=SHAPE.context_dim,
        axes_dims=list(SHAPE.axes),
        axes_lens=[128, 32, 32],
    ).eval()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(seeded(name, tuple(parameter.shape)))
    return module


def stored(layout: str = "own") -> dict[str, Tensor]:
    tensors = {name: t.detach().clone() for name, t in diffusers_module().named_parameters()}
    if layout == "diffusers":
        return tensors
    found: dict[str, list[Tensor]] = {}
    for piece in pieces(SHAPE):
        for leaf in ("weight", "bias"):
            if f"{piece.module}.{leaf}" in tensors:
                own = tensors.pop(f"{piece.module}.{leaf}")
                found.setdefault(f"{piece.source}.{leaf}", []).append(own)
    assert tensors.keys() == {"x_pad_token", "cap_pad_token"}
    prefix = "model.diffusion_model." if layout == "checkpoint" else ""
    whole = tensors | {key: torch.cat(parts) for key, parts in found.items()}
    return {prefix + key: tensor for key, tensor in whole.items()}


CALL = DitCall(
    sample=drawn(1, 1, 16, 8, 6),
    times=torch.tensor([0.7]),
    context=drawn(2, 1, 37, SHAPE.context_dim),
    pooled=torch.zeros(1, 0),
)


@pytest.mark.parametrize("layout", ["own", "checkpoint", "diffusers"])
def test_it_answers_as_diffusers_does(tmp_path: Path, layout: str) -> None:
    model = loaded(tmp_path, stored(layout))
    assert (model.family.name, model.shape) == ("z_image", SHAPE)
    with torch.no_grad():
        pictures = [CALL.sample[0][:, None]]
        (answer,) = diffusers_module()(pictures, 1 - CALL.times, list(CALL.context))[0]
        own = next_dit(model.module, CALL)
    assert torch.allclose(own[0], -answer[:, 0], atol=1e-4)


def test_odd_sizes_go_on_at_the_other_side(tmp_path: Path) -> None:
    module = loaded(tmp_path, stored()).module
    odd = replace(CALL, sample=CALL.sample[..., :7, :5])
    wrapped = torch.cat([odd.sample, odd.sample[..., :1, :]], dim=-2)
    wrapped = torch.cat([wrapped, wrapped[..., :1]], dim=-1)
    with torch.no_grad():
        whole = next_dit(module, replace(CALL, sample=wrapped))
        assert torch.equal(next_dit(module, odd), whole[..., :7, :5])


def test_weights_of_eight_bits_stay_so(tmp_path: Path) -> None:
    narrow = {key: t.to(torch.float8_e4m3fn) if t.ndim == 2 else t for key, t in stored().items()}
    model = loaded(tmp_path, narrow)
    wide = loaded(tmp_path, {key: tensor.float() for key, tensor in narrow.items()})
    layers = [layer for layer in model.module.modules() if isinstance(layer, PackedLinear)]
    assert {layer.weight.dtype for layer in layers} == {torch.float8_e4m3fn}
    with torch.no_grad():
        assert torch.equal(next_dit(model.module, CALL), next_dit(wide.module, CALL))


def test_a_lora_over_weights_of_eight_bits_is_not_rounded(tmp_path: Path) -> None:
    query = "layers.0.attention.to_q.weight"
    narrow = {key: t.to(torch.float8_e4m3fn) if t.ndim == 2 else t for key, t in stored().items()}
    model = loaded(tmp_path, narrow)
    ups, downs = seeded("up", (SHAPE.width, 4)), seeded("down", (4, SHAPE.width))
    stem = "diffusion_model.layers.0.attention.to_q"
    file = ModelFile("loras", "lora.safetensors")
    save_file({f"{stem}.lora_A.weight": downs, f"{stem}.lora_B.weight": ups}, tmp_path / file.name)
    loras = Loras(lambda one: open_weights(tmp_path / one.name, one), budget_bytes=2**20)
    change = Change(LORA, (("file", file), ("strength", 0.5)))
    changed = TrueWeights(loras.on_model(model, [change]).module)[query]
    before = model.module.get_parameter(query)
    assert before.dtype == torch.float8_e4m3fn
    assert torch.equal(changed, before.float() + 0.5 * (ups @ downs))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (without("layers.1.attention.qkv.weight"), r"layers\.1\.attention\.to_q"),
        (without("x_pad_token"), "x_pad_token"),
        (without("t_embedder.mlp.0.weight"), "t_embedder"),
        (misshapen("cap_embedder.0.weight", 7), r"cap_embedder\.0\.weight' is \(7,\)"),
        (misshapen("layers.0.attention.q_norm.weight", 10), "heads of 10"),
        (misshapen("layers.0.attention.out.weight", 48, 32), "heads for queries"),
    ],
)
def test_a_damaged_file_is_told_by_what_is_wrong(
    tmp_path: Path, damage: Callable[[dict[str, Tensor]], object], said: str
) -> None:
    tensors = stored()
    damage(tensors)
    with pytest.raises(BadModelFile, match=said):
        loaded(tmp_path, tensors)


def test_uploads_know_it_and_its_text_encoder() -> None:
    for tensors, kind in ((stored(), "diffusion_model"), (llm_tensors(QWEN3), "text_encoder")):
        entries = {key: Entry(tuple(t.shape), "F32") for key, t in tensors.items()}
        nature = nature_of(Header(entries, {}))
        assert (nature.kind, nature.family, nature.problem) == (kind, "z_image", None)


def encoder(kind: str, *shapes: Any) -> TextEncoder:
    tokenizers = Tokenizers(
        ClipTokenizer(), lambda: letters, qwen=lambda: letters, umt5=lambda: letters
    )
    return load_text_encoder(
        [in_memory(llm_tensors(shape)) for shape in shapes],
        tokenizers,
        FAMILIES.texts,
        dtype=torch.float32,
        device=CPU,
        kind=kind,
    )


@pytest.mark.parametrize("kind", ["lumina2", "stable_diffusion", ""])
def test_it_reads_the_whole_template_whatever_the_loader_says(kind: str) -> None:
    (answer,) = encoder(kind, QWEN3).encode([Prompt("a fox")])
    template = "<|im_start|>user\na fox<|im_end|>\n<|im_start|>assistant\n"
    assert answer.tokens.shape == (1, len(template), QWEN3.width)
    assert answer.pooled is None


def test_another_language_model_is_refused() -> None:
    with pytest.raises(BadModelFile, match="text encoder"):
        encoder("lumina2", replace(QWEN25, biased=False))


def test_loras_of_both_layouts_change_the_same_weights(tmp_path: Path) -> None:
    model = loaded(tmp_path, stored())
    names = tuple(name for name, _ in model.module.named_parameters())
    known = model.family.weight_names(model.shape, names)
    parameters = known.parameters()
    thirds = [
        target.name
        for stem in known.stems("diffusion_model.layers.0.attention.qkv")
        if stem in parameters
        for target in known.targets(parameters[stem])
    ]
    assert thirds == [f"layers.0.attention.to_{letter}.weight" for letter in "qkv"]
    for prefix in ("diffusion_model.", "transformer.", "lora_unet_"):
        stems = known.stems(f"{prefix}layers.0.attention.to_out.0")
        assert "layers.0.attention.to_out.0.weight" in [parameters.get(stem) for stem in stems]
