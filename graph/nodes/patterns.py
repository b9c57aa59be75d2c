"""Texts searched and changed by regular expressions."""

from typing import Annotated, TypedDict, Unpack

from graph.node import Default, MayBeAbsent, Widget, node
from graph.stages import Stage
from graph.stages.patterns import ExtractMode, Pattern, Patterns

CATEGORY = "text"
Text = Annotated[str, Widget(multiline=True)]
Flag = Annotated[bool, Widget(advanced=True)]


class Flags(TypedDict):
    case_insensitive: Annotated[Flag, Default(True)]
    multiline: Annotated[Flag, Default(False)]
    dotall: Annotated[Flag, Default(False)]


@node(
    "RegexMatch",
    runs_on=Stage.IMAGE,
    display_name="Match Text",
    category=CATEGORY,
    outputs=("matches",),
)
def match_text(
    patterns: Patterns, *, string: Text, regex_pattern: Text, **flags: Unpack[Flags]
) -> bool:
    """Whether a pattern is somewhere in a text."""
    return patterns.matches(string, Pattern(regex_pattern, **flags))


class Extraction(Flags):
    group_index: Annotated[int, Widget(min=0, max=100, advanced=True), Default(1)]


@node("RegexExtract", runs_on=Stage.IMAGE, display_name="Extract Text", category=CATEGORY)
def extract_text(
    patterns: Patterns,
    *,
    string: Text,
    regex_pattern: Text,
    mode: ExtractMode,
    **how: Unpack[Extraction],
) -> str:
    """Give what a pattern matches, or one of its groups."""
    pattern = Pattern(regex_pattern, how["case_insensitive"], how["multiline"], how["dotall"])
    return patterns.extract(string, pattern, mode, how["group_index"])


@node("RegexReplace", runs_on=Stage.IMAGE, display_name="Replace Text (Regex)", category=CATEGORY)
def replace_text(
    patterns: Patterns,
    *,
    string: Text,
    regex_pattern: Text,
    replace: Text,
    case_insensitive: Annotated[Flag, MayBeAbsent()] = True,
    multiline: Annotated[Flag, MayBeAbsent()] = False,
    dotall: Annotated[Flag, MayBeAbsent()] = False,
    count: Annotated[int, Widget(min=0, max=100, advanced=True), MayBeAbsent()] = 0,
) -> str:
    """Replace what a pattern matches; `count` times at most, where that is not 0."""
    pattern = Pattern(regex_pattern, case_insensitive, multiline, dotall)
    return patterns.replace(string, pattern, replace, count)
