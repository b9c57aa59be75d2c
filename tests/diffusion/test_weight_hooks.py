"""LoRAs and checkpoints that come and go with prompts, as in ComfyUI."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from diffusion.batch import conditions
from diffusion.engine.hooked import first_changes
from diffusion.engine.stage import SampleStage
from diffusion.lora.applying import Loras
from diffusion.lora.merging import WEIGHT_CHANGES, WeightChanges
from diffusion.weights import Weights, open_weights
from graph.errors import MissingModelFile
from graph.nodes import hooked_conditionings as hooked
from graph.nodes import hooks as nodes
from graph.values import Clip, ClipHooks, HookKeyframe, Hooks, Model, ModelFile
from graph.weight_hooks import HooksTooManyError, along, between, encoded_spans
from tests.diffusion.core_sampling import close
from tests.diffusion.hook_files import LORA, write_lora
from tests.diffusion.narrow_stage import (
    NARROW,
    OTHER,
    narrow_stage,
    prompt,
    request,
    write_models,
)

LEFT = torch.zeros(1, 64, 64)
LEFT[:, :, :32] = 1
STAGE: Any = conditions  # the functions that nodes call


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hooks")
    write_models(folder)
    write_lora(folder)
    return folder


@pytest.fixture
async def stage(models: Path) -> AsyncIterator[SampleStage]:
    def opened(file: ModelFile) -> Weights:
        if not (models / file.name).exists():
            raise MissingModelFile(file.folder, file.name)
        return open_weights(models / file.name, file)

    changes = WeightChanges(opened, Loras(opened, budget_bytes=2**24))
    own = narrow_stage(models, weight_changes=WEIGHT_CHANGES, apply_changes=changes.on_model)
    yield own
    await own.close()


def lora(strength: float = 0.9, before: Hooks | None = None) -> Hooks:
    return nodes.create_model_lora_hook(lora_name=LORA, strength_model=strength, prev_hooks=before)


def model(before: Hooks | None = None) -> Hooks:
    return nodes.create_model_only_hook(ckpt_name=OTHER, strength_model=0.8, prev_hooks=before)


async def test_prompts_bring_their_own_weights_as_in_comfyui(stage: SampleStage) -> None:
    """Beside a job without hooks, whose weights stay as they are."""
    plain, _ = await stage.sample(request(2))
    under_lora = request(positive=hooked.hooked(prompt(1), lora()), negative=prompt(101))
    under_both = request(positive=hooked.hooked(prompt(1), model(lora())), negative=prompt(101))
    upon = request(
        positive=hooked.hooked(prompt(1), model()),
        negative=prompt(101),
        model=Model(NARROW).changed("lora", file=LORA, strength=0.5),
    )
    jobs = (under_lora, under_both, upon, request(2))
    found = [one.samples for one, _ in await asyncio.gather(*map(stage.sample, jobs))]
    assert close(found[0], "hooks/one")
    assert close(found[1], "hooks/model")
    assert close(found[2], "hooks/upon")
    assert torch.allclose(found[3], plain.samples, atol=1e-3)


async def test_strengths_follow_their_keyframes_as_in_comfyui(stage: SampleStage) -> None:
    keyframes = nodes.create_keyframe()
    for strength, start in ((-0.5, 0.8), (0.2, 0.3)):
        keyframes = nodes.create_keyframe(
            strength_mult=strength, start_percent=start, prev_hook_kf=keyframes
        )
    hooks = nodes.set_keyframes(hooks=lora(), hook_kf=keyframes)
    during, _, _ = hooked.timesteps_range(start_percent=0.0, end_percent=0.9)
    positive = hooked.set_properties_and_combine(
        STAGE,
        cond=prompt(1),
        cond_NEW=prompt(2),
        strength=0.7,
        set_cond_area="default",
        mask=LEFT,
        hooks=hooks,
        timesteps=during,
    )
    asked = request(
        positive=positive,
        negative=hooked.hooked(prompt(101), hooks),
        steps=6,
        sampler="dpmpp_2m",
    )
    found, _ = await stage.sample(asked)
    assert close(found.samples, "hooks/keyed")


async def test_a_default_fills_what_others_leave_as_in_comfyui(stage: SampleStage) -> None:
    left = hooked.set_properties(
        STAGE,
        cond_NEW=prompt(2),
        strength=1.0,
        set_cond_area="default",
        mask=LEFT,
        hooks=None,
        timesteps=None,
    )
    positive, negative = hooked.set_pair_default_and_combine(
        STAGE,
        positive=left,
        negative=prompt(101),
        positive_DEFAULT=prompt(3),
        negative_DEFAULT=prompt(103),
        hooks=lora(),
    )
    found, _ = await stage.sample(request(positive=positive, negative=negative))
    assert close(found.samples, "hooks/default")


async def test_a_file_that_is_gone_fails_the_job_before_it_begins(stage: SampleStage) -> None:
    gone = nodes.create_model_lora_hook(lora_name=ModelFile("loras", "gone.safetensors"))
    with pytest.raises(MissingModelFile):
        await stage.sample(request(positive=hooked.hooked(prompt(1), gone)))


def test_hooks_that_are_alike_count_once_unless_made_behind_others() -> None:
    one, two = lora(0.5), lora(0.5)
    assert nodes.combine_two(hooks_A=one, hooks_B=two) == one
    assert len(lora(0.5, before=one)) == 2
    assert nodes.combine_four(hooks_A=None, hooks_C=lora(0.5, before=one), hooks_D=one) == (
        lora(0.5, before=one)
    )
    assert lora(0.0, before=one) == one
    with pytest.raises(HooksTooManyError, match="at most 200"):
        nodes.create_keyframes_of(floats_strength=[0.5] * 1001)
    with pytest.raises(nodes.FloatsError, match="got dict"):
        nodes.create_keyframes_of(floats_strength={"no": 1})


def test_keyframes_follow_curves() -> None:
    """Numbers of comfy.hooks.InterpolationMethod."""
    assert between(0.0, 1.0, 5, "ease_in") == [0.0, 0.0625, 0.25, 0.5625, 1.0]
    assert between(1.0, 0.0, 3, "ease_out") == [1.0, 0.25, 0.0]
    assert between(0.0, 2.0, 3, "ease_in_out") == pytest.approx([0.0, 1.0, 2.0])
    first, second = along(0.2, 0.6, [1.0, 2.0])
    assert (first.guarantee_steps, second.guarantee_steps) == (1, 0)
    assert second.start_percent == pytest.approx(0.6)


def test_keyframes_begin_where_torch_puts_them() -> None:
    """To the last bit: at a third of the way a step of three begins, too."""
    for start, end, count in ((0.0, 1.0, 4), (0.0, 1.0, 7), (0.1, 0.9, 5), (0.3, 0.77, 100)):
        assert between(start, end, count) == torch.linspace(start, end, count).tolist()
    assert between(0.5, 1.0, 1) == [0.5]


def test_text_is_encoded_for_each_span_of_a_schedule() -> None:
    keyframes = nodes.create_keyframe(
        strength_mult=0.5,
        start_percent=0.5,
        prev_hook_kf=nodes.create_keyframe(strength_mult=2.0, start_percent=0.2),
    )
    hooks = nodes.create_lora_hook(lora_name=LORA, strength_clip=0.8)
    hooks = nodes.set_keyframes(hooks=hooks, hook_kf=keyframes)
    clip = nodes.set_clip_hooks(clip=Clip(()), schedule_clip=True, hooks=hooks)
    spans = [(span, own.changes[0]["strength"]) for span, own in encoded_spans(clip)]
    assert spans == [((0.0, 0.2), 0.8), ((0.2, 0.5), 1.6), ((0.5, 1.0), 0.4)]
    once = nodes.set_clip_hooks(clip=Clip(()), apply_to_conds=False, hooks=hooks)
    ((_, own),) = encoded_spans(once)
    assert own.changes[0]["strength"] == 0.8
    assert once.hooks is not None
    assert once.hooks.on_conditions == ()


def test_schedules_of_texts_are_bounded_and_cover_everything() -> None:
    keyframes = [
        tuple(HookKeyframe(float(k % 7), (k + part / 30) / 200) for k in range(200))
        for part in range(2)
    ]
    hooks = tuple(
        replace(lora(0.5)[0], origin=str(k), keyframes=own) for k, own in enumerate(keyframes)
    )
    clip = Clip((ModelFile("text_encoders", "t"),), hooks=ClipHooks(hooks, scheduled=True))
    with pytest.raises(HooksTooManyError, match="'clip': must have at most 200"):
        encoded_spans(clip)
    late = (replace(hooks[0], keyframes=(HookKeyframe(1.0, 1.0),)),)
    spans = encoded_spans(replace(clip, hooks=ClipHooks(late, scheduled=True)))
    assert [span for span, _ in spans] == [(0.0, 1.0)]


@pytest.mark.parametrize("strength", [float("nan"), float("inf"), 21.0])
def test_strengths_that_no_widget_would_give_are_refused(strength: float) -> None:
    with pytest.raises(nodes.FloatsError, match="from -20 to 20"):
        nodes.create_keyframes_of(floats_strength=[1.0, strength])


def test_what_is_applied_later_is_looked_for_before_it_begins() -> None:
    keyframes = (HookKeyframe(0.0, 0.0), HookKeyframe(0.5, 0.5))
    (change,) = first_changes((replace(lora(1.0)[0], keyframes=keyframes),))
    assert change["strength"] == 0.5
