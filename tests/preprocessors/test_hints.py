"""Hint makers without weights, against what the ControlNet-aux pack draws.

tests/contract/hints.npz holds a picture and, by function and resolution, what the detector classes
of Fannovel16/comfyui_controlnet_aux 1.1.5 (Apache-2.0) made of it with OpenCV 5.0; grey results as
one channel.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from graph.controlnet_types import AS_GIVEN, PREPROCESSOR_OF_TYPE
from graph.node import declared_in
from graph.nodes import load_node_types, preprocessors
from graph.nodes.any_preprocessor import BY_NAME, any_hint
from graph.stages import Stage
from imaging.sizes import BatchMismatchError, EmptyImageError, ImageTooLargeError
from preprocessors.binary import binary_lines
from preprocessors.canny_edges import canny_edges
from preprocessors.color import color_palette
from preprocessors.inpaint import inpaint_hint
from preprocessors.lineart_standard import standard_lineart
from preprocessors.pictures import HintError, three_channels
from preprocessors.pyracanny import pyramid_canny
from preprocessors.recolor import intensity, luminance
from preprocessors.scribble import scribble, scribble_xdog
from preprocessors.shuffle import shuffle_content
from preprocessors.tile import tile, tile_simple

RECORDED = Path(__file__).parents[1] / "contract" / "hints.npz"
DRAWN: dict[str, Callable[[Tensor], Tensor]] = {
    "canny_edges/64": lambda image: canny_edges(image, 100, 200, 64),
    "canny_edges/128": lambda image: canny_edges(image, 100, 200, 128),
    "pyramid_canny/64": lambda image: pyramid_canny(image, 64, 128, 64),
    "scribble/64": lambda image: scribble(image, 64),
    "scribble/128": lambda image: scribble(image, 128),
    "scribble_xdog/64": lambda image: scribble_xdog(image, 32, 64),
    "binary_lines/64": lambda image: binary_lines(image, 100, 64),
    "binary_lines/otsu": lambda image: binary_lines(image, 0, 64),
    "standard_lineart/64": lambda image: standard_lineart(image, 6.0, 8, 64),
    "color_palette/64": lambda image: color_palette(image, 64),
    "shuffle_content/64": lambda image: shuffle_content(image, 64, seed=5),
    "luminance/64": lambda image: luminance(image, 0.7, 64),
    "intensity/64": lambda image: intensity(image, 0.7, 64),
    "tile/1": lambda image: tile(image, 1),
    "tile/3": lambda image: tile(image, 3),
    "tile_simple": lambda image: tile_simple(image, 2.5, 4.0),
}


def recorded(name: str) -> Tensor:
    with np.load(RECORDED) as archive:
        return torch.from_numpy(archive[name].astype(np.float32) / 255)[None]


@pytest.mark.parametrize("name", DRAWN)
def test_a_hint_is_the_packs(name: str) -> None:
    hint, expected = DRAWN[name](recorded("picture")), recorded(name)
    assert hint.shape == (*expected.shape[:3], 3)
    off = (hint - expected).abs()  # one level of rounding moves a few pixels over a threshold
    assert off.mean() < 0.5 / 255
    assert (off > 2 / 255).float().mean() < 0.01


def test_every_picture_of_a_batch_is_drawn_for_itself() -> None:
    picture = recorded("picture")
    pair = luminance(torch.cat([picture, picture.flip(2)]), 1.0, 64)
    assert torch.equal(pair[:1], luminance(picture, 1.0, 64))
    assert torch.equal(pair[1:], luminance(picture.flip(2), 1.0, 64))


def test_hints_leave_the_picture_as_it_was() -> None:
    picture = recorded("picture")
    for draw in DRAWN.values():
        draw(picture)
    assert torch.equal(picture, recorded("picture"))


@pytest.mark.parametrize("name", DRAWN)
def test_an_even_picture_gives_a_hint_of_numbers(name: str) -> None:
    hint = DRAWN[name](torch.full((1, 70, 90, 3), 0.5))
    assert ((hint >= 0) & (hint <= 1)).all()


def test_seeds_decide_the_flow() -> None:
    picture = recorded("picture")
    again, other = (shuffle_content(picture, 64, seed) for seed in (0, 1))
    assert torch.equal(shuffle_content(picture, 64, seed=0), again)
    assert not torch.equal(again, other)


def test_the_hole_is_where_the_mask_says() -> None:
    image, mask = torch.full((2, 4, 4, 3), 0.25), torch.zeros(1, 4, 4)
    mask[:, 1, 2] = 1
    holes = inpaint_hint(image, mask) == -1
    assert holes.sum() == 2 * 3
    assert holes[:, 1, 2].all()
    assert inpaint_hint(image, mask, black=True)[0, 1, 2].tolist() == [0, 0, 0]


def test_a_mask_is_brought_to_the_size_of_the_picture() -> None:
    hint = inpaint_hint(torch.ones(1, 8, 8, 4), torch.ones(2, 2))
    assert (hint == -1).all()


def test_masks_for_another_number_of_pictures_are_refused() -> None:
    with pytest.raises(BatchMismatchError):
        inpaint_hint(torch.ones(2, 8, 8, 3), torch.ones(3, 8, 8))


def test_alpha_lies_over_white() -> None:
    clear = np.zeros((1, 1, 4), dtype=np.uint8)
    assert three_channels(clear).tolist() == [[[255, 255, 255]]]


def test_a_hint_too_large_is_refused_before_it_is_made() -> None:
    sliver = torch.zeros(1, 1, 5000, 3)
    for draw in (canny_edges, pyramid_canny):
        with pytest.raises(ImageTooLargeError):
            draw(sliver, 100, 200, 16384)
    with pytest.raises(ImageTooLargeError):
        color_palette(sliver, 16384)


def test_a_picture_that_opencv_refuses_says_why() -> None:
    with pytest.raises(HintError, match="600 × 1"):  # remap takes sides below 2 ** 15
        shuffle_content(torch.zeros(1, 1, 600, 3), 64, seed=1)


def test_a_picture_that_would_shrink_to_nothing_is_refused() -> None:
    with pytest.raises(EmptyImageError):
        tile(torch.zeros(1, 64, 64, 3), 10)
    with pytest.raises(EmptyImageError):
        tile_simple(torch.zeros(1, 4, 4, 3), 8.0, 2.0)


class Everything:
    """All hint makers by name, as the image stage offers them."""

    def __getattr__(self, name: str) -> Any:
        return globals()[name]


@pytest.mark.parametrize("name", sorted(declared_in(preprocessors).keys() & BY_NAME.keys()))
def test_the_node_of_all_preprocessors_runs_each_with_its_defaults(name: str) -> None:
    picture = recorded("picture")
    hints: Any = Everything()
    hint = any_hint(hints, image=picture, preprocessor=name, resolution=512)
    assert torch.equal(hint, BY_NAME[name].function(hints, image=picture))


def test_the_node_of_all_preprocessors_may_do_nothing() -> None:
    picture = recorded("picture")
    hints: Any = Everything()
    assert any_hint(hints, image=picture, preprocessor="none", resolution=512) is picture


def test_the_names_offered_are_node_types() -> None:
    types = load_node_types()
    assert {name: types[name] for name in BY_NAME} == dict(BY_NAME)
    assert all(node_type.stage == Stage.IMAGE for node_type in BY_NAME.values())


def test_hosted_types_are_node_types_but_for_face_meshes() -> None:
    offered = {AS_GIVEN, *load_node_types()}
    missing = {name for name, node in PREPROCESSOR_OF_TYPE.items() if node not in offered}
    assert missing == {"face_detector"}
