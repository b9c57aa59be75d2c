"""A family of endpoints: the same request under several paths, and its translation."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from api.hosted.fields import HostedRequest
from api.hosted.parts import Bench, Translation

Translate = Callable[[Any, Bench], Awaitable[Translation]]


@dataclass(frozen=True)
class Family:
    """`paths` are documented; `older` are the same under names of earlier versions."""

    request: type[HostedRequest]
    translate: Translate
    summary: str
    paths: tuple[str, ...]
    older: tuple[str, ...] = ()
    one_output: tuple[str, ...] = ()  # paths whose `output` is a text, not a list of one
