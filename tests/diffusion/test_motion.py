"""Motion modules: against diffusers' layers, and in whole jobs of a narrow model."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from diffusion.engine.stage import SampleStage
from diffusion.motion.job import TooManyFramesError
from diffusion.motion.loading import load_motion, sinusoid
from diffusion.motion.network import FrameTransformer
from diffusion.weights import open_weights
from graph.errors import BadModelFile
from graph.motion import (
    EVOLVED,
    Context,
    Evolved,
    Motion,
    MotionKeyframe,
    MotionLora,
    Multival,
    Windows,
)
from graph.sampling import SampleRequest
from graph.values import Latent, Model, ModelFile
from tests.diffusion.model_files import CPU, seeded
from tests.diffusion.motion_files import (
    FIRST,
    FRAMES,
    MOTION,
    MOTION_LORA,
    OTHER_MOTION,
    layout,
    lora_tensors,
    motion_tensors,
    write_motion,
)
from tests.diffusion.narrow_stage import NARROW, narrow_stage, request, write_models

STATIC = Windows("standard_static", 4, 2, fuse_method="pyramid")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("motion")
    write_models(where)
    write_motion(where)
    return where


@pytest.fixture
async def stage(folder: Path) -> AsyncIterator[SampleStage]:
    own = narrow_stage(folder)
    yield own
    await own.close()


def moved(evolved: Evolved, frames: int = 6, seed: int = 1) -> SampleRequest:
    model = Model(NARROW).changed(EVOLVED, evolved=evolved)
    return request(seed, model=model, steps=2, latent=Latent(torch.zeros(frames, 4, 8, 8)))


def still(frames: int = 6) -> SampleRequest:
    return request(1, steps=2, latent=Latent(torch.zeros(frames, 4, 8, 8)))


async def made(stage: SampleStage, asked: SampleRequest) -> Tensor:
    return torch.as_tensor((await stage.sample(asked))[0].samples)


def test_a_layer_is_diffusers_temporal_transformer() -> None:
    from diffusers.models.unets.unet_motion_model import (  # noqa: PLC0415 - it takes seconds
        AnimateDiffTransformer3D,
    )

    own = FrameTransformer(64, FRAMES, 2)
    tensors = {name: seeded(name, tuple(p.shape)) for name, p in own.named_parameters()}
    table = sinusoid(FRAMES, 64)
    tensors |= {name: table for name in tensors if name.endswith("pe")}
    own.load_state_dict(tensors)
    theirs = AnimateDiffTransformer3D(
        num_attention_heads=8,
        attention_head_dim=8,
        in_channels=64,
        norm_num_groups=32,
        activation_fn="geglu",
        double_self_attention=True,
        positional_embeddings="sinusoidal",
        num_positional_embeddings=FRAMES,
    )
    names = {
        "attention_blocks.0.pos_encoder.pe": "pos_embed.pe",
        "attention_blocks.0": "attn1",
        "attention_blocks.1": "attn2",
        "norms.0": "norm1",
        "norms.1": "norm2",
        "ff_norm": "norm3",
    }
    renamed = {}
    for name, tensor in tensors.items():
        for ours, other in names.items():
            name = name.replace(ours, other)  # noqa: PLW2901
        if "attn2.pos_encoder" not in name:
            renamed[name] = tensor
    theirs.load_state_dict(renamed)
    x = seeded("x", (2 * 6, 64, 3, 2))
    with torch.inference_mode():
        answer = own(x, 6, lambda block, h: block.attended(h, [1.0, 1.0]), 6)
        expected = theirs(x, num_frames=6)
    torch.testing.assert_close(answer, expected, rtol=1e-4, atol=1e-4)


async def test_frames_see_each_other_only_with_a_motion_module(stage: SampleStage) -> None:
    evolved = Evolved((Motion(MOTION),))
    six, five = await made(stage, moved(evolved)), await made(stage, moved(evolved, 5))
    assert not torch.allclose(six[:5], five, atol=1e-3)
    alone = await made(stage, still()), await made(stage, still(5))
    torch.testing.assert_close(alone[0][:5], alone[1], rtol=1e-2, atol=1e-2)


async def test_videos_that_share_calls_are_as_alone(stage: SampleStage) -> None:
    asked = [moved(Evolved((Motion(MOTION),)), frames, seed) for frames, seed in ((6, 1), (6, 2))]
    asked.append(moved(Evolved((Motion(OTHER_MOTION),)), 6, 3))
    asked.append(moved(Evolved((Motion(FIRST),)), 5, 4))
    alone = [await made(stage, one) for one in asked]
    together = await asyncio.gather(*(made(stage, one) for one in asked))
    for own, shared in zip(alone, together, strict=True):
        torch.testing.assert_close(own, shared, rtol=1e-2, atol=1e-2)


async def test_an_effect_of_nothing_is_no_motion(stage: SampleStage) -> None:
    off = Evolved((Motion(MOTION, effect=Multival(0.0)),))
    late = Evolved((Motion(MOTION, start_percent=1.0),))
    masked = Evolved((Motion(MOTION, effect=Multival(1.0, torch.zeros(6, 4, 4))),))
    plain = await made(stage, still())
    for evolved in (off, late, masked):
        torch.testing.assert_close(await made(stage, moved(evolved)), plain, rtol=1e-2, atol=1e-2)


async def test_a_mask_of_one_number_is_that_number(stage: SampleStage) -> None:
    number, each = Multival(0.7), Multival((0.7, 0.7))
    mask = Multival(1.4, torch.full((6, 5, 5), 0.5))
    scaled = [Motion(MOTION, scale=own) for own in (number, mask, each)]
    blended = [Motion(MOTION, effect=own) for own in (number, mask, each)]
    for motions in (scaled, blended):
        answers = [await made(stage, moved(Evolved((one,)))) for one in motions]
        torch.testing.assert_close(answers[0], answers[1], rtol=1e-2, atol=1e-2)
        torch.testing.assert_close(answers[0], answers[2], rtol=1e-2, atol=1e-2)
        assert not torch.allclose(answers[0], await made(stage, moved(Evolved((Motion(MOTION),)))))


async def test_the_newest_module_says_whether_norms_are_joined(stage: SampleStage) -> None:
    off = Motion(FIRST, effect=Multival(0.0))  # it moves nothing, and is of version 1
    plain = await made(stage, moved(Evolved((Motion(MOTION),))))
    apart = await made(stage, moved(Evolved((Motion(MOTION), off))))
    joined = await made(stage, moved(Evolved((off, Motion(MOTION)))))
    torch.testing.assert_close(apart, plain, rtol=1e-2, atol=1e-2)
    assert not torch.allclose(joined, plain, atol=1e-2)


async def test_the_order_of_modules_counts(stage: SampleStage) -> None:
    pair = (Motion(OTHER_MOTION), Motion(MOTION))
    one, other = [await made(stage, moved(Evolved(own))) for own in (pair, pair[::-1])]
    assert not torch.allclose(one, other, atol=1e-2)


async def test_a_keyframe_multiplies_what_the_module_has(stage: SampleStage) -> None:
    keyframe = MotionKeyframe(0.0, effect=Multival(0.5))
    late = MotionKeyframe(1.0, effect=Multival(0.0))
    keyed = Motion(MOTION, effect=Multival(0.8), keyframes=(keyframe, late))
    plain = Motion(MOTION, effect=Multival(0.4))
    answers = [await made(stage, moved(Evolved((one,)))) for one in (keyed, plain)]
    torch.testing.assert_close(*answers, rtol=1e-2, atol=1e-2)


async def test_the_first_version_normalises_all_frames_together(stage: SampleStage) -> None:
    off = Evolved((Motion(FIRST, effect=Multival(0.0)),))
    assert not torch.allclose(await made(stage, moved(off)), await made(stage, still()), atol=1e-3)


async def test_a_window_of_all_frames_is_no_window(stage: SampleStage) -> None:
    windows = replace(STATIC, length=6, on_equal_length=True)
    whole = Evolved((Motion(MOTION),), (Context(windows),))
    views = Evolved((Motion(MOTION),), (Context(STATIC, view=replace(STATIC, length=5)),))
    without = Evolved((Motion(MOTION),))
    plain = await made(stage, moved(without))
    torch.testing.assert_close(await made(stage, moved(whole)), plain, rtol=1e-2, atol=1e-2)
    assert not torch.allclose(await made(stage, moved(views)), plain, atol=1e-3)


async def test_frames_outside_a_window_change_nothing_in_it(stage: SampleStage) -> None:
    batched = Evolved((Motion(MOTION),), (Context(Windows("batched", 4)),))
    eight = await made(stage, moved(batched, 8))
    four = await made(stage, moved(Evolved((Motion(MOTION),)), 4))
    torch.testing.assert_close(eight[:4], four, rtol=1e-2, atol=1e-2)


async def test_a_lora_is_added_at_its_strength(folder: Path, stage: SampleStage) -> None:
    moved_frames = await made(
        stage, moved(Evolved((Motion(MOTION, (MotionLora(MOTION_LORA, 0.5),)),)))
    )
    tensors, lora = motion_tensors(layout()), lora_tensors()
    start = "down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0"
    for leaf, name in (("to_q", "to_q"), ("to_out", "to_out.0")):
        own = f"{start}.attention_blocks.0.processor.{leaf}_lora"
        change = 0.5 * lora[f"{own}.up.weight"] @ lora[f"{own}.down.weight"]
        tensors[f"{start}.attention_blocks.0.{name}.weight"] += change
    merged = ModelFile("animatediff_models", "merged.safetensors")
    save_file(tensors, folder / merged.name)
    expected = await made(stage, moved(Evolved((Motion(merged),))))
    torch.testing.assert_close(moved_frames, expected, rtol=1e-2, atol=1e-2)


async def test_more_frames_than_positions_are_refused_with_both_numbers(stage: SampleStage) -> None:
    with pytest.raises(TooManyFramesError) as refused:
        await made(stage, moved(Evolved((Motion(MOTION),)), FRAMES + 1))
    assert (refused.value.limit, refused.value.frames) == (FRAMES, FRAMES + 1)
    contexts = (Context(replace(STATIC, length=FRAMES + 2)),)
    with pytest.raises(TooManyFramesError):
        await made(stage, moved(Evolved((Motion(MOTION),), contexts), FRAMES + 4))


WEIGHT = "up_blocks.1.motion_modules.1.temporal_transformer.proj_out.weight"
QUERIES = "transformer_blocks.0.attention_blocks.0.processor.to_q_lora.down.weight"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({WEIGHT: None}, WEIGHT),
        ({WEIGHT: torch.zeros(32, 31)}, WEIGHT),
        ({"conv_in.weight": torch.zeros(32, 9, 3, 3)}, "PIA"),
        (dict.fromkeys(motion_tensors(layout())) | {"a": torch.ones(1)}, "no motion"),
    ],
)
def test_a_damaged_file_is_refused_by_what_is_wrong(
    tmp_path: Path, change: dict[str, Tensor | None], named: str
) -> None:
    tensors = {**motion_tensors(layout()), **change}
    save_file({k: v for k, v in tensors.items() if v is not None}, tmp_path / MOTION.name)
    with pytest.raises(BadModelFile) as refused:
        load_motion(open_weights(tmp_path / MOTION.name, MOTION), dtype=torch.float32, device=CPU)
    assert named in str(refused.value)
    assert MOTION.name in str(refused.value)


async def test_a_module_for_another_model_is_refused(folder: Path, stage: SampleStage) -> None:
    wide = replace(layout(), down=((32, 1), (96, 1)), up=((96, 2), (32, 2)), middle=(96, 1))
    other = ModelFile("animatediff_models", "wide.safetensors")
    save_file(motion_tensors(wide), folder / other.name)
    with pytest.raises(BadModelFile, match=r"wide.safetensors.*\[32, 96\].*\[32, 64\]"):
        await made(stage, moved(Evolved((Motion(other),))))


@pytest.mark.parametrize("name", ["nothing.weight", f"down_blocks.9.motion_modules.0.{QUERIES}"])
def test_a_lora_for_something_else_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    tensors = {name: torch.zeros(4, 32), name.replace(".down.", ".up."): torch.zeros(32, 4)}
    save_file(tensors, tmp_path / MOTION_LORA.name)
    lora = open_weights(tmp_path / MOTION_LORA.name, MOTION_LORA)
    weights = open_weights(folder / MOTION.name, MOTION)
    with pytest.raises(BadModelFile, match=r"motion_lora.safetensors"):
        load_motion(weights, [(lora, 1.0)], dtype=torch.float32, device=CPU)


def test_hotshots_and_trainers_names_are_read(tmp_path: Path) -> None:
    tensors = {
        "module."
        + name.replace("motion_modules.0.temporal_transformer", "temporal_attentions.0")
        .replace("motion_modules.1.temporal_transformer", "temporal_attentions.1")
        .replace("pos_encoder.pe", "pos_encoder.positional_encoding"): tensor
        for name, tensor in motion_tensors(layout(middle=False)).items()
    }
    save_file(tensors, tmp_path / MOTION.name)
    weights = open_weights(tmp_path / MOTION.name, MOTION)
    loaded = load_motion(weights, dtype=torch.float32, device=CPU)
    assert (loaded.file.kind, loaded.file.frames) == ("hotshot", FRAMES)


def test_without_positions_in_the_file_they_are_sines(tmp_path: Path) -> None:
    tensors = {k: v for k, v in motion_tensors(layout()).items() if not k.endswith(".pe")}
    save_file(tensors, tmp_path / MOTION.name)
    weights = open_weights(tmp_path / MOTION.name, MOTION)
    loaded = load_motion(weights, dtype=torch.float32, device=CPU)
    table = dict(loaded.network.named_parameters())[
        "down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0"
        ".attention_blocks.0.pos_encoder.pe"
    ]
    assert loaded.file.kind == "lcm"
    assert table[0, 3, :2].tolist() == pytest.approx([0.14112, -0.98999], abs=1e-4)  # of 3
