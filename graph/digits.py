"""Parses whole numbers from text."""

MOST_DIGITS = 15  # JavaScript and every database hold such a number exactly


def whole_number(text: str, most_digits: int = MOST_DIGITS) -> int | None:
    """The number that a few ASCII digits say; None for every other text.

    `str.isdigit` is true of "²" and "①" too, which `int` refuses, and `int` refuses 4,301 digits.
    """
    plain = text.isascii() and text.isdecimal() and len(text) <= most_digits
    return int(text) if plain else None
