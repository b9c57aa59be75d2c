"""Where models run and in which precision, as far as a machine without a GPU can tell."""

import pytest
import torch

from diffusion.device import DtypeChoice, choose


def test_a_cpu_left_to_itself_computes_in_float32() -> None:
    placement = choose("cpu")
    kinds = {placement.diffusion, placement.vae, placement.text}
    assert (placement.device.type, kinds) == ("cpu", {torch.float32})


@pytest.mark.parametrize(
    ("dtype", "diffusion", "vae"),
    [
        ("float16", torch.float16, torch.float32),  # autoencoders overflow in float16
        ("bfloat16", torch.bfloat16, torch.bfloat16),
        ("float32", torch.float32, torch.float32),
    ],
)
def test_a_precision_that_is_named_is_used_for_diffusion_models(
    dtype: DtypeChoice, diffusion: torch.dtype, vae: torch.dtype
) -> None:
    placement = choose("cpu", dtype)
    assert (placement.diffusion, placement.vae, placement.text) == (diffusion, vae, torch.float32)
