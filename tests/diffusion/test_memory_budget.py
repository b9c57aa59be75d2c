"""Jobs for base models that do not fit in memory together: what is there at every moment."""

import asyncio
import gc
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import Parameter

from diffusion.engine.stage import SampleStage
from diffusion.families.registry import FAMILIES
from diffusion.memory.budget import MemoryBudget
from diffusion.text.stage import EncodeStage
from diffusion.weights import Weights, open_weights
from graph.sampling import Guider, Noise, SamplerChoice, SampleRequest
from graph.values import Clip, Condition, Conditioning, Latent, Model, ModelFile, Vae
from tests.diffusion.dit_files import DEV, drawn_module, reference_layout
from tests.diffusion.model_files import CPU, filled, recorded_shapes, seeded
from tests.diffusion.narrow_stage import drawn
from tests.diffusion.test_lora_text import clip_tensors
from tests.diffusion.test_t5 import WIDTH, t5_tensors

SHAPE = replace(DEV, width=384, mlp=1536, double=2, single=2, y_dim=64)
FLUX, SDXL = (ModelFile("checkpoints", f"{name}.safetensors") for name in ("flux", "sdxl"))
AE, VAE = (ModelFile("vae", f"{name}.safetensors") for name in ("ae", "vae"))
CLIP_L, T5 = (ModelFile("text_encoders", f"{name}.safetensors") for name in ("clip_l", "t5xxl"))
TEXT = Clip((CLIP_L, T5), kind="flux")
ACTIVATION_BYTES = 2**22
WORDS = 32128


def write_models(folder: Path) -> None:
    """Narrow models in the layouts of published files."""
    vaes, unets = recorded_shapes("vae_shapes"), recorded_shapes("unet_shapes")
    unet = {f"model.diffusion_model.{key}": t for key, t in filled(unets["vega"]).items()}
    t5 = {**t5_tensors(), "shared.weight": seeded("shared.weight", (WORDS, WIDTH))}
    for file, tensors in {
        FLUX: reference_layout(drawn_module(SHAPE), SHAPE),
        SDXL: unet,
        AE: filled(vaes["vae16"]),
        VAE: filled(vaes["vae4"]),
        CLIP_L: clip_tensors(SHAPE.y_dim, 49408),
        T5: t5,
    }.items():
        save_file(tensors, folder / file.name)


class Replica:
    """The stages of one replica, in one memory, and the whole jobs that they do together."""

    def __init__(self, folder: Path, budget_bytes: int) -> None:
        def opened(file: ModelFile) -> Weights:
            return open_weights(folder / file.name, file)

        self.memory = MemoryBudget(budget_bytes)
        self.seen = Seen(self.memory, tensors_alive())
        self.sampler = SampleStage(
            opened,
            device=CPU,
            dtype=torch.float32,
            memory=self.memory,
            activation_bytes=ACTIVATION_BYTES,
            called=self.seen.look,
        )
        self.encoder = EncodeStage(
            opened,
            device=CPU,
            dtype=torch.float32,
            memory=self.memory,
            encodings=FAMILIES.texts,
            cache_bytes=2**20,
            called=self.seen.look,
        )

    async def flux(self, text: str, seed: int) -> Tensor:
        positive = await self.encoder.encode_text(TEXT, text)
        return await self._drawn(FLUX, AE, (positive, positive), seed)

    async def sdxl(self, seed: int) -> Tensor:
        return await self._drawn(SDXL, VAE, (drawn_prompt(seed), drawn_prompt(seed + 1)), seed)

    async def _drawn(
        self, base: ModelFile, vae: ModelFile, prompts: tuple[Conditioning, Conditioning], seed: int
    ) -> Tensor:
        named = tuple(zip(("positive", "negative"), prompts, strict=True))
        guider = Guider("cfg", Model(base), named, (("cfg", 1.0 if base is FLUX else 3.0),))
        latent = Latent(torch.zeros(1, 16 if base is FLUX else 4, 8, 8))
        request = SampleRequest(
            guider, Noise(seed), SamplerChoice("euler"), torch.linspace(1.0, 0.0, 4), latent
        )
        sampled, _ = await self.sampler.sample(request)
        return await self.sampler.decode(Vae(vae), sampled)

    async def close(self) -> None:
        await self.sampler.close()
        self.encoder.close()


def drawn_prompt(seed: int) -> Conditioning:
    return (Condition(drawn(seed, 1, 7, 2048), drawn(seed + 5, 1, 1280)),)


@dataclass(eq=False)
class Seen:
    """What is in memory, each time that it is looked at: as is said, and as is found."""

    memory: MemoryBudget
    before: dict[int, int]
    said: list[int] = field(default_factory=list)
    found: list[int] = field(default_factory=list)
    bases: list[ModelFile] = field(default_factory=list)  # as they came

    def look(self, *_: Any) -> None:
        self.said.append(self.memory.weights.used_bytes())
        alive = tensors_alive()
        self.found.append(sum(size for at, size in alive.items() if at not in self.before))
        for key in self.memory.weights.resident():
            if isinstance(key, tuple) and key[0] == "model" and self.bases[-1:] != [key[1]]:
                self.bases.append(key[1])

    async def watch(self, running: "asyncio.Future[Any]") -> None:
        """Look after every step, and whenever what is said has changed."""
        while not running.done():
            if self.said[-1:] != [self.memory.weights.used_bytes()]:
                self.look()
            await asyncio.sleep(0)


def tensors_alive() -> dict[int, int]:
    """Bytes of everything that tensors lie in, by its address; what maps a file takes none.

    An object refers to its class, so these are all tensors. A walk over all objects would hold
    tuples that other threads are just building, and break them.
    """
    found = {}
    for each in gc.get_referrers(Tensor, Parameter):
        if type(each) in {Tensor, Parameter} and each.device == CPU:  # those of tracing lie nowhere
            storage = each.untyped_storage()
            if storage.filename is None:
                found[storage.data_ptr()] = storage.nbytes()
    return found


@pytest.fixture
def few_objects() -> Iterator[None]:
    """Nothing of other tests is looked at, which would take long each time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("few_objects")
async def test_two_flux_jobs_and_one_of_sdxl_share_room_for_one_base(tmp_path: Path) -> None:
    write_models(tmp_path)
    roomy = Replica(tmp_path, 2**33)
    alone = [await roomy.flux("a fox", 1), await roomy.sdxl(2), await roomy.flux("an owl", 3)]
    await roomy.close()
    del roomy
    bases = [(tmp_path / file.name).stat().st_size for file in (FLUX, SDXL)]
    budget = max(bases) + 2**24  # an autoencoder fits beside the larger one, the text encoder not
    assert budget + ACTIVATION_BYTES < sum(bases)

    small = Replica(tmp_path, budget)
    running = asyncio.gather(small.flux("a fox", 1), small.sdxl(2), small.flux("an owl", 3))
    await small.seen.watch(running)
    for one, other in zip(alone, await running, strict=True):
        assert torch.allclose(one, other, atol=1e-4)
    small.seen.look()
    seen = small.seen
    assert set(seen.bases) == {FLUX, SDXL}
    assert max(seen.said) <= budget
    assert max(seen.found) <= budget + ACTIVATION_BYTES
    assert seen.found[-1] <= seen.said[-1] + ACTIVATION_BYTES
    assert small.sampler.jobs == 0
    await small.close()
