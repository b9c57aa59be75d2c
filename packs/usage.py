"""Measures a pack's process: memory, memory files, and files in its scratch folder."""

import contextlib
import os
import stat
from pathlib import Path

import psutil

MOST_FILES = 200_000


def memory_bytes(pid: int) -> int:
    """What is resident of a process, and what is in its memory files.

    What is only written to a memory file is in no other count. Raises psutil.Error, OSError.
    """
    return int(psutil.Process(pid).memory_info().rss) + _open_bytes(pid, "/memfd:")


def file_bytes(pid: int, folder: Path) -> int:
    """What lies in a folder, and in files that were deleted there and are still open.

    More files than a folder may have count as more bytes than it may.
    """
    total, count = _open_bytes(pid, f"{folder}/", gone=True), 0
    waiting = [str(folder)]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                count += 1
                if count > MOST_FILES:
                    return 2**62
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                else:
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
    return total


def _open_bytes(pid: int, beginning: str, *, gone: bool = False) -> int:
    """The bytes of open files whose names begin so; with `gone` of deleted ones alone."""
    total = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if os.readlink(descriptor).startswith(beginning):  # noqa: PTH115 - not a path
                found = descriptor.stat()
                if stat.S_ISREG(found.st_mode) and not (gone and found.st_nlink):
                    total += found.st_blocks * 512
    return total
