"""Pictures of more than 8 bits as files: PNG of 16 bits a channel, and OpenEXR of 32-bit floats.

Pillow writes neither of three channels. What SaveImageAdvanced of ComfyUI 0.33 writes is read from
these as well: the same numbers, and in OpenEXR light that is linear, with its primaries.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from graph.picture_formats import PNG_START

Pixels = npt.NDArray[np.float32]  # [H, W, C], C of 1, 3 or 4
PNG_KINDS: Mapping[int, int] = MappingProxyType({1: 0, 3: 2, 4: 6})  # channels: kind of colour
EXR_START = struct.pack("<II", 20000630, 2)
EXR_CHANNELS: Mapping[int, str] = MappingProxyType({1: "Y", 3: "RGB", 4: "RGBA"})
FLOAT_PIXELS = 2
D65 = (0.3127, 0.3290)
# x and y of red, green, blue and white, by what the pixels are said to be.
PRIMARIES: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "sRGB": (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, *D65),
        "linear": (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, *D65),
        "HDR": (0.708, 0.292, 0.17, 0.797, 0.131, 0.046, *D65),
    }
)
HLG_A, HLG_B = 0.17883277, 0.28466892  # ITU-R BT.2100, table 5
HLG_C = 0.5 - HLG_A * np.log(4 * HLG_A)


def png_16(image: Pixels, text: Mapping[str, str]) -> bytes:
    """A PNG of 16 bits a channel; values are cut off to 0..1 and not rounded."""
    height, width, channels = image.shape
    levels = np.clip(image * np.float32(65535), 0, 65535).astype(">u2")
    rows = levels.reshape(height, -1).view(np.uint8)
    filtered = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 16, PNG_KINDS[channels], 0, 0, 0)
    words = (f"{key}\0{value}".encode("latin-1", "replace") for key, value in text.items())
    chunks = [
        (b"IHDR", header),
        *((b"tEXt", word) for word in words),
        (b"IDAT", zlib.compress(filtered.tobytes(), 4)),
        (b"IEND", b""),
    ]
    return PNG_START + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def exr_32(image: Pixels, text: Mapping[str, str], colors: str) -> bytes:
    """An OpenEXR file of floats, nothing cut off, of light that is linear."""
    height, width, channels = image.shape
    names = EXR_CHANNELS[channels]
    order = sorted(range(channels), key=lambda k: names[k])
    light = np.concatenate([linear(image[..., :3], colors), image[..., 3:]], axis=-1)
    lines = light[:, :, order].transpose(0, 2, 1).astype("<f4").reshape(height, -1)
    header = EXR_START + b"".join(_attributes(width, height, sorted(names), text, colors)) + b"\0"
    size = lines.shape[1] * 4
    first = len(header) + 8 * height
    table: bytes = (first + np.arange(height, dtype="<u8") * (size + 8)).tobytes()
    blocks = (struct.pack("<ii", y, size) + line.tobytes() for y, line in enumerate(lines))
    return header + table + b"".join(blocks)


def _attributes(
    width: int, height: int, names: list[str], text: Mapping[str, str], colors: str
) -> Iterator[bytes]:
    listed = b"".join(
        name.encode() + b"\0" + struct.pack("<iBBBBii", FLOAT_PIXELS, 0, 0, 0, 0, 1, 1)
        for name in names
    )
    window = struct.pack("<iiii", 0, 0, width - 1, height - 1)
    yield _attribute("channels", "chlist", listed + b"\0")
    yield _attribute("chromaticities", "chromaticities", struct.pack("<8f", *PRIMARIES[colors]))
    yield _attribute("compression", "compression", b"\0")
    yield _attribute("dataWindow", "box2i", window)
    yield _attribute("displayWindow", "box2i", window)
    yield _attribute("lineOrder", "lineOrder", b"\0")
    yield _attribute("pixelAspectRatio", "float", struct.pack("<f", 1))
    yield _attribute("screenWindowCenter", "v2f", struct.pack("<ff", 0, 0))
    yield _attribute("screenWindowWidth", "float", struct.pack("<f", 1))
    for key, value in text.items():
        yield _attribute(key, "string", value.encode())


def _attribute(name: str, kind: str, value: bytes) -> bytes:
    return f"{name}\0{kind}\0".encode() + struct.pack("<i", len(value)) + value


def linear(image: Pixels, colors: str) -> Pixels:
    """The light of colours: sRGB (IEC 61966-2-1), or HDR as HLG's scene light (BT.2100)."""
    if colors == "sRGB":
        steep = ((np.maximum(image, 0) + 0.055) / 1.055) ** 2.4
        return np.where(image <= 0.04045, image / 12.92, steep).astype(np.float32)
    if colors == "HDR":
        bright = (np.exp((np.maximum(image, 0.5) - HLG_C) / HLG_A) + HLG_B) / 12
        return np.where(image <= 0.5, image**2 / 3, bright).astype(np.float32)
    return image
