"""Stable Video Diffusion: its networks against diffusers' own, and files of it."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import (
    AutoencoderKLTemporalDecoder,
)
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from safetensors.torch import save_file
from torch import Tensor, nn

from diffusion.autoencoder.kinds import load_vae
from diffusion.autoencoder.kl import module_names
from diffusion.autoencoder.network import VaeShape
from diffusion.autoencoder.svd import VideoAutoencoder
from diffusion.autoencoder.vae import decode
from diffusion.engine.stage import SampleStage
from diffusion.families.registry import FAMILIES
from diffusion.families.sd.shapes import Level, UnetShape
from diffusion.families.svd.loading import names_of
from diffusion.families.svd.network import VideoUnet
from diffusion.samplers.ksampler import ksampler_sigmas
from diffusion.vision.video_pictures import augmented, picture_prompts
from diffusion.weights import Weights, open_weights
from graph.errors import BadModelFile
from graph.values import ClipVisionOutput, Latent, Model, ModelFile
from tests.diffusion.core_sampling import close
from tests.diffusion.model_files import CPU, seeded
from tests.diffusion.narrow_stage import drawn, narrow_stage, request

SHAPE = UnetShape(8, 4, 32, 768, True, (Level(64, (1,), (1, 1)), Level(128, (0,), (0, 0))), 1)
VAE_SHAPE = VaeShape((32, 64), 2, 4, quant=False)
FILE = ModelFile("checkpoints", "svd.safetensors")
FRAMES = 3
PARTS = {
    "time_stack.in_layers.0": "temporal_res_block.norm1",
    "time_stack.in_layers.2": "temporal_res_block.conv1",
    "time_stack.emb_layers.1": "temporal_res_block.time_emb_proj",
    "time_stack.out_layers.0": "temporal_res_block.norm2",
    "time_stack.out_layers.3": "temporal_res_block.conv2",
    "time_pos_embed.0": "time_pos_embed.linear_1",
    "time_pos_embed.2": "time_pos_embed.linear_2",
    "class_embedding": "add_embedding",
}


def filled(module: nn.Module) -> dict[str, Tensor]:
    return {name: seeded(name, tuple(p.shape)) for name, p in module.named_parameters()}


def by_diffusers(name: str) -> str:
    """diffusers' name of a tensor."""
    for ours, theirs in PARTS.items():
        name = name.replace(ours, theirs)
    name = name.replace(".time_stack.", ".temporal_transformer_blocks.")
    if ".resnets." in name and "temporal_res_block" not in name and "mix_factor" not in name:
        name = re.sub(r"(resnets\.\d+)\.", r"\1.spatial_res_block.", name)
    return re.sub(r"(resnets\.\d+)\.mix_factor", r"\1.time_mixer.mix_factor", name)


def test_the_unet_is_diffusers() -> None:
    own = VideoUnet(SHAPE)
    tensors = filled(own)
    own.load_state_dict(tensors)
    theirs = UNetSpatioTemporalConditionModel(
        in_channels=8,
        out_channels=4,
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        block_out_channels=(64, 128),
        layers_per_block=1,
        cross_attention_dim=32,
        num_attention_heads=(1, 2),
        num_frames=FRAMES,
    )
    theirs.load_state_dict({by_diffusers(name): tensor for name, tensor in tensors.items()})
    x, context = drawn(1, 2, FRAMES, 8, 4, 6), drawn(2, 2, 1, 32)
    sizes, t = torch.tensor([[5.0, 127.0, 0.0], [6.0, 30.0, 0.1]]), torch.tensor([0.3, 1.2])
    with torch.inference_mode():
        expected = theirs(x, t, context, sizes, return_dict=False)[0].flatten(0, 1)
        waves = torch.cat([theirs.add_time_proj(sizes[:, k]) for k in range(3)], dim=1)
        every = [tensor.repeat_interleave(FRAMES, 0) for tensor in (t, waves, context)]
        answer = own(x.flatten(0, 1), *every, FRAMES)
    torch.testing.assert_close(answer, expected, rtol=1e-3, atol=1e-3)


def vae_tensors() -> dict[str, Tensor]:
    """In diffusers' names, but for layers over frames."""
    return filled(VideoAutoencoder(VAE_SHAPE))


def test_the_autoencoder_decodes_frames_together_as_diffusers_does(tmp_path: Path) -> None:
    tensors = vae_tensors()
    ours = VideoAutoencoder(VAE_SHAPE)
    ours.load_state_dict(tensors)
    theirs = AutoencoderKLTemporalDecoder(
        down_block_types=("DownEncoderBlock2D",) * 2,
        block_out_channels=(32, 64),
        layers_per_block=2,
        latent_channels=4,
    )
    renamed = {}
    for name, tensor in tensors.items():
        new = by_diffusers(name) if name.startswith("decoder.") else name
        new = new.replace("conv_out.time_mix_conv", "time_conv_out")
        renamed[new] = tensor
    known = theirs.state_dict()
    quant = {"quant_conv.weight": torch.eye(8)[:, :, None, None], "quant_conv.bias": torch.zeros(8)}
    assert known.keys() - quant.keys() == renamed.keys()
    theirs.load_state_dict(renamed | quant)
    latent = drawn(3, FRAMES, 4, 4, 4)
    with torch.inference_mode():
        expected = theirs.decode(latent, num_frames=FRAMES, return_dict=False)[0]
        answer = ours.decode(latent)
    torch.testing.assert_close(answer, expected, rtol=1e-3, atol=1e-3)


def orbit_file(path: Path, heard: int) -> ModelFile:
    """A checkpoint of a narrow U-Net of Stable Video 3D."""
    file = ModelFile("checkpoints", f"sv3d_{heard}.safetensors")
    ldm_file(path, replace(SHAPE, y_dim=heard), file)
    return file


async def test_an_orbit_is_as_in_comfyui(tmp_path: Path) -> None:
    """Of SV3D_p, which hears of angles, and of SV3D_u."""
    stage = narrow_stage(tmp_path)
    seen = ClipVisionOutput(drawn(5, 1, 32), drawn(6, 1, 2, 8), drawn(7, 1, 2, 8))
    angles = {"elevation": [10.0] * 3, "azimuth": [0.0, 180.0, 360.0]}
    positive, negative = picture_prompts(seen, drawn(8, 1, 4, 8, 8), **angles)
    asked = request(positive=positive, negative=negative, latent=_frames(3))
    for heard in (1280, 256):
        model = Model(orbit_file(tmp_path, heard))
        sampling = await stage.model_sampling(model)
        sigmas = ksampler_sigmas(sampling, "euler", "normal", 3, 1.0)
        one = replace(asked, sigmas=sigmas, guider=replace(asked.guider, model=model))
        assert close(await _samples(stage, one), f"sv3d/{heard}")
    await stage.close()


def ldm_file(path: Path, shape: UnetShape = SHAPE, file: ModelFile = FILE) -> Weights:
    """A checkpoint of a narrow U-Net, in LDM's names."""
    tensors = filled(VideoUnet(shape))
    own = sorted(((name, theirs) for theirs, name in names_of(shape).items()), reverse=True)
    found = {}
    for name, tensor in tensors.items():
        start, theirs = next((a, b) for a, b in own if name.startswith(f"{a}."))
        found["model.diffusion_model." + theirs + name.removeprefix(start)] = tensor
    save_file(found, path / file.name)
    return open_weights(path / file.name, file)


async def test_a_video_is_made_of_a_picture(tmp_path: Path) -> None:
    ldm_file(tmp_path)
    stage = narrow_stage(tmp_path)
    seen = ClipVisionOutput(drawn(5, 1, 32), drawn(6, 1, 2, 8), drawn(7, 1, 2, 8))
    positive, negative = picture_prompts(seen, drawn(8, 1, 4, 8, 8), fps=6, motion_bucket_id=127)
    asked = request(
        model=Model(FILE).changed("linear_cfg", min_cfg=1.0),
        positive=positive,
        negative=negative,
        latent=Latent(torch.zeros(FRAMES, 4, 8, 8)),
        steps=2,
    )
    made = [await _samples(stage, one) for one in (asked, replace(asked, latent=_frames(2)))]
    await stage.close()
    assert made[0].shape == (FRAMES, 4, 8, 8)
    assert not torch.allclose(made[0][:2], made[1], atol=1e-2)  # frames see each other


def _frames(count: int) -> Latent:
    return Latent(torch.zeros(count, 4, 8, 8))


async def _samples(stage: SampleStage, asked: object) -> Tensor:
    return torch.as_tensor((await stage.sample(asked))[0].samples)  # type: ignore[arg-type]


def test_a_file_in_diffusers_layout_is_the_same_model(tmp_path: Path) -> None:
    ldm = FAMILIES.load(ldm_file(tmp_path), dtype=torch.float32, device=CPU)
    own = {by_diffusers(name): tensor for name, tensor in filled(VideoUnet(SHAPE)).items()}
    save_file(own, tmp_path / "unet.safetensors")
    file = ModelFile("diffusion_models", "unet.safetensors")
    other = FAMILIES.load(open_weights(tmp_path / file.name, file), dtype=torch.float32, device=CPU)
    theirs = other.module.state_dict()
    assert ldm.shape == other.shape == SHAPE
    assert all(torch.equal(t, theirs[name]) for name, t in ldm.module.state_dict().items())


def test_a_file_with_a_tensor_missing_is_refused_by_its_name(tmp_path: Path) -> None:
    weights = ldm_file(tmp_path)
    left = "model.diffusion_model.input_blocks.1.1.time_stack.0.norm_in.weight"
    save_file({k: weights[k].clone() for k in weights if k != left}, tmp_path / "cut.safetensors")
    cut = open_weights(tmp_path / "cut.safetensors", ModelFile("checkpoints", "cut.safetensors"))
    with pytest.raises(BadModelFile, match=r"down_blocks.0.attentions.0.time_stack.0.norm_in"):
        FAMILIES.load(cut, dtype=torch.float32, device=CPU)


def test_frames_are_decoded_together_from_a_file(tmp_path: Path) -> None:
    own = sorted(((name, theirs) for theirs, name in module_names(2)), reverse=True)
    tensors = {}
    for name, tensor in vae_tensors().items():
        start, theirs = next(((a, b) for a, b in own if name.startswith(f"{a}.")), ("", ""))
        new = theirs + name.removeprefix(start)
        tensors[new.replace(".conv_shortcut.", ".nin_shortcut.")] = tensor
    save_file(tensors, tmp_path / "vae.safetensors")
    weights = open_weights(tmp_path / "vae.safetensors", ModelFile("vae", "vae.safetensors"))
    vae = load_vae(weights, dtype=torch.float32, device=CPU)
    latent = drawn(3, FRAMES, 4, 4, 4)
    together, alone = decode(vae, latent), decode(vae, latent[:1])
    assert together.shape == (FRAMES, 8, 8, 3)
    assert not torch.allclose(together[:1], alone, atol=1e-2)


def test_augmentation_is_the_same_for_every_job() -> None:
    image = torch.zeros(1, 4, 4, 4)
    noisy = augmented(image, 0.5)
    assert noisy.shape == (1, 4, 4, 3)
    assert float(noisy.std()) == pytest.approx(0.5, rel=0.3)
    assert torch.equal(noisy, augmented(image, 0.5))
    assert torch.equal(augmented(image, 0.0), image[..., :3])
