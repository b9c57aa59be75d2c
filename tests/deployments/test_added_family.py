"""A model family that is one folder elsewhere, served with nothing else touched."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save_file
from torch import Tensor

from demo.in_process import InProcess, in_process
from deployments.more_families import marks_with
from graph.values import ModelFile
from storage.models.checks import ModelChecks
from storage.models.files import ModelFolders
from tests.diffusion.model_files import filled, recorded_shapes, seeded

PACKAGE = "tests.diffusion.toy_family"
NAME = "toy.safetensors"
WIDTH = 8


def toy_tensors() -> dict[str, Tensor]:
    """A checkpoint: the network, its letters, and an autoencoder."""
    autoencoder = filled(recorded_shapes("vae_shapes")["vae4"])
    return {
        "model.diffusion_model.toy_mix.weight": seeded("mix", (4, 4 + WIDTH + 1)) * 5,
        "model.diffusion_model.toy_mix.bias": seeded("bias", (4,)),
        "toy_letters.weight": seeded("letters", (26, WIDTH)) * 20,
        **{f"first_stage_model.{key}": tensor for key, tensor in autoencoder.items()},
    }


def workflow(text: str, **sampler: Any) -> dict[str, Any]:
    def node(class_type: str, **inputs: Any) -> dict[str, Any]:
        return {"class_type": class_type, "inputs": inputs}

    asked: dict[str, Any] = {"seed": 3, "steps": 3, "cfg": 2.0, "denoise": 1.0, **sampler}
    return {
        "1": node("CheckpointLoaderSimple", ckpt_name=NAME),
        "2": node("CLIPTextEncode", text=text, clip=["1", 1]),
        "3": node("CLIPTextEncode", text="", clip=["1", 1]),
        "4": node("EmptyLatentImage", width=64, height=48, batch_size=1),
        "5": node(
            "KSampler",
            **asked,
            sampler_name="euler",
            scheduler="simple",
            model=["1", 0],
            positive=["2", 0],
            negative=["3", 0],
            latent_image=["4", 0],
        ),
        "6": node("VAEDecode", samples=["5", 0], vae=["1", 2]),
        "7": node("SaveImage", images=["6", 0], filename_prefix="toy"),
    }


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    (folder / "checkpoints").mkdir()
    save_file(toy_tensors(), folder / "checkpoints" / NAME)
    return folder


@pytest.fixture(scope="module")
def service(models: Path) -> Iterator[InProcess]:
    with in_process(models, threads=1, more_families=(PACKAGE,)) as drawing:
        yield drawing


def test_a_family_that_was_added_draws_pictures(service: InProcess) -> None:
    (fox,) = service.draw(workflow("fox"))
    (cat,) = service.draw(workflow("cat"))
    (again,) = service.draw(workflow("fox"))
    assert fox.shape == (48, 64, 3)
    assert np.array_equal(fox, again)
    assert not np.array_equal(fox, cat)


def test_its_files_are_recognised(models: Path) -> None:
    file = ModelFile("checkpoints", NAME)
    folders = ModelFolders(models)
    known = ModelChecks(folders, families=marks_with((PACKAGE,))).facts(file)
    assert (known.family, known.problem) == ("toy", None)
    unknown = ModelChecks(folders).facts(file)
    assert unknown.family == ""
    assert unknown.problem is not None
