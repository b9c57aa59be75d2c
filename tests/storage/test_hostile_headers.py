"""Headers that were made to hurt their reader: refused, in little time, memory and few words."""

import io
import json
import pickletools
import struct
from pathlib import Path
from typing import Any

import pytest
import torch

from diffusion.weights import open_weights
from graph.model_files.header import read_header
from graph.model_files.limits import HeaderLimits
from graph.values import ModelFile
from tests.hostile_files import (
    ONE,
    doubled,
    listed,
    name,
    number,
    pickled_file,
    program,
    safetensors_file,
    storage,
    tensor,
    text,
)
from tests.storage.refusals import legacy, refused

FEW = HeaderLimits(tensors=10)


@pytest.mark.parametrize(
    ("described", "reason"),
    [
        ({"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]}, "is not described"),
        ({"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}, "is not described"),
        ({"dtype": "F32", "shape": ["1"], "data_offsets": [0, 4]}, "is not described"),
        ({"dtype": "F32", "shape": "1", "data_offsets": [0, 4]}, "is not described"),
        ({"dtype": "F32", "shape": None, "data_offsets": [0, 4]}, "is not described"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 4]}, "is not described"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [False, 4]}, "is not described"),
        ({"dtype": "F32", "shape": [1], "data_offsets": {"0": 4}}, "is not described"),
        ({"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}, "is not described"),
        ({"dtype": "F33", "shape": [1], "data_offsets": [0, 4]}, "the unknown dtype 'F33'"),
        ({"dtype": "x" * 10**5, "shape": [1], "data_offsets": [0, 4]}, "the unknown dtype"),
        ({"dtype": "F32", "shape": [2**63], "data_offsets": [0, 4]}, "no tensor can have"),
        ({"dtype": "F32", "shape": [0, 2**47, 4], "data_offsets": [0, 0]}, "no tensor can have"),
        ({"dtype": "F32", "shape": [1] * 9, "data_offsets": [0, 4]}, "has 9 dimensions"),
        ({"dtype": "F32", "shape": [1] * 10**5, "data_offsets": [0, 4]}, "100000 dimensions"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}, "has -4 bytes"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}, "from byte -4"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [0, 2**64]}, "cut short"),
        ([{"dtype": "F32"}], "is not described"),
        (None, "is not described"),
    ],
)
def test_a_tensor_that_is_described_wrongly_is_refused(
    described: Any, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "m.safetensors"
    assert reason in refused(path, safetensors_file({"a": described}))


@pytest.mark.parametrize(
    ("header", "data", "reason"),
    [
        ({"a": ONE}, bytes(20), "16 bytes follow its last tensor"),
        ({"a": ONE, "b": ONE}, bytes(4), "overlaps the one before it"),
        ({"a": ONE, "b": ONE | {"data_offsets": [2, 6]}}, bytes(6), "overlaps"),
        ({"a": ONE, "b": ONE | {"data_offsets": [8, 12]}}, bytes(12), "leaves a gap"),
        ({"a": ONE | {"data_offsets": [4, 8]}}, bytes(8), "leaves a gap"),
        ({"__metadata__": [1], "a": ONE}, bytes(4), "not an object of strings"),
        ({"__metadata__": "x", "a": ONE}, bytes(4), "not an object of strings"),
        ({"__metadata__": {"a": 1}, "a": ONE}, bytes(4), "not an object of strings"),
        ({"__metadata__": {"a": {}}, "a": ONE}, bytes(4), "not an object of strings"),
        ({"__metadata__": {"a": "\ud800"}, "a": ONE}, bytes(4), "not text"),
        ({"a" * 10**6: ONE}, bytes(4), "has 1000000 characters"),
        ({"a\n": ONE}, bytes(4), "cannot be shown"),
        ({"\udcff": ONE}, bytes(4), "cannot be shown"),
        (b'{"a": {"dtype": "F32", "shape": [1e999], "data_offsets": [0, 4]}}', bytes(4), "is not"),
        (b'{"a": {"dtype": "F32", "shape": [Infinity]}}', bytes(4), "it has Infinity"),
        (b'{"a": {"dtype": "F32", "shape": [NaN]}}', bytes(4), "it has NaN"),
        (b'{"a": {"dtype": "F32", "shape": [%s]}}' % (b"9" * 10**5), bytes(4), "no file needs"),
        (b'{"a": {"dtype": "F32", "shape": [-0], "data_offsets": [0, 0]}}', b"", "no file needs"),
        (b'{"a": %s, "a": %s}' % ((json.dumps(ONE).encode(),) * 2), bytes(4), "a name twice"),
        (b'{"a":' * 10**5, b"", "is not JSON"),
        (b'{"a":' + b"[" * 10**5, b"", "is not JSON"),
        (b"\xff\xfe{\x00}\x00", b"", "is not JSON"),
        (b"{}" + b"\0" * 8, b"", "is not JSON"),
    ],
    ids=range(23),
)
def test_a_header_that_the_safetensors_library_refuses_or_nobody_writes_is_refused(
    header: Any, data: bytes, reason: str, tmp_path: Path
) -> None:
    assert reason in refused(tmp_path / "m.safetensors", safetensors_file(header, data))


def test_more_tensors_than_the_limit_are_refused_before_they_are_parsed(tmp_path: Path) -> None:
    many = {f"a{k}": ONE | {"data_offsets": [4 * k, 4 * k + 4]} for k in range(11)}
    path = tmp_path / "m.safetensors"
    reason = refused(path, safetensors_file(many, bytes(44)), FEW)
    assert reason == "not a safetensors file: it has 11 tensors; the limit is 10"
    empty: dict[str, Any] = {f"a{k}": {} for k in range(12)}
    assert "more than 10 tensors" in refused(path, safetensors_file(empty), FEW)


def test_more_pickled_tensors_than_the_limit_are_refused(tmp_path: Path) -> None:
    pairs = [text(f"a{k}") + tensor() for k in range(11)]
    assert "11 tensors" in refused(tmp_path / "m.pt", pickled_file(program(*pairs)), FEW)


def test_a_header_over_the_limit_is_not_read(tmp_path: Path) -> None:
    long = safetensors_file(json.dumps({"a": ONE}).encode() + b" " * 100)
    limits = HeaderLimits(header_bytes=100)
    assert "the limit is 100" in refused(tmp_path / "m.safetensors", long, limits)
    pickle = program(text("a" * 100) + tensor())
    assert "the limit is 100" in refused(tmp_path / "m.pt", pickled_file(pickle), limits)


LONG = json.dumps({"a": 'x \\ " [] {} \n' * 80_000})


@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        ('"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}', None),
        ('"a": {"dtype": "F32", "shape": [NaN], "data_offsets": [0, 4]}}', "it has NaN"),
        ('"a": {"dtype": "F32", "shape": [-0], "data_offsets": [0, 4]}}', "no file needs"),
        ('"a": {}, "a": {}}', "a name twice"),
        ('"a": ' + '{"a": ' * 2000, "is not JSON"),
        ('"a": ' + "[" * 2000, "is not JSON"),
        ('"a": {}} {}', "is not JSON"),
        ('"a": ' + "[" * 200_000, "more lists than its tensors need"),
    ],
    ids=range(8),
)
def test_a_long_header_is_read_as_a_short_one(
    rest: str, reason: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "m.safetensors"
    header = f'{{"__metadata__": {LONG}, {rest}'.encode()
    if reason is not None:
        assert reason in refused(path, safetensors_file(header))
        return
    path.write_bytes(safetensors_file(header))
    read = read_header(path, ModelFile("loras", path.name))
    assert read.metadata == json.loads(LONG)
    assert list(open_weights(path, ModelFile("loras", path.name))) == ["a"]


NAMES = [text(f"w{k}") for k in range(3)]
WIDE = b"(" + number(1) * 50_000 + b"tq\x01"  # a tuple of many numbers, kept under 1
GLOBAL_OF_STACK = b"\x93"


@pytest.mark.parametrize(
    ("pickle", "reason"),
    [
        (program(text("w") + tensor(of=storage(key=doubled(200)))), "a name that torch does not"),
        (program(text("w") + tensor(of=storage(key=text("0" * 41)))), "a name that torch does not"),
        (program(text("w") + tensor(of=storage(count=doubled(200)))), "not described"),
        (program(text("w") + tensor(of=storage(kind="QInt8Storage"))), "which is not served"),
        (program(text("w") + tensor(of=storage(count=b"\x8a\xff" + b"\x7f" * 255))), "a number"),
        (program(text("w") + tensor(shape=b"(" + b"L" + b"9" * 4300 + b"L\nt")), "a number"),
        (program(text("w") + tensor(shape=b"(" + b"L" + b"9" * 7000 + b"L\nt")), "damaged"),
        (program(text("w") + tensor(shape=doubled(200))), "no shape"),
        (program(text("w") + tensor(shape=listed((1,) * 9), strides=listed((1,) * 9))), "than 8"),
        (program(text("w") + tensor(shape=listed((-4, 4)))), "no shape"),
        (program(text("w") + tensor(strides=listed((-4, 1)))), "no shape"),
        (program(text("w") + tensor(strides=listed((4,)))), "no shape"),
        (program(text("w") + tensor(offset=number(-1))), "no shape"),
        (program(text("w") + tensor(shape=listed((10**6, 4)), strides=listed((0, 0)))), "storage"),
        (program(text("w") + tensor(shape=listed((10**6, 4)))), "its storage has 16"),
        (program(text("w") + tensor(strides=listed((5, 1)))), "up to number 19"),
        (program(text("w") + tensor(offset=number(1))), "up to number 17"),
        (program(text("w") + tensor(of=storage(count=number(17)))), "cut short"),
        (program(*(n + tensor(of=storage(count=number(4 * k))) for k, n in enumerate(NAMES))),
         "described twice"),
        (program(text("w" * 10**6) + tensor()), "has 1000000 characters"),
        (program(text("w\n") + tensor()), "cannot be shown"),
        (program(doubled(200) + tensor(), text("x") + tensor(strides=listed((5, 1)))), "number 19"),
        (b"\x80\x04" + doubled(200) + text("x") + GLOBAL_OF_STACK + b".", "what is no name"),
        (b"\x80\x04" + text("os") + text("x" * 10**6) + GLOBAL_OF_STACK + b".", "what is no name"),
        (b"cos\n" + b"x" * 190 + b"\n.", "it holds os.xxx"),
        (b"\x80\x02" + WIDE + program(*(
            text(f"w{k}") + tensor(shape=b"h\x01", strides=b"h\x01") for k in range(100)))[2:],
         "no shape"),
        (b"\x80\x02" + b"\x85" * 10**5 + b".", "damaged"),
        (b"\x80\x02" + b")" + b"\x85" * 10**5 + b"R.", "damaged"),
        (b"(" * 10**5 + b".", "damaged"),
        (b"\x80\x02" + b"0" * 10**5, "POP"),
    ],
    ids=range(30),
)  # fmt: skip
def test_a_pickle_that_was_made_to_hurt_is_refused(
    pickle: bytes, reason: str, tmp_path: Path
) -> None:
    assert reason in refused(tmp_path / "m.pt", pickled_file(pickle))


def test_a_storage_that_is_the_data_of_very_many_tensors_is_refused(tmp_path: Path) -> None:
    square = tensor(listed((100, 100)), listed((100, 1)), of=storage(count=number(10_000)))
    pickle = program(*(text(f"w{k}") + square for k in range(30)))
    reason = refused(tmp_path / "m.pt", pickled_file(pickle, bytes(40_000)))
    assert "its tensors would take 1200000 bytes" in reason


def part(times: int, tensors: int) -> bytes:
    """A dict that holds one dict of tensors under many names."""
    inner = b"}(" + b"".join(text(f"w{k}") + tensor() for k in range(tensors)) + b"uq\x02"
    pairs = text("p0") + inner + b"".join(text(f"p{k}") + b"h\x02" for k in range(1, times))
    return b"\x80\x02}(" + pairs + b"u."


def test_a_part_that_is_there_many_times_is_counted_each_time(tmp_path: Path) -> None:
    reason = refused(tmp_path / "m.pt", pickled_file(part(1000, 5)), HeaderLimits(tensors=500))
    assert "it has 501 tensors" in reason


def test_parameters_that_are_set_again_and_again_are_counted_each_time(tmp_path: Path) -> None:
    """2,000 instructions that each set 2,000 parameters would be 4,000,000 steps."""
    many = b"".join(text(f"w{k}") + number(k) for k in range(2000))
    state = b"}" + text("_parameters") + b"}(" + many + b"usq\x03"
    built = name("torch.nn.modules.container", "ParameterDict") + b")R"
    pickle = b"\x80\x02" + state + built + b"h\x03b" * 2000 + b"."
    limits = HeaderLimits(tensors=10)
    assert "more in it than tensors" in refused(tmp_path / "m.pt", pickled_file(pickle), limits)


def test_the_keys_of_the_older_layout_are_not_hashed(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(4)}, tmp_path / "m.pt", _use_new_zipfile_serialization=False)
    content = (tmp_path / "m.pt").read_bytes()
    stream, ends = io.BytesIO(content), []
    for _ in range(5):
        list(pickletools.genops(stream))
        ends.append(stream.tell())
    bomb = b"\x80\x02](" + doubled(200) + b"e."
    reason = refused(tmp_path / "m.pt", content[: ends[3]] + bomb + content[ends[4] :])
    assert "damaged" in reason


def test_a_storage_of_the_older_layout_is_as_long_as_it_says(tmp_path: Path) -> None:
    content = legacy({"w": torch.zeros(4)})
    assert content[-24:-16] == struct.pack("<q", 4)
    changed = content[:-24] + struct.pack("<q", 3) + content[-16:]
    assert "not as long as described" in refused(tmp_path / "m.pt", changed)


def test_views_are_loaded_as_torch_loads_them(tmp_path: Path) -> None:
    whole = torch.arange(24.0).reshape(4, 6)
    tensors = {
        "whole": whole,
        "turned": whole.t(),
        "row": whole[2],
        "column": whole[:, 1],
        "number": whole[3, 5],
        "empty": whole[:0],
        "one": torch.ones(1).expand(1, 1),
        "narrow": torch.arange(5).to(torch.float8_e4m3fn),
        "bits": torch.tensor([True, False]),
        "complex": torch.ones(2, dtype=torch.complex64),
    }
    for kind in (True, False):
        path = tmp_path / f"{kind}.pt"
        if not kind:
            del tensors["narrow"]  # which torch writes there, and cannot read
        torch.save(tensors, path, _use_new_zipfile_serialization=kind)
        weights = open_weights(path, ModelFile("loras", path.name))
        theirs = torch.load(path, weights_only=True)
        assert list(weights) == list(theirs)
        for key, tensor_there in theirs.items():
            assert weights[key].dtype == tensor_there.dtype == weights.dtype(key)
            assert weights[key].shape == tensor_there.shape == weights.shape(key)
            assert bytes(weights[key].contiguous().view(-1).view(torch.uint8)) == bytes(
                tensor_there.contiguous().view(-1).view(torch.uint8)
            )
