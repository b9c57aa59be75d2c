"""Tiles of a picture for tiled redrawing, and how they are blended back.

Sizes, masks and their order are those of the Ultimate SD upscale script as ComfyUI's node runs it
(ComfyUI_UltimateSDUpscale; Coyote-A/ultimate-upscale-for-automatic1111). Boxes are left, top,
right, bottom in pixels.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from PIL import Image, ImageDraw, ImageFilter, ImageOps

from graph.latent_sizes import NODE_PX

Box: TypeAlias = tuple[int, int, int, int]
Size: TypeAlias = tuple[int, int]  # width, height
Mode = Literal["Linear", "Chess", "None"]
SeamFix = Literal["None", "Band Pass", "Half Tile", "Half Tile + Intersections"]
GRADIENT = 256  # the side of Pillow's own
REACH = 4  # radii from which on a blur leaves nothing


@dataclass(frozen=True)
class Tiling:
    """How a picture is taken apart."""

    tile: Size
    padding: int
    mask_blur: int
    mode: Mode
    seam_fix: SeamFix
    seam_width: int
    seam_blur: int
    seam_padding: int
    uniform: bool


@dataclass(frozen=True, eq=False)
class Tile:
    """A part of a picture: what is cut out, how large it is drawn, and where it counts."""

    box: Box
    size: Size
    mask: Image.Image  # over `box`
    redraw: bool  # of the first pass, not of a seam
    colour: int = 0  # of its square on the chessboard, where that matters

    @property
    def counts(self) -> Box:
        """Where it changes the picture."""
        found = self.mask.getbbox() or (0, 0, 0, 0)
        left, top = self.box[:2]
        return (found[0] + left, found[1] + top, found[2] + left, found[3] + top)


def _whole(side: int) -> int:
    """The next multiple of what a latent pixel stands for."""
    return math.ceil(side / NODE_PX) * NODE_PX


def target_size(size: Size, factor: float) -> Size:
    """The size of a picture made `factor` times as large, in whole pixels of a latent."""
    width, height = (round(side * factor / NODE_PX) * NODE_PX for side in size)
    return width, height


def upscalings(size: Size, target: Size) -> list[int]:
    """The factors by which the script makes a picture larger before it is fitted to `target`."""
    wanted = math.ceil(max(target) / max(size))
    while not _factor(wanted):
        wanted += 1
    scales, reached = [], 1
    while reached < wanted:
        factor = _factor(wanted // reached)
        scales.append(factor)
        if not factor:
            break
        reached *= factor
    return scales


def _factor(number: int) -> int:
    if number == 1:
        return 2
    return next((factor for factor in (4, 3, 2) if number % factor == 0), 0)


def tiles_of(size: Size, tiling: Tiling) -> Iterator[Tile]:
    """The tiles of a picture, in the order in which they are drawn."""
    columns = math.ceil(size[0] / tiling.tile[0])
    rows = math.ceil(size[1] / tiling.tile[1])
    for column, row in _order(tiling.mode, columns, rows):
        yield _first_pass(size, tiling, column, row)
    seams: dict[SeamFix, Callable[[], Iterator[Tile]]] = {
        "None": lambda: iter(()),
        "Band Pass": lambda: _bands(size, tiling, columns, rows),
        "Half Tile": lambda: _half_tiles(size, tiling, columns, rows),
        "Half Tile + Intersections": lambda: _half_tiles_and_corners(size, tiling, columns, rows),
    }
    yield from seams[tiling.seam_fix]()


def _order(mode: Mode, columns: int, rows: int) -> list[tuple[int, int]]:
    """Row by row, or all white squares of a chessboard before the black ones."""
    if mode == "None":
        return []
    places = [(column, row) for row in range(rows) for column in range(columns)]
    if mode == "Chess":
        places.sort(key=lambda place: (place[0] + place[1]) % 2)
    return places


def _first_pass(size: Size, tiling: Tiling, column: int, row: int) -> Tile:
    width, height = tiling.tile
    left, top = column * width, row * height
    mask = Image.new("L", size, "black")
    # Pillow draws the last row and column too, so a tile is a pixel larger than it is.
    ImageDraw.Draw(mask).rectangle((left, top, left + width, top + height), fill="white")
    drawn = target_size((width + tiling.padding, height + tiling.padding), 1)
    tile = _tile(mask, tiling, drawn, tiling.padding, tiling.mask_blur, redraw=True)
    return replace(tile, colour=(column + row) % 2 if tiling.mode == "Chess" else 0)


def _mirrored(size: Size) -> Image.Image:
    """Black at the top and the bottom, white in the middle."""
    width, height = size
    gradient = Image.linear_gradient("L")
    mask = Image.new("L", size, "black")
    half = (width, height // 2)
    mask.paste(gradient.resize(half, Image.Resampling.BICUBIC), (0, 0))
    mask.paste(gradient.rotate(180).resize(half, Image.Resampling.BICUBIC), (0, height // 2))
    return mask


def _mirrored_across(size: Size) -> Image.Image:
    """Black at the left and the right, white in the middle."""
    width, height = size
    gradient = Image.linear_gradient("L")
    mask = Image.new("L", size, "black")
    half = (width // 2, height)
    mask.paste(gradient.rotate(90).resize(half, Image.Resampling.BICUBIC), (0, 0))
    mask.paste(gradient.rotate(270).resize(half, Image.Resampling.BICUBIC), (width // 2, 0))
    return mask


def _half_tiles(size: Size, tiling: Tiling, columns: int, rows: int) -> Iterator[Tile]:
    """Tiles over the seams: below each other, then beside each other."""
    width, height = tiling.tile
    lying, standing = _mirrored(tiling.tile), _mirrored_across(tiling.tile)
    for row in range(rows - 1):
        for column in range(columns):
            place = (column * width, row * height + height // 2)
            yield _over_seam(
                size, tiling, lying, place, drawn=tiling.tile, padding=tiling.seam_padding
            )
    for row in range(rows):
        for column in range(columns - 1):
            place = (column * width + width // 2, row * height)
            yield _over_seam(
                size, tiling, standing, place, drawn=tiling.tile, padding=tiling.seam_padding
            )


def _half_tiles_and_corners(size: Size, tiling: Tiling, columns: int, rows: int) -> Iterator[Tile]:
    yield from _half_tiles(size, tiling, columns, rows)
    width, height = tiling.tile
    gradient = Image.radial_gradient("L").resize(tiling.tile, Image.Resampling.BICUBIC)
    round_ = ImageOps.invert(gradient)
    for row in range(rows - 1):
        for column in range(columns - 1):
            place = (column * width + width // 2, row * height + height // 2)
            yield _over_seam(size, tiling, round_, place, drawn=tiling.tile, padding=0)


def _bands(size: Size, tiling: Tiling, columns: int, rows: int) -> Iterator[Tile]:
    """Bands along the seams: upright, then lying."""
    (width, height), band = tiling.tile, tiling.seam_width
    mirror = _mirrored((GRADIENT, GRADIENT))
    lying = mirror.resize((size[0], band), Image.Resampling.BICUBIC)
    standing = mirror.rotate(90).resize((band, size[1]), Image.Resampling.BICUBIC)
    across = band + 2 * tiling.seam_padding
    for column in range(1, columns):
        place, drawn = (column * width - band // 2, 0), (across, size[1])
        yield _over_seam(
            size, tiling, standing, place, drawn=drawn, padding=tiling.seam_padding, blur=0
        )
    for row in range(1, rows):
        place, drawn = (0, row * height - band // 2), (size[0], across)
        yield _over_seam(
            size, tiling, lying, place, drawn=drawn, padding=tiling.seam_padding, blur=0
        )


def _over_seam(
    size: Size,
    tiling: Tiling,
    part: Image.Image,
    place: tuple[int, int],
    *,
    drawn: Size,
    padding: int,
    blur: int | None = None,
) -> Tile:
    mask = Image.new("L", size, "black")
    mask.paste(part, place)
    own = tiling.seam_blur if blur is None else blur
    return _tile(mask, tiling, drawn, padding, own, redraw=False)


def _tile(
    mask: Image.Image, tiling: Tiling, drawn: Size, padding: int, blur: int, *, redraw: bool
) -> Tile:
    """The tile around the white of `mask`, which is as large as the picture."""
    box = _padded(mask, padding)
    width, height = box[2] - box[0], box[3] - box[1]
    if tiling.uniform:
        ratio = drawn[0] / drawn[1]
        wide = width / height > ratio
        target = (width, round(width / ratio)) if wide else (round(height * ratio), height)
        size = drawn
    else:
        target = size = (_whole(width), _whole(height))
    box = _expanded(box, mask.size, target)
    return Tile(box, size, _blurred(mask, box, blur), redraw)


def _padded(mask: Image.Image, padding: int) -> Box:
    """Around the white, with the last row and column left out where the picture goes on."""
    found = mask.getbbox()
    if found is None:
        problem = "a seam of no width cannot be drawn again"
        raise ValueError(problem)
    left, top = (max(side - padding, 0) for side in found[:2])
    right, bottom = (
        _inside(min(side + padding, end), end)
        for side, end in zip(found[2:], mask.size, strict=True)
    )
    return left, top, right, bottom


def _inside(side: int, end: int) -> int:
    return side - 1 if side < end else side


def _expanded(box: Box, size: Size, target: Size) -> Box:
    left, right = _stretched(box[0], box[2], size[0], target[0])
    top, bottom = _stretched(box[1], box[3], size[1], target[1])
    return left, top, right, bottom


def _stretched(start: int, end: int, limit: int, length: int) -> tuple[int, int]:
    """`start` to `end` made `length` long: by half at the end, by the rest at the start."""
    end = min(end + (length - (end - start)) // 2, limit)
    start = max(start - (length - (end - start)), 0)
    return start, min(end + (length - (end - start)), limit)


def _blurred(mask: Image.Image, box: Box, radius: int) -> Image.Image:
    """What lies in `box` of a mask that is blurred as a whole."""
    if not radius:
        return mask.crop(box)
    reach = REACH * radius + 1
    around = (
        max(box[0] - reach, 0),
        max(box[1] - reach, 0),
        min(box[2] + reach, mask.width),
        min(box[3] + reach, mask.height),
    )
    blurred = mask.crop(around).filter(ImageFilter.GaussianBlur(radius))
    left, top = around[:2]
    return blurred.crop((box[0] - left, box[1] - top, box[2] - left, box[3] - top))


def cut_out(picture: Image.Image, tile: Tile) -> Image.Image:
    """What is drawn again, in the size in which it is."""
    cut = picture.crop(tile.box)
    return cut if cut.size == tile.size else cut.resize(tile.size, Image.Resampling.LANCZOS)


def paste_back(picture: Image.Image, tile: Tile, drawn: Image.Image) -> None:
    """Put what was drawn into the picture, where and as much as its mask says."""
    size = (tile.box[2] - tile.box[0], tile.box[3] - tile.box[1])
    if drawn.size != size:
        drawn = drawn.resize(size, Image.Resampling.LANCZOS)
    below = picture.crop(tile.box).convert("RGBA")
    drawn = drawn.convert("RGBA")
    drawn.putalpha(tile.mask)
    below.alpha_composite(drawn)
    picture.paste(below.convert("RGB"), tile.box[:2])


def in_the_way(earlier: Tile, later: Tile) -> bool:
    """Whether `later` comes out differently when it does not wait for `earlier`."""
    return overlap(earlier.counts, later.box) or overlap(earlier.box, later.counts)


def overlap(one: Box, other: Box) -> bool:
    across = one[0] < other[2] and other[0] < one[2]
    return across and one[1] < other[3] and other[1] < one[3]
