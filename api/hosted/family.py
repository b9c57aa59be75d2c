"""A family of endpoints: several paths that share one request schema and translation."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from api.hosted.fields import HostedRequest
from api.hosted.parts import Bench, Translation

Translate = Callable[[Any, Bench], Awaitable[Translation]]


@dataclass(frozen=True)
class Family:
    """`paths` are its names; `older` are the same under names of earlier versions.

    `example` is a body that any site with a model of the kind can serve.
    """

    request: type[HostedRequest]
    translate: Translate
    summary: str
    paths: tuple[str, ...]
    older: tuple[str, ...] = ()
    example: Mapping[str, Any] = field(default_factory=dict)
    one_output: tuple[str, ...] = ()  # paths whose `output` is a text, not a list of one
