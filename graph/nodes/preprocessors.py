"""Hint makers for ControlNets that need no weights, under the ControlNet-aux pack's names.

Names, inputs, defaults and categories are those of Fannovel16/comfyui_controlnet_aux,
node_wrappers/ and __init__.py.
"""

from typing import Annotated

from graph.node import MayBeAbsent, Widget, node
from graph.stages import Stage
from graph.stages.hints import Hints
from graph.values import Image, Mask

LINES = "ControlNet Preprocessors/Line Extractors"
T2I_ADAPTERS = "ControlNet Preprocessors/T2IAdapter-only"
TILES = "ControlNet Preprocessors/tile"
RECOLOR = "ControlNet Preprocessors/Recolor"

Resolution = Annotated[int, Widget(min=64, max=16384, step=64), MayBeAbsent()]
Level = Annotated[int, Widget(min=0, max=255, step=1), MayBeAbsent()]
Gamma = Annotated[float, Widget(min=0.1, max=2.0, step=0.01), MayBeAbsent()]


@node("CannyEdgePreprocessor", runs_on=Stage.IMAGE, display_name="Canny Edge", category=LINES)
def canny_edges(
    hints: Hints,
    *,
    image: Image,
    low_threshold: Level = 100,
    high_threshold: Level = 200,
    resolution: Resolution = 512,
) -> Image:
    """Draw the edges of pictures."""
    return hints.canny_edges(image, low_threshold, high_threshold, resolution)


@node("PyraCannyPreprocessor", runs_on=Stage.IMAGE, display_name="PyraCanny", category=LINES)
def pyramid_canny(
    hints: Hints,
    *,
    image: Image,
    low_threshold: Level = 64,
    high_threshold: Level = 128,
    resolution: Resolution = 512,
) -> Image:
    """Draw the edges of pictures, the brighter at the more scales they are seen."""
    return hints.pyramid_canny(image, low_threshold, high_threshold, resolution)


@node("ScribblePreprocessor", runs_on=Stage.IMAGE, display_name="Scribble Lines", category=LINES)
def scribble(hints: Hints, *, image: Image, resolution: Resolution = 512) -> Image:
    """Make what is dark black and the rest white."""
    return hints.scribble(image, resolution)


@node(
    "Scribble_XDoG_Preprocessor",
    runs_on=Stage.IMAGE,
    display_name="Scribble XDoG Lines",
    category=LINES,
)
def scribble_xdog(
    hints: Hints,
    *,
    image: Image,
    threshold: Annotated[int, Widget(min=1, max=64, step=1), MayBeAbsent()] = 32,
    resolution: Resolution = 512,
) -> Image:
    """Draw what is darker than its surroundings."""
    return hints.scribble_xdog(image, threshold, resolution)


@node("BinaryPreprocessor", runs_on=Stage.IMAGE, display_name="Binary Lines", category=LINES)
def binary_lines(
    hints: Hints, *, image: Image, bin_threshold: Level = 100, resolution: Resolution = 512
) -> Image:
    """Make what is bright white and the rest black."""
    return hints.binary_lines(image, bin_threshold, resolution)


@node(
    "LineartStandardPreprocessor",
    runs_on=Stage.IMAGE,
    display_name="Standard Lineart",
    category=LINES,
)
def standard_lineart(
    hints: Hints,
    *,
    image: Image,
    guassian_sigma: Annotated[float, Widget(min=0.0, max=100.0, step=0.01), MayBeAbsent()] = 6.0,
    intensity_threshold: Annotated[int, Widget(min=0, max=16, step=1), MayBeAbsent()] = 8,
    resolution: Resolution = 512,
) -> Image:
    """Draw the lines of pictures in light on black."""
    return hints.standard_lineart(image, guassian_sigma, intensity_threshold, resolution)


@node("ColorPreprocessor", runs_on=Stage.IMAGE, display_name="Color Pallete", category=T2I_ADAPTERS)
def color_palette(hints: Hints, *, image: Image, resolution: Resolution = 512) -> Image:
    """Reduce pictures to squares of one colour each."""
    return hints.color_palette(image, resolution)


@node(
    "ShufflePreprocessor",
    runs_on=Stage.IMAGE,
    display_name="Content Shuffle",
    category=T2I_ADAPTERS,
)
def shuffle_content(
    hints: Hints,
    *,
    image: Image,
    resolution: Resolution = 512,
    seed: Annotated[int, Widget(min=0, max=2**64 - 1), MayBeAbsent()] = 0,
) -> Image:
    """Move the content of pictures about."""
    return hints.shuffle_content(image, resolution, seed)


@node("TilePreprocessor", runs_on=Stage.IMAGE, display_name="Tile", category=TILES)
def tile(
    hints: Hints,
    *,
    image: Image,
    pyrUp_iters: Annotated[int, Widget(min=1, max=10, step=1), MayBeAbsent()] = 3,  # noqa: N803
    resolution: Resolution = 512,  # noqa: ARG001 - the pack shows it and takes no notice either
) -> Image:
    """Take the detail out of pictures."""
    return hints.tile(image, pyrUp_iters)


@node(
    "TTPlanet_TileSimple_Preprocessor",
    runs_on=Stage.IMAGE,
    display_name="TTPlanet Tile Simple",
    category=TILES,
)
def tile_simple(
    hints: Hints,
    *,
    image: Image,
    scale_factor: Annotated[float, Widget(min=1.0, max=8.0, step=0.01), MayBeAbsent()] = 1.0,
    blur_strength: Annotated[float, Widget(min=1.0, max=10.0, step=0.01), MayBeAbsent()] = 2.0,
) -> Image:
    """Take the detail out of pictures by scaling and a blur."""
    return hints.tile_simple(image, scale_factor, blur_strength)


@node(
    "ImageLuminanceDetector",
    runs_on=Stage.IMAGE,
    display_name="Image Luminance",
    category=RECOLOR,
)
def luminance(
    hints: Hints, *, image: Image, gamma_correction: Gamma = 1.0, resolution: Resolution = 512
) -> Image:
    """Take the colours out of pictures, by lightness."""
    return hints.luminance(image, gamma_correction, resolution)


@node(
    "ImageIntensityDetector",
    runs_on=Stage.IMAGE,
    display_name="Image Intensity",
    category=RECOLOR,
)
def intensity(
    hints: Hints, *, image: Image, gamma_correction: Gamma = 1.0, resolution: Resolution = 512
) -> Image:
    """Take the colours out of pictures, by the brightest of them."""
    return hints.intensity(image, gamma_correction, resolution)


@node(
    "InpaintPreprocessor",
    runs_on=Stage.IMAGE,
    display_name="Inpaint Preprocessor",
    category="ControlNet Preprocessors/others",
)
def inpaint_hint(
    hints: Hints,
    *,
    image: Image,
    mask: Mask,
    black_pixel_for_xinsir_cn: Annotated[bool, MayBeAbsent()] = False,
) -> Image:
    """Cut out of pictures what is to be painted anew."""
    return hints.inpaint_hint(image, mask, black=black_pixel_for_xinsir_cn)
