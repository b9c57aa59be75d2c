"""Latents saved in files and read again."""

from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save

from deployments.output_functions import NodeFiles
from diffusion.latent.files import read_latent
from graph.errors import BadModelFile
from graph.new_files import NewFile
from graph.values import InputFile, Latent
from storage.pictures import Encoding


def given(content: bytes) -> InputFile:
    return InputFile("a.latent", content, "")


async def test_latents_come_back_as_they_were_saved(tmp_path: Any) -> None:
    made: list[NewFile] = []

    async def take(file: NewFile) -> None:
        made.append(file)

    samples = torch.randn(2, 16, 3, 5, 4)
    outputs = NodeFiles(Encoding(text={"prompt": "{}"}), take)
    await outputs.save_latent(Latent(samples.transpose(3, 4)), "latents/x")
    (file,) = made
    assert (file.prefix, file.extension, file.type) == ("latents/x", ".latent", "file")
    assert torch.equal(read_latent(given(file.content)).samples, samples.transpose(3, 4))
    path = tmp_path / "x"
    path.write_bytes(file.content)
    with safe_open(path, "pt") as opened:
        assert opened.metadata() == {"prompt": "{}"}
        assert sorted(opened.keys()) == ["latent_format_version_0", "latent_tensor"]


def test_files_of_before_are_scaled() -> None:
    old = save({"latent_tensor": torch.full((1, 4, 2, 2), 0.18215)})
    assert torch.allclose(read_latent(given(old)).samples, torch.ones(1, 4, 2, 2))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "not a safetensors file"),
        (b"\xff" * 64, "not a safetensors file"),
        (save({"other": torch.zeros(1, 4, 2, 2)}), "nothing is named 'latent_tensor'"),
        (save({"latent_tensor": torch.zeros(4)}), "its latents are"),
        (save({"latent_tensor": torch.zeros(1, 4, 7)}), "its latents are"),
        (save({"latent_tensor": torch.zeros(4097, 1, 1, 1)}), "4097 latents"),
        (save({"latent_tensor": torch.zeros(1, 4, 2, 2, dtype=torch.bool)}), "no floating-point"),
        (save({"latent_tensor": torch.zeros(1, 4, 2, 2)})[:-3], "not a safetensors file"),
    ],
)
def test_other_files_are_refused(content: bytes, problem: str) -> None:
    with pytest.raises(BadModelFile, match=problem):
        read_latent(given(content))
