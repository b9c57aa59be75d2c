"""Opening model files, and refusing what is none."""

import json
import pickle
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from diffusion.weights import Weights, open_weights
from graph.errors import BadModelFile
from graph.model_files.header import DEFAULT
from graph.values import ModelFile


def opened(path: Path) -> Weights:
    return open_weights(path, ModelFile("checkpoints", path.name))


def safetensors_bytes(header: bytes, data: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + data


def test_shapes_and_dtypes_are_known_without_reading(tmp_path: Path) -> None:
    tensors = {"a": torch.zeros(2, 3, dtype=torch.float16), "b": torch.zeros((), dtype=torch.int64)}
    save_file(tensors, tmp_path / "m.safetensors")
    weights = opened(tmp_path / "m.safetensors")
    assert (weights.shape("a"), weights.dtype("a")) == ((2, 3), torch.float16)
    assert (weights.shape("b"), weights.dtype("b")) == ((), torch.int64)


def test_eight_bit_floats_are_read(tmp_path: Path) -> None:
    save_file({"a": torch.ones(3).to(torch.float8_e4m3fn)}, tmp_path / "m.safetensors")
    weights = opened(tmp_path / "m.safetensors")
    assert weights.dtype("a") == torch.float8_e4m3fn
    assert torch.equal(weights["a"].float(), torch.ones(3))


def test_a_part_of_a_file_is_named_without_its_prefix(tmp_path: Path) -> None:
    save_file({"x.y.a": torch.ones(1), "x.b": torch.ones(2)}, tmp_path / "m.safetensors")
    part = opened(tmp_path / "m.safetensors").under("x.").under("y.")
    assert list(part) == ["a"]
    assert torch.equal(part["a"], torch.ones(1))
    assert "b" not in part


STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


@pytest.mark.parametrize("suffix", ["ckpt", "pt", "pth", "bin"])
@pytest.mark.parametrize(
    "wrapped",
    [
        lambda state: state,
        OrderedDict,
        lambda state: {"state_dict": state, "global_step": 7, "hyper": {"lr": [1e-4]}},
        lambda state: {"params_ema": state},
    ],
    ids=["plain", "ordered", "lightning", "single"],
)
def test_pickled_checkpoints_are_read_through_their_wrappers(
    suffix: str, wrapped: Callable[[Any], Any], tmp_path: Path
) -> None:
    path = tmp_path / f"m.{suffix}"
    torch.save(wrapped(STATE), path)
    weights = opened(path)
    assert weights.shape("a.weight") == (2, 3)
    assert {key: weights[key].tolist() for key in weights} == {
        key: value.tolist() for key, value in STATE.items()
    }


def test_checkpoints_of_torch_before_zip_are_read(tmp_path: Path) -> None:
    torch.save({"state_dict": STATE}, tmp_path / "m.pt", _use_new_zipfile_serialization=False)
    assert torch.equal(opened(tmp_path / "m.pt")["a.bias"], torch.ones(2))


class ModelCheckpoint:
    """What lightning leaves in checkpoints, once it is pickled under lightning's module name."""

    def __init__(self) -> None:
        self.monitor = "val/loss"


def test_lightnings_callbacks_beside_the_weights_are_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = "pytorch_lightning.callbacks.model_checkpoint"
    with monkeypatch.context() as lightning:  # pickle looks a class up where it says it is from
        for depth in (1, 2, 3):
            name = ".".join(home.split(".")[:depth])
            lightning.setitem(sys.modules, name, ModuleType(name))
        lightning.setattr(sys.modules[home], "ModelCheckpoint", ModelCheckpoint, raising=False)
        lightning.setattr(ModelCheckpoint, "__module__", home)
        saved = {"state_dict": STATE, "callbacks": {"x": ModelCheckpoint()}}
        torch.save(saved, tmp_path / "m.ckpt")
    assert torch.equal(opened(tmp_path / "m.ckpt")["a.bias"], torch.ones(2))


class Bomb:
    """Writes a file when it is unpickled by something that runs code."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_with_code_in_it_is_refused_and_runs_nothing(
    zipped: bool, tmp_path: Path
) -> None:
    target, path = tmp_path / "ran", tmp_path / "m.ckpt"
    torch.save({"a": Bomb(target)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(BadModelFile, match=r"checkpoints/m\.ckpt"):
        opened(path)
    assert not target.exists()


def test_a_checkpoint_that_unpacks_to_more_than_it_is_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", bytes(2**20))
    with pytest.raises(BadModelFile, match="would unpack to"):
        opened(path)


def cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    return path


def test_a_truncated_safetensors_file_is_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1000)}, tmp_path / "m.safetensors")
    with pytest.raises(BadModelFile, match="not a safetensors file"):
        opened(cut(tmp_path / "m.safetensors"))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_truncated_checkpoint_is_refused(zipped: bool, tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1000)}, tmp_path / "m.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(BadModelFile):
        opened(cut(tmp_path / "m.pt"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>not found</html>",
        safetensors_bytes(b"[]"),
        safetensors_bytes(b"{"),
        safetensors_bytes(b"[" * 100_000),
        safetensors_bytes(json.dumps({"a": {"dtype": "F32", "shape": [9]}}).encode()),
        safetensors_bytes(
            json.dumps({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 8]}}).encode(),
            bytes(8),
        ),
        (DEFAULT.header_bytes + 1).to_bytes(8, "little") + b"{}",
    ],
    ids=["empty", "html", "list", "cut", "deep", "no offsets", "wrong size", "long header"],
)
def test_what_is_no_safetensors_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_bytes(content)
    with pytest.raises(BadModelFile, match=r"checkpoints/m\.safetensors"):
        opened(tmp_path / "m.safetensors")


@pytest.mark.parametrize("content", [b"", b"\x80\x02.", b"hello", pickle.dumps([1], protocol=2)])
def test_what_is_no_checkpoint_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.ckpt").write_bytes(content)
    with pytest.raises(BadModelFile, match=r"checkpoints/m\.ckpt"):
        opened(tmp_path / "m.ckpt")


def test_a_checkpoint_without_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"a": 1}, tmp_path / "m.pt")
    with pytest.raises(BadModelFile, match="no tensors"):
        opened(tmp_path / "m.pt")
