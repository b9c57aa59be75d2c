"""What can go wrong with a pack, as callers are told."""

from dataclasses import dataclass

from graph.errors import ServiceError


@dataclass(eq=False)
class PackRefusedError(ServiceError):
    """A pack that is allowed, and does not load."""

    status = 503
    code = "pack_not_loaded"
    template = "The node pack {pack!r} is not loaded: {problem}."
    pack: str
    problem: str


@dataclass(eq=False)
class PackEndedError(ServiceError):
    """A pack's process that ended, or was ended, with a node of it running. It starts anew."""

    status = 502
    code = "pack_ended"
    template = "The node pack {pack!r} {problem}. Its process is started anew."
    pack: str
    problem: str


@dataclass(eq=False)
class PackSlowError(ServiceError):
    """A route of a pack that took too long, and was stopped."""

    status = 504
    code = "pack_slow"
    template = "The node pack {pack!r} did not answer within {seconds:g} s."
    pack: str
    seconds: float


@dataclass(eq=False)
class PackNodeError(ServiceError):
    """What a node of a pack raised."""

    status = 422
    code = "execution_error"
    template = "{problem} (a node of the pack {pack!r})"
    pack: str
    problem: str


@dataclass(eq=False)
class PackResultError(ServiceError):
    """What a node of a pack gave cannot be what it says."""

    status = 502
    code = "pack_result_invalid"
    template = "The node pack {pack!r} gave {problem}."
    pack: str
    problem: str


class CallLostError(Exception):
    """A call that did not run: its process went down for another, or what it was given is gone."""
