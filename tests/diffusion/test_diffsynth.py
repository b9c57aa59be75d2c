"""DiffSynth's controls of Qwen-Image: model patches, which add behind every block."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from diffusion.batch.calls import Limits
from diffusion.batch.prompts import Prompt, Region
from diffusion.batch.rows import Row, RowImage
from diffusion.dit.conditions import DitEmbedding
from diffusion.dit.patches import JobPatch
from diffusion.families.flux.shapes import FluxShape
from diffusion.families.qwen_image.diffsynth import DiffSynthControl, load_diffsynth
from diffusion.families.qwen_image.loading import FLOW
from diffusion.guidance.model_changes import model_sampling
from diffusion.latent_format import WAN21_LATENT, process_in
from graph.errors import BadModelFile
from graph.values import ModelFile, ModelPatch, PatchUse, Vae
from tests.diffusion.dit_files import DEV
from tests.diffusion.model_files import CPU, loaded, seeded
from tests.diffusion.narrow_stage import drawn
from tests.diffusion.test_qwen_image import SHAPE, stored
from tests.diffusion.test_text_encoder import in_memory

PATCH = ModelPatch(ModelFile("model_patches", "control.safetensors"))
VAE = Vae(ModelFile("vae", "vae.safetensors"))


def control_tensors(channels: int = 16) -> dict[str, Tensor]:
    width = SHAPE.width
    shapes: dict[str, tuple[int, ...]] = {
        "img_in.weight": (width, 4 * channels),
        "img_in.bias": (width,),
    }
    for i in range(SHAPE.layers):
        block = f"controlnet_blocks.{i}."
        shapes |= {f"{block}{norm}_rms.weight": (width,) for norm in "xy"}
        for name in ("input_proj", "output_proj"):
            shapes |= {f"{block}{name}.weight": (width, width), f"{block}{name}.bias": (width,)}
    return {key: seeded(key, shape) for key, shape in shapes.items()}


def control(channels: int = 16) -> DiffSynthControl:
    return load_diffsynth(in_memory(control_tensors(channels)), torch.float32, CPU)


def encoded(picture: Tensor) -> Tensor:
    """Latents [B, 16, 1, h, w] of pictures, eight pixels each: their colors, over and over."""
    small = functional.avg_pool2d(picture.movedim(-1, 1), 8)
    return small.repeat(1, 6, 1, 1)[:, :16, None]


def job(own: DiffSynthControl, strength: float = 1.0, mask: Tensor | None = None) -> JobPatch:
    picture = drawn(1, 1, 48, 64, 3).sigmoid()
    return JobPatch(own, PatchUse(PATCH, VAE, picture, strength, mask), encoded, 8, CPU)


def row(patch: JobPatch | None, seed: int = 3) -> Row:
    x = drawn(seed, 1, 16, 1, 6, 8)
    embedding = DitEmbedding(drawn(2, 1, 5, SHAPE.context_dim), reference_places="index")
    region = Region(None, None, 1.0, 1.0, 1e9, 0.0)
    sampling = model_sampling(FLOW, ())
    images = () if patch is None else (RowImage(patch, negative=False),)
    return Row(x, torch.tensor(0.6), Prompt(region, embedding, x.shape), sampling, images=images)


def test_a_picture_is_told_to_every_block() -> None:
    own, tensors = control(), control_tensors()
    latent = encoded(drawn(1, 1, 48, 64, 3).sigmoid())
    guide = own.tokens(latent)
    assert guide.shape == (1, 12, SHAPE.width)
    first = process_in(WAN21_LATENT, latent)[0, :, 0, :2, :2].flatten()
    expected = functional.linear(first, tensors["img_in.weight"], tensors["img_in.bias"])
    assert torch.allclose(guide[0, 0], expected, atol=1e-5)
    picture = drawn(4, 1, 15, SHAPE.width)  # twelve tokens of its own, three of a reference
    added = own(1, picture, guide)
    block = "controlnet_blocks.1."

    def normed(x: Tensor, name: str) -> Tensor:
        return functional.rms_norm(x, x.shape[-1:], tensors[f"{block}{name}.weight"], eps=1e-6)

    def layer(x: Tensor, name: str) -> Tensor:
        weight, bias = tensors[f"{block}{name}.weight"], tensors[f"{block}{name}.bias"]
        return functional.linear(x, weight, bias)

    hidden = normed(picture[:, :12], "x_rms") + normed(guide, "y_rms")
    told = layer(functional.gelu(layer(hidden, "input_proj")), "output_proj")
    assert torch.allclose(added[:, :12], told, atol=1e-5)
    assert not added[:, 12:].any()
    assert not own(2, picture, guide).any()


def test_rows_under_a_control_share_no_call_with_others(tmp_path: Path) -> None:
    model = loaded(tmp_path, stored())
    denoiser = model.family.denoiser(model, Limits(8, 2**30, torch.float32, CPU))
    patch, idle = job(control()), job(control(), strength=0.0)
    plain, under, still, alike = denoiser([row(None), row(patch), row(idle), row(patch, seed=9)])
    assert torch.allclose(still, plain, atol=1e-6)
    assert not torch.allclose(under, plain, atol=1e-3)
    assert torch.allclose(denoiser([row(patch, seed=9)])[0], alike, atol=1e-5)


def test_a_mask_says_where_the_picture_counts() -> None:
    own = control(channels=17)
    assert own.reads_masks
    guides = {
        name: job(own, mask=mask).guide(6, 8)
        for name, mask in {
            "none": None,
            "empty": torch.zeros(1, 48, 64),
            "full": torch.ones(1, 48, 64),
        }.items()
    }
    assert torch.equal(guides["none"], guides["empty"])
    assert not torch.allclose(guides["none"], guides["full"])


def test_it_is_for_qwen_image_of_its_width_alone() -> None:
    own = control()
    assert own.misfit(SHAPE) is None
    flux: FluxShape = DEV
    assert own.misfit(flux) == "it is a control for Qwen-Image, which this model is not"
    problem = own.misfit(replace(SHAPE, width=128))
    assert problem == "it is a control for models of width 64, this model's is 128"


def test_an_incomplete_file_is_said_to_be() -> None:
    tensors = control_tensors()
    del tensors["controlnet_blocks.1.input_proj.bias"]
    with pytest.raises(BadModelFile, match=r"controlnet_blocks\.1\.input_proj\.bias"):
        load_diffsynth(in_memory(tensors), torch.float32, CPU)
