"""CPU and memory limits of processes that work on callers' files or requests."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PAGE_BYTES = resource.getpagesize()


def peak_bytes() -> int:
    """The most memory that this process had; 0 where that is not known."""
    status = Path("/proc/self/status")  # `ru_maxrss` may be that of whoever started this process
    lines = status.read_text().splitlines() if status.exists() else []
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


@contextmanager
def limited(memory_bytes: int, cpu_s: int) -> Iterator[None]:
    """Bounds what may be taken of memory, beyond what is taken already, and of the processor."""
    statm = Path("/proc/self/statm")
    taken_bytes = int(statm.read_text().split()[0]) * PAGE_BYTES if statm.exists() else None
    used = resource.getrusage(resource.RUSAGE_SELF)
    if taken_bytes is not None:  # Linux
        _set_soft(resource.RLIMIT_AS, taken_bytes + memory_bytes)
    _set_soft(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + 1 + cpu_s)
    try:
        yield
    finally:
        for which in (resource.RLIMIT_AS, resource.RLIMIT_CPU):
            _set_soft(which, resource.RLIM_INFINITY)


def _set_soft(which: int, soft: int) -> None:
    """Set a limit, or as near to it as this process may."""
    _, hard = resource.getrlimit(which)
    if hard != resource.RLIM_INFINITY and (soft == resource.RLIM_INFINITY or soft > hard):
        soft = hard
    resource.setrlimit(which, (soft, hard))
