"""Callers' pictures, read in processes of their own: what is taken, what is refused, and how."""

import asyncio
import io
import os
import struct
import zlib
from collections.abc import AsyncIterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from graph.errors import ServiceError
from graph.values import InputFile
from storage.files import StoredFile
from storage.picture_limits import (
    NoPictureError,
    PictureLimits,
    PictureQueueError,
    PicturesBusyError,
    PictureTooLargeError,
    TooManyFramesError,
)
from storage.picture_processes.child import answer
from storage.picture_processes.pool import Costs, Looked, Painting, PictureProcesses, PoolLimits
from tests.picture_files import (
    FILE_OPTIONS,
    chunk,
    crafted_ico,
    encoded,
    gif_of_frames,
    grey16,
    png_with,
    small,
    tiff_of_pages,
    tiff_of_shared_tags,
)

WEBP = Painting("webp", "", 80, shrink=True)
LIMITS = {"most_pixels": 10**6, "most_frames": 100, "preview_pixels": 10**5, "preview_side": 16383}
LARGE = zlib.compress(b"a" * 5 * 2**20)


@pytest.fixture
async def pictures() -> AsyncIterator[PictureProcesses]:
    opened = PictureProcesses()
    yield opened
    opened.close()


def file(content: bytes, name: str = "x") -> InputFile:
    return InputFile(name, content, str(hash(content)))


async def looked(pictures: PictureProcesses, content: bytes) -> Looked:
    return await pictures.check("me", file(content))


async def repainted(
    pictures: PictureProcesses, content: bytes, how: Painting = WEBP, owner: str = "me"
) -> Image.Image:
    stored = StoredFile("x", len(content), str(hash(content)))
    return Image.open(io.BytesIO(await pictures.repaint(owner, stored, lambda: content, how)))


@pytest.mark.parametrize("format_", FILE_OPTIONS)
async def test_every_format_is_looked_at_and_repainted(
    pictures: PictureProcesses, format_: str
) -> None:
    content = small(format_)
    assert (await looked(pictures, content)).width == 16
    pixel = np.array((await repainted(pictures, content)).convert("RGB"))[3, 2]
    assert np.abs(pixel - np.array([200, 80, 40])).max() < 9


async def test_a_turned_picture_has_its_upright_size(pictures: PictureProcesses) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(Image.new("RGB", (30, 20)), "JPEG", exif=exif)
    assert await looked(pictures, content) == Looked("image/jpeg", 20, 30)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello, this is no picture",
        small("PNG")[:40],
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n",
        b"DDS " + struct.pack("<I", 124) + bytes(120),
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        encoded(Image.new("RGB", (4, 4)), "PCX"),
        encoded(Image.new("RGB", (4, 4)), "EPS"),
    ],
)
async def test_what_is_no_picture_is_refused(pictures: PictureProcesses, content: bytes) -> None:
    for asked in (looked(pictures, content), repainted(pictures, content)):
        with pytest.raises(NoPictureError, match="PNG, JPEG"):
            await asked


async def test_half_a_picture_has_no_preview(pictures: PictureProcesses) -> None:
    noise = Image.effect_noise((200, 200), 50)
    with pytest.raises(NoPictureError):
        await repainted(pictures, encoded(noise)[:10_000])


@pytest.mark.parametrize("text", [chunk(b"zTXt", b"workflow\0\0" + LARGE)] * 1 + [
    chunk(b"iTXt", b"workflow\0\1\0\0\0" + LARGE),
    chunk(b"tEXt", b"workflow\0" + b"a" * 5 * 2**20),
    chunk(b"iCCP", b"profile\0\0" + LARGE),
    chunk(b"zTXt", b"Raw profile type exif\0\0" + LARGE),
    chunk(b"zTXt", b"broken\0\0" + b"not compressed"),
    b"".join(chunk(b"zTXt", b"a%d\0\0" % k + zlib.compress(bytes(10**6))) for k in range(100)),
])  # fmt: skip
async def test_what_a_png_says_beside_its_pixels_does_not_matter(
    pictures: PictureProcesses, text: bytes
) -> None:
    content = png_with(text)
    assert (await looked(pictures, content)).width == 16
    assert (await repainted(pictures, content)).size == (16, 16)


async def test_a_mask_keeps_the_text_of_its_original(pictures: PictureProcesses) -> None:
    original = png_with(chunk(b"tEXt", b"prompt\0{}"), chunk(b"zTXt", b"workflow\0\0" + LARGE))
    alpha = encoded(Image.new("RGBA", (16, 16), (0, 0, 0, 7)))
    content = await pictures.masked("me", "x", original, alpha)
    assert chunk(b"zTXt", b"workflow\0\0" + LARGE) in content
    picture = Image.open(io.BytesIO(png_with(chunk(b"tEXt", b"prompt\0{}"))))
    assert picture.info["prompt"] == "{}"


async def test_grey_of_16_bits_is_scaled(pictures: PictureProcesses) -> None:
    as_png = Painting("png", "rgb", 90, shrink=False)
    for format_ in ("PNG", "TIFF"):
        picture = await repainted(pictures, grey16(format_), as_png)
        assert [picture.getpixel((x, 0)) for x in (0, 2, 4, 6)] == [
            (level, level, level) for level in (0, 63, 127, 255)
        ]


async def test_a_large_picture_has_a_smaller_preview(pictures: PictureProcesses) -> None:
    for content in (
        encoded(Image.new("RGB", (4000, 3000)), "JPEG"),
        encoded(Image.new("1", (20_000, 8))),
    ):
        before = Image.open(io.BytesIO(content))
        after = await repainted(pictures, content)
        assert after.width * after.height <= PictureLimits().preview_pixels
        assert max(after.size) <= 16383
        assert after.width == -(-before.width // 2)
    exact = Painting("png", "rgb", 90, shrink=False)
    assert (await repainted(pictures, content, exact)).size == (20_000, 8)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (tiff_of_pages(3000), TooManyFramesError),
        (gif_of_frames(3000), TooManyFramesError),
        (tiff_of_shared_tags(4000, 10**6), NoPictureError),
        (encoded(Image.new("1", (1, 1)), "WEBP", save_all=True, lossless=True, minimize_size=False,
                 append_images=[Image.new("1", (1, 1), k % 2) for k in range(1, 1101)]),
         TooManyFramesError),
        (encoded(Image.new("1", (9000, 9000))), PictureTooLargeError),
        (crafted_ico(9000), PictureTooLargeError),
        (encoded(Image.new("1", (6000, 6000)), save_all=True,
                 append_images=[Image.new("1", (6000, 6000), 1)]), PictureTooLargeError),
    ],
)  # fmt: skip
async def test_what_would_unfold_to_too_much_is_refused(
    pictures: PictureProcesses, content: bytes, error: type[ServiceError]
) -> None:
    with pytest.raises(error):
        await looked(pictures, content)


async def test_the_largest_picture_that_is_taken_is_looked_at(pictures: PictureProcesses) -> None:
    content = encoded(Image.new("RGB", (8192, 8192)), "WEBP", lossless=True)
    assert (await looked(pictures, content)).width == 8192
    assert (await looked(pictures, tiff_of_pages(1000))).width == 1


async def test_a_jpeg_2000_of_another_size_than_it_says_is_refused(
    pictures: PictureProcesses,
) -> None:
    content = small("JPEG2000")
    at = content.index(b"\xff\x4f\xff\x51") + 8
    with pytest.raises(NoPictureError):
        await looked(
            pictures, content[:at] + struct.pack(">2I", 30_000, 30_000) + content[at + 8 :]
        )


async def test_a_file_that_takes_too_long_or_too_much_ends_its_process_alone() -> None:
    slow = PictureProcesses(pool_limits=PoolLimits(check=Costs(0, 2**29)))
    with pytest.raises(NoPictureError, match="too long"):
        await looked(slow, gif_of_frames(1_500_000))
    assert (await looked(slow, small("PNG"))).width == 16
    slow.close()
    narrow = PictureProcesses(pool_limits=PoolLimits(preview=Costs(30, 64 * 2**20)))
    with pytest.raises(NoPictureError):
        await repainted(narrow, encoded(Image.new("RGB", (6000, 6000)), "WEBP", lossless=True))
    assert (await repainted(narrow, small("PNG"))).size == (16, 16)
    narrow.close()


async def test_previews_wait_in_a_bounded_queue_and_an_owner_has_a_bounded_part_of_it() -> None:
    limits = PoolLimits(
        waiting={"check": 9, "preview": 3}, waiting_of_owner={"check": 9, "preview": 2}
    )
    pictures = PictureProcesses(pool_limits=limits)
    asked = [
        asyncio.create_task(
            repainted(pictures, small("PNG"), Painting("webp", "", k, shrink=True), owner)
        )
        for k, owner in enumerate(["a", "a", "a", "b", "c"])
    ]
    ended = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(ended[2], PictureQueueError)
    assert isinstance(ended[4], PicturesBusyError)
    assert all(isinstance(ended[k], Image.Image) for k in (0, 1, 3))
    assert (await looked(pictures, small("PNG"))).width == 16  # its queue is another
    pictures.close()


async def test_the_same_preview_is_made_once(pictures: PictureProcesses) -> None:
    reads: list[bytes] = []

    def content() -> bytes:
        reads.append(small("PNG"))
        return reads[-1]

    stored = StoredFile("x", 1, "v1")
    first = await pictures.repaint("me", stored, content, WEBP)
    assert await pictures.repaint("me", stored, content, WEBP) == first
    assert len(reads) == 1
    await pictures.repaint("me", StoredFile("x", 1, "v2"), content, WEBP)
    assert len(reads) == 2


async def test_a_picture_process_gets_none_of_our_secrets(
    pictures: PictureProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMFYRAY_ENCRYPTION_KEY", "a secret")
    await looked(pictures, small("PNG"))
    (process,) = pictures._idle
    with open(f"/proc/{process.pid}/environ", "rb") as environ:  # noqa: ASYNC230, PTH123
        assert b"COMFYRAY" not in environ.read()
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert os.getpriority(os.PRIO_PROCESS, process.pid) == min(own + 10, 19)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(sorted(FILE_OPTIONS)),
    st.lists(st.tuples(st.integers(0, 2000), st.binary(min_size=1, max_size=8)), max_size=6),
    st.integers(0, 2000),
)
def test_a_damaged_file_is_read_or_refused(
    format_: str, damage: list[tuple[int, bytes]], kept: int
) -> None:
    content = bytearray(small(format_))
    for place, data in damage:
        at = place % len(content)
        content[at : at + len(data)] = data
    cut = bytes(content[: kept or None])
    how = {"limits": LIMITS, "format": "webp", "channel": "", "quality": 50, "shrink": True}
    look = {"most_pixels": 10**6, "most_frames": 100}
    for task, facts in (("look", look), ("repaint", how)):
        found, painted = answer({"task": task, "how": facts}, [cut])
        assert "error" in found or painted or found["width"] > 0


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    found, _ = answer({"task": "masked", "how": {"limits": LIMITS}}, [content, content])
    assert found["error"] in {"NoPictureError", "PictureTooLargeError"}
