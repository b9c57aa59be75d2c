"""Errors of operations on valid video and audio."""

from dataclasses import dataclass

from graph.errors import ServiceError


@dataclass(eq=False)
class NoStretchError(ServiceError):
    """A stretch of time that is not there."""

    status = 422
    code = "media_stretch"
    template = "The {what} is {length_s} s long: there are no {duration_s} s from {start_s} s on."
    what: str
    length_s: float
    start_s: float
    duration_s: float


@dataclass(eq=False)
class WrongChannelsError(ServiceError):
    """Sound of other channels than what is done takes."""

    status = 422
    code = "audio_channels"
    template = "Expected {expected}, got {first} and {second} channels."
    expected: str
    first: int
    second: int


@dataclass(eq=False)
class AudioTooLongError(ServiceError):
    """Sound that would become longer than this service takes."""

    status = 422
    code = "media_too_large"
    template = "The sound would be {seconds} s long; at most {limit} s are made."
    seconds: float
    limit: float
