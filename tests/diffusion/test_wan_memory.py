"""Wan's two experts, its text encoder and a LoRA, in a budget that has room for one expert."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from diffusion.engine.stage import SampleStage
from diffusion.families.registry import FAMILIES
from diffusion.lora.applying import Loras
from diffusion.lora.merging import WEIGHT_CHANGES, WeightChanges
from diffusion.memory.budget import MemoryBudget, ModelTooLargeError
from diffusion.text.sentence_pieces import KEY
from diffusion.text.stage import EncodeStage
from diffusion.weights import Weights, open_weights
from graph.sampling import Guider, Noise, SamplerChoice, SampleRequest
from graph.values import Clip, Latent, Model, ModelFile
from tests.diffusion.model_files import CPU, seeded
from tests.diffusion.test_memory_budget import Seen, few_objects, tensors_alive
from tests.diffusion.test_t5 import WIDTH
from tests.diffusion.test_umt5 import pieces, umt5_tensors
from tests.diffusion.wan_files import T2V, tensors_of

__all__ = ["few_objects", "pieces"]  # fixtures

SHAPE = replace(T2V, width=256, mlp=1024, depth=3, context_dim=WIDTH)
HIGH, LOW = (ModelFile("diffusion_models", f"{name}.safetensors") for name in ("high", "low"))
UMT5 = ModelFile("text_encoders", "umt5.safetensors")
LORA = ModelFile("loras", "lora.safetensors")
CHANGED = "blocks.0.ffn.0"
WORDS = 2**16
ACTIVATION_BYTES = 2**22


def write_models(folder: Path, tokenizer: Tensor) -> None:
    high = tensors_of(SHAPE)
    words = seeded("shared.weight", (WORDS, WIDTH))
    up, down = seeded("up", (SHAPE.mlp, 4)), seeded("down", (4, SHAPE.width))
    start = f"diffusion_model.{CHANGED}.lora_"
    for file, tensors in {
        HIGH: high,
        LOW: {name: tensor.flip(0).contiguous() for name, tensor in high.items()},
        UMT5: {**umt5_tensors(), "shared.weight": words, KEY: tokenizer},
        LORA: {f"{start}B.weight": up, f"{start}A.weight": down},
    }.items():
        save_file(tensors, folder / file.name)


class Replica:
    """The stages of one replica, in one memory."""

    def __init__(self, folder: Path, budget_bytes: int) -> None:
        def opened(file: ModelFile) -> Weights:
            return open_weights(folder / file.name, file)

        self.memory = MemoryBudget(budget_bytes)
        self.seen = Seen(self.memory, tensors_alive())
        shared: dict[str, Any] = {"device": CPU, "dtype": torch.float32, "memory": self.memory}
        changes = WeightChanges(opened, Loras(opened, budget_bytes=2**20), FAMILIES)
        self.sampler = SampleStage(
            opened,
            activation_bytes=ACTIVATION_BYTES,
            called=self.seen.look,
            weight_changes=WEIGHT_CHANGES,
            apply_changes=changes.on_model,
            **shared,
        )
        self.encoder = EncodeStage(
            opened,
            encodings=FAMILIES.texts,
            cache_bytes=2**20,
            called=self.seen.look,
            **shared,
        )

    async def video(self, text: str) -> Tensor:
        """Two steps of the first expert, and two of the second, both under the LoRA."""
        positive = await self.encoder.encode_text(Clip((UMT5,), kind="wan"), text)
        latent, sigmas = Latent(torch.zeros(1, 16, 2, 4, 4)), torch.linspace(1.0, 0.0, 5)
        for file, part, seed in ((HIGH, sigmas[:3], 7), (LOW, sigmas[2:], None)):
            model = Model(file).changed("lora", file=LORA, strength=1.0)
            guider = Guider("basic", model, (("positive", positive),))
            request = SampleRequest(guider, Noise(seed), SamplerChoice("euler"), part, latent)
            latent, _ = await self.sampler.sample(request)
        samples: Tensor = latent.samples
        return samples

    async def close(self) -> None:
        await self.sampler.close()
        self.encoder.close()


@pytest.mark.usefixtures("few_objects")
async def test_two_experts_share_room_for_one(tmp_path: Path, pieces: Tensor) -> None:
    write_models(tmp_path, pieces)
    roomy = Replica(tmp_path, 2**33)
    alone = await roomy.video("a fox")
    await roomy.close()
    del roomy
    expert, text = ((tmp_path / file.name).stat().st_size for file in (HIGH, UMT5))
    budget = int(expert * 1.2)
    assert budget < expert + text

    small = Replica(tmp_path, budget)
    running = asyncio.ensure_future(small.video("a fox"))
    await small.seen.watch(running)
    torch.testing.assert_close(await running, alone)
    tiny = Replica(tmp_path, expert // 3)
    with pytest.raises(ModelTooLargeError, match=r"diffusion_models/high\.safetensors takes \d+ "):
        await tiny.video("a fox")
    assert tiny.memory.weights.used_bytes() <= expert // 3
    await tiny.close()
    changed_bytes = (
        SHAPE.mlp * SHAPE.width * 4
    )  # the weight that the LoRA changed lies beside its model
    assert set(small.seen.bases) == {HIGH, LOW}
    assert max(small.seen.said) <= budget + changed_bytes
    assert max(small.seen.found) <= budget + ACTIVATION_BYTES + 2 * changed_bytes
    await small.close()
