"""Which prefixes files can be saved under, told before anything is drawn."""

import pytest

from graph.file_prefix import prefix_problem
from storage.paths import relative_name

GOOD = (
    "ComfyUI",
    "a/b/c",
    "a/../b",
    "%date:yyyy-MM-dd%/x",
    "%width%x%height%",
    "é",
    "%batch_num%",
    "x" * 180,
)
OUT = ("", "..", "../x", "a/../../x", "/x", "//x", ".", "%date:../..%/x", "%date:/x%")
STRANGE = ("a\nb", "a\x00b", "\ud800")
LONG = ("x" * 181, "é" * 91, "x" * 199, "a/" * 600, "%date:" + "x" * 200 + "%")


@pytest.mark.parametrize("prefix", GOOD)
def test_a_prefix_that_is_a_name(prefix: str) -> None:
    assert prefix_problem(prefix) is None
    assert relative_name(f"{prefix}_00001_.webp")


@pytest.mark.parametrize("prefix", [*OUT, *STRANGE, *LONG])
def test_a_prefix_that_can_be_no_name(prefix: str) -> None:
    assert prefix_problem(prefix)
