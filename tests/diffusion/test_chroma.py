"""Chroma: files read, and the network run as diffusers runs it."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from diffusion.batch.frame import Frame
from diffusion.dit.call import DitCall
from diffusion.dit.tokens import packed, unpacked
from diffusion.families.chroma.conditions import embed
from diffusion.families.chroma.family import CHROMA
from diffusion.families.chroma.network import chroma
from diffusion.families.chroma.pieces import pieces
from diffusion.families.chroma.shapes import MODULATIONS, ChromaShape
from diffusion.guidance.model_changes import model_sampling
from graph.errors import BadModelFile
from graph.values import Condition
from tests.diffusion.model_files import loaded, seeded
from tests.diffusion.narrow_stage import drawn

SHAPE = ChromaShape(
    in_channels=16,
    width=64,
    mlp=256,
    double=2,
    single=3,
    head=32,
    context_dim=24,
    time_inputs=16,
    approximator=40,
    layers=2,
)


def drawn_module() -> Any:
    """diffusers' module, with as many modulations as Chroma has, its weights drawn from names."""
    from diffusers.models.transformers import transformer_chroma  # noqa: PLC0415

    kind: Any = transformer_chroma.ChromaTransformer2DModel
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*FluxPosEmbed", FutureWarning)  # its own import
        module = kind(
            in_channels=64,
            num_layers=SHAPE.double,
            num_single_layers=SHAPE.single,
            attention_head_dim=SHAPE.head,
            num_attention_heads=SHAPE.width // SHAPE.head,
            joint_attention_dim=SHAPE.context_dim,
            axes_dims_rope=SHAPE.axes,
            approximator_num_channels=SHAPE.time_inputs,
            approximator_hidden_dim=SHAPE.approximator,
            approximator_layers=SHAPE.layers,
        )
    module.eval().requires_grad_(requires_grad=False)
    table: Any = transformer_chroma.ChromaCombinedTimestepTextProjEmbeddings
    module.time_text_embed = table(SHAPE.time_inputs // 4, MODULATIONS)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(seeded(name, tuple(parameter.shape)))
    return module


def own_layout() -> dict[str, Tensor]:
    """Its weights as Chroma's files have them."""
    parameters = dict(drawn_module().named_parameters())
    found: dict[str, list[tuple[int, Tensor]]] = {}
    for piece in pieces(SHAPE):
        for leaf in ("weight", "bias"):
            if (tensor := parameters.get(f"{piece.module}.{leaf}")) is not None:
                stored = "scale" if "norm" in piece.source else leaf
                found.setdefault(f"{piece.source}.{stored}", []).append((piece.start, tensor))
    ordered = {key: sorted(own, key=lambda part: part[0]) for key, own in found.items()}
    return {key: torch.cat([tensor for _, tensor in own]) for key, own in ordered.items()}


def asked() -> DitCall:
    return DitCall(
        sample=drawn(1, 3, 16, 8, 6),
        times=torch.tensor([0.7, 0.2, 0.7]),
        context=drawn(2, 3, 5, SHAPE.context_dim),
        pooled=torch.zeros(3, 0),
        guidance=torch.zeros(3),
    )


@pytest.mark.parametrize("layout", ["own", "checkpoint", "diffusers"])
def test_every_layout_is_run_as_diffusers_runs_it(tmp_path: Path, layout: str) -> None:
    module, call = drawn_module(), asked()
    stored = own_layout() if layout != "diffusers" else dict(module.named_parameters())
    prefix = "model.diffusion_model." if layout == "checkpoint" else ""
    model = loaded(tmp_path, {prefix + key: tensor.clone() for key, tensor in stored.items()})
    assert (model.family, model.shape) == (CHROMA, SHAPE)
    places = torch.zeros(4, 3, 3)
    places[..., 1], places[..., 2] = torch.arange(4)[:, None], torch.arange(3)[None]
    tokens = module(
        hidden_states=packed(call.sample),
        encoder_hidden_states=call.context,
        timestep=call.times,
        img_ids=places.reshape(-1, 3),
        txt_ids=torch.zeros(5, 3),
        return_dict=False,
    )[0]
    assert torch.allclose(chroma(model.module, call), unpacked(tokens, 8, 6), atol=1e-5)


def test_guidance_is_one_of_the_things_that_modulate(tmp_path: Path) -> None:
    module: Any = loaded(tmp_path, own_layout()).module
    plain, none = asked(), replace(asked(), guidance=None)
    assert torch.equal(chroma(module, plain), chroma(module, none))
    more = replace(plain, guidance=torch.full((3,), 2.0))
    assert not torch.allclose(chroma(module, plain), chroma(module, more), atol=1e-3)


def test_a_prompt_is_its_text_without_guidance_unless_some_is_asked_for(tmp_path: Path) -> None:
    model = loaded(tmp_path, own_layout())
    sampling = model_sampling(model.parameterization, ())
    frame = Frame(torch.zeros(1, 16, 8, 6), None, sampling, model.latent_format)
    said = Condition(torch.zeros(1, 5, 24), torch.zeros(1, 8))
    assert embed(model, said, "positive", frame).guidance == 0.0
    assert embed(model, replace(said, extras={"guidance": 2.0}), "positive", frame).guidance == 2.0
    assert embed(model, said, "positive", frame).y is None


def test_layers_have_the_names_that_loras_of_flux_give_them(tmp_path: Path) -> None:
    model = loaded(tmp_path, own_layout())
    names = CHROMA.weight_names(SHAPE, tuple(name for name, _ in model.module.named_parameters()))
    for layer, count in (
        ("lora_unet_double_blocks_0_img_attn_qkv", 3),
        ("diffusion_model.single_blocks.2.linear1", 4),
        ("transformer.single_transformer_blocks.1.attn.to_k", 1),
        ("lora_unet_distilled_guidance_layer_layers_1_in_layer", 1),
    ):
        found = [names.parameters()[s] for s in names.stems(layer) if s in names.parameters()]
        assert [len(names.targets(name)) for name in found] == [count], layer


def test_what_is_wrong_with_a_file_is_named(tmp_path: Path) -> None:
    missing, misshapen = own_layout(), own_layout()
    del missing["double_blocks.1.txt_mlp.2.weight"]
    with pytest.raises(BadModelFile, match=r"transformer_blocks\.1\.ff_context\.net\.2\.weight"):
        loaded(tmp_path, missing)
    misshapen["distilled_guidance_layer.out_proj.weight"] = torch.zeros(7, 40)
    with pytest.raises(BadModelFile, match=r"out_proj.weight' is \(7, 40\), not \(64, 40\)"):
        loaded(tmp_path, misshapen)
    del missing["img_in.weight"]
    with pytest.raises(BadModelFile, match=r"incomplete.*img_in"):
        loaded(tmp_path, missing)


def test_more_blocks_than_there_are_modulations_are_refused(tmp_path: Path) -> None:
    tensors = own_layout()
    tensors |= {f"single_blocks.{i}.linear2.bias": torch.zeros(64) for i in range(3, 110)}
    with pytest.raises(BadModelFile, match="2 and 110 blocks"):
        loaded(tmp_path, tensors)
