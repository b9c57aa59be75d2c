"""Accepted picture formats, and the PNG chunks that are read.

The router's checks and the stage that decodes use this one list, so a file that is accepted is a
file that can be decoded. Formats that start another program (EPS), or whose readers are little used
(PSD, DDS ...), are not on it.
"""

import struct
import zlib
from collections.abc import Iterator

PICTURE_FORMATS = (  # Pillow's names; TGA last, as a TGA file has no signature
    "PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "ICO", "JPEG2000", "TGA",
)  # fmt: skip
PNG_START = b"\x89PNG\r\n\x1a\n"
TEXT_CHUNKS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
SIDE_CHUNKS = TEXT_CHUNKS | {b"iCCP", b"eXIf"}
KEPT_WORDS = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0")  # may say which way is up
MOST_SIDE_BYTES = 64 * 1024  # of a text, profile or EXIF chunk that is kept
MOST_UNFOLDED_BYTES = 2**20  # Pillow's own limit, over which it reads nothing of the file


def without_side_data(content: bytes) -> bytes:
    """A picture file without the parts that its pixels do not need and that may be huge.

    Of a PNG, text, colour profile and EXIF are left out where they are large, text also where it
    does not say how the picture is turned. Other formats come back as they are.
    """
    if not content.startswith(PNG_START):
        return content
    kept, since = [], 0
    for kind, start, stop in png_chunks(content):
        if kind in SIDE_CHUNKS and not _is_kept(kind, content[start + 8 : stop - 4]):
            kept.append(content[since:start])
            since = stop
    return content if since == 0 else b"".join((*kept, content[since:]))


def png_text(content: bytes, most_bytes: int) -> bytes:
    """The text chunks of a PNG as they are in the file, up to so many bytes; b"" for others."""
    texts, total = [], 0
    for kind, start, stop in png_chunks(content):
        if kind in TEXT_CHUNKS and total + stop - start <= most_bytes:
            total += stop - start
            texts.append(content[start:stop])
    return b"".join(texts)


def with_png_text(png: bytes, text: bytes) -> bytes:
    """A PNG with text chunks laid in behind its header."""
    _, _, stop = next(png_chunks(png))
    return png[:stop] + text + png[stop:]


def png_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of each whole chunk of a PNG; nothing for other files."""
    start = len(PNG_START)
    while content.startswith(PNG_START) and start + 12 <= len(content):
        (size,) = struct.unpack_from(">I", content, start)
        stop = start + 12 + size
        if stop > len(content):
            return
        yield content[start + 4 : start + 8], start, stop
        start = stop


def _is_kept(kind: bytes, data: bytes) -> bool:
    if len(data) > MOST_SIDE_BYTES:
        return False
    if kind in TEXT_CHUNKS and not data.startswith(KEPT_WORDS):
        return False
    return kind in {b"tEXt", b"eXIf"} or _unfolds(kind, data)


def _unfolds(kind: bytes, data: bytes) -> bool:
    """Whether compressed data is whole and within the limit."""
    folded = data.partition(b"\0")[2][1:]  # after keyword and method
    if kind == b"iTXt":
        if data.partition(b"\0")[2][:1] != b"\1":
            return True
        folded = folded[1:].partition(b"\0")[2].partition(b"\0")[2]
    try:
        reader = zlib.decompressobj()
        return len(reader.decompress(folded, MOST_UNFOLDED_BYTES)) < MOST_UNFOLDED_BYTES
    except zlib.error:
        return False
