"""Landlock: which files a process may read and write. It needs no rights, and Linux 5.13."""

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

CREATE, ADD, RESTRICT = 444, 445, 446  # system calls, the same on every architecture
VERSION = 1
PATH_BENEATH = 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
ALL = (1 << 13) - 1  # of the first version; each later one has more
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
TCP = 3  # bind and connect
SCOPES = 3  # abstract sockets, signals
PR_SET_NO_NEW_PRIVS = 38


def version() -> int:
    """Of what the kernel offers; 0 where it has nothing."""
    return max(0, int(_libc().syscall(CREATE, None, ctypes.c_size_t(0), VERSION)))


def restrict(
    readable: Iterable[Path], writable: Iterable[Path], *, network: bool, execute: bool
) -> None:
    """Take all files but these away from this process and all that it starts. Raises OSError."""
    known = version()
    handled = ALL | (REFER if known >= 2 else 0) | (TRUNCATE if known >= 3 else 0)
    handled |= IOCTL_DEV if known >= 5 else 0
    attributes = struct.pack("<Q", handled)
    if known >= 4:
        attributes += struct.pack("<Q", 0 if network else TCP)
    if known >= 6:
        attributes += struct.pack("<Q", SCOPES)
    libc = _libc()
    rules = _done(libc.syscall(CREATE, attributes, ctypes.c_size_t(len(attributes)), 0))
    read = READ_FILE | READ_DIR | (EXECUTE if execute else 0)
    try:
        for paths, rights in ((readable, read), (writable, handled & ~IOCTL_DEV & ~EXECUTE)):
            for path in paths:
                _allow(libc, rules, path, rights)
        _done(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _done(libc.syscall(RESTRICT, rules, 0))
    finally:
        os.close(rules)


def _allow(libc: ctypes.CDLL, rules: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # not on this machine
        return
    try:
        if not path.is_dir():
            rights &= EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
        rule = struct.pack("<Qi", rights, descriptor)
        _done(libc.syscall(ADD, rules, PATH_BENEATH, rule, 0))
    finally:
        os.close(descriptor)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _done(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
