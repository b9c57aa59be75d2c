"""The drawing program and the judge, against each other."""

from collections import Counter

import numpy as np
import pytest

from demo.captions import caption, full_caption
from demo.drawing import SIDE, draw
from demo.judge import agreement, judge
from demo.scenes import COLORS, SHAPES, Background, Scene, is_held_out, random_scene
from demo.styles import STYLES

PICTURES = 300


def random_scenes(count: int, seed: int = 1) -> list[Scene]:
    rng = np.random.default_rng(seed)
    return [random_scene(rng, held_out=i % 2 == 0) for i in range(count)]


def test_the_judge_finds_what_was_drawn() -> None:
    rng = np.random.default_rng(2)
    right: Counter[str] = Counter()
    for scene in random_scenes(PICTURES):
        found = agreement(scene, judge(draw(scene, rng)))
        right.update(name for name, is_right in found.items() if is_right)
    assert all(right[name] >= 0.98 * PICTURES for name in agreement(scene, judge(draw(scene, rng))))


def test_the_judge_finds_nothing_where_nothing_is() -> None:
    seen = judge(np.full((SIDE, SIDE, 3), (30, 70, 210), dtype=np.uint8))
    assert (seen.background, seen.count, seen.shape) == (Background("blue"), 0, None)


def test_a_seed_draws_the_same_pictures() -> None:
    scene = Scene("star", "red", Background("white", "gradient"), count=3, place="row")
    one, again, other = (draw(scene, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_training_never_sees_what_is_held_out() -> None:
    rng = np.random.default_rng(5)
    trained = {(s.shape, s.color) for s in (random_scene(rng) for _ in range(2000))}
    held_out = {(shape, c) for shape in SHAPES for c in COLORS if is_held_out(shape, c)}
    assert trained.isdisjoint(held_out)
    assert len(trained) + len(held_out) == len(SHAPES) * len(COLORS)
    assert {color for _, color in held_out} == set(COLORS)
    assert {shape for shape, _ in held_out} == set(SHAPES)


@pytest.mark.parametrize(
    ("scene", "text"),
    [
        (Scene("circle", "red", Background("blue")), "a red circle in the center"),
        (
            Scene("star", "green", Background("white"), 2, "column", "small"),
            "two small green stars one above the other on a white background",
        ),
        (
            Scene("cross", "orange", Background("cyan", "checkered"), 3, "row", fill="dotted"),
            "three dotted orange crosses side by side on a cyan checkered background",
        ),
    ],
)
def test_a_full_caption_says_everything(scene: Scene, text: str) -> None:
    assert full_caption(scene).startswith(text)


def test_captions_of_a_scene_vary_and_always_name_shape_and_color() -> None:
    rng = np.random.default_rng(6)
    scene = Scene("ring", "purple", Background("yellow", "gradient"), place="left")
    texts = {caption(scene, rng) for _ in range(100)}
    assert len(texts) > 50
    assert all("purple ring" in text for text in texts)


def test_styles_change_pictures_as_their_statistics_say() -> None:
    rng = np.random.default_rng(7)
    picture = draw(Scene("circle", "red", Background("yellow")), rng)
    night, crayon = (STYLES[name](picture, rng) for name in ("night", "crayon"))
    assert night.mean() < picture.mean() / 2
    assert (
        np.abs(np.diff(crayon.astype(int), axis=0)).mean()
        > 3 * np.abs(np.diff(picture.astype(int), axis=0)).mean()
    )
