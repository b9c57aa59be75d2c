"""Headers of model files, read without torch: against what torch and safetensors say of them."""

import json
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from graph.errors import BadModelFile
from graph.model_files.header import Entry, Header, read_header
from graph.values import ModelFile

STATE = {"a.weight": torch.zeros(2, 3), "b": torch.zeros(4, dtype=torch.float16)}
ENTRIES = {"a.weight": Entry((2, 3), "F32"), "b": Entry((4,), "F16")}


def read(path: Path) -> Header:
    return read_header(path, ModelFile("loras", path.name))


def test_a_safetensors_header_is_names_shapes_dtypes_and_metadata(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "m.safetensors", metadata={"author": "somebody"})
    header = read(tmp_path / "m.safetensors")
    assert (header.tensors, header.metadata) == (ENTRIES, {"author": "somebody"})


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    "wrapped",
    [
        lambda state: state,
        lambda state: OrderedDict((k, torch.nn.Parameter(v)) for k, v in state.items()),
        lambda state: {"state_dict": state, "global_step": 7, "hyper": {"lr": [1e-4, None, (1,)]}},
        lambda state: {"params_ema": state, "params": {}},
    ],
    ids=["plain", "parameters", "lightning", "averaged"],
)
def test_a_pickled_header_is_what_torch_loads(
    wrapped: Callable[[Any], Any], protocol: int, zipped: bool, tmp_path: Path
) -> None:
    path = tmp_path / "m.ckpt"
    torch.save(
        wrapped(STATE), path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped
    )
    assert read(path).tensors == ENTRIES


def test_the_parts_of_a_file_of_several_are_named_by_their_part(tmp_path: Path) -> None:
    torch.save({"image_proj": {"w": torch.zeros(2)}, "ip_adapter": STATE}, tmp_path / "m.bin")
    assert set(read(tmp_path / "m.bin").tensors) == {
        "image_proj.w",
        "ip_adapter.a.weight",
        "ip_adapter.b",
    }


class Bomb:
    """Makes a file when something that runs code unpickles it."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_is_named_and_does_not_run(zipped: bool, tmp_path: Path) -> None:
    target, path = tmp_path / "ran", tmp_path / "m.pt"
    torch.save({"a": Bomb(target)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(BadModelFile, match=r"loras/m\.pt: .*it holds .*\.getattr|it holds pathlib"):
        read(path)
    assert not target.exists()


def in_zip(path: Path, program: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", program)
    return path


@pytest.mark.parametrize(
    ("program", "problem"),
    [
        (b"cos\nsystem\n(S'true'\ntR.", "os.system"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "os.system"),
        (b"(S'true'\nios\nsystem\n.", "INST"),
        (b"\x82\x01.", "EXT1"),
        (b"\x80\x02]r\xff\xff\xff\xff.", "no tensors"),  # a memo that pickle itself would allocate
        (b"c__builtin__\nset\n(I99\ntR.", "no tensors"),
        (b"0.", "POP"),
        (b".", "it is damaged, or torch did not write it"),
        (b"\x80\x02}", "it is damaged"),
        (b"not a pickle", "it is damaged"),
    ],
)
def test_what_torch_does_not_write_is_refused(program: bytes, problem: str, tmp_path: Path) -> None:
    with pytest.raises(BadModelFile, match=problem):
        read(in_zip(tmp_path / "m.pt", program))


def test_what_torch_loads_without_code_is_let_through(tmp_path: Path) -> None:
    kinds = [torch.uint8, torch.int64, torch.bfloat16, torch.bool]
    state = {str(kind): torch.zeros(2).to(kind) for kind in kinds} | {"of": torch.float8_e5m2}
    torch.save(state, tmp_path / "m.pt")
    assert {e.dtype for e in read(tmp_path / "m.pt").tensors.values()} == {
        "U8",
        "I64",
        "BF16",
        "BOOL",
    }


def cut(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("name", ["m.safetensors", "zip.pt", "legacy.pt"])
def test_a_file_that_is_cut_short_is_refused(name: str, share: float, tmp_path: Path) -> None:
    path = tmp_path / name
    state = {"a": torch.zeros(1000), "b": torch.zeros(10)}
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=name.startswith("zip"))
    with pytest.raises(BadModelFile, match=f"loras/{path.name}"):
        read(cut(path, share))


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>", b"\xff" * 8 + b"{}", b"\x02" + bytes(7) + b"[]", b"\x09" + bytes(7) + b"{"],
)
def test_what_is_no_safetensors_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_bytes(content)
    with pytest.raises(BadModelFile, match="not a safetensors file"):
        read(tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}, "cut short"),
        ({"dtype": "F32", "shape": [9], "data_offsets": [0, 8]}, "has 8 bytes"),
        ({"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}, "has 4 bytes"),
        ({"dtype": "F32", "shape": [2]}, "not described"),
        ("F32", "not described"),
    ],
)
def test_a_tensor_must_be_as_large_as_its_shape(said: Any, problem: str, tmp_path: Path) -> None:
    text = json.dumps({"a": said}).encode()
    content = len(text).to_bytes(8, "little") + text + bytes(8)
    (tmp_path / "m.safetensors").write_bytes(content)
    with pytest.raises(BadModelFile, match=problem):
        read(tmp_path / "m.safetensors")


def test_a_file_that_says_it_unpacks_to_more_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", pickle.dumps("a" * 2**20))
    with pytest.raises(BadModelFile, match="would unpack to"):
        read(tmp_path / "m.pt")
