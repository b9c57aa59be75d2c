"""Regular expressions from outside, which may take long: the image stage matches them."""

from dataclasses import dataclass
from typing import Literal, Protocol

ExtractMode = Literal["First Match", "All Matches", "First Group", "All Groups"]


@dataclass(frozen=True)
class Pattern:
    """A regular expression, in Python's syntax, and how it is read."""

    text: str
    case_insensitive: bool = False
    multiline: bool = False
    dotall: bool = False


class Patterns(Protocol):
    """Texts searched by patterns, for so long and no longer."""

    def matches(self, text: str, pattern: Pattern) -> bool: ...

    def extract(self, text: str, pattern: Pattern, mode: ExtractMode, group: int) -> str: ...

    def replace(self, text: str, pattern: Pattern, replacement: str, count: int) -> str: ...
