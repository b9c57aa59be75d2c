"""Writes model files as nobody's tools do: headers and pickles put together byte by byte."""

import io
import json
import struct
import zipfile
from collections.abc import Sequence
from typing import Any

ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


def safetensors_file(header: Any, data: bytes = bytes(4)) -> bytes:
    """A safetensors file of this header, given as an object or as the text itself."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def text(said: str) -> bytes:
    return b"X" + struct.pack("<I", len(said)) + said.encode()


def number(said: int) -> bytes:
    return b"J" + struct.pack("<i", said)


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def listed(numbers: Sequence[int]) -> bytes:
    return b"(" + b"".join(map(number, numbers)) + b"t"


def doubled(depth: int) -> bytes:
    """A tuple of tuples that share their halves: 2**depth texts when it is printed or hashed."""
    return text("x" * 10) + b"q\x00h\x00\x86" * depth


def storage(key: bytes = text("0"), count: bytes = number(16), kind: str = "FloatStorage") -> bytes:
    return b"(" + text("storage") + name("torch", kind) + key + text("cpu") + count + b"tQ"


def tensor(
    shape: bytes = listed((4, 4)),
    strides: bytes = listed((4, 1)),
    offset: bytes = number(0),
    of: bytes = storage(),
) -> bytes:
    end = b"\x89" + name("collections", "OrderedDict") + b")RtR"
    return name("torch._utils", "_rebuild_tensor_v2") + b"(" + of + offset + shape + strides + end


def program(*pairs: bytes) -> bytes:
    """The pickle of a dict."""
    return b"\x80\x02}(" + b"".join(pairs) + b"u."


def pickled_file(pickle: bytes, stored: bytes = bytes(64)) -> bytes:
    """The zip file that torch would write around a pickle of one storage."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle)
        archive.writestr("archive/data/0", stored)
        archive.writestr("archive/version", "3\n")
    return buffer.getvalue()
