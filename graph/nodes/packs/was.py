"""WAS Node Suite: texts and seeds. Its tokens ([time], [hostname], [user]) are left as they are."""

from typing import Annotated, Any, Literal

from graph.made_values import check_text
from graph.node import MayBeAbsent, Widget, node
from graph.prompt import Node, Source
from graph.results import Expansion
from graph.stages import Stage
from graph.values import Clip, Link

TEXT = "WAS Suite/Text"
Line = Annotated[str, Widget(multiline=False), MayBeAbsent()]
Given = Annotated[str | None, Widget(forceInput=True)]


@node("Text Multiline", runs_on=Stage.INLINE, category=TEXT)
def text_multiline(
    *, text: Annotated[str, Widget(multiline=True, dynamicPrompts=True)] = ""
) -> str:
    """Give a text without its lines that begin with #."""
    lines = text.removesuffix("\n").split("\n") if text else []
    return "\n".join(line for line in lines if not line.strip().startswith("#"))


@node("Text Concatenate", runs_on=Stage.INLINE, category=TEXT)
def text_concatenate(
    *,
    delimiter: str = ", ",
    clean_whitespace: Literal["true", "false"] = "true",
    text_a: Given = None,
    text_b: Given = None,
    text_c: Given = None,
    text_d: Given = None,
) -> str:
    """Join texts, those that are not empty."""
    between = "\n" if delimiter in {"\n", "\\n"} else delimiter
    given = [text for text in (text_a, text_b, text_c, text_d) if isinstance(text, str)]
    parts = [text.strip() if clean_whitespace == "true" else text for text in given]
    check_text(sum(len(part) + len(between) for part in parts))
    return between.join(part for part in parts if part)


@node(
    "Text String",
    runs_on=Stage.INLINE,
    category=TEXT,
    outputs=("TEXT", "TEXT_B", "TEXT_C", "TEXT_D"),
)
def text_string(
    *,
    text: Annotated[str, Widget(multiline=False)] = "",
    text_b: Line = "",
    text_c: Line = "",
    text_d: Line = "",
) -> tuple[str, str, str, str]:
    """Give up to four texts."""
    return text, text_b, text_c, text_d


@node(
    "Seed",
    runs_on=Stage.INLINE,
    category="WAS Suite/Number",
    outputs=("seed", "number", "float", "int"),
)
def seed(
    *, seed: Annotated[int, Widget(min=0, max=2**64 - 1, control_after_generate=True)] = 0
) -> tuple[Annotated[Any, Link("SEED")], Annotated[Any, Link("NUMBER")], float, int]:
    """Give a seed, as several kinds of number."""
    return {"seed": seed}, seed, float(seed), seed


@node(
    "Text to Conditioning",
    runs_on=Stage.INLINE,
    rewrites=True,
    category="WAS Suite/Text/Operations",
)
def text_to_conditioning(
    *, clip: Clip, text: Annotated[str, Widget(forceInput=True)]
) -> Annotated[Expansion, Link("CONDITIONING")]:
    """Encode a text as a prompt."""
    prompt = Node("CLIPTextEncode", {"clip": clip, "text": text})
    return Expansion({"encoded": prompt}, (Source("encoded", 0),))
