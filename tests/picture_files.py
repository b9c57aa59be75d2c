"""Picture files of every format that is read, and files that are larger than they look."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

SIDE = 16
FILE_OPTIONS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "JPEG": {"quality": 95},
    "WEBP": {"lossless": True},
    "GIF": {},
    "BMP": {},
    "TIFF": {"compression": "tiff_deflate"},
    "AVIF": {"quality": 95},
    "ICO": {"sizes": [(SIDE, SIDE)]},
    "JPEG2000": {},
    "TGA": {},
}


def encoded(picture: Image.Image, format_: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format_, **options)
    return buffer.getvalue()


def small(format_: str) -> bytes:
    """A picture whose pixel (2, 3) is about (200, 80, 40)."""
    picture = Image.new("RGB", (SIDE, SIDE), (200, 80, 40))
    return encoded(picture, format_, **FILE_OPTIONS[format_])


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def png_with(*chunks: bytes) -> bytes:
    """A small PNG with more chunks behind its header."""
    png = small("PNG")
    return png[:33] + b"".join(chunks) + png[33:]


def grey16(format_: str = "PNG") -> bytes:
    """Grey levels 0, 1/4, 1/2 and 1 of 16 bits, in columns of 2 pixels."""
    levels = np.array([0, 0, 16384, 16384, 32768, 32768, 65535, 65535], np.uint16)
    return encoded(Image.fromarray(np.tile(levels, (8, 1))), format_)


def tiff_of_pages(pages: int) -> bytes:
    """A TIFF of many pages of one pixel, 70 bytes each."""
    entries = [(256, 3, 1), (257, 3, 1), (258, 3, 8), (262, 3, 1), (273, 4, 8), (279, 4, 1)]
    page_bytes = 2 + 12 * len(entries) + 4
    file = bytearray(struct.pack("<2sHIB3x", b"II", 42, 12, 0))
    for page in range(pages):
        file += struct.pack("<H", len(entries))
        for tag, kind, value in entries:
            file += struct.pack("<HHII", tag, kind, 1, value)
        file += struct.pack("<I", len(file) + 4 if page < pages - 1 else 0)
    assert len(file) == 12 + pages * page_bytes
    return bytes(file)


def tiff_of_shared_tags(tags: int, shared_bytes: int) -> bytes:
    """A TIFF of one page, of which many tags have the same value."""
    page = tiff_of_pages(1)[12:-4]
    entries = [page[2 + k : 14 + k] for k in range(0, len(page) - 2, 12)]
    behind = 12 + 2 + 12 * (len(entries) + tags) + 4
    entries += [struct.pack("<HHII", 50_000 + k, 7, shared_bytes, behind) for k in range(tags)]
    head = struct.pack("<2sHIB3xH", b"II", 42, 12, 0, len(entries))
    return head + b"".join(entries) + bytes(4 + shared_bytes)


def gif_of_frames(frames: int) -> bytes:
    """A GIF of frames of one pixel, 23 bytes each."""
    frame = b"!\xf9\x04\0\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0"
    return b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff" + frame * frames + b";"


def crafted_ico(side: int) -> bytes:
    """An icon whose directory says 16 x 16, of a PNG that is larger."""
    png = encoded(Image.new("1", (side, side)))
    entry = struct.pack("<4B2H2I", 16, 16, 0, 0, 1, 32, len(png), 22)
    return struct.pack("<3H", 0, 1, 1) + entry + png
