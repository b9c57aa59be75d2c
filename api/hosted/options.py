"""Settings of the hosted API."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class HostedOptions:
    """`aliases` give files the names that clients use: folder -> name -> file.

    In `checkpoints`, the names "default", "realtime", "inpaint" and "outpaint" say which is used
    by requests that name none. `native_px` is the side of the pictures that a checkpoint draws
    best, where its family's is not it. `errors_as_200` answers errors as the hosted API once did.
    """

    aliases: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    native_px: Mapping[str, int] = field(default_factory=dict)
    wait_s: float = 20.0
    errors_as_200: bool = False
