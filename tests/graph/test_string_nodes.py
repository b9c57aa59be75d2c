"""Text nodes, as ComfyUI's comfy_extras/nodes_string.py answers."""

from graph.nodes.strings import compare, concatenate, contains, convert_case, substring, trim


def test_texts_are_joined_and_cut() -> None:
    assert concatenate(string_a="a", string_b="b", delimiter=", ") == "a, b"
    assert substring(string="abcdef", start=1, end=-1) == "bcde"
    assert trim(string="  a ", mode="Left") == "a "


def test_case_is_changed_as_its_mode_says() -> None:
    assert convert_case(string="a fOX", mode="UPPERCASE") == "A FOX"
    assert convert_case(string="a fOX", mode="lowercase") == "a fox"
    assert convert_case(string="a fOX", mode="Capitalize") == "A fox"
    assert convert_case(string="a fOX", mode="Title Case") == "A Fox"


def test_texts_are_compared_with_and_without_case() -> None:
    assert contains(string="A Fox", substring="fox", case_sensitive=False)
    assert not contains(string="A Fox", substring="fox")
    assert compare(string_a="Fox", string_b="fo", mode="Starts With", case_sensitive=False)
    assert not compare(string_a="Fox", string_b="fox", mode="Equal")
