"""Whatever valid graph comes: pictures or a ServiceError, and afterwards all is as it was."""

import asyncio
import hashlib
import io
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from PIL import Image
from safetensors.torch import save_file

from deployments.image_functions import NodeImaging
from deployments.sample_functions import NodeSampling
from diffusion.engine.stage import SampleStage
from diffusion.memory.budget import MemoryBudget
from diffusion.weights import open_weights
from graph.cache import Handle, ResultCache
from graph.errors import ServiceError
from graph.events import StepEvent
from graph.execution import Execution
from graph.folding import fold
from graph.nodes import load_node_types
from graph.plan import Segment
from graph.prompt import Source
from graph.segment_run import Report
from graph.stages import Stage
from graph.validation import Library, Uploads, validate
from graph.values import Clip, Condition, Conditioning, InputFile, Model, ModelFile
from graph.workflow import read_workflow
from tests.deployments.random_graphs import workflows
from tests.diffusion.model_files import CPU, filled, recorded_shapes
from tests.diffusion.narrow_stage import drawn
from tests.graph.run_here import run_here
from tests.preprocessors.annotator_files import detectors

TYPES = {
    name: kind
    for name, kind in load_node_types().items()
    if kind.stage != Stage.UPSCALE and kind.inputs.keys().isdisjoint({"lora_name"})
}
FILES = {"checkpoints": ["narrow.safetensors"], "input": ["scene.png"]}
EXAMPLES = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


class Encoders:
    """Prompts without a text encoder: a condition drawn from the text."""

    async def encode_text(self, clip: Clip, text: str) -> Conditioning:
        return (Condition(drawn(len(text), 1, 77, 768), drawn(1, 1, 768)),)

    async def encode_sdxl(self, clip: Clip, *texts: Any, **sizes: Any) -> Conditioning:
        return await self.encode_text(clip, str(texts))

    encode_sdxl_refiner = encode_sdxl


class Saved:
    """Where output nodes save: nowhere."""

    async def save_images(
        self, images: Any, filename_prefix: str, *, temporary: bool = False
    ) -> None:
        assert np.asarray(images).ndim == 4


@dataclass
class InProcess:
    """All stages in this process, as the local profile has them, without Ray."""

    sampling: SampleStage

    def for_node(self, stage: Stage, node_id: str, report: Report) -> object:
        if stage == Stage.SAMPLE:
            return NodeSampling(self.sampling, node_id, report)
        return {
            Stage.ENCODE: Encoders(),
            Stage.IMAGE: NodeImaging(detectors(Path("nowhere"))),
            Stage.OUTPUT: Saved(),
        }[stage]

    async def call(self, function: Callable[[], Any]) -> Any:
        return torch.inference_mode()(function)()

    def run(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[StepEvent, None]:
        return run_here(segment, inputs, TYPES, self)


class Names(Library):
    """One checkpoint and one upload."""

    def models(self, folder: str) -> list[str]:
        return [*FILES.get(folder, []), "broken.safetensors"]

    def uploads(self, kind: str) -> list[str]:
        return FILES["input"]

    def find(self, folder: str, name: str) -> ModelFile:
        return ModelFile(folder, name)


def scene() -> InputFile:
    picture = io.BytesIO()
    Image.linear_gradient("L").resize((40, 24)).convert("RGBA").save(picture, "PNG")
    content = picture.getvalue()
    return InputFile("scene.png", content, hashlib.sha256(content).hexdigest())


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_narrow(folder)
    return folder


def write_narrow(folder: Path) -> None:
    """A narrow checkpoint with an autoencoder, and one that gives no numbers."""
    unet = filled(recorded_shapes("unet_shapes")["sd15_slim_inpaint"])
    first = "input_blocks.0.0.weight"
    unet[first] = unet[first][:, :4].contiguous()
    tensors = {f"model.diffusion_model.{name}": tensor for name, tensor in unet.items()}
    autoencoder = filled(recorded_shapes("vae_shapes")["vae4"])
    tensors |= {f"first_stage_model.{name}": tensor for name, tensor in autoencoder.items()}
    save_file(tensors, folder / "narrow.safetensors")
    last = "model.diffusion_model.out.2.bias"
    save_file({**tensors, last: tensors[last] * torch.nan}, folder / "broken.safetensors")


def open_stages(models: Path) -> InProcess:
    return InProcess(
        SampleStage(
            lambda file: open_weights(models / file.name, file),
            device=CPU,
            dtype=torch.float32,
            memory=MemoryBudget(2**30),
        )
    )


async def run(stages: InProcess, cache: ResultCache, document: dict[str, Any]) -> None:
    picture = scene()
    given = {
        (node_id, "image"): picture
        for node_id, node in document.items()
        if node["inputs"].get("image") == picture.name
    }
    checked = validate(read_workflow(document, {}), TYPES, Names(), Uploads(given))
    await Execution("local", fold(checked), stages, cache, lambda _: None).run()


def text_to_image(seed: int, steps: int = 2) -> dict[str, Any]:
    prompts = {"model": ["1", 0], "positive": ["2", 0], "negative": ["2", 0]}
    how = {"cfg": 4.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    sampler = {**prompts, **how, "latent_image": ["3", 0], "seed": seed, "steps": steps}
    return {
        "1": {
            "class_type": "CheckpointLoaderSimple",
            "inputs": {"ckpt_name": "narrow.safetensors"},
        },
        "2": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": "a fox"}},
        "3": {
            "class_type": "EmptyLatentImage",
            "inputs": {"width": 64, "height": 64, "batch_size": 1},
        },
        "4": {"class_type": "KSampler", "inputs": sampler},
        "5": {"class_type": "VAEDecode", "inputs": {"samples": ["4", 0], "vae": ["1", 2]}},
        "6": {"class_type": "SaveImage", "inputs": {"images": ["5", 0], "filename_prefix": "x"}},
    }


@EXAMPLES
@given(document=workflows(TYPES, FILES))
def test_a_valid_graph_draws_or_says_why_not(models: Path, document: dict[str, Any]) -> None:
    async def draw() -> None:
        stages = open_stages(models)
        try:
            async with asyncio.timeout(20):
                await run(stages, ResultCache(10**8), document)
        except (ServiceError, TimeoutError):  # some samplers may be asked for endless steps
            pass
        finally:
            await stages.sampling.close()
            assert stages.sampling.jobs == 0

    asyncio.run(draw())


@pytest.mark.parametrize("how", ["cancelled", "failed", "timed out"])
async def test_a_job_that_ends_early_leaves_all_as_before(models: Path, how: str) -> None:
    stages, cache = open_stages(models), ResultCache(10**8)
    await run(stages, cache, text_to_image(1))
    await stages.sampling.warm(Model(ModelFile("checkpoints", "broken.safetensors")))
    before = (stages.sampling.jobs, stages.sampling.used_bytes, len(cache), cache.nbytes)
    document = text_to_image(2, steps=10_000)
    if how == "failed":
        document["7"] = document["1"]  # the prompt is known from before
        document["2"]["inputs"]["clip"] = ["7", 1]
        document["1"] = {**document["7"], "inputs": {"ckpt_name": "broken.safetensors"}}
    await ended_early(how, run(stages, cache, document))
    after = (stages.sampling.jobs, stages.sampling.used_bytes, len(cache), cache.nbytes)
    assert after == before
    await run(stages, cache, text_to_image(3))
    await stages.sampling.close()


async def ended_early(how: str, running: Any) -> None:
    if how == "failed":
        with pytest.raises(ServiceError):
            await running
        return
    task = asyncio.create_task(running)
    if how == "timed out":
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(task, 0.3)
        return
    await asyncio.wait([task], timeout=0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
