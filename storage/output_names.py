"""Names of saved files, counted as ComfyUI counts them (folder_paths.py, get_save_image_path)."""

import random
from pathlib import PurePosixPath
from typing import Protocol

from storage.paths import relative_name

LETTERS = "abcdefghijklmnopqrstuvwxyz"


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


class Names(Protocol):
    """Hands out the names of a job's files."""

    async def take(
        self, folder: str, prefix: str, steps: int, extension: str, tail: str = "_"
    ) -> list[str]:
        """Names of `steps` files of one batch; `tail` is between a number and `extension`."""


class NameCounter:
    """Hands out prefix_00001_.png, prefix_00002_.png ... within one job, starting each at 1."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}

    async def take(
        self, folder: str, prefix: str, steps: int, extension: str, tail: str = "_"
    ) -> list[str]:
        """Names of `steps` pictures of one batch; "output" and "temp" count together."""
        del folder
        first = self._next.get(prefix, 1)
        self._next[prefix] = first + steps
        return numbered(prefix, first, steps, tail + extension)


def numbered(prefix: str, first: int, count: int, ending: str) -> list[str]:
    """The names of a batch, numbered from `first`; %batch_num% is the place in the batch."""
    return [f"{prefix.replace('%batch_num%', str(k))}_{first + k:05}{ending}" for k in range(count)]
