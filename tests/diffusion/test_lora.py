"""LoRAs on models: what is shared, what is not, and that nothing of them stays behind."""

import asyncio
import pickle
import random
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from diffusion.engine.stage import SampleStage
from diffusion.families.family import LoadedModel
from diffusion.families.registry import FAMILIES
from diffusion.lora.applying import LORA, Loras
from diffusion.memory.budget import MemoryBudget
from diffusion.weights import Weights, open_weights
from graph.errors import BadModelFile
from graph.events import Progress, Warned
from graph.sampling import SampleRequest
from graph.values import Change, Model, ModelFile
from tests.diffusion.lora_files import BLOCK, TEXT, factors, unet_lora, write_lora
from tests.diffusion.model_files import CPU, written
from tests.diffusion.narrow_stage import NARROW, request, write_models

WIDTH = 64
Opened = list[ModelFile]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loras")
    write_models(folder)
    for name in "abcd":
        write_lora(folder, f"{name}.safetensors", unet_lora(name, WIDTH))
    write_lora(
        folder,
        "more.safetensors",
        {**unet_lora("a", WIDTH), **factors("lora_unet_elsewhere", "e", 4, 4)},
    )
    write_lora(folder, "text.safetensors", factors(TEXT, "t", 768, 768))
    write_lora(folder, "wide.safetensors", unet_lora("w", 2 * WIDTH))
    write_lora(folder, "family.safetensors", factors("transformer.single_blocks.0", "f", 4, 4))
    whole = (folder / "a.safetensors").read_bytes()
    (folder / "short.safetensors").write_bytes(whole[: len(whole) // 2])
    (folder / "code.pt").write_bytes(pickle.dumps({"a": print}))
    return folder


@pytest.fixture
def opened() -> Opened:
    """Every file that was opened."""
    return []


@pytest.fixture
def open_file(models: Path, opened: Opened) -> Callable[[ModelFile], Weights]:
    def open_one(file: ModelFile) -> Weights:
        opened.append(file)
        return open_weights(models / file.name, file)

    return open_one


@pytest.fixture
async def stage(open_file: Callable[[ModelFile], Weights]) -> AsyncIterator[SampleStage]:
    made = SampleStage(
        open_file,
        device=CPU,
        dtype=torch.float32,
        memory=MemoryBudget(2**30),
        weight_changes=(LORA,),
        apply_changes=Loras(open_file, budget_bytes=2**24).on_model,
        mix_loras=False,  # with it: test_mixing.py
    )
    yield made
    await made.close()


@pytest.fixture
def rows() -> Iterator[list[int]]:
    """How many pictures every call of a diffusion model held."""
    seen: list[int] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if type(module).__name__ == "Unet":
            seen.append(len(inputs[0]))

    with register_module_forward_pre_hook(note):
        yield seen


def lora(name: str, strength: float = 1.0) -> Change:
    file = ModelFile("loras", name if "." in name else f"{name}.safetensors")
    return Change(LORA, (("file", file), ("strength", strength)))


def under(*changes: Change, seed: int = 1) -> SampleRequest:
    return request(seed, model=Model(NARROW, changes))


async def sampled(stage: SampleStage, asked: SampleRequest) -> Tensor:
    latent, _ = await stage.sample(asked)
    return latent.samples  # type: ignore[no-any-return]


def loaded(folder: Path) -> LoadedModel:
    file = open_weights(folder / NARROW.name, NARROW)
    return FAMILIES.load(file, dtype=torch.float32, device=CPU)


def contents(unet: LoadedModel) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in unet.module.state_dict().items()}


async def test_a_base_is_the_same_bytes_after_a_hundred_random_sets(
    models: Path, open_file: Callable[[ModelFile], Weights]
) -> None:
    base = loaded(models)
    before = contents(base)
    loras, drawn = Loras(open_file, budget_bytes=2**24), random.Random(5)
    first: dict[tuple[Change, ...], dict[str, bytes]] = {}
    for _ in range(100):
        names = drawn.choices("abcd", k=drawn.randint(1, 3))
        changes = tuple(lora(name, drawn.choice([-1.5, 0.3, 1.0])) for name in names)
        patched = contents(loras.on_model(base, changes))
        assert patched == first.setdefault(changes, patched)
        assert patched != before
    assert contents(base) == before


def test_a_set_has_of_its_own_what_it_changes_and_shares_the_rest(
    models: Path, open_file: Callable[[ModelFile], Weights]
) -> None:
    base = loaded(models)
    patched = Loras(open_file, budget_bytes=2**24).on_model(base, [lora("a")])
    theirs = dict(base.module.named_parameters())
    own = [name for name, p in patched.module.named_parameters() if p is not theirs[name]]
    layer = "down_blocks.1.attentions.0.transformer_blocks.0.attn1"
    assert own == [f"{layer}.to_q.weight", f"{layer}.to_v.weight"]
    assert patched.size == 2 * 4 * WIDTH**2


async def test_a_stack_is_the_sum_of_its_loras(stage: SampleStage, models: Path) -> None:
    both = await sampled(stage, under(lora("a", 0.7), lora("b", -0.5)))
    name = "model.diffusion_model.input_blocks.3.1.transformer_blocks.0.attn1"
    tensors = dict(open_weights(models / NARROW.name, NARROW))
    for part, seed in (("to_q", ""), ("to_v", "v")):
        for file, strength in (("a", 0.7), ("b", -0.5)):
            drawn = factors(BLOCK, file + seed, WIDTH, WIDTH)
            product = drawn[f"{BLOCK}.lora_up.weight"] @ drawn[f"{BLOCK}.lora_down.weight"]
            key = f"{name}.{part}.weight"
            tensors[key] = tensors[key] + strength * product
    merged_file = written(models, tensors, "merged.safetensors").file
    merged = await sampled(stage, request(1, model=Model(merged_file)))
    plain = await sampled(stage, under())
    scale = float(merged.std())
    assert (merged - plain).abs().max() > 0.01 * scale
    torch.testing.assert_close(both, merged, rtol=0, atol=1e-4 * scale)


async def test_taking_a_lora_off_gives_the_plain_picture_again(stage: SampleStage) -> None:
    before = await sampled(stage, under())
    changed = await sampled(stage, under(lora("a")))
    assert not torch.equal(changed, before)
    assert torch.equal(await sampled(stage, under()), before)


async def test_two_users_alternate_without_anything_being_read_again(
    stage: SampleStage, opened: Opened
) -> None:
    pictures = [await sampled(stage, under(lora(name))) for name in "ababab"]
    assert torch.equal(pictures[0], pictures[4])
    assert [file.name for file in opened] == [NARROW.name, "a.safetensors", "b.safetensors"]


async def test_sets_that_no_longer_fit_are_made_again_from_memory(
    open_file: Callable[[ModelFile], Weights], opened: Opened
) -> None:
    small = SampleStage(
        open_file,
        device=CPU,
        dtype=torch.float32,
        memory=MemoryBudget(1, limit_bytes=2**30),
        weight_changes=(LORA,),
        apply_changes=Loras(open_file, budget_bytes=2**24).on_model,
    )
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(sampled(small, under(lora(name)))) for name in "abab"]
    again = await sampled(small, under(lora("a")))
    await small.close()
    torch.testing.assert_close(tasks[0].result(), again, rtol=1e-4, atol=1e-2)
    assert [file.name for file in opened if file.folder == "loras"].count("a.safetensors") == 1


async def test_jobs_share_calls_when_their_loras_are_equal(
    stage: SampleStage, rows: list[int]
) -> None:
    await stage.warm(Model(NARROW, (lora("a"),)))
    await stage.warm(Model(NARROW, (lora("b"),)))
    jobs = [under(lora("a"), seed=1), under(lora("a"), seed=2), under(lora("b"), seed=3)]
    await asyncio.gather(*map(stage.sample, jobs))
    assert max(rows) == 4
    assert sum(rows) == 18


async def test_jobs_with_different_loras_do_not_hear_of_each_other(stage: SampleStage) -> None:
    jobs = [under(lora("a")), under(lora("b")), under()]
    alone = [await sampled(stage, job) for job in jobs]
    together = await asyncio.gather(*(sampled(stage, job) for job in jobs))
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(one, other)


async def test_keys_that_fit_nothing_are_told_to_every_job(stage: SampleStage) -> None:
    for _ in range(2):
        told: list[Progress | Warned] = []
        await stage.sample(under(lora("more")), told.append)
        (warned,) = [event for event in told if isinstance(event, Warned)]
        assert warned.node_id == "5"
        assert "lora_unet_elsewhere.alpha" in warned.text


async def test_a_lora_for_text_encoders_leaves_the_diffusion_model_as_it_is(
    stage: SampleStage,
) -> None:
    told: list[Progress | Warned] = []
    latent, _ = await stage.sample(under(lora("text")), told.append)
    assert torch.equal(latent.samples, await sampled(stage, under()))
    assert not any(isinstance(event, Warned) for event in told)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("wide", "makes 16384 numbers for a weight"),
        ("family", "none of its 3 keys fits this model"),
        ("short", "not a safetensors file"),
        ("code.pt", "not a readable checkpoint"),
    ],
)
async def test_a_bad_file_is_named_and_the_next_request_works(
    name: str, problem: str, stage: SampleStage
) -> None:
    with pytest.raises(BadModelFile, match=problem) as caught:
        await stage.sample(under(lora(name)))
    assert caught.value.status == 422
    assert caught.value.folder == "loras"
    await sampled(stage, under(lora("a")))


def test_precision_is_the_base_models_own(models: Path) -> None:
    file = open_weights(models / NARROW.name, NARROW)
    base = FAMILIES.load(file, dtype=torch.bfloat16, device=CPU)
    loras = Loras(lambda f: open_weights(models / f.name, f), budget_bytes=2**24)
    patched = loras.on_model(base, [lora("a")])
    name = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.weight"
    drawn = factors(BLOCK, "a", WIDTH, WIDTH)
    product = drawn[f"{BLOCK}.lora_up.weight"] @ drawn[f"{BLOCK}.lora_down.weight"]
    wanted = (base.module.get_parameter(name).float() + product).bfloat16()
    assert torch.equal(patched.module.get_parameter(name), wanted)
