"""What ComfyUI 0.3.64 drew with small models: tests/contract/core_sampling.npz.

Its own classes were run in one process, in float32 on a CPU, with the files that the tests write
(`narrow_stage.write_models` and others) and prompts as `narrow_stage.prompt` draws them.
"""

import torch
from torch import Tensor

from tests.diffusion.model_files import recorded


def close(found: Tensor, name: str) -> bool:
    """Whether latents, which spread over hundreds, are those that were recorded."""
    expected = recorded("core_sampling")[name]
    return found.shape == expected.shape and torch.allclose(found, expected, rtol=1e-4, atol=2e-3)
