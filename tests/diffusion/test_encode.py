"""The encode stage, over a small CLIP in SD 1.x's layout."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from diffusion.families.registry import FAMILIES
from diffusion.memory.budget import MemoryBudget
from diffusion.text.prompt import PromptDepthError
from diffusion.text.stage import EncodeStage, UnknownChangeError
from diffusion.weights import Entry, Weights
from graph.errors import BadModelFile
from graph.values import Clip, ModelFile
from tests.diffusion.model_files import CPU, seeded

WIDTH, ROWS = 768, 49408
CLIP = Clip((ModelFile("checkpoints", "a.safetensors"),))
OTHER = Clip((ModelFile("checkpoints", "b.safetensors"),))
BROKEN = Clip((ModelFile("checkpoints", "broken.safetensors"),))


def shapes() -> dict[str, tuple[int, ...]]:
    layer: dict[str, tuple[int, ...]] = {
        f"layer_norm{n}.{kind}": (WIDTH,) for n in (1, 2) for kind in ("weight", "bias")
    }
    layer |= {f"self_attn.{p}_proj.weight": (WIDTH, WIDTH) for p in ("q", "k", "v", "out")}
    layer |= {f"self_attn.{p}_proj.bias": (WIDTH,) for p in ("q", "k", "v", "out")}
    layer |= {"mlp.fc1.weight": (8, WIDTH), "mlp.fc1.bias": (8,)}
    layer |= {"mlp.fc2.weight": (WIDTH, 8), "mlp.fc2.bias": (WIDTH,)}
    return {
        "embeddings.position_embedding.weight": (77, WIDTH),
        "final_layer_norm.weight": (WIDTH,),
        "final_layer_norm.bias": (WIDTH,),
        **{f"encoder.layers.{i}.{key}": shape for i in range(2) for key, shape in layer.items()},
    }


@pytest.fixture(scope="module")
def tensors() -> dict[str, torch.Tensor]:
    """An SD 1.x text encoder of two layers; its token table is one short row repeated."""
    drawn = {f"text_model.{key}": seeded(key, shape) for key, shape in shapes().items()}
    table = seeded("tokens", (ROWS, 8)).repeat(1, WIDTH // 8)
    drawn["text_model.embeddings.token_embedding.weight"] = table
    return {f"cond_stage_model.transformer.{key}": value for key, value in drawn.items()}


class Files:
    """A models folder in memory that counts how often a file is opened."""

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        self._tensors = tensors
        self.opened: list[str] = []

    def open(self, file: ModelFile) -> Weights:
        self.opened.append(file.name)
        if file == BROKEN.files[0]:
            raise BadModelFile(file.folder, file.name, "cut short")
        entries = {k: Entry(tuple(v.shape), v.dtype) for k, v in self._tensors.items()}
        return Weights(file, entries, self._tensors.__getitem__)


@pytest.fixture
def files(tensors: dict[str, torch.Tensor]) -> Files:
    return Files(tensors)


@pytest.fixture
def calls() -> Iterator[list[int]]:
    """How many chunks each call of a model was given."""
    seen: list[int] = []

    def note(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if isinstance(module, nn.Embedding):
            seen.append(len(inputs[0]))

    with register_module_forward_pre_hook(note):
        yield seen


MakeStage = Callable[..., EncodeStage]


@pytest.fixture
async def make(files: Files) -> AsyncIterator[MakeStage]:
    stages: list[EncodeStage] = []

    def make_stage(*, budget_bytes: int = 2**30, cache_bytes: int = 2**24) -> EncodeStage:
        stage = EncodeStage(
            files.open,
            dtype=torch.float32,
            device=CPU,
            memory=MemoryBudget(budget_bytes, limit_bytes=2**30),
            encodings=FAMILIES.texts,
            cache_bytes=cache_bytes,
        )
        stages.append(stage)
        return stage

    yield make_stage
    for stage in stages:
        stage.close()


async def test_a_text_becomes_a_condition(make: MakeStage) -> None:
    (condition,) = await make().encode_text(CLIP, "a fox")
    assert condition.tokens.shape == (1, 77, WIDTH)
    assert condition.pooled is not None
    assert condition.pooled.shape == (1, WIDTH)


async def test_prompts_that_wait_together_share_a_batch(make: MakeStage, calls: list[int]) -> None:
    stage = make()
    await asyncio.gather(*(stage.encode_text(CLIP, text) for text in ("a", "b", "a", "c")))
    assert calls == [3]


async def test_a_prompt_is_encoded_once(make: MakeStage, calls: list[int]) -> None:
    stage = make()
    (first,) = await stage.encode_text(CLIP, "a")
    (second,) = await stage.encode_text(CLIP, "a")
    assert torch.equal(first.tokens, second.tokens)
    assert calls == [1]


async def test_what_no_longer_fits_the_cache_is_encoded_again(
    make: MakeStage, calls: list[int]
) -> None:
    one = 4 * 78 * WIDTH
    stage = make(cache_bytes=2 * one)
    for text in ("a", "b", "a", "c", "b"):
        await stage.encode_text(CLIP, text)
    assert calls == [1, 1, 1, 1]


async def test_clip_skip_reads_the_encoder_that_is_already_there(
    make: MakeStage, files: Files
) -> None:
    stage = make()
    (last,) = await stage.encode_text(CLIP, "a fox")
    (skipped,) = await stage.encode_text(replace(CLIP, stop_at_layer=-2), "a fox")
    assert files.opened == ["a.safetensors"]
    assert not torch.allclose(last.tokens, skipped.tokens)


async def test_encoders_beyond_the_budget_make_room(make: MakeStage) -> None:
    stage = make(budget_bytes=1)
    await stage.encode_text(CLIP, "a")
    await stage.encode_text(OTHER, "a")
    assert stage.resident() == ()


async def test_a_file_that_fails_to_load_fails_its_own_prompts_only(make: MakeStage) -> None:
    stage = make()
    broken, sound = await asyncio.gather(
        stage.encode_text(BROKEN, "a"), stage.encode_text(CLIP, "a"), return_exceptions=True
    )
    assert isinstance(broken, BadModelFile)
    assert isinstance(sound, tuple)


async def test_a_prompt_that_nests_too_deep_fails_alone(make: MakeStage) -> None:
    stage = make()
    deep, sound = await asyncio.gather(
        stage.encode_text(CLIP, "(" * 500), stage.encode_text(CLIP, "a"), return_exceptions=True
    )
    assert isinstance(deep, PromptDepthError)
    assert isinstance(sound, tuple)


async def test_a_cancelled_request_leaves_the_others_their_answer(make: MakeStage) -> None:
    stage = make()
    leaving = asyncio.create_task(stage.encode_text(CLIP, "a"))
    staying = asyncio.create_task(stage.encode_text(CLIP, "a"))
    await asyncio.sleep(0)
    leaving.cancel()
    (condition,) = await staying
    assert condition.tokens.shape == (1, 77, WIDTH)
    assert leaving.cancelled()


async def test_changes_nobody_can_lay_on_an_encoder_are_refused(make: MakeStage) -> None:
    with pytest.raises(UnknownChangeError, match="'lora'"):
        await make().encode_text(CLIP.changed("lora", strength=1.0), "a")


async def test_two_texts_carry_their_sizes_under_comfyuis_names(make: MakeStage) -> None:
    sizes = {"width": 1024, "height": 768, "crop_w": 0, "crop_h": 0}
    (condition,) = await make().encode_sdxl(CLIP, text_g="a", text_l="b", sizes=sizes)
    assert condition.extras == sizes


async def test_a_refiner_prompt_carries_its_aesthetic_score(make: MakeStage) -> None:
    stage = make()
    (condition,) = await stage.encode_sdxl_refiner(CLIP, text="a", ascore=6.5, width=8, height=9)
    assert condition.extras == {"aesthetic_score": 6.5, "width": 8, "height": 9}


async def test_a_prompt_of_another_owner_is_encoded_anew(make: MakeStage, calls: list[int]) -> None:
    stage = make()
    for owner in ("a", "b", "a", "b"):
        await stage.encode_text(CLIP, "a fox", owner=owner)
    assert calls == [1, 1]
