"""Hooks on weights: joined, scheduled, and what they lay on text encoders.

(ComfyUI comfy/hooks.py)
"""

import hashlib
import math
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType
from typing import Any, TypeAlias

from graph.errors import ServiceError
from graph.values import Change, Clip, HookKeyframe, WeightHook

MOST = 200  # keyframes of one hook, hooks of one group, and parts of a schedule with a text each
Hooks: TypeAlias = tuple[WeightHook, ...]
Span: TypeAlias = tuple[float, float]


@dataclass(eq=False)
class HooksTooManyError(ServiceError):
    """More hooks or keyframes than are followed."""

    status = 422
    code = "too_many_hooks"
    template = "Input {name!r}: must have at most {most} entries, got {received}."
    name: str
    most: int
    received: int


def bounded(name: str, entries: tuple[Any, ...]) -> tuple[Any, ...]:
    """`entries`. Raises HooksTooManyError."""
    if len(entries) > MOST:
        raise HooksTooManyError(name, MOST, len(entries))
    return entries


def made_behind(hook: WeightHook, before: Hooks) -> WeightHook:
    """A hook that is told from all that were made behind others."""
    said = repr((hook, [own.origin for own in before]))
    return replace(hook, origin=hashlib.sha256(said.encode()).hexdigest())


def joined(*groups: Hooks | None) -> Hooks:
    """All hooks in order, each once."""
    found: dict[str, WeightHook] = {}
    for hook in (hook for group in groups for hook in group or ()):
        found.setdefault(hook.origin, hook)
    return tuple(found.values())


def scheduled(hooks: Hooks, keyframes: tuple[HookKeyframe, ...]) -> Hooks:
    """Hooks whose strengths go by `keyframes`."""
    return tuple(replace(hook, keyframes=keyframes) for hook in hooks)


def with_keyframes(
    before: tuple[HookKeyframe, ...], more: Iterable[HookKeyframe]
) -> tuple[HookKeyframe, ...]:
    """By their starts, and those that start at once in the order in which they came."""
    return tuple(sorted((*before, *more), key=lambda keyframe: keyframe.start_percent))


CURVES: Mapping[str, Callable[[float], float]] = MappingProxyType(
    {
        "linear": lambda share: share,
        "ease_in": lambda share: float32(share**2),
        "ease_out": lambda share: 1 - float32((1 - share) ** 2),
        "ease_in_out": lambda share: (1 - math.cos(share * math.pi)) / 2,
    }
)


def between(start: float, end: float, count: int, curve: str = "linear") -> list[float]:
    """So many numbers along a curve, as float32 has them.

    Keyframes often begin exactly where a step does, so the last bit counts.
    """
    if curve == "linear":
        return linspace(start, end, count)
    shares = linspace(0.0, 1.0, count)
    return [float32(start + float32((end - start) * CURVES[curve](share))) for share in shares]


def linspace(start: float, end: float, count: int) -> list[float]:
    """torch.linspace: its first half is counted from the start, its second from the end."""
    first, last = float32(start), float32(end)
    step = float32(float32(last - first) / max(1, count - 1))
    return [
        float32(first + step * place)
        if place < count // 2 or count == 1
        else float32(last - step * (count - place - 1))
        for place in range(count)
    ]


def float32(value: float) -> float:
    """`value` with as many bits as float32 has."""
    (rounded,) = struct.unpack("f", struct.pack("f", value))
    return float(rounded)


def along(start: float, end: float, strengths: list[float]) -> list[HookKeyframe]:
    """Strengths one after the other between two parts of the schedule."""
    percents = between(start, end, len(strengths))
    return [
        HookKeyframe(strength, percent, guarantee_steps=1 if place == 0 else 0)
        for place, (strength, percent) in enumerate(zip(strengths, percents, strict=True))
    ]


def encoded_spans(clip: Clip) -> list[tuple[Span, Clip]]:
    """The spans of the schedule, each with the text encoder that prompts are encoded by for it.

    Raises:
        HooksTooManyError: there are too many of them.
    """
    if clip.hooks is None:
        return [((0.0, 1.0), clip)]
    hooks = clip.hooks.hooks
    if not clip.hooks.scheduled:
        return [((0.0, 1.0), _under(clip, [(hook, 1.0) for hook in hooks]))]
    own = {hook: _spans(hook.keyframes) for hook in hooks}
    ends = {end for spans in own.values() for span, _ in spans for end in span}
    spans = tuple(pairwise(sorted({0.0, *ends}))) or ((0.0, 1.0),)
    return [
        (span, _under(clip, [(hook, _strength_in(span, own[hook])) for hook in hooks]))
        for span in bounded("clip", spans)
    ]


def _spans(keyframes: tuple[HookKeyframe, ...]) -> list[tuple[Span, float]]:
    """Where strengths stay the same, and what they are there."""
    if not keyframes:
        return [((0.0, 1.0), 1.0)]
    found = []
    own = keyframes[0]
    for keyframe in keyframes:
        later = keyframe.start_percent > own.start_percent
        if later and not math.isclose(keyframe.strength, own.strength):
            found.append(((own.start_percent, keyframe.start_percent), own.strength))
            own = keyframe
        elif not later:
            own = keyframe
    if not math.isclose(own.start_percent, 1.0):
        found.append(((own.start_percent, 1.0), own.strength))
    return found


def _strength_in(span: Span, spans: list[tuple[Span, float]]) -> float:
    """The strength of the first of `spans` that meets `span`; 1 where none does."""
    met = (own for (start, end), own in spans if start < span[1] and end > span[0])
    return next(met, 1.0)


def _under(clip: Clip, hooks: list[tuple[WeightHook, float]]) -> Clip:
    changes_of_hooks = [_change(hook, hook.strength_clip * factor) for hook, factor in hooks]
    changes = (*clip.changes, *(change for change in changes_of_hooks if change is not None))
    return replace(clip, hooks=None, changes=changes)


def model_changes(hooks: Iterable[tuple[WeightHook, float]]) -> tuple[Change, ...]:
    """What hooks at factors of their strengths apply to a model."""
    changes_of_hooks = (_change(hook, hook.strength_model * factor) for hook, factor in hooks)
    return tuple(change for change in changes_of_hooks if change is not None)


def _change(hook: WeightHook, strength: float) -> Change | None:
    if strength == 0:
        return None
    return Change(hook.kind, (("file", hook.file), ("strength", strength)))
