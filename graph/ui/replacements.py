"""Text that the editor replaces at queue time: dynamic prompts and %replacements%."""

import re
from collections.abc import Callable
from datetime import datetime
from random import Random
from typing import Any

from graph.prompt import WorkflowTooLarge

COMMENT = re.compile(r"/[/*]")
ESCAPED = re.compile(r"\\([{}|])")
PIECE = re.compile(r"\\.|[{|}]|[^\\{|}]+|\\", re.DOTALL)
REPLACED = re.compile(r"%([^%]+)%")
UNSAFE = re.compile(r'[/?<>\\:*|"\x00-\x1f\x7f]')
DATE_PART = re.compile(r"dd?|MM?|hh?|mm?|ss?|yyyy|yy")
MAX_NESTING = 100
MAX_LENGTH = 1_000_000


def choose(text: str, random: Random) -> str:
    """`text` without comments, and one choice of each `{a|b}`; `\\{` means a brace.

    `//` begins a comment wherever it stands, as in the editor; braces over 100 deep are text.
    """
    blocks: list[list[list[str]]] = [[[]]]  # of open blocks: its options, each in pieces
    for piece in PIECE.findall(without_comments(text)):
        if piece == "{" and len(blocks) <= MAX_NESTING:
            blocks.append([[]])
        elif piece == "|" and len(blocks) > 1:
            blocks[-1].append([])
        elif piece == "}" and len(blocks) > 1:
            _close(blocks, random)
        else:
            blocks[-1][-1].append(piece)
    while len(blocks) > 1:
        _close(blocks, random)
    return ESCAPED.sub(r"\1", "".join(blocks[0][0]))


def without_comments(text: str) -> str:
    """`text` less its `/* */` and its `//` to the end of the line; linear, whatever the text."""
    kept, at, last_end = [], 0, text.rfind("*/")
    start = COMMENT.search(text)
    while start:
        begin = start.start()
        if start[0] == "//":
            end = text.find("\n", begin)
            end = len(text) if end < 0 else end
        else:
            end = text.find("*/", begin + 2) + 2 if last_end >= begin + 2 else begin + 1
        kept.append(text[at:begin] if end > begin + 1 else text[at:end])
        at, start = end, COMMENT.search(text, end)
    return "".join((*kept, text[at:]))


def _close(blocks: list[list[list[str]]], random: Random) -> None:
    chosen = random.choice(blocks.pop())
    blocks[-1][-1].append("".join(chosen))


def fill_in(text: str, now: datetime, widget_value: Callable[[str, str], Any]) -> str:
    """`text` with `%date:yyyy-MM-dd%` and `%Node.widget%` replaced.

    `widget_value` answers (node, widget), None if there is no such; what stays unknown stays as it
    is (%width% and %height% are the server's to fill in).

    Raises:
        WorkflowTooLarge: the text grows beyond `MAX_LENGTH`.
    """
    added = 0

    def replacement(match: re.Match[str]) -> str:
        nonlocal added
        asked = match[1]
        if asked.startswith("date:"):
            return _date(asked.removeprefix("date:"), now)
        node, dot, widget = asked.partition(".")
        value = widget_value(node, widget) if dot and "." not in widget else None
        filled = match[0] if value is None else as_text(value)
        added += len(filled)
        if added > MAX_LENGTH:
            problem = f"%{asked[:60]}% makes a text longer than {MAX_LENGTH} characters."
            raise WorkflowTooLarge(problem, "", "")
        return match[0] if value is None else UNSAFE.sub("_", filled)

    return REPLACED.sub(replacement, text)


def _date(pattern: str, now: datetime) -> str:
    parts = {"d": now.day, "M": now.month, "h": now.hour, "m": now.minute, "s": now.second}

    def part(match: re.Match[str]) -> str:
        token = match[0]
        if token.startswith("y"):
            return f"{now.year:04}"[-len(token) :]
        return str(parts[token[0]]).zfill(len(token))

    return DATE_PART.sub(part, pattern)


def as_text(value: Any) -> str:
    """A widget's value as JavaScript writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
