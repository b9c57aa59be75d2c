"""What output nodes saved, by content key: the same again need not be saved again."""

from collections import OrderedDict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import TypeAlias

from storage.outputs import StoredOutput

Key: TypeAlias = tuple[str, str]  # owner, content key
MOST_FILES = 20_000


class SavedFiles:
    """The files of output nodes, the least recently used going first. For one event loop."""

    def __init__(self, most: int = MOST_FILES) -> None:
        self._most = most
        self._count = 0
        self._files: OrderedDict[Key, tuple[StoredOutput, ...]] = OrderedDict()

    def of(self, key: Key) -> tuple[StoredOutput, ...]:
        """What was saved under a key; nothing where it is not known."""
        if key not in self._files:
            return ()
        self._files.move_to_end(key)
        return self._files[key]

    def keep(self, key: Key, files: Sequence[StoredOutput], job: int) -> None:
        """Remember what a job saved, or listed again."""
        self.forget(key)
        saved = tuple(replace(one, job_id=one.job_id or job) for one in files)
        if saved and len(saved) <= self._most:
            self._files[key] = saved
            self._count += len(saved)
        while self._count > self._most:
            self.forget(next(iter(self._files)))

    def forget(self, key: Key) -> None:
        self._count -= len(self._files.pop(key, ()))

    def jobs(self) -> frozenset[int]:
        """The jobs whose files are known."""
        named = (file.job_id for files in self._files.values() for file in files)
        return frozenset(job for job in named if job is not None)

    def forget_jobs(self, jobs: AbstractSet[int]) -> None:
        """Drop what these jobs saved."""
        gone = [
            key for key, files in self._files.items() if any(file.job_id in jobs for file in files)
        ]
        for key in gone:
            self.forget(key)
