"""What a drawn scene is: the words that describe it, and which of them go together."""

from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

Shape = Literal["circle", "square", "triangle", "star", "ring", "cross"]
Color = Literal[
    "red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "white", "black"
]
Size = Literal["small", "medium", "large"]
Fill = Literal["plain", "striped", "dotted"]
Pattern = Literal["plain", "gradient", "checkered"]
Place = Literal["left", "right", "top", "bottom", "center", "row", "column"]

SHAPES: tuple[Shape, ...] = get_args(Shape)
COLORS: tuple[Color, ...] = get_args(Color)
SIZES: tuple[Size, ...] = get_args(Size)
FILLS: tuple[Fill, ...] = get_args(Fill)
PATTERNS: tuple[Pattern, ...] = get_args(Pattern)
PLACES_OF_ONE: tuple[Place, ...] = ("left", "right", "top", "bottom", "center")
PLACES_OF_MANY: tuple[Place, ...] = ("row", "column")

RGB: dict[Color, tuple[int, int, int]] = {
    "red": (220, 30, 40),
    "orange": (255, 140, 0),
    "yellow": (250, 220, 40),
    "green": (30, 150, 60),
    "cyan": (60, 210, 220),
    "blue": (30, 70, 210),
    "purple": (130, 40, 170),
    "pink": (250, 130, 180),
    "white": (245, 245, 245),
    "black": (20, 20, 20),
}
T = TypeVar("T")

FADES_THROUGH: dict[Color, Color] = {"red": "pink", "orange": "yellow"}
PLAIN_SHARE = 0.65  # of fills and of backgrounds; the other kinds share the rest


@dataclass(frozen=True)
class Background:
    """One color over all, from the top down to white, or in tiles that alternate with white."""

    color: Color
    pattern: Pattern = "plain"


@dataclass(frozen=True)
class Scene:
    """One to three equal shapes. A lone one has a place; several stand in a row or a column."""

    shape: Shape
    color: Color
    background: Background
    count: int = 1
    place: Place = "center"
    size: Size = "medium"
    fill: Fill = "plain"


def shades(color: Color) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A color, and the one its stripes and dots have: lighter where it is dark, else darker."""
    rgb = np.array(RGB[color], dtype=np.float64)
    dark = rgb @ (0.299, 0.587, 0.114) < 140
    return rgb, rgb + (255 - rgb) * 0.55 if dark else rgb * 0.5


def is_held_out(shape: Shape, color: Color) -> bool:
    """Whether training never sees this shape in this color: ten pairs, and no color twice."""
    return SHAPES.index(shape) == (COLORS.index(color) * 5 + 2) % len(SHAPES)


def can_be_seen(color: Color, background: Background) -> bool:
    """Whether a shape of `color` stands out everywhere on `background`."""
    if background.pattern == "plain":
        return color != background.color
    passes = background.pattern == "gradient" and FADES_THROUGH.get(background.color) == color
    return color not in {background.color, "white"} and not passes


def can_be_filled(color: Color, background: Background) -> bool:
    """Whether the second shade of `color` stands out, too, so that outlines stay whole."""
    lights = [RGB[background.color]] + [RGB["white"]] * (background.pattern != "plain")
    return bool(np.linalg.norm(shades(color)[1] - np.array(lights), axis=1).min() > 90)


def random_scene(rng: np.random.Generator, *, held_out: bool = False) -> Scene:
    """A scene of training, or with `held_out` one that training never sees."""
    while True:
        shape, color, background = _one(rng, SHAPES), _one(rng, COLORS), _background(rng)
        if is_held_out(shape, color) == held_out and can_be_seen(color, background):
            break
    fill = _mostly_first(rng, FILLS)
    count = int(rng.choice([1, 2, 3], p=[0.5, 0.3, 0.2]))
    return Scene(
        shape=shape,
        color=color,
        background=background,
        count=count,
        place=_one(rng, PLACES_OF_ONE if count == 1 else PLACES_OF_MANY),
        size=_one(rng, SIZES),
        fill=fill if can_be_filled(color, background) else "plain",
    )


def _background(rng: np.random.Generator) -> Background:
    pattern = _mostly_first(rng, PATTERNS)
    colors = COLORS if pattern == "plain" else tuple(c for c in COLORS if c != "white")
    return Background(_one(rng, colors), pattern)


def _one(rng: np.random.Generator, choices: tuple[T, ...]) -> T:
    return choices[int(rng.integers(len(choices)))]


def _mostly_first(rng: np.random.Generator, choices: tuple[T, ...]) -> T:
    return choices[0] if rng.random() < PLAIN_SHARE else _one(rng, choices[1:])
