"""Checks an owner's disk quota before a file is written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from graph.errors import ServiceError


@dataclass(eq=False)
class DiskQuotaError(ServiceError):
    """A file that does not fit what its owner may keep. It was not stored."""

    status = 413
    code = "disk_quota"
    template = (
        "Your files take {used_bytes} bytes of {limit_bytes}, and {size} more do not fit; delete "
        "jobs or models, or wait until outputs and inputs expire."
    )
    used_bytes: int
    limit_bytes: int
    size: int


@dataclass(frozen=True)
class DiskQuota:
    """The most bytes that an owner may keep; some have a limit of their own."""

    most_bytes: int = 128 * 2**30
    of_owners: Mapping[str, int] = field(default_factory=dict)

    def of(self, owner: str) -> int:
        return self.of_owners.get(owner, self.most_bytes)


class Disk(Protocol):
    """Where bytes are taken from before a file is written."""

    async def take(self, owner: str, size: int) -> None:
        """Raises DiskQuotaError: so many bytes do not fit any more."""

    async def give_back(self, owner: str, size: int) -> None:
        """Files of so many bytes are gone."""


class Unlimited:
    """As much as anybody wants."""

    async def take(self, owner: str, size: int) -> None: ...

    async def give_back(self, owner: str, size: int) -> None: ...
