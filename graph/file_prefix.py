"""Expands the `filename_prefix` of output nodes, or says why it is no valid name."""

import os
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import PurePosixPath

INPUT = "filename_prefix"  # of every node that saves files
LONGEST_NAME_BYTES = 200
LONGEST_PATH_BYTES = 1000
ENDING_BYTES = (
    20  # what a saved file has after its prefix: "_00001_.webp", "_temp_abcde_00001_.png"
)
LONGEST_PREFIX = 8 * LONGEST_PATH_BYTES  # characters; a variable stands for fewer than its name has
NO_TEXT = re.compile(r"[\x00-\x1f\ud800-\udfff]")  # control characters, halves of surrogate pairs
DATE = re.compile(r"%date(?::([^%]*))?%")
DATE_PARTS = re.compile(r"yyyy|yy|MM|M|dd|d|hh|h|mm|m|ss|s")
LONGEST = datetime(2030, 12, 31, 23, 59, 59)
WIDEST_PX = 99_999


def name_problem(name: str, ending_bytes: int = 0) -> str | None:
    """Why a text cannot name a file in a folder, "sub/folder/file"; None where it can.

    `ending_bytes` are left for what follows the name.
    """
    if not name or NO_TEXT.search(name):
        return "it is empty or holds control characters or half letters"
    normal = PurePosixPath(os.path.normpath(name))
    if normal.is_absolute() or str(normal) == "." or normal.parts[0] == "..":
        return "it leads out of its folder"
    longest = LONGEST_NAME_BYTES - ending_bytes
    if any(len(part.encode()) > longest for part in normal.parts):
        return f"a part is longer than {longest} bytes"
    if len(name.encode()) > LONGEST_PATH_BYTES:
        return f"it is longer than {LONGEST_PATH_BYTES} bytes"
    return None


def prefix_problem(prefix: str) -> str | None:
    """Why nothing can be saved under a prefix, whatever its variables stand for."""
    if len(prefix) > LONGEST_PREFIX:
        return f"it is longer than {LONGEST_PREFIX} characters"
    expanded = expand_prefix(prefix, width=WIDEST_PX, height=WIDEST_PX, now=LONGEST)
    return name_problem(expanded, ENDING_BYTES)


def expand_prefix(prefix: str, *, width: int, height: int, now: datetime) -> str:
    """`prefix` with %width%, %height%, %year% ... %second% and %date:yyyy-MM-dd% filled in."""
    expanded = DATE.sub(lambda found: _date(found[1] or "yyyy-MM-dd", now), prefix)
    for name, value in _variables(width, height, now).items():
        expanded = expanded.replace(f"%{name}%", value)
    return expanded


def _variables(width: int, height: int, now: datetime) -> Mapping[str, str]:
    return {
        "width": str(width),
        "height": str(height),
        "year": str(now.year),
        "month": f"{now.month:02}",
        "day": f"{now.day:02}",
        "hour": f"{now.hour:02}",
        "minute": f"{now.minute:02}",
        "second": f"{now.second:02}",
    }


def _date(pattern: str, now: datetime) -> str:
    parts = {"yyyy": f"{now.year}", "yy": f"{now.year % 100:02}"}
    for letter, value in (
        ("M", now.month), ("d", now.day), ("h", now.hour), ("m", now.minute), ("s", now.second)
    ):  # fmt: skip
        parts |= {letter: str(value), letter * 2: f"{value:02}"}
    return DATE_PARTS.sub(lambda found: parts[found[0]], pattern)
