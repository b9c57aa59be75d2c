"""Adapters from a posted graph to pictures: every stage in this process, values as between several.

As the real application runs them, but for Ray, and with prompts that no text encoder made.
"""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from deployments.transport import to_arrays, to_numpy, to_tensors
from diffusion.engine.stage import SampleStage
from diffusion.families.registry import FAMILIES
from diffusion.memory.budget import MemoryBudget
from diffusion.vision.stage import VisionStage
from diffusion.weights import Weights, open_weights
from graph.cache import Handle, ResultCache
from graph.events import Done, StepEvent
from graph.execution import Execution
from graph.folding import fold
from graph.plan import Segment
from graph.prompt import Source
from graph.segment_run import Report, run_segment
from graph.stages import Stage
from graph.validation import Uploads, validate
from graph.values import Image, ModelFile, UpscaleModel
from graph.workflow import read_workflow
from tests.deployments.test_random_graphs import (
    Encoders,
    InProcess,
    scene,
    text_to_image,
    write_narrow,
)
from tests.diffusion.image_files import adapter_layers, base_projection, image_encoder, in_one_file
from tests.diffusion.model_files import CPU
from tests.graph.test_ip_adapter_nodes import TYPES, Files, node

EYE = "CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors"
ADAPTER = "ip-adapter_sd15.safetensors"
LIBRARY = Files(
    {
        "checkpoints": ["narrow.safetensors"],
        "clip_vision": [EYE],
        "ipadapter": [ADAPTER],
        "upscale_models": ["x4.safetensors"],
    }
)


class EncodersAndEyes(Encoders):
    """The encode stage: prompts without a text encoder, and a real image encoder."""

    def __init__(self, vision: VisionStage) -> None:
        self._vision = vision

    def __getattr__(self, name: str) -> Any:
        return getattr(self._vision, name)


class Nearest:
    """The upscale stage: four times as large."""

    async def upscale(self, _model: UpscaleModel, image: Image) -> Image:
        return image.repeat_interleave(4, 1).repeat_interleave(4, 2)


@dataclass
class Kept:
    """Where output nodes save."""

    pictures: list[Any] = field(default_factory=list)

    async def save_images(
        self, images: Any, filename_prefix: str, *, temporary: bool = False
    ) -> None:
        self.pictures.append(np.asarray(images))


@dataclass
class Apart(InProcess):
    """As InProcess, with values on links as they are between processes."""

    encoders: Any = None
    kept: Kept = field(default_factory=Kept)

    def for_node(self, stage: Stage, node_id: str, report: Report) -> object:
        own = {Stage.ENCODE: self.encoders, Stage.UPSCALE: Nearest(), Stage.OUTPUT: self.kept}
        return own[stage] if stage in own else super().for_node(stage, node_id, report)

    async def run(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[StepEvent, None]:
        here = segment.stage in {Stage.INLINE, Stage.OUTPUT}
        unpack = to_numpy if here else to_tensors
        values = {link: unpack(handle.value) for link, handle in inputs.items()}
        work = self
        async for event in run_segment(segment, values, TYPES, work):
            if isinstance(event, Done) and event.outputs is not None:
                pack = partial(map, to_arrays if not here else lambda value: value)
                yield replace(event, outputs=tuple(map(Handle, pack(event.outputs))))
            else:
                yield event


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("adapters_run")
    write_narrow(where)
    checkpoint = ModelFile("checkpoints", "narrow.safetensors")
    weights = open_weights(where / checkpoint.name, checkpoint)
    unet = FAMILIES.load(weights, dtype=torch.float32, device=CPU).module
    save_file(image_encoder(), where / EYE)
    save_file(in_one_file(base_projection(), adapter_layers(unet)), where / ADAPTER)
    return where


async def picture(folder: Path, document: dict[str, Any]) -> Any:
    """What the workflow saves."""

    def opened(file: ModelFile) -> Weights:
        return open_weights(folder / file.name, file)

    vision = VisionStage(
        opened,
        dtype=torch.float32,
        device=CPU,
        budget_bytes=2**30,
        adapters_of=FAMILIES.image_adapters,
    )
    sampling = SampleStage(opened, device=CPU, dtype=torch.float32, memory=MemoryBudget(2**30))
    stages = Apart(sampling, encoders=EncodersAndEyes(vision))
    loads = [i for i, own in document.items() if own["class_type"] == "LoadImage"]
    uploads = Uploads({(i, "image"): scene() for i in loads})
    checked = validate(read_workflow(document, {}), TYPES, LIBRARY, uploads)
    folded = fold(checked, node_types=TYPES)
    await Execution("local", folded, stages, ResultCache(10**8), lambda _: None).run()
    await sampling.close()
    return stages.kept.pictures[0]


def by_pictures(weight: float, times: int = 1) -> dict[str, Any]:
    """Text to image by so many IP-Adapters one on the other, and a change that needs no tensors."""
    document = text_to_image(1)
    document["10"] = node("LoadImage", image="scene.png")
    document["11"] = node(
        "IPAdapterUnifiedLoader", model=["1", 0], preset="STANDARD (medium strength)"
    )
    last = ["11", 0]
    for index in range(times):
        document[f"2{index}"] = node(
            "IPAdapter",
            model=last,
            ipadapter=["11", 1],
            image=["10", 0],
            weight=weight,
            weight_type="standard",
        )
        last = [f"2{index}", 0]
    document["30"] = node("ModelSamplingDiscrete", model=last, sampling="eps", zsnr=False)
    document["4"]["inputs"]["model"] = ["30", 0]
    return document


async def test_a_model_goes_by_pictures(folder: Path) -> None:
    plain, none, once, twice = [
        await picture(folder, document)
        for document in (text_to_image(1), by_pictures(0.0), by_pictures(1.0), by_pictures(1.0, 2))
    ]
    assert np.allclose(plain, none, atol=1e-4)
    assert np.abs(once - plain).max() > 1e-2
    assert np.abs(twice - once).max() > 1e-2


CHOICES = {"weight_type": "linear", "combine_embeds": "concat", "embeds_scaling": "V only"}


def adapted(class_type: str, **inputs: Any) -> dict[str, Any]:
    """Text to image by an IP-Adapter node."""
    document = by_pictures(0.0)
    choices = {k: v for k, v in CHOICES.items() if k in TYPES[class_type].inputs}
    document["40"] = node(class_type, model=["1", 0], ipadapter=["11", 1], **choices | inputs)
    document["4"]["inputs"]["model"] = ["40", 0]
    return document


async def test_regions_are_image_prompts_one_after_the_other(folder: Path) -> None:
    chained = adapted("IPAdapterAdvanced", image=["10", 0], weight=0.7)
    second = adapted("IPAdapterAdvanced", image=["10", 0], weight=0.4)["40"]
    chained["41"] = {**second, "inputs": {**second["inputs"], "model": ["40", 0]}}
    chained["4"]["inputs"]["model"] = ["41", 0]
    regions = adapted("IPAdapterFromParams", ipadapter_params=["52", 0])
    for name, weight in (("50", 0.7), ("51", 0.4)):
        regions[name] = node(
            "IPAdapterRegionalConditioning",
            image=["10", 0],
            image_weight=weight,
            weight_type="linear",
            positive=["2", 0],
        )
    regions["52"] = node("IPAdapterCombineParams", params_1=["50", 0], params_2=["51", 0])
    regions["4"]["inputs"]["positive"] = ["51", 1]
    one, other = await picture(folder, chained), await picture(folder, regions)
    assert np.allclose(one, other, atol=1e-4)
    assert np.abs(one - await picture(folder, text_to_image(1))).max() > 1e-2


async def test_a_model_goes_by_all_tiles_of_a_picture(folder: Path) -> None:
    plain = await picture(folder, text_to_image(1))
    none = await picture(folder, adapted("IPAdapterTiled", image=["10", 0], weight=0.0))
    tiled = await picture(folder, adapted("IPAdapterTiled", image=["10", 0]))
    assert np.allclose(none, plain, atol=1e-4)
    assert np.abs(tiled - plain).max() > 1e-3


@pytest.mark.parametrize(
    ("class_type", "inputs"),
    [
        ("IPAdapterPreciseStyleTransfer", {}),
        ("IPAdapterPreciseCompositionBatch", {"composition_boost": 0.5}),
        ("IPAdapterStyleCompositionBatch", {}),
    ],
)
async def test_what_is_taken_of_a_picture_can_be_chosen(
    class_type: str, inputs: dict[str, Any], folder: Path
) -> None:
    images = [name for name in TYPES[class_type].inputs if name.startswith("image")]
    given = {name: ["10", 0] for name in images if name != "image_negative"}
    drawn = await picture(folder, adapted(class_type, **given, **inputs))
    assert np.abs(drawn - await picture(folder, text_to_image(1))).max() > 1e-3


@pytest.mark.parametrize("class_type", ["UltimateSDUpscale", "UltimateSDUpscaleNoUpscale"])
async def test_a_picture_is_drawn_again_in_tiles(class_type: str, folder: Path) -> None:
    document = text_to_image(1, steps=1)
    small = class_type.endswith("NoUpscale")
    own = {
        "model": ["1", 0], "positive": ["2", 0], "negative": ["2", 0], "vae": ["1", 2],
        "steps": 1, "sampler_name": "euler", "scheduler": "normal", "mode_type": "Chess",
        "tile_width": 64, "tile_height": 64, "tile_padding": 0, "seam_fix_mode": "None",
    }  # fmt: skip
    if small:
        own["upscaled_image"] = ["5", 0]
    else:
        document["10"] = node("UpscaleModelLoader", model_name="x4.safetensors")
        own |= {"image": ["5", 0], "upscale_model": ["10", 0]}
    document["11"] = node(class_type, **own)
    document["6"]["inputs"]["images"] = ["11", 0]
    side = 64 if small else 128
    assert (await picture(folder, document)).shape == (1, side, side, 3)
