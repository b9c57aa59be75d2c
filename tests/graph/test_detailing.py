"""Detailers: which parts are drawn, how large, in which order, and what waits for what."""

from dataclasses import replace
from typing import Any

import pytest

from graph.detailing import Detailing, Part, Prompted, Task, drawn_again, scaled_size
from graph.nodes.packs.impact_segs import labelled
from graph.prompt import Node, Source
from graph.segs import Seg, Segs
from graph.wildcards import worded

HOW = Detailing(
    guide_size=64,
    guide_size_for=True,
    max_size=256,
    seed=7,
    steps=4,
    cfg=5.0,
    sampler_name="euler",
    scheduler="normal",
    denoise=0.5,
    feather=5,
    noise_mask=True,
    force_inpaint=True,
)


def seg(x: int, y: int, wide: int, high: int, label: str = "face") -> Seg:
    box = x, y, x + wide, y + high
    return Seg(None, 1.0, box, box, label)


@pytest.mark.parametrize(
    ("part", "changes", "size"),
    [
        (seg(0, 0, 32, 16), {}, (128, 64)),
        (seg(0, 0, 32, 16), {"max_size": 100}, (100, 50)),
        (seg(0, 0, 100, 100), {}, (100, 100)),  # large enough, and inpainted all the same
        (seg(0, 0, 100, 100), {"force_inpaint": False}, None),
        (seg(0, 0, 100, 10), {"guide_size_for": False}, (256, 25)),
    ],
)
def test_parts_are_drawn_as_large_as_they_are_to_be(
    part: Seg, changes: dict[str, Any], size: tuple[int, int] | None
) -> None:
    assert scaled_size(part, replace(HOW, **changes)) == size


PARTS = [seg(40, 0, 10, 10), seg(0, 0, 30, 30, "hand"), seg(20, 5, 5, 5)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", [(0, "", 7), (1, "", 8), (2, "", 9)]),
        ("a fox", [(0, "a fox", 7), (1, "a fox", 8), (2, "a fox", 9)]),
        ("[ASC]a[SEP:3]b", [(1, "a", 7), (2, "b", 3), (0, "a", 9)]),
        ("[DSC-SIZE]a[SEP][SKIP][SEP][STOP]", [(1, "a", 7)]),
        ("[LAB][ALL]x[hand]y", [(0, "x", 7), (1, "xy", 8), (2, "x", 9)]),
        ("[CONCAT]a", [(0, "[CONCAT]a", 7), (1, "[CONCAT]a", 8), (2, "[CONCAT]a", 9)]),
    ],
)
def test_a_text_says_which_part_is_drawn_by_which_words(
    text: str, said: list[tuple[int, str, int]]
) -> None:
    found = worded(text, PARTS, {0, 1, 2}, 7)
    assert [(one.index, one.text, one.seed) for one in found] == said


def test_only_parts_that_overlap_wait_for_each_other() -> None:
    segs = Segs((64, 64), (seg(0, 0, 20, 20), seg(40, 40, 20, 20), seg(10, 10, 20, 20)))
    nodes: dict[str, Node] = {}
    links = {"image": Source("picture", 0), "batch": Source("batch", 0), "picture": 0}
    parts = [Part(k, (64, 64), "", 7 + k) for k in range(3)]
    model, clip, vae, positive, negative = (Source(name, 0) for name in ("m", "c", "v", "p", "n"))
    prompted = Prompted(model, clip, vae, positive, negative)
    drawn = drawn_again("it", links, segs, parts, Task(nodes, prompted, HOW))
    reads = {k: nodes[f"it part {k} cut"].inputs["image"] for k in range(3)}
    assert reads[0] == reads[1] == Source("picture", 0)
    assert reads[2] == Source("it part 0 put", 0)
    assert drawn.image == Source("it part 2 put", 0)
    assert [nodes[f"it part {k} drawn 0"].inputs["seed"] for k in range(3)] == [7, 8, 9]


def test_labels_of_pairs_are_found_by_their_group() -> None:
    segs = Segs((9, 9), (seg(0, 0, 2, 2, "left_eye"), seg(0, 0, 2, 2, "mouth")))
    kept, others = labelled(segs, "hand, eyes")
    assert [one.label for one in kept.items] == ["left_eye"]
    assert [one.label for one in others.items] == ["mouth"]
