"""Text put together and taken apart."""

import json
import string as letters
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from graph.dynamic_inputs import Growing
from graph.made_values import check_text
from graph.node import Input, Widget, node
from graph.stages import Stage
from graph.text_format import formatted
from graph.values import Link

CATEGORY = "utils/string"
Text = Annotated[str, Widget(multiline=True)]
Line = Annotated[str, Widget(multiline=False)]
Values = Annotated[
    Mapping[str, Any], Growing(Input("value", "*"), tuple(letters.ascii_lowercase), least=0)
]
Indent = Annotated[int, Widget(min=0, max=8)]


@node("StringConcatenate", runs_on=Stage.INLINE, display_name="Concatenate", category=CATEGORY)
def concatenate(*, string_a: Text, string_b: Text, delimiter: Line = "") -> str:
    """Join two texts."""
    check_text(len(string_a) + len(delimiter) + len(string_b))
    return string_a + delimiter + string_b


@node("StringSubstring", runs_on=Stage.INLINE, display_name="Substring", category=CATEGORY)
def substring(*, string: Text, start: int, end: int) -> str:
    """Cut a text, by Python's rules: negative positions count from the end."""
    return string[start:end]


@node(
    "StringLength",
    runs_on=Stage.INLINE,
    display_name="Length",
    category=CATEGORY,
    outputs=("length",),
)
def length(*, string: Text) -> int:
    """Count the characters of a text."""
    return len(string)


@node("CaseConverter", runs_on=Stage.INLINE, display_name="Case Converter", category=CATEGORY)
def convert_case(
    *, string: Text, mode: Literal["UPPERCASE", "lowercase", "Capitalize", "Title Case"]
) -> str:
    """Change the case of a text."""
    convert = {
        "UPPERCASE": str.upper,
        "lowercase": str.lower,
        "Capitalize": str.capitalize,
        "Title Case": str.title,
    }
    return convert[mode](string)


@node("StringTrim", runs_on=Stage.INLINE, display_name="Trim", category=CATEGORY)
def trim(*, string: Text, mode: Literal["Both", "Left", "Right"]) -> str:
    """Take white space off the ends of a text."""
    return {"Both": str.strip, "Left": str.lstrip, "Right": str.rstrip}[mode](string)


@node("StringReplace", runs_on=Stage.INLINE, display_name="Replace", category=CATEGORY)
def replace(*, string: Text, find: Text, replace: Text) -> str:
    """Replace a text within a text, wherever it stands."""
    times = string.count(find)
    check_text(len(string) + times * (len(replace) - len(find)))
    return string.replace(find, replace)


@node(
    "StringContains",
    runs_on=Stage.INLINE,
    display_name="Contains",
    category=CATEGORY,
    outputs=("contains",),
)
def contains(*, string: Text, substring: Text, case_sensitive: bool = True) -> bool:
    """Whether a text stands within another."""
    if case_sensitive:
        return substring in string
    return substring.lower() in string.lower()


@node("StringCompare", runs_on=Stage.INLINE, display_name="Compare", category=CATEGORY)
def compare(
    *,
    string_a: Text,
    string_b: Text,
    mode: Literal["Starts With", "Ends With", "Equal"],
    case_sensitive: bool = True,
) -> bool:
    """Compare two texts."""
    a, b = (string_a, string_b) if case_sensitive else (string_a.lower(), string_b.lower())
    if mode == "Equal":
        return a == b
    return a.startswith(b) if mode == "Starts With" else a.endswith(b)


@node("StringFormat", runs_on=Stage.INLINE, display_name="Format Text", category="text")
def format_text(*, values: Values, f_string: Text = "{a}") -> str:
    """Put values called a, b, c ... into a text, by the rules of Python's str.format."""
    return formatted(f_string, values, "f_string")


@node(
    "JsonExtractString",
    runs_on=Stage.INLINE,
    display_name="Extract Text from JSON",
    category="text",
)
def json_value(*, json_string: Text, key: Line) -> str:
    """Give a value of a JSON object as text; nothing where there is none."""
    try:
        document = json.loads(json_string)
    except (ValueError, RecursionError):
        return ""
    value = document.get(key) if isinstance(document, dict) else None
    return "" if value is None else str(value)


@node(
    "ConvertDictionaryToString",
    runs_on=Stage.INLINE,
    display_name="Convert Dictionary to String",
    category="text",
)
def dictionary_as_json(*, dictionary: Annotated[Any, Link("DICT")], indent: Indent = 2) -> str:
    """Give a mapping as JSON; without indentation in one line."""
    return json.dumps(dictionary, ensure_ascii=False, indent=indent or None)


@node(
    "ConvertArrayToString",
    runs_on=Stage.INLINE,
    display_name="Convert Array to String",
    category="text",
)
def array_as_json(*, array: Annotated[Any, Link("ARRAY")], indent: Indent = 2) -> str:
    """Give a list as JSON; without indentation in one line."""
    return json.dumps(array, ensure_ascii=False, indent=indent or None)
