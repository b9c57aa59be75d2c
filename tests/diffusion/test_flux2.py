"""Flux.2: files read, the network run as diffusers runs it, and its packed autoencoder."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from diffusion.autoencoder.kinds import load_vae
from diffusion.autoencoder.packed import EPS, PACKED
from diffusion.autoencoder.vae import decode, encode
from diffusion.batch.frame import Frame
from diffusion.dit.call import DitCall
from diffusion.families.flux2.conditions import TOKENS, embed
from diffusion.families.flux2.family import FLUX2
from diffusion.families.flux2.network import flux2
from diffusion.families.flux2.pieces import pieces
from diffusion.families.flux2.shapes import Flux2Shape
from diffusion.guidance.model_changes import model_sampling
from diffusion.schedules.schedulers import flux2 as sigmas_of
from graph.errors import BadModelFile
from graph.values import Condition
from tests.diffusion.model_files import CPU, loaded, seeded, written
from tests.diffusion.narrow_stage import drawn

SHAPE = Flux2Shape(
    in_channels=128, width=128, mlp=384, double=2, single=2, context_dim=24, guided=True
)
KLEIN = replace(SHAPE, guided=False)


def drawn_weights(module: Any) -> Any:
    module.eval().requires_grad_(requires_grad=False)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(seeded(name, tuple(parameter.shape)))
    return module


def drawn_module(shape: Flux2Shape = SHAPE) -> Any:
    """diffusers' module, its weights drawn from their names."""
    from diffusers.models.transformers import transformer_flux2  # noqa: PLC0415

    kind: Any = transformer_flux2.Flux2Transformer2DModel
    return drawn_weights(kind(**shape.config()))


def own_layout(shape: Flux2Shape = SHAPE) -> dict[str, Tensor]:
    """Its weights as Black Forest Labs store them."""
    parameters = dict(drawn_module(shape).named_parameters())
    found: dict[str, list[tuple[int, Tensor]]] = {}
    for piece in pieces(shape):
        if (tensor := parameters.get(f"{piece.module}.weight")) is not None:
            leaf = "scale" if piece.source.endswith("_norm") else "weight"
            stored = torch.cat(tensor.chunk(2)[::-1]) if piece.swapped else tensor
            found.setdefault(f"{piece.source}.{leaf}", []).append((piece.start, stored))
    ordered = {key: sorted(own, key=lambda part: part[0]) for key, own in found.items()}
    return {key: torch.cat([tensor for _, tensor in own]) for key, own in ordered.items()}


def asked() -> DitCall:
    return DitCall(
        sample=drawn(1, 2, 128, 3, 4),
        times=torch.tensor([0.7, 0.2]),
        context=drawn(2, 2, 5, SHAPE.context_dim),
        pooled=torch.zeros(2, 0),
        guidance=torch.tensor([3.5, 2.0]),
        references=(drawn(3, 2, 128, 2, 3),),
        places="",
    )


def diffusers_answer(module: Any, call: DitCall) -> Tensor:
    def grid(picture: int, rows: int, columns: int) -> Tensor:
        axes = [torch.arange(size) for size in (1, rows, columns, 1)]
        return torch.cartesian_prod(*axes) + torch.tensor([picture, 0, 0, 0])

    tokens = module(
        hidden_states=torch.cat([p.flatten(2).mT for p in (call.sample, *call.references)], dim=1),
        encoder_hidden_states=call.context,
        timestep=call.times,
        img_ids=torch.cat([grid(0, 3, 4), grid(10, 2, 3)]),
        txt_ids=functional.pad(torch.arange(call.context.shape[1])[:, None], (3, 0)),
        guidance=call.guidance,
        return_dict=False,
    )[0]
    answer: Tensor = tokens[:, :12].mT.unflatten(2, (3, 4))
    return answer


@pytest.mark.parametrize("layout", ["own", "klein", "diffusers"])
def test_every_layout_is_run_as_diffusers_runs_it(tmp_path: Path, layout: str) -> None:
    shape = KLEIN if layout == "klein" else SHAPE
    module, call = drawn_module(shape), asked()
    stored = own_layout(shape) if layout != "diffusers" else dict(module.named_parameters())
    model = loaded(tmp_path, {key: tensor.clone() for key, tensor in stored.items()})
    assert (model.family, model.shape) == (FLUX2, shape)
    answer = flux2(model.module, call)
    assert torch.allclose(answer, diffusers_answer(module, call), atol=1e-5)


def test_a_short_prompt_is_filled_up_in_front_and_references_are_numbered(tmp_path: Path) -> None:
    model = loaded(tmp_path, own_layout())
    sampling = model_sampling(model.parameterization, ())
    assert (model.parameterization.kind, model.parameterization.shift) == ("exponential_flow", 2.02)
    frame = Frame(torch.zeros(1, 128, 3, 4), None, sampling, model.latent_format)
    said = embed(model, Condition(torch.ones(1, 5, 24)), "positive", frame)
    assert said.context.shape == (1, TOKENS, 24)
    assert torch.equal(said.context.sum(-1)[0, -6:], torch.tensor([0, *[24.0] * 5]))
    assert not said.reference_places  # the network's own


def test_what_is_wrong_with_a_file_is_named(tmp_path: Path) -> None:
    missing, misshapen = own_layout(), own_layout()
    del missing["double_blocks.1.txt_mlp.2.weight"]
    with pytest.raises(BadModelFile, match=r"transformer_blocks\.1\.ff_context\.linear_out"):
        loaded(tmp_path, missing)
    misshapen["single_stream_modulation.lin.weight"] = torch.zeros(7, 128)
    with pytest.raises(BadModelFile, match=r"linear.weight' is \(7, 128\), not \(384, 128\)"):
        loaded(tmp_path, misshapen)
    del missing["img_in.weight"]
    with pytest.raises(BadModelFile, match=r"incomplete.*img_in"):
        loaded(tmp_path, missing)
    with pytest.raises(BadModelFile, match="width 96 and heads of 128"):
        loaded(tmp_path, {**own_layout(), "img_in.weight": torch.zeros(96, 128)})


def test_sigmas_go_by_the_size_of_the_picture_and_by_the_steps() -> None:
    from diffusers.pipelines.flux2.pipeline_flux2 import compute_empirical_mu  # noqa: PLC0415

    for steps, tokens in ((4, 16), (20, 4096), (4, 5000)):
        mu = torch.tensor(compute_empirical_mu(tokens, steps)).exp()
        t = torch.linspace(1, 0, steps + 1)
        assert torch.allclose(sigmas_of(steps, tokens), mu / (mu + (1 / t - 1)), atol=1e-6)


def vae_tensors() -> tuple[Any, dict[str, Tensor]]:
    from diffusers import AutoencoderKLFlux2  # noqa: PLC0415

    kind: Any = AutoencoderKLFlux2
    module = drawn_weights(
        kind(
            down_block_types=["DownEncoderBlock2D"] * 2,
            up_block_types=["UpDecoderBlock2D"] * 2,
            block_out_channels=[32, 64],
            decoder_block_out_channels=[32, 32],
            layers_per_block=1,
            latent_channels=4,
        )
    )
    module.bn.running_mean.copy_(seeded("mean", (16,)))
    module.bn.running_var.copy_(1 + seeded("variance", (16,)).abs())
    return module, {key: t.clone() for key, t in module.state_dict().items()}


def test_latents_are_packed_and_normalised_by_the_autoencoder(tmp_path: Path) -> None:
    module, tensors = vae_tensors()
    vae = load_vae(written(tmp_path, tensors), dtype=torch.float32, device=CPU)
    assert (vae.latent_channels, vae.downscale) == (16, 4)
    picture = drawn(5, 1, 8, 12, 3).sigmoid()
    with torch.no_grad():
        latent = module.encode(picture.movedim(-1, 1) * 2 - 1).latent_dist.mode()
        packed = functional.pixel_unshuffle(latent, 2)
        mean, variance = (s[:, None, None] for s in (module.bn.running_mean, module.bn.running_var))
        packed = (packed - mean) / (variance + EPS).sqrt()
        shown = module.decode(latent, return_dict=False)[0]
    assert torch.allclose(encode(vae, picture), packed, atol=1e-5)
    assert torch.allclose(
        decode(vae, packed), (shown.movedim(1, -1) / 2 + 0.5).clamp(0, 1), atol=1e-5
    )


def test_what_is_wrong_with_an_autoencoder_is_named(tmp_path: Path) -> None:
    _, tensors = vae_tensors()
    without = {key: t for key, t in tensors.items() if key != "bn.running_var"}
    for broken, problem in (
        (without, "'bn.running_var' is missing"),
        (
            {**tensors, "bn.running_mean": torch.zeros(4)},
            r"'bn.running_mean' is \(4,\), not \(16,\)",
        ),
    ):
        weights = written(tmp_path, broken)
        assert PACKED.find(weights) is not None
        with pytest.raises(BadModelFile, match=problem):
            load_vae(weights, dtype=torch.float32, device=CPU)
