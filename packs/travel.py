"""Converts values between the service's types and those that ComfyUI's nodes know.

Latents, sounds and prompts are plain data of tensors there. Models are `service` values: numbers
by which their process is told of them. Objects of a pack are `handle`s: it has them, not we.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

from graph.prompt import Source
from graph.results import ExecutionBlocker
from graph.values import (
    Audio,
    Condition,
    ControlUse,
    FileNames,
    InputFile,
    Latent,
    Video,
    VideoInfo,
)
from packs.encoding import BadValueError, Decoder, Encoder, Tagged, TensorParts
from packs.errors import CallLostError

MOST_SERVICE_VALUES = 20_000
OPTIONS: Mapping[str, str] = {  # of a prompt: ComfyUI's names and ours
    "pooled_output": "pooled",
    "strength": "strength",
    "mask": "mask",
    "mask_strength": "mask_strength",
    "set_area_to_bounds": "mask_bounds",
    "start_percent": "start_percent",
    "end_percent": "end_percent",
    "control_apply_to_uncond": "control_apply_to_uncond",
}
PERCENT = "percentage"


@dataclass(frozen=True)
class PackValue:
    """An object that one process of a pack has; gone with it."""

    pack: str
    process: str
    number: int
    kind: str

    def __str__(self) -> str:
        return f"a {self.kind} of the node pack {self.pack}"


@dataclass
class ServiceValues:
    """The values of ours that one process was told of, by number."""

    most_bytes: int = 2**30  # of the tensors in them
    _kept: OrderedDict[int, "Numbered"] = field(default_factory=OrderedDict)
    _numbers: dict[Any, int] = field(default_factory=dict)
    _nbytes: int = 0
    _next: int = 1

    def number(self, value: Any) -> int:
        """The number of a value; equal descriptions have one."""
        key: Any = value
        try:
            known = self._numbers.get(key)
        except TypeError:  # it cannot be a key
            key, known = id(value), self._numbers.get(id(value))
        if known is not None:
            self._kept.move_to_end(known)
            return known
        number, self._next = self._next, self._next + 1
        self._kept[number] = Numbered(key, value, _nbytes(value))
        self._numbers[key] = number
        self._nbytes += self._kept[number].nbytes
        while len(self._kept) > 1 and (
            len(self._kept) > MOST_SERVICE_VALUES or self._nbytes > self.most_bytes
        ):
            _, gone = self._kept.popitem(last=False)
            self._nbytes -= gone.nbytes
            del self._numbers[gone.key]
        return number

    def get(self, number: Any) -> Any:
        if not isinstance(number, int) or number not in self._kept:
            raise CallLostError(f"value {number!r} of the service")
        self._kept.move_to_end(number)
        return self._kept[number].value


@dataclass(frozen=True)
class Numbered:
    """A value with what it is found by."""

    key: Any
    value: Any
    nbytes: int


def _nbytes(value: Any) -> int:
    """The size of the tensors in a description, such as a ControlNet's hint."""
    if hasattr(value, "dtype"):
        return int(getattr(getattr(value, "data", value), "nbytes", 0))
    if is_dataclass(value) and not isinstance(value, type):
        return sum(_nbytes(getattr(value, part.name)) for part in fields(value))
    if isinstance(value, Mapping):
        return sum(map(_nbytes, value.values()))
    return sum(map(_nbytes, value)) if isinstance(value, list | tuple) else 0


@dataclass(frozen=True)
class Traveller:
    """Values to and from one process of a pack. `parts` and `array` read and make tensors."""

    pack: str
    process: str
    parts: Callable[[Any], TensorParts | None]
    array: Callable[[TensorParts], Any]
    ours: ServiceValues = field(default_factory=ServiceValues)

    def encoder(self) -> Encoder:
        return Encoder(self._to_parts)

    def encode(self, encoder: Encoder, value: Any) -> Any:
        """A value on its way into the process."""
        return encoder.encode(self._shaped(value))

    def decode(self, said: Any, buffers: Sequence[memoryview]) -> Any:
        """A value on its way out, as the service has it. Raises BadValueError, CallLostError."""
        return as_ours(Decoder(buffers, self._from_parts).decode(said))

    def _shaped(self, value: Any) -> Any:
        if isinstance(value, Source):  # an input that wants the link itself
            return [value.node_id, value.slot]
        if isinstance(value, Latent):
            return _latent(value)
        if isinstance(value, Audio):
            return {"waveform": value.waveform, "sample_rate": value.sample_rate}
        if isinstance(value, VideoInfo):
            return _video_info(value)
        if isinstance(value, FileNames):
            return value.saved, list(value.names)
        if isinstance(value, tuple) and value and all(isinstance(one, Condition) for one in value):
            return [self._condition(one) for one in value]
        if type(value) in {list, tuple}:
            return type(value)(map(self._shaped, value))
        if type(value) is dict:
            return {name: self._shaped(one) for name, one in value.items()}
        return value

    def _condition(self, one: Condition) -> list[Any]:
        options: dict[str, Any] = dict(one.extras)
        defaults = Condition(None)
        for theirs, mine in OPTIONS.items():
            value = getattr(one, mine)
            if value is not None and (mine == "pooled" or value is not getattr(defaults, mine)):
                options[theirs] = value
        if one.area is not None:
            options["area"] = (PERCENT, *one.area) if one.area_in_percent else one.area
        if one.controls:
            options["control"] = one.controls
        return [one.tokens, options]

    def _to_parts(self, value: Any) -> TensorParts | Tagged | None:
        if (parts := self.parts(value)) is not None:
            return parts
        if isinstance(value, ExecutionBlocker):
            return Tagged("blocked", {"message": value.message})
        if isinstance(value, PackValue):
            if value.process != self.process:
                raise CallLostError(str(value))
            return Tagged("handle", {"id": value.number})
        if isinstance(value, InputFile):
            return Tagged("file", {"name": value.name, "content": value.content})
        if isinstance(value, Video):
            return Tagged("video", _video(value))
        if isinstance(value, tuple) and value and isinstance(value[0], ControlUse):
            return Tagged("service", {"id": self.ours.number(value), "kind": "CONTROL_NET"})
        if is_dataclass(value) and not isinstance(value, type):
            link = getattr(type(value), "link", None)
            kind = link.name if link else type(value).__name__
            return Tagged("service", {"id": self.ours.number(value), "kind": kind})
        return None

    def _from_parts(self, parts: TensorParts | Tagged) -> Any:
        if isinstance(parts, TensorParts):
            return self.array(parts)
        facts = parts.facts
        if parts.tag == "service":
            return self.ours.get(facts.get("id"))
        if parts.tag == "handle":
            number, kind = facts.get("id"), facts.get("kind")
            if not isinstance(number, int) or not isinstance(kind, str):
                raise BadValueError("a handle that is none")
            return PackValue(self.pack, self.process, number, kind[:100])
        if parts.tag == "blocked":
            message = facts.get("message")
            return ExecutionBlocker(None if message is None else str(message)[:2000])
        if parts.tag == "item":
            return facts.get("value")
        if parts.tag == "video":
            return _our_video(facts)
        raise BadValueError(f"a value tagged {parts.tag[:40]!r}")


def as_ours(value: Any) -> Any:
    """A latent, sound or prompt as the service has it; anything else as it is."""
    if isinstance(value, dict):
        if hasattr(value.get("samples"), "dtype"):
            return _our_latent(value)
        if hasattr(value.get("waveform"), "dtype") and isinstance(value.get("sample_rate"), int):
            return Audio(value["waveform"], value["sample_rate"])
    if isinstance(value, list) and value and all(_is_condition(one) for one in value):
        return tuple(_our_condition(tokens, options) for tokens, options in value)
    return value


def _latent(value: Latent) -> dict[str, Any]:
    said: dict[str, Any] = {"samples": value.samples}
    if value.noise_mask is not None:
        said["noise_mask"] = value.noise_mask
    if value.batch_index is not None:
        said["batch_index"] = list(value.batch_index)
    return said


def _our_latent(value: Mapping[str, Any]) -> Latent:
    index = value.get("batch_index")
    listed = isinstance(index, list) and all(isinstance(one, int) for one in index)
    mask = value.get("noise_mask")
    return Latent(
        value["samples"],
        mask if hasattr(mask, "dtype") else None,
        tuple(index) if index is not None and listed else None,
    )


def _is_condition(value: Any) -> bool:
    pair = isinstance(value, list | tuple) and len(value) == 2
    return pair and hasattr(value[0], "dtype") and isinstance(value[1], dict)


def _our_condition(tokens: Any, options: Mapping[str, Any]) -> Condition:
    known = {mine: options[theirs] for theirs, mine in OPTIONS.items() if theirs in options}
    extras = {
        name: value
        for name, value in options.items()
        if name not in OPTIONS and name not in {"area", "control"}
    }
    found = Condition(tokens, extras=extras, **known)
    area = options.get("area")
    if isinstance(area, list | tuple) and len(area) == 5 and area[0] == PERCENT:
        found = replace(found, area=_area(area[1:]), area_in_percent=True)
    elif isinstance(area, list | tuple) and len(area) == 4:
        found = replace(found, area=_area(area))
    control = options.get("control")
    if isinstance(control, tuple) and all(isinstance(one, ControlUse) for one in control):
        found = replace(found, controls=control)
    elif control is not None:
        raise BadValueError("a control of a prompt that is none of the service's")
    return found


def _area(numbers: Sequence[Any]) -> tuple[float, float, float, float]:
    height, width, top, left = map(float, numbers)
    return height, width, top, left


def _video(value: Video) -> dict[str, Any]:
    audio = value.audio
    return {
        "content": value.file.content if value.file else None,
        "frames": value.frames,
        "fps": value.fps,
        "audio": {"waveform": audio.waveform, "sample_rate": audio.sample_rate} if audio else None,
        "start_s": value.start_s,
        "duration_s": value.duration_s,
    }


def _our_video(facts: Mapping[str, Any]) -> Video:
    content, audio = facts.get("content"), as_ours(facts.get("audio"))
    start, length, fps = (facts.get(name) or 0.0 for name in ("start_s", "duration_s", "fps"))
    if not all(isinstance(one, int | float) for one in (start, length, fps)):
        raise BadValueError("a video whose times are no numbers")
    if isinstance(content, bytes):
        file = InputFile("video.mp4", content, hashlib.sha256(content).hexdigest())
        return Video(file=file, start_s=start, duration_s=length)
    if not hasattr(facts.get("frames"), "dtype") or not fps:
        raise BadValueError("a video without frames")
    sound = audio if isinstance(audio, Audio) else None
    return Video(frames=facts["frames"], fps=float(fps), audio=sound)


def _video_info(value: VideoInfo) -> dict[str, Any]:
    names = ("fps", "frame_count", "duration", "width", "height")
    return {
        f"{part.name}_{name}": number
        for part in fields(value)
        for name, number in zip(names, getattr(value, part.name), strict=True)
    }
