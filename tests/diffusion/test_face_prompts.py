"""Prompts made of faces: FaceID's projections are diffusers', InstantID's control reads faces."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor

from diffusion.control.controlled import apply_face_control
from diffusion.families.registry import FAMILIES
from diffusion.vision.face_projections import load_face_projection
from diffusion.vision.stage import FacesNeededError, VisionStage
from graph.faces import Face, Faces, NoFaceError
from graph.image_prompts import FacePictures, ImagePrompt, ImageUse, Pictures
from graph.values import ClipVision, Condition, ControlNet, IpAdapter, Model, ModelFile
from imaging.face_alignment import arcface_points, face_crops
from tests.diffusion.image_files import TEXT, TOKENS, WIDTH, adapter_layers, in_one_file
from tests.diffusion.model_files import CPU, seeded, written
from tests.diffusion.narrow_adapters import BASE, EYE, narrow, opener, write_adapters
from tests.diffusion.narrow_stage import NARROW, drawn

FACE_ID = ModelFile("ipadapter", "faceid.safetensors")
PLUS, PLUS_V2 = (ModelFile("ipadapter", f"faceid-plus{v}.safetensors") for v in ("", "v2"))
INSTANT = ModelFile("instantid", "ip-adapter.bin")
EYES = ClipVision(EYE)
POINTS = torch.from_numpy(arcface_points(112) / 4 + 4)


def face_projection() -> dict[str, Tensor]:
    shapes: dict[str, tuple[int, ...]] = {
        "proj.0.weight": (1024, 512),
        "proj.0.bias": (1024,),
        "proj.2.weight": (TOKENS * TEXT, 1024),
        "proj.2.bias": (TOKENS * TEXT,),
        "norm.weight": (TEXT,),
        "norm.bias": (TEXT,),
    }
    return {name: seeded(name, shape) for name, shape in shapes.items()}


def resampler(prefix: str, width: int, into: int, out: int) -> dict[str, Tensor]:
    layers: dict[str, tuple[int, ...]] = {}
    for i in range(4):
        layers |= {
            **{f"layers.{i}.0.{norm}.{kind}": (width,) for norm in ("norm1", "norm2")
               for kind in ("weight", "bias")},
            f"layers.{i}.0.to_q.weight": (width, width),
            f"layers.{i}.0.to_kv.weight": (2 * width, width),
            f"layers.{i}.0.to_out.weight": (width, width),
            f"layers.{i}.1.0.weight": (width,),
            f"layers.{i}.1.0.bias": (width,),
            f"layers.{i}.1.1.weight": (4 * width, width),
            f"layers.{i}.1.3.weight": (width, 4 * width),
        }  # fmt: skip
    shapes = {
        "proj_in.weight": (width, into),
        "proj_in.bias": (width,),
        "proj_out.weight": (out, width),
        "proj_out.bias": (out,),
        "norm_out.weight": (out,),
        "norm_out.bias": (out,),
        **layers,
    }
    return {prefix + name: seeded(name, shape) for name, shape in shapes.items()}


def looking_projection() -> dict[str, Tensor]:
    return face_projection() | resampler("perceiver_resampler.", TEXT, WIDTH, TEXT)


def instant_projection() -> dict[str, Tensor]:
    return {"latents": seeded("latents", (1, 16, 128))} | resampler("", 128, 512, TEXT)


def face(seed: int) -> Face:
    who = torch.from_numpy(np.random.default_rng(seed).standard_normal(512)).float() * 20
    return Face((0, 0, 30, 30), POINTS, 0.9, who)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("adapters")
    write_adapters(where)
    layers = adapter_layers(narrow(where).module)
    lora = {"ip_adapter.0.to_q_lora.down.weight": torch.zeros(4, 4)}  # of no use, as in the pack
    save_file(in_one_file(face_projection(), layers) | lora, where / FACE_ID.name)
    for file in (PLUS, PLUS_V2):
        save_file(in_one_file(looking_projection(), layers), where / file.name)
    torch.save({"image_proj": instant_projection(), "ip_adapter": layers}, where / INSTANT.name)
    return where


def vision(folder: Path) -> VisionStage:
    return VisionStage(
        opener(folder),
        dtype=torch.float32,
        device=CPU,
        budget_bytes=2**30,
        adapters_of=FAMILIES.image_adapters,
    )


def diffusers(projection: dict[str, Tensor]) -> Any:
    return UNet2DConditionModel._convert_ip_adapter_image_proj_to_diffusers(
        None, dict(projection), low_cpu_mem_usage=False
    )


@pytest.mark.parametrize("second", [False, True])
def test_the_tokens_of_a_face_are_diffusers(second: bool, tmp_path: Path) -> None:
    who, seen = drawn(1, 2, 1, 512), drawn(2, 2, 5, WIDTH)
    name = (PLUS_V2 if second else PLUS).name
    for projection, sees in ((face_projection(), None), (looking_projection(), seen)):
        tensors = {f"image_proj.{key}": tensor for key, tensor in projection.items()}
        weights = written(tmp_path, tensors, name)
        ours = load_face_projection(weights, dtype=torch.float32, device=CPU)
        theirs = diffusers(projection)
        if sees is not None:
            theirs.clip_embeds, theirs.shortcut, theirs.shortcut_scale = sees[:, None], second, 0.7
        with torch.inference_mode():
            expected = theirs(who).reshape(2, -1, TEXT)
            torch.testing.assert_close(ours(who, sees, 0.7), expected, rtol=1e-4, atol=1e-4)


async def test_a_face_prompt_goes_by_who_and_by_the_upright_face(folder: Path) -> None:
    stage, image = vision(folder), drawn(1, 2, 40, 40, 3).clamp(0, 1)
    faces = Faces((face(1), face(2)))
    unit = torch.stack([one.embedding for one in faces.each if one])[:, None]
    unit = unit / unit.norm(dim=-1, keepdim=True)
    crops = face_crops(image, [POINTS, POINTS], 224)
    seen = (await stage.encode_image(EYES, crops, crop=True)).penultimate_hidden_states
    for file, weight in ((FACE_ID, None), (PLUS, None), (PLUS_V2, 0.5)):
        project = load_face_projection(opener(folder)(file), dtype=torch.float32, device=CPU)
        prompt, shown = await stage.face_prompt(
            Model(NARROW),
            IpAdapter((("", file),), EYES),
            None,
            FacePictures(image, faces, weight=0.5),
            ImageUse(),
        )
        torch.testing.assert_close(shown, crops)
        expected = project(unit, None if file is FACE_ID else seen, weight or 1.0)
        torch.testing.assert_close(prompt.positive, expected)
        assert not torch.allclose(prompt.negative, prompt.positive)


async def test_what_has_no_face_is_told(folder: Path) -> None:
    stage, image = vision(folder), torch.zeros(2, 40, 40, 3)
    adapter, use = IpAdapter((("", FACE_ID),), EYES), ImageUse()
    with pytest.raises(NoFaceError, match="picture 2"):
        await stage.face_prompt(
            Model(NARROW), adapter, None, FacePictures(image, Faces((face(1), None))), use
        )
    with pytest.raises(FacesNeededError, match="IPAdapterFaceID"):
        await stage.image_prompt(Model(NARROW), adapter, None, Pictures(image), use)
    plain = IpAdapter((("", BASE),), EYES)
    prompt, shown = await stage.face_prompt(Model(NARROW), plain, None, FacePictures(image), use)
    assert shown is image
    assert prompt.positive.shape == (2, TOKENS, TEXT)


async def test_instant_id_goes_by_the_mean_face_and_against_its_noise(folder: Path) -> None:
    faces = Faces((face(1), None, face(2)))
    prompt = await vision(folder).instant_prompt(
        INSTANT, FacePictures(faces=faces, combining="average", noise=0.35), ImageUse()
    )
    mean = torch.stack([face(1).embedding, face(2).embedding]).mean(0)[None, None]
    torch.manual_seed(int(mean.sum().item()) % 1_000_000_007)
    noise = 0.35 * torch.rand_like(mean)
    theirs = diffusers(instant_projection())
    with torch.inference_mode():
        torch.testing.assert_close(prompt.positive, theirs(mean), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(prompt.negative, theirs(noise), rtol=1e-4, atol=1e-4)


def test_a_face_control_reads_the_faces_tokens_and_its_mask_is_for_the_positive() -> None:
    prompt = ImagePrompt(INSTANT, torch.ones(1, 2, 4), torch.zeros(1, 2, 4), None, ImageUse())
    condition, net = Condition(torch.zeros(1, 3, 4)), ControlNet(ModelFile("controlnet", "x"))
    positive, negative = apply_face_control(
        (condition,), (condition,), net, torch.zeros(1, 8, 8, 3), prompt,
        strength=0.8, start_percent=0.0, end_percent=1.0, mask=torch.ones(8, 8),
    )  # fmt: skip
    assert positive[0].controls[0].tokens is prompt.positive
    assert negative[0].controls[0].tokens is prompt.negative
    assert positive[0].mask is not None
    assert negative[0].mask is None
    assert replace(positive[0].controls[0], tokens=None).strength == 0.8
