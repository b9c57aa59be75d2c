"""A MemoryBudget on the disk that keeps some space free."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from graph.errors import ServiceError

RETRY_AFTER_S = 3600


@dataclass(eq=False)
class DiskFullError(ServiceError):
    """No room for what was to be stored. Nothing was accepted."""

    status = 503
    code = "disk_full"
    template = "There is no room for {size} more bytes; try again in {retry_after_s} s."
    size: int
    retry_after_s: int


@dataclass(frozen=True)
class DiskRoom:
    """The disk of a folder, of which `min_free_bytes` are not used."""

    folder: Path
    min_free_bytes: int = 2 * 2**30

    def check(self, size: int) -> None:
        """Look whether so many bytes more may be written.

        Raises:
            DiskFullError: they may not.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(self.folder).free - size < self.min_free_bytes:
            raise DiskFullError(size, RETRY_AFTER_S)
