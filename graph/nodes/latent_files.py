"""Latents kept in files."""

from typing import Annotated

from graph.node import Upload, node
from graph.stages import Stage
from graph.stages.output import OutputFunctions
from graph.stages.sample import Latents
from graph.values import InputFile, Latent

CATEGORY = "model/latent"


@node(
    "SaveLatent",
    runs_on=Stage.OUTPUT,
    display_name="Save Latent",
    category=CATEGORY,
    output_node=True,
    experimental=True,
    outputs=("samples",),
)
async def save_latent(
    outputs: OutputFunctions,
    *,
    samples: Latent,
    filename_prefix: str = "latents/ComfyUI",
) -> Latent:
    """Keep latents as an output of the job."""
    await outputs.save_latent(samples, filename_prefix)
    return samples


@node(
    "LoadLatent",
    runs_on=Stage.SAMPLE,
    display_name="Load Latent",
    category=CATEGORY,
    experimental=True,
)
def load_latent(stage: Latents, *, latent: Annotated[InputFile, Upload("latent")]) -> Latent:
    """Read latents of an upload, or of an output of another job."""
    return stage.read_latent(latent)
