"""A small language of nodes, to test the graph without any model."""

import sys
from typing import Annotated, Any, Literal, Protocol

from graph.checked import CheckedWorkflow
from graph.node import Files, Hidden, NodeType, Widget, declared_in, node
from graph.sampling import Guider, Rows
from graph.stages import Stage
from graph.validation import Library, Uploads, validate
from graph.values import Clip, Image, Items, Latent, Model, ModelFile
from graph.workflow import read_workflow


class Calls(Protocol):
    async def record(self, name: str, *values: Any) -> Any: ...


@node("Load", runs_on=Stage.INLINE)
def load(*, name: Annotated[ModelFile, Files("checkpoints")]) -> tuple[Model, Clip]:
    return Model(name), Clip((name,))


@node("Text", runs_on=Stage.ENCODE, costly=True)
async def text(
    calls: Calls, *, clip: Clip, words: Annotated[str, Widget(dynamicPrompts=True)]
) -> Image:
    return await calls.record("Text", clip.files[0].name, words)


@node("Empty", runs_on=Stage.SAMPLE)
async def empty(calls: Calls, *, width: Annotated[int, Widget(min=16, max=64)] = 32) -> Latent:
    return await calls.record("Empty", width)  # type: ignore[no-any-return]


@node("Sample", runs_on=Stage.SAMPLE, costly=True)
async def sample(
    calls: Calls,
    *,
    model: Model,
    prompt: Image,
    latent: Latent,
    how: Literal["euler", "heun"] = "euler",
) -> Latent:
    return await calls.record("Sample", model.file.name, prompt, latent, how)  # type: ignore[no-any-return]


@node("EmptyBatch", runs_on=Stage.SAMPLE)
async def empty_batch(calls: Calls, *, batch_size: int = 1) -> Latent:
    return await calls.record("EmptyBatch", batch_size)  # type: ignore[no-any-return]


@node("SampleBatch", runs_on=Stage.SAMPLE, costly=True, splits_batch="latent")
async def sample_batch(
    calls: Calls,
    *,
    model: Model,
    prompt: Image,
    latent: Latent,
    sampler_name: str = "euler",
    rows: Annotated[Rows | None, Hidden.ROWS] = None,
) -> Latent:
    part = f"{rows.start}:{rows.stop}" if rows else "all"
    return await calls.record("SampleBatch", prompt, latent, part)  # type: ignore[no-any-return]


@node("Guide", runs_on=Stage.SAMPLE)
async def guide(calls: Calls, *, model: Model, prompt: Image) -> Guider:
    return await calls.record("Guide", model.file.name, prompt)  # type: ignore[no-any-return]


@node("SampleGuided", runs_on=Stage.SAMPLE, costly=True, splits_batch="latent")
async def sample_guided(
    calls: Calls,
    *,
    guider: Guider,
    latent: Latent,
    sampler_name: str = "euler",
    rows: Annotated[Rows | None, Hidden.ROWS] = None,
) -> tuple[Latent, Latent]:
    part = f"{rows.start}:{rows.stop}" if rows else "all"
    whole = await calls.record("SampleGuided", guider, latent, part)
    return whole, f"denoised {part}"  # type: ignore[return-value]


@node("Decode", runs_on=Stage.SAMPLE, splits_batch="latent")
async def decode(calls: Calls, *, latent: Latent) -> Image:
    return await calls.record("Decode", latent)


@node("Blur", runs_on=Stage.IMAGE)
async def blur(calls: Calls, *, image: Image, radius: float = 1.0) -> Image:
    return await calls.record("Blur", image, radius)


@node("Split", runs_on=Stage.IMAGE, list_outputs=(0,))
def split(_calls: Calls, *, image: Image) -> Image:
    return Items((f"{image}/1", f"{image}/2"))


@node("Save", runs_on=Stage.OUTPUT, output_node=True)
async def save(calls: Calls, *, image: Image) -> None:
    await calls.record("Save", image)


def node_types() -> dict[str, NodeType]:
    """The language above."""
    return declared_in(sys.modules[__name__])


class TwoFiles(Library):
    """A models folder with two checkpoints, and no uploads."""

    def models(self, folder: str) -> list[str]:
        return ["a.safetensors", "b.safetensors"] if folder == "checkpoints" else []

    def uploads(self, kind: str) -> list[str]:
        return []

    def find(self, folder: str, name: str) -> ModelFile:
        return ModelFile(folder, name, "1")


def picture(seed: str = "fox", **of_save: Any) -> dict[str, Any]:
    """A workflow in API format: one picture of `seed`, saved."""
    return {
        "1": {"class_type": "Load", "inputs": {"name": "a.safetensors"}},
        "2": {"class_type": "Text", "inputs": {"clip": ["1", 1], "words": seed}},
        "3": {"class_type": "Empty", "inputs": {"width": 32}},
        "4": {
            "class_type": "Sample",
            "inputs": {"model": ["1", 0], "prompt": ["2", 0], "latent": ["3", 0], "how": "heun"},
        },
        "5": {"class_type": "Decode", "inputs": {"latent": ["4", 0]}},
        "6": {"class_type": "Save", "inputs": {"image": ["5", 0], **of_save}},
    }


def batch(size: int, **of_sampler: Any) -> dict[str, Any]:
    """As `picture`, of so many pictures by a sampler that can do a part of them."""
    document = picture()
    document["3"] = {"class_type": "EmptyBatch", "inputs": {"batch_size": size}}
    links = {"model": ["1", 0], "prompt": ["2", 0], "latent": ["3", 0]}
    inputs = {**links, "sampler_name": "euler", **of_sampler}
    document["4"] = {"class_type": "SampleBatch", "inputs": inputs}
    return document


def guided_batch(size: int) -> dict[str, Any]:
    """As `batch`, with the model named by a guider, and the sampler's second output saved."""
    document = batch(size)
    document["7"] = {"class_type": "Guide", "inputs": {"model": ["1", 0], "prompt": ["2", 0]}}
    links = {"guider": ["7", 0], "latent": ["3", 0], "sampler_name": "euler"}
    document["4"] = {"class_type": "SampleGuided", "inputs": links}
    document["5"]["inputs"]["latent"] = ["4", 1]
    return document


def checked(document: dict[str, Any], *, strict: bool = False) -> CheckedWorkflow:
    """A document, read and validated in this language."""
    workflow = read_workflow(document, {})
    return validate(workflow, node_types(), TwoFiles(), Uploads(), strict=strict)
