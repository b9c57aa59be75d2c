"""Nodes that show values: what they keep, and what they pass on."""

import json
from typing import Any

import numpy as np
import pytest

from deployments.output_functions import MOST_TOLD, NodeFiles
from graph.new_files import NewFile
from graph.nodes.packs.custom_scripts import show_text
from graph.nodes.packs.essentials import preview_mask
from graph.nodes.packs.rgthree import compare_images as compare_rgthree
from graph.nodes.packs.rgthree import display_any
from graph.nodes.shown_values import LONGEST, compare_images, preview_any
from graph.values import Items
from storage.pictures import Encoding

BLACK = np.zeros((2, 4, 6, 3), np.float32)


class Kept:
    """What an output node made."""

    def __init__(self) -> None:
        self.files: list[NewFile] = []
        self.outputs = NodeFiles(Encoding(), self.keep)

    async def keep(self, file: NewFile) -> None:
        self.files.append(file)

    @property
    def texts(self) -> list[str]:
        return [file.content.decode() for file in self.files]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a fox", "a fox"),
        (3, "3"),
        (True, "True"),
        (0.1, "0.1"),
        (None, "None"),
        ({"a": ["é", 1]}, '{\n    "a": [\n        "é",\n        1\n    ]\n}'),
    ],
)
async def test_any_value_is_shown_as_comfyui_shows_it(value: Any, text: str) -> None:
    kept = Kept()
    assert await preview_any(kept.outputs, source=value) == text
    assert kept.texts == [text]
    (file,) = kept.files
    assert (file.type, file.mime_type, file.temporary) == ("file", "text/plain", True)
    assert file.facts == {"text": text}


async def test_a_long_text_is_passed_on_whole_and_told_in_part() -> None:
    kept, text = Kept(), "x" * (LONGEST + 5)
    assert await preview_any(kept.outputs, source=text) == text
    assert kept.files[0].facts["text"] == "x" * MOST_TOLD
    await display_any(kept.outputs, source=["x" * (LONGEST + 5)])
    assert len(kept.texts[1]) < LONGEST + 100


async def test_packs_show_texts_and_values() -> None:
    kept = Kept()
    given: Any = ["a", "b"]
    passed = await show_text(kept.outputs, text=given)
    assert isinstance(passed, Items)
    assert passed.values == ("a", "b")
    await display_any(kept.outputs, source={"a": "é"})
    assert kept.texts == ["a", "b", json.dumps({"a": "é"})]


async def test_pictures_to_compare_are_previews() -> None:
    kept = Kept()
    await compare_images(kept.outputs, image_a=BLACK, image_b=BLACK[:1])
    await compare_rgthree(kept.outputs, image_b=BLACK[:1])
    assert [file.prefix for file in kept.files] == [
        "comfy.compare.a",
        "comfy.compare.a",
        "comfy.compare.b",
        "rgthree.compare.",
    ]
    assert all(file.temporary for file in kept.files)


async def test_a_mask_is_shown_in_grey() -> None:
    kept = Kept()
    await preview_mask(kept.outputs, mask=BLACK[..., 0])
    assert [(file.width, file.height) for file in kept.files] == [(6, 4), (6, 4)]
