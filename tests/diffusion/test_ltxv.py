"""LTX-Video: files read, the network run as diffusers runs it, its autoencoder, and guides."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from diffusion.autoencoder.kinds import load_vae
from diffusion.autoencoder.ltx import NOISE, read_shape
from diffusion.autoencoder.ltx_network import (
    FrameCountError,
    LtxAutoencoder,
    packed,
    patched,
    unpacked,
    unpatched,
)
from diffusion.autoencoder.vae import decode, encode
from diffusion.batch.frame import Frame
from diffusion.dit.call import DitCall
from diffusion.families.ltxv.conditions import embed
from diffusion.families.ltxv.family import LTXV
from diffusion.families.ltxv.network import coordinates, ltxv
from diffusion.families.ltxv.pieces import pieces
from diffusion.families.ltxv.shapes import LtxvShape
from diffusion.guidance.model_changes import model_sampling
from diffusion.latent.guides import (
    KEYFRAMES,
    GuideLengthError,
    begun_with,
    with_guide,
    without_guides,
)
from diffusion.weights import Weights, open_weights
from graph.errors import BadModelFile
from graph.values import Condition, Latent, ModelFile
from imaging.sizes import SizeMismatchError
from tests.diffusion.model_files import CPU, loaded, seeded
from tests.diffusion.narrow_stage import drawn

SHAPE = LtxvShape(in_channels=128, width=64, blocks=2, cross_dim=64, context_dim=24, causal=False)
FRAMES = (2, 3, 4)  # of a latent, with its rows and columns
TOKENS = 24


def drawn_module() -> Any:
    """diffusers' module, its weights drawn from their names."""
    from diffusers.models.transformers import transformer_ltx  # noqa: PLC0415

    kind: Any = transformer_ltx.LTXVideoTransformer3DModel
    module = kind(**SHAPE.config()).eval().requires_grad_(requires_grad=False)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(seeded(name, tuple(parameter.shape)))
    return module


def own_layout() -> dict[str, Tensor]:
    """Its weights as Lightricks stores them."""
    parameters = {name: value.detach() for name, value in drawn_module().named_parameters()}
    found = {
        f"{piece.source}.{leaf}": parameters.pop(name).clone()
        for piece in pieces(SHAPE)
        for leaf in ("weight", "bias")
        if (name := f"{piece.module}.{leaf}") in parameters
    }
    return {**found, **{key: tensor.clone() for key, tensor in parameters.items()}}


def asked(times: Tensor) -> DitCall:
    return DitCall(
        sample=drawn(1, 2, 128, *FRAMES),
        times=times,
        context=drawn(2, 2, 5, SHAPE.context_dim),
        pooled=torch.zeros(2, 0),
        beside={"frame_rate": torch.tensor([[25.0], [30.0]])},
    )


@pytest.mark.parametrize("times", [torch.tensor([0.7, 0.2]), torch.rand(2, TOKENS)])
@pytest.mark.parametrize("layout", ["own", "diffusers"])
def test_every_layout_is_run_as_diffusers_runs_it(
    tmp_path: Path, layout: str, times: Tensor
) -> None:
    module, call = drawn_module(), asked(times)
    stored = own_layout() if layout == "own" else dict(module.named_parameters())
    model = loaded(tmp_path, {key: tensor.clone() for key, tensor in stored.items()})
    assert (model.family, model.shape) == (LTXV, SHAPE)
    grid = torch.cartesian_prod(*(torch.arange(float(size)) for size in FRAMES)).T
    seconds = torch.tensor([[1 / 25], [1 / 30]])
    places = torch.stack([grid[0] * 8 * seconds, *(grid[i].expand(2, -1) * 32 for i in (1, 2))], 1)
    tokens = module(
        hidden_states=call.sample.flatten(2).transpose(1, 2),
        encoder_hidden_states=call.context,
        timestep=call.times * 1000,
        encoder_attention_mask=None,
        video_coords=places,
        return_dict=False,
    )[0]
    expected = tokens.transpose(1, 2).unflatten(2, FRAMES)
    assert torch.allclose(ltxv(model.module, SHAPE, call), expected, atol=1e-5)


def test_the_first_frame_of_causal_models_is_one_frame_and_guides_lie_where_they_belong() -> None:
    call = asked(torch.zeros(2))
    begins = coordinates(call, causal=True)[0, 0].unique() * 25
    assert torch.allclose(begins, torch.tensor([0.0, 1.0]))
    keyframes = torch.full((2, 3, 12), 50.0)
    told = replace(call, beside={**call.beside, KEYFRAMES: keyframes})
    assert torch.allclose(coordinates(told, causal=True)[0, :, -1], torch.tensor([2.0, 50.0, 50.0]))


def test_tokens_that_are_there_already_are_told_no_time(tmp_path: Path) -> None:
    model = loaded(tmp_path, own_layout())
    assert model.sees_kept_clean
    mask = torch.ones(1, 128, *FRAMES)
    mask[:, :, 0] = 0.0
    sampling = model_sampling(model.parameterization, ())
    frame = Frame(torch.zeros(1, 128, *FRAMES), mask, sampling, model.latent_format)
    said = embed(model, Condition(torch.zeros(1, 5, 24), extras={"frame_rate": 24.0}), "", frame)
    assert said.time_shares is not None
    assert said.time_shares.tolist() == [[0.0] * 12 + [1.0] * 12]
    assert said.beside["frame_rate"].tolist() == [[24.0]]


def test_what_is_wrong_with_a_file_is_named(tmp_path: Path) -> None:
    missing, misshapen = own_layout(), own_layout()
    del missing["transformer_blocks.1.scale_shift_table"]
    with pytest.raises(BadModelFile, match=r"transformer_blocks\.1\.scale_shift_table"):
        loaded(tmp_path, missing)
    misshapen["adaln_single.linear.weight"] = torch.zeros(7, 64)
    with pytest.raises(BadModelFile, match=r"linear.weight' is \(7, 64\), not \(384, 64\)"):
        loaded(tmp_path, misshapen)
    del missing["patchify_proj.weight"]
    with pytest.raises(BadModelFile, match=r"incomplete.*patchify_proj"):
        loaded(tmp_path, missing)


CONFIG: dict[str, Any] = {
    "encoder_blocks": [
        ["res_x", {"num_layers": 1}],
        ["compress_space_res", {"multiplier": 2}],
        ["compress_all", {}],
        ["res_x_y", 1],
    ],
    "decoder_blocks": [
        ["res_x", {"num_layers": 1}],
        ["compress_space", {}],
        ["compress_all", {"residual": True, "multiplier": 2}],
        ["res_x", {"num_layers": 1}],
    ],
    "norm_layer": "pixel_norm",
    "patch_size": 2,
    "timestep_conditioning": True,
}


def vae_file(folder: Path, config: object = CONFIG, **changed: Tensor) -> Weights:
    """An autoencoder of 8 channels in its finest level and 4 in its latents."""
    base = {
        "encoder.conv_in.conv.weight": torch.zeros(8, 12, 3, 3, 3),
        "encoder.conv_out.conv.weight": torch.zeros(5, 32, 3, 3, 3),
        "decoder.conv_in.conv.weight": torch.zeros(16, 4, 3, 3, 3),
        "decoder.conv_out.conv.weight": torch.zeros(12, 8, 3, 3, 3),
        "decoder.up_blocks.0.res_blocks.0.conv1.conv.weight": torch.zeros(16, 16, 3, 3, 3),
    }
    path, file = folder / "vae.safetensors", ModelFile("vae", "vae.safetensors")
    metadata = {"config": json.dumps({"vae": config})}
    save_file(base, path, metadata)
    if config is CONFIG:
        shape = read_shape(open_weights(path, file))
        named = LtxAutoencoder(shape, 0.05).named_parameters()
        base = {name: seeded(name, tuple(value.shape)) for name, value in named}
        base |= {f"per_channel_statistics.{n}": seeded(n, (4,)) for n in ("mean-of-means",)}
        base["per_channel_statistics.std-of-means"] = 1 + seeded("std", (4,)).abs()
        save_file({**base, **changed}, path, metadata)
    return open_weights(path, file)


def test_an_autoencoder_is_built_as_its_file_says(tmp_path: Path) -> None:
    vae = load_vae(vae_file(tmp_path), dtype=torch.float32, device=CPU)
    assert (vae.latent_channels, vae.downscale, vae.frames, vae.noise) == (4, 8, 2, NOISE)
    video = drawn(3, 5, 16, 24, 3).sigmoid()
    latent = encode(vae, video)
    assert latent.shape == (1, 4, 3, 2, 3)
    assert decode(vae, latent).shape == (5, 16, 24, 3)
    first = encode(vae, video[:1])
    assert torch.allclose(latent[:, :, :1], first, atol=1e-5)  # frames see none behind them
    with pytest.raises(FrameCountError, match="got 4"):
        encode(vae, video[:4])


def test_what_is_decoded_goes_on_with_the_noise_of_what_was_sampled(tmp_path: Path) -> None:
    vae = load_vae(vae_file(tmp_path), dtype=torch.float32, device=CPU)
    latent = drawn(4, 1, 4, 2, 2, 3)
    generator = torch.Generator().manual_seed(7)
    torch.randn(latent.shape, generator=generator)
    noise = torch.randn(latent.shape, generator=generator)
    mixed = noise * NOISE + latent * (1 - NOISE)
    expected = decode(replace(vae, noise=0.0), mixed)
    assert torch.equal(decode(vae, latent, drawn=(7, tuple(latent.shape))), expected)
    assert not torch.equal(decode(vae, latent), expected)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({**CONFIG, "norm_layer": "group_norm"}, "group_norm"),
        ({**CONFIG, "encoder_blocks": [["res_x", {"num_layers": 10**9}]]}, "must be 1 to 32"),
        ({**CONFIG, "encoder_blocks": [["attn_res_x", 1]]}, "a block 'attn_res_x'"),
        ({**CONFIG, "decoder_blocks": [["res_x", {"inject_noise": True}]]}, "adds noise"),
        ({**CONFIG, "encoder_blocks": "all"}, "lists no blocks"),
        ({**CONFIG, "patch_size": -1}, "patch_size must be 1 to 8, got -1"),
        ({**CONFIG, "spatial_padding_mode": "none"}, "pads pictures by 'none'"),
    ],
)
def test_an_autoencoder_that_cannot_be_is_refused(
    tmp_path: Path, config: object, problem: str
) -> None:
    with pytest.raises(BadModelFile, match=problem):
        load_vae(vae_file(tmp_path, config), dtype=torch.float32, device=CPU)


def test_a_misshapen_tensor_of_an_autoencoder_is_named(tmp_path: Path) -> None:
    key = "per_channel_statistics.std-of-means"
    weights = vae_file(tmp_path, **{key: torch.ones(3)})
    with pytest.raises(BadModelFile, match=key):
        load_vae(weights, dtype=torch.float32, device=CPU)


def test_packing_and_patching_have_a_way_back() -> None:
    video = drawn(5, 1, 8, 4, 6, 8)
    for stride in ((2, 1, 1), (1, 2, 2), (2, 2, 2)):
        assert torch.equal(unpacked(packed(video, stride), stride), video)
    assert torch.equal(unpatched(patched(video, 2), 2), video)


def test_a_video_begins_with_pictures_as_strongly_as_is_asked() -> None:
    frames = drawn(6, 1, 128, 1, 2, 3)
    latent = begun_with(frames, (2, 128, 3, 2, 3), 0.75)
    assert torch.equal(latent.samples[1, :, 0], frames[0, :, 0])
    assert not latent.samples[:, :, 1:].any()
    assert latent.noise_mask is not None
    assert latent.noise_mask[:, 0, :, 0, 0].tolist() == [[0.25, 1.0, 1.0]] * 2
    with pytest.raises(GuideLengthError, match="4 latent frames"):
        begun_with(drawn(6, 1, 128, 4, 2, 3), (1, 128, 3, 2, 3), 1.0)


def test_guides_lie_behind_a_video_until_they_are_cut_off() -> None:
    said = (Condition(torch.zeros(1, 5, 24)),)
    empty = Latent(torch.zeros(1, 128, 5, 2, 3))
    one, four = drawn(7, 1, 128, 1, 2, 3), drawn(8, 1, 128, 4, 2, 3)
    positive, negative, latent = with_guide(
        said, said, empty, one, frame=-1, pictures=1, strength=1.0
    )
    assert latent.samples.shape[2] == 6
    assert positive[0].extras[KEYFRAMES][0, 0].unique().tolist() == [32.0]
    positive, negative, latent = with_guide(
        positive, negative, latent, four, frame=5, pictures=25, strength=0.5
    )
    assert latent.samples.shape[2] == 8  # two of the four lie behind, two in the video
    assert torch.equal(latent.samples[:, :, 3:5], four[:, :, 2:])
    assert latent.noise_mask is not None
    assert latent.noise_mask[0, 0, :, 0, 0].tolist() == [1.0, 1.0, 1.0, 0.5, 0.5, 0.0, 0.5, 0.5]
    assert positive[0].extras[KEYFRAMES][0, 0].unique().tolist() == [1.0, 9.0, 32.0]
    positive, _, latent = without_guides(positive, negative, latent)
    assert (latent.samples.shape[2], KEYFRAMES in positive[0].extras) == (5, False)
    with pytest.raises(GuideLengthError):
        with_guide(said, said, empty, four, frame=25, pictures=25, strength=1.0)


def test_frames_of_another_size_or_kind_are_refused() -> None:
    said = (Condition(torch.zeros(1, 5, 24)),)
    empty = Latent(torch.zeros(1, 128, 5, 2, 3))
    for shape in ((1, 128, 1, 2, 4), (1, 16, 1, 2, 3)):
        with pytest.raises(SizeMismatchError):
            begun_with(drawn(1, *shape), (1, 128, 5, 2, 3), 1.0)
        with pytest.raises(SizeMismatchError):
            with_guide(said, said, empty, drawn(1, *shape), frame=0, pictures=1, strength=1.0)
