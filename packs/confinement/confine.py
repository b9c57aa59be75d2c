"""Confines the process that it is called in: files, system calls, capabilities, memory."""

import ctypes
import os
import resource
import signal
import struct
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packs.confinement import files, system_calls

PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 1, 4
CAPABILITIES = 0x20080522  # the version of capset's structures
SYSTEM = (
    "/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/fonts", "/etc/localtime",
    "/etc/mime.types", "/etc/ssl", "/dev/urandom", "/dev/random", "/dev/zero", "/proc/self",
    "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/sys/vm", "/sys/devices/system",
    "/sys/fs/cgroup",
)  # fmt: skip
FOR_NETWORK = ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf")
DEVICES = ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia0")


@dataclass(frozen=True)
class Confinement:
    """What a pack's process may do. `packages` are ours that it imports."""

    readable: tuple[str, ...]
    writable: tuple[str, ...]
    memory_bytes: int
    file_bytes: int
    network: bool = False
    processes: bool = False
    strict: bool = True  # it does not run where the kernel cannot hold it

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> "Confinement":
        """As it was sent."""
        lists = {name: tuple(said[name]) for name in ("readable", "writable")}
        return cls(**{**said, **lists})


class NotConfinedError(Exception):
    """The kernel lacks what a confinement is made of."""


def missing() -> list[str]:
    """What this machine lacks for a whole confinement."""
    lacking = [] if files.version() else ["Landlock (Linux 5.13, in its list of security modules)"]
    return lacking + ([] if system_calls.is_known() else ["a seccomp filter for this architecture"])


def confine(how: Confinement) -> list[str]:
    """Confine this process; what could not be taken away is returned.

    Raises:
        NotConfinedError: something is missing, and the confinement is strict.
    """
    lacking = missing()
    if lacking and how.strict:
        raise NotConfinedError(f"this machine has no {', no '.join(lacking)}")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    limits = {
        resource.RLIMIT_DATA: how.memory_bytes,
        resource.RLIMIT_FSIZE: how.file_bytes,
        resource.RLIMIT_CORE: 0,
    }
    _, files_at_most = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits[resource.RLIMIT_NOFILE] = files_at_most  # each tensor that came may hold one open
    for name, most in limits.items():
        resource.setrlimit(name, (most, most))
    if files.version():
        readable = [Path(path) for path in (*how.readable, *_python(), *_system(how))]
        writable = [Path(path) for path in (*how.writable, "/dev/null", *DEVICES)]
        files.restrict(readable, writable, network=how.network, execute=how.processes)
    _drop_capabilities(libc)
    if system_calls.is_known():
        system_calls.restrict(network=how.network, processes=how.processes)
    return lacking


def _python() -> Iterator[str]:
    """Where the interpreter and its packages are."""
    yield from {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    yield from set(sysconfig.get_paths().values())
    yield from (path for path in sys.path if "-packages" in path or path.endswith(".zip"))


def _system(how: Confinement) -> Iterable[str]:
    return (*SYSTEM, *DEVICES, *(FOR_NETWORK if how.network else ()))


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    header = struct.pack("<Ii", CAPABILITIES, 0)
    if libc.capset(header, bytes(24)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
