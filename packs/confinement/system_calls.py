"""A seccomp filter: no other processes, no sockets but allowed ones, no administration."""

import ctypes
import os
import platform
import struct
from collections.abc import Iterable, Mapping

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
ALLOW, KILL, REFUSE, NO_SUCH_CALL = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
LOAD, AND, JUMP_EQUAL, JUMP_AT_LEAST, RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
CLONE_THREAD = 0x10000
X32 = 0x40000000
NUMBER, ARCHITECTURE, FIRST = 0, 4, 16  # where the kernel puts them, of a little-endian machine
AF_INET, AF_INET6, AF_NETLINK = 2, 10, 16

ARCHITECTURES: Mapping[str, int] = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# Same numbers on every architecture: io_uring, mounts of the new kind, pidfd_*, memfd_secret.
NEWER = (424, 425, 426, 427, 428, 429, 430, 431, 432, 433, 434, 438, 440, 442, 447)
NEVER: Mapping[str, tuple[int, ...]] = {
    "x86_64": (
        101, 129, 135, 155, 161, 163, 164, 165, 166, 167, 168, 169, 170, 171, 172, 173, 175, 176,
        179, 200, 227, 246, 248, 249, 250, 272, 297, 298, 304, 308, 310, 311, 313, 320, 321, 323,
    ),
    "aarch64": (
        39, 40, 41, 51, 60, 89, 92, 97, 104, 105, 106, 112, 117, 130, 138, 142, 161, 162, 170, 217,
        218, 219, 224, 225, 240, 241, 265, 268, 270, 271, 273, 280, 282, 294,
    ),
}  # fmt: skip
# clone, clone3, socket, kill, tgkill, prlimit64; then what makes processes: fork, vfork, execve(at)
CLONE3 = 435
CHECKED: Mapping[str, Mapping[str, int]] = {
    "x86_64": {"clone": 56, "socket": 41, "kill": 62, "tgkill": 234, "prlimit64": 302},
    "aarch64": {"clone": 220, "socket": 198, "kill": 129, "tgkill": 131, "prlimit64": 261},
}
PROCESSES: Mapping[str, tuple[int, ...]] = {"x86_64": (57, 58, 59, 322), "aarch64": (221, 281)}


def is_known() -> bool:
    """Whether the filter is written for this machine."""
    return platform.machine() in ARCHITECTURES


def restrict(*, network: bool, processes: bool) -> None:
    """Take system calls away from this process and all that it starts. Raises OSError."""
    program = _program(platform.machine(), network=network, processes=processes)
    code = b"".join(program)
    buffer = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    given = Program(len(program), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(given), 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def _program(machine: str, *, network: bool, processes: bool) -> list[bytes]:
    calls = CHECKED[machine]
    refused = [*NEVER[machine], *NEWER, *(() if processes else PROCESSES[machine])]
    families = (AF_INET, AF_INET6, AF_NETLINK) if network else ()
    own = [0, os.getpid()]
    program = [
        _step(LOAD, ARCHITECTURE),
        _step(JUMP_EQUAL, ARCHITECTURES[machine], 1, 0),
        _step(RETURN, KILL),
        _step(LOAD, NUMBER),
        _step(JUMP_AT_LEAST, X32, 0, 1),
        _step(RETURN, REFUSE),
    ]
    for number in refused:
        program += [_step(JUMP_EQUAL, number, 0, 1), _step(RETURN, REFUSE)]
    if not processes:
        program += [_step(JUMP_EQUAL, CLONE3, 0, 1), _step(RETURN, NO_SUCH_CALL)]
        program += _when(calls["clone"], [
            _step(LOAD, FIRST), _step(AND, CLONE_THREAD), _step(JUMP_EQUAL, CLONE_THREAD, 1, 0),
            _step(RETURN, REFUSE), _step(RETURN, ALLOW),
        ])  # fmt: skip
        for name in ("kill", "tgkill", "prlimit64"):
            program += _when(calls[name], _one_of(own))
    program += _when(calls["socket"], _one_of(families))
    return [*program, _step(RETURN, ALLOW)]


def _when(number: int, then: list[bytes]) -> list[bytes]:
    """Steps for one system call; they end in a verdict."""
    return [_step(JUMP_EQUAL, number, 0, len(then)), *then]


def _one_of(values: Iterable[int]) -> list[bytes]:
    """Allow the call where its first argument is one of these."""
    steps = [_step(LOAD, FIRST)]
    for value in values:
        steps += [_step(JUMP_EQUAL, value, 0, 1), _step(RETURN, ALLOW)]
    return [*steps, _step(RETURN, REFUSE)]


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value & 0xFFFFFFFF)
