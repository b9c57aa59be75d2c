"""Blocks that are compiled when a model is warmed, and at no other time."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from diffusion.dit.call import DitCall
from diffusion.engine.engine import SamplingError
from diffusion.engine.stage import SampleStage
from diffusion.engine.warming import WarmSize
from diffusion.families.flux.network import blocks as flux_blocks
from diffusion.families.flux.network import flux
from diffusion.families.sd.network import UNET_BLOCKS, TransformerBlock
from diffusion.families.sd3.network import blocks as sd3_blocks
from diffusion.families.sd3.network import sd3
from diffusion.lora.applying import LORA, Loras
from diffusion.networks.compiling import Regions, packing_of
from diffusion.networks.layers import ResnetBlock
from diffusion.networks.packed_layers import pack_layer, plain
from diffusion.weights import Weights, open_weights
from graph.sampling import SampleRequest
from graph.values import Change, Condition, Latent, Model, ModelFile
from tests.diffusion.dit_files import DEV, SD3, drawn_module
from tests.diffusion.lora_files import unet_lora, write_lora
from tests.diffusion.narrow_stage import (
    NARROW,
    OTHER,
    REFINER,
    drawn,
    narrow_stage,
    prompt,
    request,
    write_models,
)

SIZE = WarmSize(64, 64, rows=(2,))  # of which latents are 8 by 8
BLOCKS = 12  # of the narrow U-Net: eight residual ones, four of transformers
STEPS = 3


@dataclass
class Counting:
    """A backend that leaves graphs as they are."""

    compiled: int = 0
    ran: int = 0

    def __call__(self, graph: Any, _: Sequence[Tensor]) -> Callable[..., Any]:
        self.compiled += 1

        def run(*arguments: Any) -> Any:
            self.ran += 1
            return graph(*arguments)

        return run


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compiled")
    write_models(folder)
    write_lora(folder, "a.safetensors", unet_lora("a", 64))
    return folder


@pytest.fixture(scope="module")
def counting() -> Counting:
    return Counting()


@pytest.fixture(scope="module")
def regions(models: Path, counting: Counting) -> Regions:
    """What a stage compiled when it was warmed with one of its models."""
    regions = Regions(counting)

    async def warmed() -> None:
        stage = _stage(models, regions)
        await stage.warm(Model(NARROW), [SIZE])
        await stage.close()

    asyncio.run(warmed())
    return regions


@pytest.fixture
async def warm(models: Path, regions: Regions) -> AsyncIterator[SampleStage]:
    stage = _stage(models, regions)
    yield stage
    await stage.close()


def _stage(models: Path, regions: Regions | None) -> SampleStage:
    def opened(file: ModelFile) -> Weights:
        return open_weights(models / file.name, file)

    loras = Loras(opened, budget_bytes=2**24)
    return narrow_stage(
        models, regions=regions, weight_changes=(LORA,), apply_changes=loras.on_model
    )


def _lora_model() -> Model:
    options = (("file", ModelFile("loras", "a.safetensors")), ("strength", 0.7))
    return Model(NARROW, (Change(LORA, options),))


async def _sampled(stage: SampleStage, *requests: SampleRequest) -> list[Tensor]:
    outputs = await asyncio.gather(*map(stage.sample, requests))
    return [latent.samples for latent, _ in outputs]


async def _plain(models: Path, *requests: SampleRequest) -> list[Tensor]:
    """What a stage says that compiles nothing."""
    stage = _stage(models, None)
    samples = await _sampled(stage, *requests)
    await stage.close()
    return samples


def _close(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4 * float(other.std()))


WARMED = {
    "two rows": (request(),),
    "ten rows": tuple(request(seed) for seed in range(1, 6)),
    "a longer prompt": (request(positive=prompt(1, 154), negative=prompt(2, 231)),),
    "other weights": (request(model=Model(OTHER)),),
    "weights with a LoRA": (request(model=_lora_model()),),
}


@pytest.mark.parametrize("requests", WARMED.values(), ids=WARMED)
async def test_requests_of_a_warm_size_run_compiled_code_and_compile_nothing(
    warm: SampleStage, models: Path, counting: Counting, requests: Sequence[SampleRequest]
) -> None:
    expected = await _plain(models, *requests)
    before = replace(counting)
    _close(await _sampled(warm, *requests), expected)
    assert counting.compiled == before.compiled
    calls = (counting.ran - before.ran) / BLOCKS
    assert STEPS <= calls <= STEPS * len(requests)


COLD = {
    "one row": request(cfg=1.0),
    "another size": request(latent=Latent(torch.zeros(1, 4, 8, 16))),
}


@pytest.mark.parametrize("asked", COLD.values(), ids=COLD)
async def test_other_requests_run_as_they_would_without(
    warm: SampleStage, models: Path, counting: Counting, asked: SampleRequest
) -> None:
    before = replace(counting)
    ours = await _sampled(warm, asked)
    assert counting == before
    _close(ours, await _plain(models, asked))


async def test_another_architecture_shares_what_fits_and_compiles_nothing(
    warm: SampleStage, models: Path, counting: Counting
) -> None:
    positive, negative = (
        (Condition(drawn(seed, 1, 77, 1280), drawn(seed + 1, 1, 1280)),) for seed in (1, 3)
    )
    asked = request(model=Model(REFINER), positive=positive, negative=negative)
    before = replace(counting)
    ours = await _sampled(warm, asked)
    assert counting.compiled == before.compiled
    _close(ours, await _plain(models, asked))


async def test_a_call_that_changes_attention_compiles_nothing(
    warm: SampleStage, models: Path, counting: Counting
) -> None:
    guided = Model(NARROW, (Change("perturbed_attention", (("scale", 3.0),)),))
    before = replace(counting)
    ours = await _sampled(warm, request(model=guided))
    assert counting.compiled == before.compiled
    _close(ours, await _plain(models, request(model=guided)))


async def test_hooks_between_blocks_are_not_compiled_away(
    warm: SampleStage, models: Path, counting: Counting
) -> None:
    scales = (("b1", 1.5), ("b2", 1.6), ("s1", 0.9), ("s2", 0.2))
    changed = Model(NARROW, (Change("freeu", scales),))
    before = replace(counting)
    (ours,) = await _sampled(warm, request(model=changed))
    assert counting.compiled == before.compiled
    _close([ours], await _plain(models, request(model=changed)))
    assert not torch.equal(ours, (await _sampled(warm, request()))[0])


@torch.inference_mode()
def test_code_for_one_way_of_packing_is_not_that_for_another() -> None:
    def block(dtype: torch.dtype, *names: str) -> nn.Module:
        module = nn.ModuleDict({"first": nn.Linear(4, 4), "second": nn.Linear(4, 4)})
        for name in names:
            pack_layer(module, name, plain(torch.zeros(4, 4, dtype=dtype)))
        return module

    ways = [
        packing_of(block(torch.float8_e4m3fn)),
        packing_of(block(torch.float8_e4m3fn, "first")),
        packing_of(block(torch.float8_e5m2, "first")),
        packing_of(block(torch.float8_e4m3fn, "first", "second")),
    ]
    assert len(set(ways)) == len(ways)
    assert packing_of(block(torch.float8_e5m2, "first")) == ways[2]


def test_compiled_code_holds_no_weights() -> None:
    regions, block = Regions(Counting()), ResnetBlock(32, 32, eps=1e-5, time_width=8)
    regions.place(block, UNET_BLOCKS)
    with regions.compiling():
        block(drawn(1, 2, 32, 4, 4), drawn(2, 2, 8))
    weight = weakref.ref(block.conv1.weight)
    del block
    gc.collect()
    assert weight() is None


def _failing(_: Any, __: Any) -> Callable[..., Any]:
    raise OSError("no compiler here")


async def test_what_cannot_be_compiled_is_told(models: Path) -> None:
    stage = _stage(models, Regions(_failing))
    with pytest.raises(SamplingError, match="no compiler here"):
        await stage.warm(Model(NARROW), [SIZE])
    await stage.close()


@torch.inference_mode()
@pytest.mark.parametrize(
    ("shape", "run", "blocks", "asked"),
    [
        (SD3, (sd3, sd3_blocks), 3, ((2, 5), (3, 9))),
        (DEV, (flux, flux_blocks), 5, ((1, 5), (1, 12))),
    ],
    ids=["sd3", "flux"],
)
def test_transformers_are_compiled_by_block(
    shape: Any, run: tuple[Any, Any], blocks: int, asked: Sequence[tuple[int, int]]
) -> None:
    """Each of `asked` is a number of rows and of tokens; the first is compiled for."""
    network, repeated = run
    module = drawn_module(shape)
    calls = [_call(shape, rows, tokens) for rows, tokens in asked]
    expected = [network(module, call) for call in calls]
    counting = Counting()
    regions = Regions(counting)
    regions.place(module, repeated(module))
    with regions.compiling():
        network(module, calls[0])
    before = replace(counting)
    _close([network(module, call) for call in calls], expected)
    assert counting.compiled == before.compiled
    assert counting.ran - before.ran == len(calls) * blocks


def _call(shape: Any, rows: int, tokens: int) -> DitCall:
    return DitCall(
        sample=drawn(1, rows, 16, 8, 6),
        times=torch.full((rows,), 0.7),
        context=drawn(2, rows, tokens, shape.context_dim),
        pooled=drawn(3, rows, shape.y_dim),
        guidance=torch.full((rows,), 3.5),
    )


BOTH: dict[str, tuple[nn.Module, Any]] = {
    "residual": (
        ResnetBlock(32, 64, eps=1e-5, time_width=128),
        lambda rows: (drawn(1, rows, 32, 8, 8), drawn(2, rows, 128)),
    ),
    "transformer": (
        TransformerBlock(64, 768, 8),
        lambda rows: (drawn(1, rows, 64, 64), drawn(2, rows, 77, 64), drawn(3, rows, 77, 64)),
    ),
}


@torch.inference_mode()
@pytest.mark.inductor
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated")  # torch's own
@pytest.mark.parametrize(("block", "arguments"), BOTH.values(), ids=BOTH)
def test_inductor_gives_what_is_given_without(
    block: nn.Module,
    arguments: Callable[[int], Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    expected = [block(*arguments(rows)) for rows in (2, 5)]
    regions = Regions()
    regions.place(block, UNET_BLOCKS)
    with regions.compiling():
        block(*arguments(2))
    for rows, theirs in zip((2, 5), expected, strict=True):
        torch.testing.assert_close(block(*arguments(rows)), theirs, rtol=0, atol=1e-5)
