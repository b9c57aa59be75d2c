"""Scenes to words, in several ways."""

import numpy as np

from demo.scenes import Background, Place, Scene

NUMBERS = {2: ("two", "2"), 3: ("three", "3")}
PLACES: dict[Place, tuple[str, ...]] = {
    "left": ("on the left", "at the left", "to the left", "on the left side"),
    "right": ("on the right", "at the right", "to the right", "on the right side"),
    "top": ("at the top", "on top", "near the top"),
    "bottom": ("at the bottom", "near the bottom", "down at the bottom"),
    "center": ("in the center", "in the middle", "in the centre", "centered"),
    "row": ("side by side", "next to each other", "in a row"),
    "column": ("one above the other", "stacked", "in a column"),
}
ORDERS = (
    "{subject} {place} on {background}",
    "{subject} on {background}, {place}",
    "{subject}, {place}, on {background}",
    "{background} with {subject} {place}",
    "on {background}, {subject} {place}",
    "{subject} on {background} {place}",
)
PREFIXES = ("", "", "", "", "a picture of ", "a drawing of ")
# How often what need not be said is said.
PLACE_SAID, BACKGROUND_SAID, SIZE_SAID, FILL_SAID, USUAL_SAID = 0.8, 0.95, 0.9, 0.95, 0.1


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """One of many descriptions of `scene`, some of which leave something out."""
    if rng.random() > BACKGROUND_SAID:
        place = f" {_one(rng, PLACES[scene.place])}" if rng.random() < PLACE_SAID else ""
        return subject(scene, rng) + place
    place = _one(rng, PLACES[scene.place]) if rng.random() < PLACE_SAID else ""
    order = _one(rng, ORDERS) if place else "{subject} on {background}"
    return _one(rng, PREFIXES) * (order[:9] == "{subject}") + order.format(
        subject=subject(scene, rng), place=place, background=_background(scene.background, rng)
    )


def full_caption(scene: Scene) -> str:
    """The plainest description that leaves nothing out."""
    size = "" if scene.size == "medium" else f"{scene.size} "
    fill = "" if scene.fill == "plain" else f"{scene.fill} "
    kind = scene.background.pattern
    ground = f"{scene.background.color} {'' if kind == 'plain' else kind + ' '}background"
    noun = f"{size}{fill}{scene.color} {scene.shape}"
    many = _plural(noun) if scene.count > 1 else noun
    number = NUMBERS[scene.count][0] if scene.count > 1 else _article(noun)
    return f"{number} {many} {PLACES[scene.place][0]} on {_article(ground)} {ground}"


def subject(scene: Scene, rng: np.random.Generator) -> str:
    """The shapes with their number, size, fill and color, such as "two small red stars"."""
    said = SIZE_SAID if scene.size != "medium" else USUAL_SAID
    size = f"{scene.size} " if rng.random() < said else ""
    said = FILL_SAID if scene.fill != "plain" else USUAL_SAID
    fill = f"{scene.fill} " if rng.random() < said else ""
    noun = f"{size}{fill}{scene.color} {scene.shape}"
    if scene.count > 1:
        return f"{_one(rng, NUMBERS[scene.count])} {_plural(noun)}"
    return f"{_one(rng, (_article(noun), _article(noun), 'one'))} {noun}"


def _background(background: Background, rng: np.random.Generator) -> str:
    color = background.color
    if background.pattern == "plain":
        ways: tuple[str, ...] = (f"{color} background", f"plain {color} background")
    elif background.pattern == "gradient":
        ways = (f"{color} gradient background", f"{color} gradient")
    else:
        ways = (f"{color} checkered background", f"checkered {color} background")
    chosen = _one(rng, ways)
    return f"{_article(chosen)} {chosen}"


def _plural(noun: str) -> str:
    return noun + ("es" if noun.endswith("s") else "s")


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"


def _one(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(rng.integers(len(choices)))]
