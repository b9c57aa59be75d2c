"""Prompts: text in, CONDITIONING out."""

from dataclasses import replace
from typing import Annotated

from graph.node import Widget, node
from graph.stages import Stage
from graph.stages.encode import TextEncoding
from graph.values import Clip, Conditioning

Prompt = Annotated[str, Widget(multiline=True, dynamicPrompts=True)]
Tokens = Annotated[int, Widget(min=0, max=10000, step=1)]
StopAtLayer = Annotated[int, Widget(min=-24, max=-1, step=1)]


@node(
    "CLIPTextEncode",
    runs_on=Stage.ENCODE,
    display_name="CLIP Text Encode (Prompt)",
    category="conditioning",
    costly=True,
)
async def encode_text(encoders: TextEncoding, *, text: Prompt, clip: Clip) -> Conditioning:
    """Encode a prompt."""
    return await encoders.encode_text(clip, text)


@node(
    "CLIPSetLastLayer",
    runs_on=Stage.INLINE,
    display_name="CLIP Set Last Layer",
    category="conditioning",
)
def set_last_layer(*, clip: Clip, stop_at_clip_layer: StopAtLayer = -1) -> Clip:
    """Read the text encoder at a layer counted from its end ("clip skip")."""
    return replace(clip, stop_at_layer=stop_at_clip_layer)


@node(
    "T5TokenizerOptions",
    runs_on=Stage.INLINE,
    category="_for_testing/conditioning",
    experimental=True,
)
def set_t5_padding(*, clip: Clip, min_padding: Tokens = 0, min_length: Tokens = 0) -> Clip:
    """Say what padding follows T5's prompts, in place of a family's own."""
    return replace(clip, t5_padding=(min_length, min_padding))
