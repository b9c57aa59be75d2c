"""Prompts that are drawn: `{a|b}`, `{2$$, $$a|b|c}`, `{3::a|b}`, and prompts of each part.

They are Impact Pack's (wildcards.py). There are no files of wildcards, so `__name__` stays.
"""

import random
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from graph.made_values import check_text
from graph.numpy_random import NumpyRandom
from graph.segs import Seg

OPTIONS = re.compile(r"{([^{}]*?)}")
COUNT = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")
UP_TO = re.compile(r"-(\d{1,9})")
WEIGHT = re.compile(r"-?(\d{1,30}\.?\d{0,30}|\.\d{1,30})")
WEIGHTED = re.compile(r"^\s*[0-9.]+::")
OFTEN = re.compile(r"(?<!\d)(\d{1,9})#__([\w.\-+/*\\]+?)__", re.IGNORECASE)
NUMBER = re.compile(r"\d{1,20}")
ORDER = re.compile(r"\[(ASC-SIZE|DSC-SIZE|ASC|DSC|RND)\]")
SEPARATOR = re.compile(r"\[SEP(?::(\w+))?\]")
LABELLED = re.compile(r"\[([A-Za-z0-9_. ]+)\]([^\[]+)(?=\[|$)")
MOST_REPEATED = 100  # of a wildcard that is asked for several times
LARGEST_SEED = 1125899906842624
CONCAT = "[CONCAT]"


class _Room:
    """Counts the characters that are looked at and made, so that no text grows without bounds."""

    def __init__(self) -> None:
        self._made = 0

    def take(self, length: int) -> None:
        """Raises: MadeTooLargeError."""
        self._made += length
        check_text(self._made)


def populated(text: str, seed: int) -> str:
    """A text in which everything that is to be drawn is drawn.

    Raises:
        MadeTooLargeError: that is too much.
    """
    dice, room = NumpyRandom(seed), _Room()
    room.take(len(text))
    text = OFTEN.sub(lambda found: _repeated(found, room), _without_comments(text))
    drawn = None
    while drawn != text:
        text = text if drawn is None else drawn
        room.take(len(text))
        drawn = OPTIONS.sub(lambda found: _chosen(found[1], dice, room), text)
    return drawn


def _without_comments(text: str) -> str:
    """Lines that begin with # are left out; what follows them joins what is before."""
    lines: list[str] = []
    left_out = False
    for line in text.split("\n"):
        if line.lstrip().startswith("#"):
            left_out = True
        elif lines and left_out:
            lines[-1] += f" {line}"
            left_out = False
        else:
            lines.append(line)
    return "\n".join(lines)


def _repeated(found: re.Match[str], room: _Room) -> str:
    count = min(int(found[1]), MOST_REPEATED)
    room.take(count * len(found[0]))
    return f"__{'__|__'.join([found[2].lower()] * count)}__"


def _span(text: str) -> tuple[int, int] | None:
    """How many of the options are to be drawn, where the text says it."""
    if found := COUNT.match(text):
        return int(found[1]), int(found[2] or found[1])
    if found := UP_TO.match(text):
        return 1, int(found[1])
    return None


def _chosen(inside: str, dice: NumpyRandom, room: _Room) -> str:
    """Of options one, or as many as they say, by their weights."""
    options = inside.split("|")
    first = options[0].split("$$")
    span, between = (_span(options[0]) if len(first) > 1 else None), " "
    if span and len(first) == 2:
        options[0] = first[1]
    elif span and len(first) == 3:
        between, options[0] = first[1], first[2]
    weights = [_weight(option) for option in options]
    total = sum(weights)
    count = 1
    if span:
        low, high = span[0], max(span)
        count = low + dice.integer(min(high - low, 2**31) + 1)
    possible = sum(weight > 0 for weight in weights)
    if total <= 0 or count > len(options):
        chosen = dice.shuffled(options)
    else:
        shares = [weight / total for weight in weights]
        chosen = dice.choices(options, shares, min(count, possible))
    room.take(len(between) * len(chosen) + sum(map(len, chosen)))
    return between.join(WEIGHTED.sub("", option, count=1) for option in chosen)


def _weight(option: str) -> float:
    said, mark, _ = option.partition("::")
    return float(said.strip()) if mark and WEIGHT.fullmatch(said.strip()) else 1.0


@dataclass(frozen=True)
class Worded:
    """A part to be drawn: its place in its SEGS, what is said of it, and the seed of its noise."""

    index: int
    text: str
    seed: int


def worded(text: str, parts: Sequence[Seg], usable: Collection[int], seed: int) -> list[Worded]:
    """What is said of each of the `usable` parts, in the order in which they are drawn.

    `[LAB]` says it by label, `[ASC]`, `[DSC-SIZE]` ... in an order with `[SEP]` between; `[SKIP]`
    leaves a part out, `[STOP]` all that follow. A text that begins with [CONCAT] is said after the
    prompt, and begins with it in what comes out. Each part's seed is one more than the last one's.
    """
    prefix = CONCAT if text.startswith(CONCAT) else ""
    text = text.removeprefix(CONCAT)
    said = _by_label(text) if text.startswith("[LAB]") else None
    mode = ORDER.match(text)
    items = _items(text[len(mode[0]) :], seed) if mode else [(None, text)]
    if mode and mode[1] == "RND":
        random.Random(seed).shuffle(items)
    kept: list[Worded] = []
    used = 0
    for place, index in enumerate(_ordered(parts, mode[1] if mode else "")):
        if index not in usable:
            continue
        own, words = items[used % len(items)]
        used += 1
        if said is not None:
            own, words = None, said.get("ALL", "") + said.get(parts[index].label, "")
        if words.strip() == "[STOP]":
            break
        if words.strip() != "[SKIP]":
            at = seed + place if own is None else own
            kept.append(Worded(index, prefix + words if words else "", at))
    return kept


def _by_label(text: str) -> dict[str, str]:
    return {name: words.strip() for name, words in LABELLED.findall(text) if words.strip()}


def _items(text: str, seed: int) -> list[tuple[int | None, str]]:
    """Texts, each with the seed that its separator says."""
    dice = random.Random(seed)
    found = SEPARATOR.split(text)
    seeds: list[int | None] = [None]
    for said in found[1::2]:
        drawn = dice.randint(0, LARGEST_SEED) if said == "R" else None
        seeds.append(int(said) if said and NUMBER.fullmatch(said) else drawn)
    return list(zip(seeds, found[::2], strict=True))


def _ordered(parts: Sequence[Seg], mode: str) -> list[int]:
    def key(index: int) -> tuple[float, ...]:
        x1, y1, x2, y2 = parts[index].bbox
        return ((x2 - x1) * (y2 - y1),) if mode.endswith("SIZE") else (x1, y1)

    places = range(len(parts))
    if mode in {"", "RND"}:
        return list(places)
    return sorted(places, key=key, reverse=mode.startswith("DSC"))
