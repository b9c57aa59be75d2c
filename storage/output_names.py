"""Names of saved files, counted as ComfyUI counts them (folder_paths.py, get_save_image_path)."""

import random
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import PurePosixPath

from storage.paths import relative_name

LETTERS = "abcdefghijklmnopqrstuvwxyz"
DATE = re.compile(r"%date(?::([^%]*))?%")
DATE_PARTS = re.compile(r"yyyy|yy|MM|M|dd|d|hh|h|mm|m|ss|s")


def expand_prefix(prefix: str, *, width: int, height: int, now: datetime) -> str:
    """`prefix` with %width%, %height%, %year% ... %second% and %date:yyyy-MM-dd% filled in."""
    expanded = DATE.sub(lambda found: _date(found[1] or "yyyy-MM-dd", now), prefix)
    for name, value in _variables(width, height, now).items():
        expanded = expanded.replace(f"%{name}%", value)
    return expanded


def split_prefix(prefix: str) -> tuple[str, str]:
    """Sub-folder ("" for none) and start of the file name.

    Raises:
        UnsafePathError: the prefix leads out of the output folder.
    """
    path = PurePosixPath(relative_name(prefix))
    subfolder = str(path.parent)
    return ("" if subfolder == "." else subfolder), path.name


def temporary_mark(node: str) -> str:
    """What ComfyUI's PreviewImage puts after the prefix: "_temp_" and five letters.

    They are drawn for the node of a job: run again, it saves under the same names.
    """
    seed = node.encode(errors="surrogatepass")  # an id may be half a surrogate pair
    return "_temp_" + "".join(random.Random(seed).choices(LETTERS, k=5))


class NameCounter:
    """Hands out prefix_00001_.png, prefix_00002_.png ... within one job, starting each at 1."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}

    def take(self, prefix: str, count: int, extension: str) -> list[str]:
        """Names of `count` pictures of one batch; %batch_num% is the place in the batch."""
        first = self._next.get(prefix, 1)
        self._next[prefix] = first + count
        return [
            f"{prefix.replace('%batch_num%', str(k))}_{first + k:05}_{extension}"
            for k in range(count)
        ]


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
