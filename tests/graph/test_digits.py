"""Texts that are whole numbers, and the many that only look so."""

import pytest

from graph.digits import whole_number


@pytest.mark.parametrize(
    ("text", "number"), [("0", 0), ("12", 12), ("007", 7), ("9" * 15, 10**15 - 1)]
)
def test_a_few_plain_digits_are_a_number(text: str, number: int) -> None:
    assert whole_number(text) == number


@pytest.mark.parametrize("text", ["", " 1", "-1", "1.0", "²", "①", "٣", "1²", "9" * 16, "1" * 5000])
def test_other_texts_are_none(text: str) -> None:
    assert whole_number(text) is None
