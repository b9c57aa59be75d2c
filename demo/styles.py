"""Two ways to make a drawn picture look: what the LoRAs learn."""

from collections.abc import Mapping
from typing import Literal

import cv2
import numpy as np

from demo.drawing import SIDE, Picture, Style, as_bytes

StyleName = Literal["night", "crayon"]
MOONLIGHT = np.array([0.30, 0.36, 0.62], dtype=np.float32)
NIGHT_SKY = np.array([4, 8, 26], dtype=np.float32)
PAPER = np.array([250, 246, 235], dtype=np.float32)


def night(picture: Picture, rng: np.random.Generator) -> Picture:
    """Dark and bluish, darker towards the corners."""
    y, x = (np.indices((SIDE, SIDE), dtype=np.float32) - SIDE / 2) / (SIDE / 2)
    light = 1.05 - 0.35 * (x**2 + y**2) / 2 + rng.uniform(-0.03, 0.03)
    lit = picture * MOONLIGHT * light[..., None].astype(np.float32) + NIGHT_SKY
    return as_bytes(lit)


def crayon(picture: Picture, rng: np.random.Generator) -> Picture:
    """Strokes from lower left to upper right, between which the paper shows."""
    noise = rng.standard_normal((SIDE, SIDE)).astype(np.float32)
    along = np.fliplr(np.eye(21, dtype=np.float32)) / 21
    strokes = cv2.GaussianBlur(
        cv2.filter2D(noise, -1, along, borderType=cv2.BORDER_WRAP), (0, 0), 1.3
    )
    strokes = strokes / strokes.std()
    bare = np.clip(0.24 + 0.28 * strokes, 0, 0.8)[..., None]
    drawn = picture + (PAPER - picture) * bare
    return as_bytes(drawn)


STYLES: Mapping[StyleName, Style] = {"night": night, "crayon": crayon}
