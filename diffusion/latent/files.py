"""Latents in files, as ComfyUI's SaveLatent writes them."""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from diffusion.weights import open_weights
from graph.model_files.header import is_gguf, is_pickled
from graph.values import InputFile, Latent, ModelFile

KEY, SCALED = "latent_tensor", "latent_format_version_0"
OLD_SCALE = 0.18215  # by which files without the second key have been multiplied
AXES = (4, 5)  # [B, C, h, w] and [B, C, T, h, w]
DTYPES = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})
MOST, MOST_ROWS = 2**28, 4096  # numbers, and latents in a batch


def read_latent(file: InputFile) -> Latent:
    """The latents in a file. Raises BadModelFile."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "latent.safetensors"
        path.write_bytes(file.content)
        named = ModelFile("input", file.name)
        weights = open_weights(path, named)
        if is_pickled(path) or is_gguf(path):
            raise weights.bad(problem="it is no safetensors file")
        if KEY not in weights:
            raise weights.bad(problem=f"nothing is named {KEY!r} in it")
        shape = weights.shape(KEY)
        if len(shape) not in AXES or not 0 < torch.Size(shape).numel() <= MOST:
            raise weights.bad(problem=f"its latents are {shape}")
        if shape[0] > MOST_ROWS:
            raise weights.bad(problem=f"it has {shape[0]} latents, at most {MOST_ROWS} are read")
        if weights.dtype(KEY) not in DTYPES:
            raise weights.bad(problem="its latents are no floating-point numbers")
        samples = weights[KEY].float()
        scale = 1.0 if SCALED in weights else 1.0 / OLD_SCALE
        return Latent(samples * scale)
