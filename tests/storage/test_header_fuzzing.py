"""What comes of any bytes is a header or BadModelFile, from the reader and from loading."""

import io
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from safetensors import SafetensorError, deserialize
from safetensors.torch import save

from diffusion.weights import Weights, open_weights
from graph.errors import BadModelFile
from graph.model_files.header import read_header
from graph.values import ModelFile
from tests.hostile_files import (
    doubled,
    listed,
    name,
    number,
    pickled_file,
    safetensors_file,
    storage,
    tensor,
    text,
)
from tests.storage.refusals import legacy, refused

SHORT = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
STATE = {"a.lora_up.weight": torch.ones(4, 2), "a.lora_down.weight": torch.ones(2, 3)}


def zipped(protocol: int = 2) -> bytes:
    buffer = io.BytesIO()
    torch.save({"state_dict": STATE}, buffer, pickle_protocol=protocol)
    return buffer.getvalue()


REAL: dict[str, Callable[[], bytes]] = {
    "m.safetensors": lambda: save(STATE, {"author": "somebody"}),
    "zip.pt": zipped,
    "zip4.pt": lambda: zipped(4),
    "older.pt": lambda: legacy(STATE),
}
numbers = st.one_of(st.integers(-(2**70), 2**70), st.floats(), st.booleans(), st.text(max_size=3))
anything = st.recursive(
    st.one_of(st.none(), numbers),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)
described = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F16", "BOOL", "F8_E4M3", "F4", "F6_E2M3", "C64", "X"]),
        "shape": st.lists(st.integers(0, 4), max_size=3) | anything,
        "data_offsets": st.tuples(st.integers(0, 16), st.integers(0, 16)) | anything,
    }
)
headers = st.dictionaries(st.text(max_size=5) | st.just("__metadata__"), described | anything)


def read_both(path: Path, content: bytes) -> Weights | None:
    """What loading makes of a file, of which it and the reader are of one mind; None: refused."""
    path.write_bytes(content)
    file = ModelFile("loras", path.name)
    header = None
    with suppress(BadModelFile):
        header = read_header(path, file)
    if header is None:
        refused(path, content)
        return None
    weights = open_weights(path, file)
    assert {key: weights.shape(key) for key in weights} == {
        key: entry.shape for key, entry in header.tensors.items()
    }
    return weights


@pytest.mark.parametrize("kind", REAL)
@SHORT
@given(data=st.data())
def test_a_real_file_with_some_bytes_changed_is_read_or_refused(
    kind: str, tmp_path: Path, data: st.DataObject
) -> None:
    content = bytearray(REAL[kind]())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        change = data.draw(st.sampled_from(["set", "cut", "insert", "repeat"]))
        if change == "set":
            content[at] = data.draw(st.integers(0, 255))
        elif change == "cut":
            del content[at : at + data.draw(st.integers(1, 40))]
        elif change == "insert":
            content[at:at] = data.draw(st.binary(max_size=8))
        else:
            content[at:at] = content[at : at + data.draw(st.integers(1, 40))]
        if not content:
            break
    weights = read_both(tmp_path / kind, bytes(content))
    for key in weights or ():
        assert weights is not None
        assert weights[key].shape == weights.shape(key)


@SHORT
@given(header=headers, data=st.binary(max_size=16))
def test_what_is_accepted_of_any_header_the_safetensors_library_accepts(
    header: Any, data: bytes, tmp_path: Path
) -> None:
    content = safetensors_file(header, data)
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    try:
        ours = read_header(path, ModelFile("loras", path.name)).tensors
    except BadModelFile:
        return
    try:
        theirs = dict(deserialize(content))  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        pytest.fail(f"{error}: {header}")
    assert {key: list(entry.shape) for key, entry in ours.items()} == {
        key: entry["shape"] for key, entry in theirs.items()
    }


@SHORT
@given(pieces=st.lists(st.sampled_from([
    tensor(), storage(), doubled(30), text("w"), number(1), listed((1, 2)), b"}", b"]", b"(", b"t",
    b"u", b"s", b"e", b"a", b"R", b"b", b"Q", b"q\x00", b"h\x00", b"\x86", b"l", b"d", b"\x93",
    name("collections", "OrderedDict"), name("torch._utils", "_rebuild_parameter"),
    name("torch._tensor", "_rebuild_from_type_v2"), b"N", b"\x88", b".", b"\x94", b"(1", b")",
]), max_size=40))  # fmt: skip
def test_any_program_of_torchs_instructions_is_read_or_refused(
    pieces: list[bytes], tmp_path: Path
) -> None:
    read_both(tmp_path / "m.pt", pickled_file(b"\x80\x02" + b"".join(pieces) + b"."))
