"""Regular expressions from outside, matched within limits of time and length.

Python's own `re` cannot be stopped, and some patterns would keep it busy for years; `regex` reads
the same syntax and takes a timeout.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import regex  # type: ignore[import-untyped]

from graph.errors import ServiceError
from graph.made_values import check_text
from graph.shown import shown_text
from graph.stages.patterns import ExtractMode, Pattern

LONGEST_PATTERN = 10_000  # characters
LONGEST_TEXT = 1_000_000
MOST_REFERENCES = 100  # backslashes of a replacement: each may stand for the whole text
TIMEOUT_S = 2.0
REFERENCE = re.compile(r"\\g<(\d+)>|\\([1-9]\d?)")
Found = TypeVar("Found")


@dataclass(eq=False)
class PatternError(ServiceError):
    """A regular expression that cannot be used."""

    status = 422
    code = "custom_validation_failed"
    template = "Input {name!r}: {text!r} cannot be used: {problem}."
    name: str
    text: str
    problem: str


def matches(text: str, pattern: Pattern) -> bool:
    """Whether a pattern is somewhere in a text; one that is none is nowhere."""
    return _within(lambda: _search(text, pattern) is not None, False, pattern)


def extract(text: str, pattern: Pattern, mode: ExtractMode, group: int) -> str:
    """What a pattern, or one of its groups, matches: first, or all in lines of their own.

    Of a pattern with several groups "All Matches" gives the first group of each match.
    """

    def found() -> str:
        if mode.startswith("First"):
            first = _search(text, pattern)
            return _part(first, 0 if mode == "First Match" else group) if first else ""
        each = list(_compiled(pattern).finditer(text, timeout=TIMEOUT_S, concurrent=True))
        if mode == "All Matches":
            return "\n".join(_part(one, 1 if one.re.groups else 0) for one in each)
        return "\n".join(_part(one, group) for one in each if _has(one, group))

    check_text(len(text))
    return _within(found, "", pattern)


def replace(text: str, pattern: Pattern, replacement: str, count: int) -> str:
    """A text with what a pattern matches replaced, `count` times at most (0: always).

    Raises:
        PatternError: the pattern or the replacement cannot be read, or takes too long.
    """
    if len(replacement) > LONGEST_PATTERN or replacement.count("\\") > MOST_REFERENCES:
        problem = f"it has more than {LONGEST_PATTERN} characters or {MOST_REFERENCES} references"
        raise PatternError("replace", shown_text(replacement), problem)
    made = 0

    def put(match: Any) -> str:
        nonlocal made
        said = str(match.expand(replacement))
        made += len(said)
        check_text(made)
        return said

    def replaced() -> str:
        compiled = _compiled(pattern)
        asked = [
            int(number) for pair in REFERENCE.findall(replacement) for number in pair if number
        ]
        if max(asked, default=0) > compiled.groups:  # wrong, whether anything is replaced or not
            problem = f"the pattern has no group {max(asked)}"
            raise PatternError("replace", shown_text(replacement), problem)
        return str(compiled.sub(put, text, count=count, timeout=TIMEOUT_S, concurrent=True))

    return _within(replaced, None, pattern)


def _compiled(pattern: Pattern) -> Any:
    if len(pattern.text) > LONGEST_PATTERN:
        problem = f"it has more than {LONGEST_PATTERN} characters"
        raise PatternError("regex_pattern", shown_text(pattern.text), problem)
    flags = regex.VERSION0
    flags |= regex.IGNORECASE if pattern.case_insensitive else 0
    flags |= regex.MULTILINE if pattern.multiline else 0
    flags |= regex.DOTALL if pattern.dotall else 0
    return regex.compile(pattern.text, flags)


def _search(text: str, pattern: Pattern) -> Any:
    return _compiled(pattern).search(text, timeout=TIMEOUT_S, concurrent=True)


def _has(match: Any, group: int) -> bool:
    return bool(match.re.groups) and match.re.groups >= group


def _part(match: Any, group: int) -> str:
    return (match.group(group) or "") if match.re.groups >= group else ""


def _within(found: Callable[[], Found], broken: Found | None, pattern: Pattern) -> Found:
    """What is found, or `broken` for a pattern that cannot be read, where that is something."""
    try:
        return found()
    except (regex.error, IndexError) as error:
        if broken is not None:
            return broken
        problem = str(error)
    except TimeoutError:
        problem = f"it takes longer than {TIMEOUT_S:g} s"
    raise PatternError("regex_pattern", shown_text(pattern.text), problem)
