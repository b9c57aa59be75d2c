"""comfyui-tooling-nodes: inputs that are pictures, or say which."""

import pytest

from graph.errors import NotAvailableError
from graph.nodes import load_node_types
from graph.nodes.packs.tooling import translate
from graph.object_info import describe
from tests.graph.nodes_for_tests import TwoFiles


@pytest.mark.parametrize(
    ("class_type", "name", "value", "file"),
    [
        ("ETN_LoadImageBase64", "image", "aGk=", "data:;base64,aGk="),
        ("ETN_LoadMaskBase64", "mask", "data:image/png;base64,a", "data:image/png;base64,a"),
        ("ETN_LoadMaskBase64", "mask", "aGk=", "data:;base64,aGk="),
        ("ETN_LoadImageCache", "id", "3f2a", "etn/3f2a"),
    ],
)
def test_a_text_names_a_file(class_type: str, name: str, value: str, file: str) -> None:
    node_type = load_node_types()[class_type]
    declared = node_type.inputs[name]
    assert declared.upload
    assert declared.upload.file_name(value) == file
    assert describe(node_type, TwoFiles())["input"]["required"][name] == ["STRING", {}]


def test_english_is_passed_on_and_other_languages_are_refused() -> None:
    assert translate(text="a cat, lang:en with a hat") == "a cat, with a hat"
    with pytest.raises(NotAvailableError, match="translation from de"):
        translate(text="lang:de eine Katze")
