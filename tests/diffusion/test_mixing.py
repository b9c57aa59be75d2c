"""Jobs under different LoRAs share calls of their base, and their pictures do not change."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from diffusion.batch.row_layers import own_layers
from diffusion.engine.stage import SampleStage
from diffusion.lora.applying import LORA, Loras
from diffusion.memory.budget import MemoryBudget
from diffusion.networks.packed_layers import PackedLinear
from diffusion.packing.packed import Packed, Plain
from diffusion.weights import Weights, open_weights
from graph.sampling import SampleRequest
from graph.values import Change, Model, ModelFile
from tests.diffusion.lora_files import factors, unet_lora, write_lora
from tests.diffusion.model_files import CPU, seeded
from tests.diffusion.narrow_stage import NARROW, request, write_models

WIDTH = 64
IN = "lora_unet_input_blocks_1_0_in_layers_2"  # a convolution
CROSS = "lora_unet_input_blocks_3_1_transformer_blocks_0_attn2_to_k"  # reads the prompt
STEPS = 12  # so that all jobs have begun when the first one ends


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("by_row")
    write_models(folder)
    for name in "abc":
        convolution = {
            f"{IN}.lora_up.weight": seeded(f"{name}.cu", (32, 2, 1, 1)),
            f"{IN}.lora_down.weight": seeded(f"{name}.cd", (2, 32, 3, 3)),
        }
        prompts = factors(CROSS, name + "x", WIDTH, 768)
        write_lora(
            folder, f"{name}.safetensors", {**unet_lora(name, WIDTH), **convolution, **prompts}
        )
    whole = {f"{CROSS}.diff": seeded("whole", (WIDTH, 768))}
    write_lora(folder, "whole.safetensors", whole)
    return folder


@pytest.fixture
async def stage(models: Path) -> AsyncIterator[SampleStage]:
    def opened(file: ModelFile) -> Weights:
        return open_weights(models / file.name, file)

    made = SampleStage(
        opened,
        device=CPU,
        dtype=torch.float32,
        memory=MemoryBudget(2**30),
        weight_changes=(LORA,),
        apply_changes=Loras(opened, budget_bytes=2**24).on_model,
        mix_loras=True,
    )
    yield made
    await made.close()


@pytest.fixture
def calls() -> Iterator[list[int]]:
    """How many pictures every call of a diffusion model held."""
    seen: list[int] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if type(module).__name__ == "Unet":
            seen.append(len(inputs[0]))

    with register_module_forward_pre_hook(note):
        yield seen


def under(*names: str, seed: int = 1, strength: float = 0.8) -> SampleRequest:
    files = [ModelFile("loras", f"{name}.safetensors") for name in names]
    changes = [Change(LORA, (("file", file), ("strength", strength))) for file in files]
    return request(seed, steps=STEPS, model=Model(NARROW, tuple(changes)))


async def sampled(stage: SampleStage, asked: SampleRequest) -> Tensor:
    latent, _ = await stage.sample(asked)
    return latent.samples  # type: ignore[no-any-return]


MIXED = (
    under("a", seed=1),
    under("b", seed=2),
    under(seed=3),
    under("a", "c", seed=4, strength=-0.5),
    under("b", seed=5),
)


async def test_sets_share_calls_and_draw_what_changed_weights_draw(
    stage: SampleStage, calls: list[int]
) -> None:
    alone = [await sampled(stage, job) for job in MIXED]
    plain = [await sampled(stage, under(seed=seed)) for seed in (1, 2)]
    calls.clear()
    together = await asyncio.gather(*(sampled(stage, job) for job in MIXED))
    assert max(calls) == 2 * len(MIXED)
    for one, other in zip(alone, together, strict=True):
        assert (one - other).abs().max() < 1e-4 * one.std()
    for one, other in zip(alone, plain, strict=False):
        assert (one - other).abs().max() > 0.01 * one.std()


async def test_jobs_of_one_set_are_answered_by_the_changed_weights(
    stage: SampleStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("diffusion.engine.mixing.MixedBase.answers", fail)
    await asyncio.gather(*(sampled(stage, under("a", seed=seed)) for seed in (1, 2)))


async def test_whatever_a_file_changes_is_met_by_its_own_rows_alone(
    stage: SampleStage, calls: list[int]
) -> None:
    jobs = [under("whole"), under("a", seed=2)]
    alone = [await sampled(stage, job) for job in jobs]
    calls.clear()
    together = await asyncio.gather(*(sampled(stage, job) for job in jobs))
    for one, other in zip(alone, together, strict=True):
        assert (one - other).abs().max() < 1e-4 * one.std()
    assert max(calls) == 4


def test_a_packed_layers_bias_is_its_own_though_its_weight_is_not() -> None:
    packed = Packed((2, 2), torch.zeros(2, 2), (), Plain())
    layers = [PackedLinear(nn.Linear(2, 2), packed) for _ in range(2)]
    layers[1].weight = layers[0].weight
    for layer in layers:
        layer.bias = nn.Parameter(torch.ones(2))
    base, changed = (nn.Sequential(layer) for layer in layers)
    assert set(own_layers(changed, base) or {}) == {"0"}
    layers[1].bias = layers[0].bias
    assert own_layers(changed, base) == {}
