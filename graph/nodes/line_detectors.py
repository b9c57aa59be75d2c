"""Hint makers that find edges and lines by a network, under the ControlNet-aux pack's names."""

from collections.abc import Mapping
from typing import Annotated, Literal

from graph.annotators import (
    HED,
    LINEART,
    LINEART_ANIME,
    LINEART_COARSE,
    LINEART_MANGA,
    MLSD,
    MTEED,
    PIDINET,
    TEED,
    Annotator,
    always,
    chosen_from,
)
from graph.node import Choices, MayBeAbsent, Widget, node
from graph.stages import Stage
from graph.stages.hints import LineDetectors
from graph.stages.image import ImageFunctions
from graph.values import Image

LINES = "ControlNet Preprocessors/Line Extractors"

Resolution = Annotated[int, Widget(min=64, max=16384, step=64), MayBeAbsent()]
On = Annotated[str, Choices(("enable", "disable")), MayBeAbsent()]
Off = Annotated[str, Choices(("disable", "enable")), MayBeAbsent()]
Share = Annotated[float, Widget(min=0, max=1, step=0.01), MayBeAbsent()]
Count = Annotated[int, Widget(min=1, max=16384, step=1), MayBeAbsent()]
Lines = Literal["lineart_standard", "lineart_realisitic", "lineart_anime", "manga_line"]


@node(
    "HEDPreprocessor",
    runs_on=Stage.IMAGE,
    display_name="HED Soft-Edge Lines",
    category=LINES,
    weights=always(HED),
)
def hed_edges(
    hints: LineDetectors, *, image: Image, safe: On = "enable", resolution: Resolution = 512
) -> Image:
    """Draw the soft edges of pictures."""
    return hints.hed_edges(hints.detectors, image, resolution, safe=safe == "enable")


@node(
    "FakeScribblePreprocessor",
    runs_on=Stage.IMAGE,
    display_name="Fake Scribble Lines (aka scribble_hed)",
    category=LINES,
    weights=always(HED),
)
def hed_scribble(
    hints: LineDetectors, *, image: Image, safe: On = "enable", resolution: Resolution = 512
) -> Image:
    """Draw the edges of pictures in strokes of one width."""
    return hints.hed_edges(hints.detectors, image, resolution, safe=safe == "enable", scribble=True)


@node(
    "PiDiNetPreprocessor",
    runs_on=Stage.IMAGE,
    display_name="PiDiNet Soft-Edge Lines",
    category=LINES,
    weights=always(PIDINET),
)
def pidinet_edges(
    hints: LineDetectors, *, image: Image, safe: On = "enable", resolution: Resolution = 512
) -> Image:
    """Draw the soft edges of pictures."""
    return hints.pidinet_edges(hints.detectors, image, resolution, safe=safe == "enable")


@node(
    "Scribble_PiDiNet_Preprocessor",
    runs_on=Stage.IMAGE,
    display_name="Scribble PiDiNet Lines",
    category=LINES,
    weights=always(PIDINET),
)
def pidinet_scribble(
    hints: LineDetectors, *, image: Image, safe: On = "enable", resolution: Resolution = 512
) -> Image:
    """Draw the edges of pictures in strokes of one width."""
    return hints.pidinet_edges(
        hints.detectors, image, resolution, safe=safe == "enable", scribble=True
    )


@node("TEEDPreprocessor", runs_on=Stage.IMAGE, category=LINES, weights=always(TEED))
def teed_edges(
    hints: LineDetectors,
    *,
    image: Image,
    safe_steps: Annotated[int, Widget(min=0, max=10, step=1), MayBeAbsent()] = 2,
    resolution: Resolution = 512,
) -> Image:
    """Draw the soft edges of pictures."""
    return hints.teed_edges(hints.detectors, image, resolution, safe_steps=safe_steps)


@node(
    "LineArtPreprocessor",
    runs_on=Stage.IMAGE,
    display_name="Realistic Lineart",
    category=LINES,
    weights=chosen_from({"disable": LINEART, "enable": LINEART_COARSE}, "coarse"),
)
def realistic_lineart(
    hints: LineDetectors, *, image: Image, coarse: Off = "disable", resolution: Resolution = 512
) -> Image:
    """Draw the lines of photographs."""
    return hints.realistic_lineart(hints.detectors, image, resolution, coarse=coarse == "enable")


@node(
    "AnimeLineArtPreprocessor",
    runs_on=Stage.IMAGE,
    display_name="Anime Lineart",
    category=LINES,
    weights=always(LINEART_ANIME),
)
def anime_lineart(hints: LineDetectors, *, image: Image, resolution: Resolution = 512) -> Image:
    """Draw the lines of pictures in the manner of anime."""
    return hints.anime_lineart(hints.detectors, image, resolution)


@node(
    "Manga2Anime_LineArt_Preprocessor",
    runs_on=Stage.IMAGE,
    display_name="Manga Lineart (aka lineart_anime_denoise)",
    category=LINES,
    weights=always(LINEART_MANGA),
)
def manga_lineart(hints: LineDetectors, *, image: Image, resolution: Resolution = 512) -> Image:
    """Draw the lines of manga without their screen tones."""
    return hints.manga_lineart(hints.detectors, image, resolution)


@node(
    "M-LSDPreprocessor",
    runs_on=Stage.IMAGE,
    display_name="M-LSD Lines",
    category=LINES,
    weights=always(MLSD),
)
def straight_lines(
    hints: LineDetectors,
    *,
    image: Image,
    score_threshold: Annotated[float, Widget(min=0.01, max=2.0, step=0.01), MayBeAbsent()] = 0.1,
    dist_threshold: Annotated[float, Widget(min=0.01, max=20.0, step=0.01), MayBeAbsent()] = 0.1,
    resolution: Resolution = 512,
) -> Image:
    """Draw the straight lines of pictures."""
    return hints.straight_lines(
        hints.detectors,
        image,
        resolution,
        score_threshold=score_threshold,
        length_threshold=dist_threshold,
    )


ANYLINE_WEIGHTS: Mapping[str, tuple[Annotator, ...]] = {
    "lineart_standard": (MTEED,),
    "lineart_realisitic": (MTEED, LINEART),
    "lineart_anime": (MTEED, LINEART_ANIME),
    "manga_line": (MTEED, LINEART_MANGA),
}


@node(
    "AnyLineArtPreprocessor_aux",
    runs_on=Stage.IMAGE,
    display_name="AnyLine Lineart",
    category=LINES,
    outputs=("image",),
    weights=lambda constants: ANYLINE_WEIGHTS.get(constants.get("merge_with_lineart", ""), ()),
)
def any_lines(
    hints: ImageFunctions,
    *,
    image: Image,
    merge_with_lineart: Annotated[Lines, MayBeAbsent()] = "lineart_standard",
    resolution: Annotated[int, Widget(min=64, max=16384, step=8), MayBeAbsent()] = 1280,
    lineart_lower_bound: Share = 0,
    lineart_upper_bound: Share = 1,
    object_min_size: Count = 36,
    object_connectivity: Count = 1,
) -> Image:
    """Draw the soft edges and the lines of pictures over each other."""
    edges = hints.teed_edges(hints.detectors, image, resolution, safe_steps=2, weights=MTEED)
    if merge_with_lineart == "lineart_standard":
        lines = hints.standard_lineart(image, 2.0, 3.0, resolution)
    elif merge_with_lineart == "lineart_realisitic":
        lines = hints.realistic_lineart(hints.detectors, image, resolution, coarse=False)
    elif merge_with_lineart == "lineart_anime":
        lines = hints.anime_lineart(hints.detectors, image, resolution)
    else:
        lines = hints.manga_lineart(hints.detectors, image, resolution)
    return hints.any_lines(
        edges,
        lines,
        bounds=(lineart_lower_bound, lineart_upper_bound),
        smallest_px=object_min_size,
        connectivity=object_connectivity,
    )
