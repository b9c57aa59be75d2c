"""Edges and lines by networks, against controlnet-aux's own classes over the same files."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from torch import nn

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
)
from preprocessors.anyline import any_lines
from preprocessors.hed import hed_edges
from preprocessors.lineart import realistic_lineart
from preprocessors.lineart_anime import anime_lineart
from preprocessors.lineart_manga import MangaLines, manga_lineart
from preprocessors.lineart_standard import standard_lineart
from preprocessors.mlsd import straight_lines
from preprocessors.pidinet import pidinet_edges
from preprocessors.teed import teed_edges
from tests.preprocessors.annotator_files import (
    Levels,
    as_image,
    as_levels,
    detectors,
    library,
    lively,
    picture,
    put,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
RECORDED = Path(__file__).parents[1] / "contract" / "manga_lines.npz"
SAME = {"detect_resolution": 64, "image_resolution": 64, "output_type": "np"}


def theirs(detector: Any, **options: Any) -> Levels:
    return np.asarray(detector(picture(), **SAME, **options))


def assert_same(hint: Any, expected: Levels) -> None:
    """Equal but for a level here and there, and not a blank."""
    drawn = as_levels(hint)
    assert drawn.shape == expected.shape
    assert expected.std() > 5
    off = np.abs(drawn.astype(int) - expected)
    assert (off > 1).mean() < 0.002


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("scribble", [True, False])
def test_hed_edges_are_the_librarys(tmp_path: Path, *, safe: bool, scribble: bool) -> None:
    hed = library("hed")
    network = lively(hed.ControlNetHED_Apache2(), gain=0.7)
    network.get_parameter("norm").data.fill_(128.0)
    folder = put(tmp_path, network.state_dict(), HED)
    expected = theirs(hed.HEDdetector.from_pretrained(folder), safe=safe, scribble=scribble)
    image = as_image(picture())
    hint = hed_edges(detectors(tmp_path), image, 64, safe=safe, scribble=scribble)
    assert_same(hint, expected)


def trained(network: Any) -> Mapping[str, Any]:
    """A state dict as training on several GPUs leaves it."""
    return {f"module.{key}": value for key, value in network.state_dict().items()}


@pytest.mark.parametrize("safe", [True, False])
def test_pidinet_edges_are_the_librarys(tmp_path: Path, *, safe: bool) -> None:
    pidi = library("pidi")
    weights = {"state_dict": trained(lively(pidi.pidinet())), "epoch": 19}
    folder = put(tmp_path, weights, PIDINET)
    expected = theirs(pidi.PidiNetDetector.from_pretrained(folder), safe=safe)
    assert_same(pidinet_edges(detectors(tmp_path), as_image(picture()), 64, safe=safe), expected)


def test_a_pidinet_scribble_is_drawn_twice_over(tmp_path: Path) -> None:
    pidi, util = library("pidi"), library("util")
    put(tmp_path, {"state_dict": trained(lively(pidi.pidinet()))}, PIDINET)
    folder = tmp_path / "annotators" / "lllyasviel" / "Annotators"
    once = theirs(pidi.PidiNetDetector.from_pretrained(folder), safe=True, scribble=True)
    blurred = cv2.GaussianBlur(util.nms(once, 127, 3.0), (0, 0), 3.0)
    expected = np.where(blurred > 4, 255, 0).astype(np.uint8)
    image = as_image(picture())
    assert_same(pidinet_edges(detectors(tmp_path), image, 64, safe=True, scribble=True), expected)


@pytest.mark.parametrize("safe_steps", [0, 2, 7])
def test_teed_edges_are_the_librarys(tmp_path: Path, safe_steps: int) -> None:
    teed = library("teed")
    folder = put(tmp_path, lively(teed.TED()).state_dict(), TEED)
    detector = teed.TEEDdetector.from_pretrained(folder, "7_model.pth")
    detector.model.eval()
    expected = detector(picture(), 64, safe_steps=safe_steps, output_type="np")
    hint = teed_edges(detectors(tmp_path), as_image(picture()), 64, safe_steps=safe_steps)
    assert_same(hint, expected)


@pytest.mark.parametrize("coarse", [True, False])
def test_realistic_lines_are_the_librarys(tmp_path: Path, *, coarse: bool) -> None:
    lineart = library("lineart")
    for seed, annotator in enumerate((LINEART, LINEART_COARSE)):
        folder = put(tmp_path, lively(lineart.Generator(3, 1, 3), seed).state_dict(), annotator)
    expected = theirs(lineart.LineartDetector.from_pretrained(folder), coarse=coarse)
    hint = realistic_lineart(detectors(tmp_path), as_image(picture()), 64, coarse=coarse)
    assert_same(hint, expected)


def test_anime_lines_are_the_librarys(tmp_path: Path) -> None:
    anime = library("lineart_anime")
    norm = partial(nn.InstanceNorm2d, affine=False, track_running_stats=False)
    network = lively(anime.UnetGenerator(3, 1, 8, 64, norm_layer=norm, use_dropout=False))
    folder = put(tmp_path, trained(network), LINEART_ANIME)
    detector = anime.LineartAnimeDetector.from_pretrained(folder)
    expected = np.asarray(
        detector(picture(256, 256), detect_resolution=256, image_resolution=256, output_type="np")
    )
    assert_same(anime_lineart(detectors(tmp_path), as_image(picture(256, 256)), 256), expected)


def test_manga_lines_are_the_packs(tmp_path: Path) -> None:
    """Recorded from custom_controlnet_aux/manga_line of the pack's 1.1.x, over the same weights."""
    put(tmp_path, trained(lively(MangaLines(), gain=0.55)), LINEART_MANGA)
    with np.load(RECORDED) as archive:
        expected = np.repeat(archive["hint"][..., None], 3, axis=2)
    hint = manga_lineart(detectors(tmp_path), as_image(picture(256, 256)), 100)
    assert_same(hint[:, ::4, ::4], expected)


@pytest.mark.parametrize("thresholds", [(0.1, 0.1), (0.5, 5.0)])
def test_straight_lines_are_the_librarys(tmp_path: Path, thresholds: tuple[float, float]) -> None:
    mlsd = library("mlsd")
    network = lively(mlsd.MobileV2_MLSD_Large())
    folder = put(tmp_path, network.state_dict(), MLSD)
    score, length = thresholds
    expected = theirs(mlsd.MLSDdetector.from_pretrained(folder), thr_v=score, thr_d=length)
    hint = straight_lines(
        detectors(tmp_path),
        as_image(picture()),
        64,
        score_threshold=score,
        length_threshold=length,
    )
    assert_same(hint, expected)


def test_no_straight_line_leaves_the_hint_black(tmp_path: Path) -> None:
    put(tmp_path, lively(library("mlsd").MobileV2_MLSD_Large()).state_dict(), MLSD)
    hint = straight_lines(
        detectors(tmp_path), as_image(picture()), 64, score_threshold=2.0, length_threshold=0.1
    )
    assert not hint.any()


def test_any_lines_are_the_librarys(tmp_path: Path) -> None:
    anyline, teed = library("anyline"), library("teed")
    folder = put(tmp_path, lively(teed.TED()).state_dict(), MTEED)
    detector = anyline.AnylineDetector.from_pretrained(folder, "MTEED.pth")
    detector.model.eval()
    whole = np.asarray(detector(picture(), detect_resolution=64, output_type="np"))
    image = as_image(picture())
    edges = teed_edges(detectors(tmp_path), image, 64, safe_steps=2, weights=MTEED)
    lines = standard_lineart(image, 2.0, 3, 64)
    hint = any_lines(edges, lines, bounds=(0, 1), smallest_px=36, connectivity=1)
    # The package mixes bytes, which wrap around: only where one of the two is black do they agree.
    alone = (as_levels(edges) == 0) | (as_levels(lines) == 0)
    assert alone.mean() > 0.3
    assert (as_levels(hint)[alone] == whole[alone]).mean() > 0.99
