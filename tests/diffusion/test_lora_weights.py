"""What LoRA files do to one weight: against PEFT's own layers, and against formulas written out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from diffusion.lora.file import Lora, read_lora
from diffusion.networks.weight_names import Names, flat
from graph.errors import BadModelFile
from tests.diffusion.model_files import seeded, written

LINEAR, CONV = (12, 20), (8, 6, 3, 3)


@dataclass(frozen=True)
class OneLayer(Names):
    """A model of one layer that has a bias."""

    def mine(self, key: str) -> bool:
        return True

    def parameters(self) -> Mapping[str, str]:
        return {"layer": "layer.weight", "layer_bias": "layer.bias"}

    def stems(self, stem: str) -> Iterable[str]:
        return (flat(stem.removeprefix("base_model.model.")),)


def read(folder: Path, tensors: Mapping[str, Tensor]) -> Lora:
    return read_lora(written(folder, {k: t.contiguous() for k, t in tensors.items()}), OneLayer())


def patched(lora: Lora, shape: tuple[int, ...], strength: float = 1.0) -> Tensor:
    return lora.patches["layer.weight"](seeded("weight", shape), strength)


def drawn(**shapes: tuple[int, ...]) -> dict[str, Tensor]:
    return {f"layer.{name.replace('__', '.')}": seeded(name, s) for name, s in shapes.items()}


class Net(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer


def peft_config(kind: str) -> Any:
    import peft  # noqa: PLC0415 - importing it takes seconds

    same: dict[str, Any] = {"r": 4, "target_modules": ["layer"]}
    adapters = {**same, "alpha": 4, "init_weights": False}
    low_rank = {**same, "lora_alpha": 4, "init_lora_weights": False}
    configs: dict[str, Any] = {
        "lora": lambda: peft.LoraConfig(**low_rank),
        "dora": lambda: peft.LoraConfig(**low_rank, use_dora=True),
        "loha": lambda: peft.LoHaConfig(**adapters),
        "loha_conv": lambda: peft.LoHaConfig(**adapters, use_effective_conv2d=True),
        "lokr": lambda: peft.LoKrConfig(**adapters),
        "lokr_conv": lambda: peft.LoKrConfig(**adapters, use_effective_conv2d=True),
    }
    return configs[kind]()


def learned(key: str, tensor: Tensor) -> Tensor:
    """Other values for a part of an adapter; lengths stay near what they were."""
    drawn = seeded(key, tuple(tensor.shape))
    return tensor * (1 + 0.1 * drawn) if "magnitude" in key else 2 * drawn


@pytest.mark.filterwarnings("ignore")  # PEFT's own
@pytest.mark.parametrize("layer", ["linear", "conv"])
@pytest.mark.parametrize("kind", ["lora", "dora", "loha", "loha_conv", "lokr", "lokr_conv"])
def test_a_weight_is_patched_as_peft_merges_it(kind: str, layer: str, tmp_path: Path) -> None:
    import peft  # noqa: PLC0415

    torch.manual_seed(0)
    shape = LINEAR if layer == "linear" else CONV
    plain = nn.Linear(20, 12) if layer == "linear" else nn.Conv2d(6, 8, 3)
    plain.weight.data = seeded("weight", shape)
    model = peft.get_peft_model(Net(plain), peft_config(kind))
    state = peft.get_peft_model_state_dict(model)
    state = {key: learned(key, tensor) for key, tensor in state.items()}
    peft.set_peft_model_state_dict(model, dict(state))
    merged = model.merge_and_unload().layer.weight
    assert not torch.allclose(merged, seeded("weight", shape), atol=1e-2)
    torch.testing.assert_close(patched(read(tmp_path, state), shape), merged, atol=1e-3, rtol=0)


def test_alpha_is_shared_out_over_the_rank(tmp_path: Path) -> None:
    tensors = drawn(lora_up__weight=(12, 4), lora_down__weight=(4, 20))
    lora = read(tmp_path, {**tensors, "layer.alpha": torch.tensor(2.0)})
    product = tensors["layer.lora_up.weight"] @ tensors["layer.lora_down.weight"]
    wanted = seeded("weight", LINEAR) - 0.7 * 2 / 4 * product
    torch.testing.assert_close(patched(lora, LINEAR, -0.7), wanted)


def test_a_locon_goes_through_its_middle(tmp_path: Path) -> None:
    tensors = drawn(
        lora_up__weight=(8, 4, 1, 1), lora_down__weight=(4, 6, 1, 1), lora_mid__weight=(4, 4, 3, 3)
    )
    up, down, mid = tensors.values()
    product = torch.einsum("or,rshw,si->oihw", up[..., 0, 0], mid, down[..., 0, 0])
    wanted = seeded("weight", CONV) + product
    torch.testing.assert_close(patched(read(tmp_path, tensors), CONV), wanted, atol=1e-5, rtol=0)


def test_a_loha_with_cores_multiplies_two_tucker_products(tmp_path: Path) -> None:
    a, b, core = (4, 8), (4, 6), (4, 4, 3, 3)
    tensors = drawn(hada_w1_a=a, hada_w1_b=b, hada_w2_a=a, hada_w2_b=b, hada_t1=core, hada_t2=core)
    w1_a, w1_b, w2_a, w2_b, t1, t2 = tensors.values()
    first, second = (
        torch.einsum("rshw,ro,si->oihw", *each) for each in ((t1, w1_a, w1_b), (t2, w2_a, w2_b))
    )
    lora = read(tmp_path, {**tensors, "layer.alpha": torch.tensor(1.0)})
    wanted = seeded("weight", CONV) + 0.5 * first * second / 4
    torch.testing.assert_close(patched(lora, CONV, 0.5), wanted, atol=1e-5, rtol=0)


def test_a_lokr_of_low_rank_is_scaled_and_a_whole_one_is_not(tmp_path: Path) -> None:
    whole = drawn(lokr_w1=(3, 4), lokr_w2=(4, 5))
    factors = drawn(lokr_w1=(3, 4), lokr_w2_a=(4, 2), lokr_w2_b=(2, 5))
    alpha = {"layer.alpha": torch.tensor(1.0)}
    w1, w2 = whole.values()
    _, a, b = factors.values()
    weight = seeded("weight", LINEAR)
    for tensors, product in ((whole, torch.kron(w1, w2)), (factors, torch.kron(w1, a @ b) / 2)):
        lora = read(tmp_path, {**tensors, **alpha})
        torch.testing.assert_close(patched(lora, LINEAR), weight + product, atol=1e-5, rtol=0)


@pytest.mark.parametrize("axis", [0, 1])
def test_lycoris_dora_gives_learned_lengths(axis: int, tmp_path: Path) -> None:
    tensors = drawn(lora_up__weight=(8, 4, 1, 1), lora_down__weight=(4, 6, 3, 3))
    up, down = (t.flatten(1) for t in tensors.values())
    weight = seeded("weight", CONV)
    total = weight + (up @ down).reshape(CONV) * 0.5
    others = [d for d in range(4) if d != axis]
    had = (weight if axis == 0 else total).pow(2).sum(others, keepdim=True).sqrt()
    scale = had * (1 + 0.2 * seeded("scale", tuple(had.shape)))
    lora = read(tmp_path, {**tensors, "layer.alpha": torch.tensor(2.0), "layer.dora_scale": scale})
    wanted = weight + 0.8 * (total * scale / had - weight)
    torch.testing.assert_close(patched(lora, CONV, 0.8), wanted, atol=1e-5, rtol=0)


def test_an_oft_turns_blocks_of_rows(tmp_path: Path) -> None:
    tensors = drawn(oft_blocks=(3, 4, 4))
    lora = read(tmp_path, tensors)
    turned = patched(lora, LINEAR)
    gram = turned.reshape(3, 4, 20) @ turned.reshape(3, 4, 20).mT
    q = tensors["layer.oft_blocks"] - tensors["layer.oft_blocks"].mT
    rotation = (torch.eye(4) + q) @ torch.linalg.inv(torch.eye(4) - q)
    wanted = rotation.mT @ seeded("weight", LINEAR).reshape(3, 4, 20)
    torch.testing.assert_close(turned.reshape(3, 4, 20), wanted, atol=1e-5, rtol=0)
    assert gram.diagonal(dim1=1, dim2=2).sum() == pytest.approx(
        float(seeded("weight", LINEAR).pow(2).sum()), rel=1e-4
    )


def test_a_glora_multiplies_and_adds(tmp_path: Path) -> None:
    shapes = {"a1": (20, 3), "a2": (3, 20), "b1": (12, 3), "b2": (3, 20)}
    tensors = {f"layer.{name}.weight": seeded(name, shape) for name, shape in shapes.items()}
    a1, a2, b1, b2 = tensors.values()
    weight = seeded("weight", LINEAR)
    wanted = weight + weight @ a1 @ a2 + b1 @ b2
    torch.testing.assert_close(patched(read(tmp_path, tensors), LINEAR), wanted)


def test_full_differences_reach_weight_and_bias(tmp_path: Path) -> None:
    tensors = drawn(diff=LINEAR, diff_b=(12,))
    lora = read(tmp_path, tensors)
    bias = seeded("bias", (12,))
    wanted = seeded("weight", LINEAR) + 0.5 * tensors["layer.diff"]
    torch.testing.assert_close(patched(lora, LINEAR, 0.5), wanted)
    torch.testing.assert_close(
        lora.patches["layer.bias"](bias, 0.5), bias + 0.5 * tensors["layer.diff_b"]
    )


def test_a_patch_leaves_the_weight_it_is_given_alone(tmp_path: Path) -> None:
    lora = read(tmp_path, drawn(lora_up__weight=(12, 4), lora_down__weight=(4, 20)))
    weight = seeded("weight", LINEAR)
    lora.patches["layer.weight"](weight, 1.0)
    assert torch.equal(weight, seeded("weight", LINEAR))


@pytest.mark.parametrize(
    ("tensors", "problem"),
    [
        (drawn(lora_up__weight=(12, 4)), "lacks its part 'down'"),
        (drawn(lora_up__weight=(12,), lora_down__weight=(4, 20)), "shape"),
        (drawn(lora_up__weight=(12, 0), lora_down__weight=(0, 20)), "rank 0"),
        (drawn(lokr_w1=(3, 4), lokr_w2_a=(4, 2)), "lacks its part 'lokr_w2_b'"),
        (drawn(oft_blocks=(3, 4, 5)), "not square"),
        (drawn(lora_up__weight=(12, 4), lora_down__weight=(4, 20), alpha=(2,)), "alpha"),
        ({"else.weight": torch.zeros(1)}, "none of its 1 keys fits"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(
    tensors: dict[str, Tensor], problem: str, tmp_path: Path
) -> None:
    with pytest.raises(BadModelFile, match=problem):
        read(tmp_path, tensors)


def test_keys_that_fit_nothing_are_told_apart(tmp_path: Path) -> None:
    known = drawn(diff=LINEAR)
    lora = read(tmp_path, {**known, "other.diff": torch.zeros(1), "layer.weird": torch.zeros(1)})
    assert lora.unfit == ("layer.weird", "other.diff")
    assert lora.warnings == (
        "LoRA checkpoints/m.safetensors: 2 of its keys fit nothing in the model: "
        "layer.weird, other.diff",
    )
