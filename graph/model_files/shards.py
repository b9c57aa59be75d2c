"""Models in several files, `name-00001-of-00003.safetensors` and so on: any of them names all."""

import re
from pathlib import Path

from graph.model_files.limits import BadHeaderError

NAME = re.compile(r"(.+)-(\d{5})-of-(\d{5})(\.safetensors)", re.IGNORECASE)
MOST = 200


def shards_of(path: Path) -> tuple[Path, ...]:
    """All files of a model, in order; the file itself where it is no part of one.

    Raises:
        BadHeaderError: one of them is missing.
    """
    found = NAME.fullmatch(path.name)
    if found is None:
        return (path,)
    start, number, count, ending = found[1], int(found[2]), int(found[3]), found[4]
    if not 1 <= number <= count <= MOST:
        problem = f"it is part {number} of {count}; the limit is {MOST} parts"
        raise BadHeaderError(problem)
    names = (f"{start}-{k:05}-of-{count:05}{ending}" for k in range(1, count + 1))
    paths = tuple(path.with_name(name) for name in names)
    missing = next((part for part in paths if not part.is_file()), None)
    if missing is not None:
        problem = f"{missing.name}, which is a part of it, is missing"
        raise BadHeaderError(problem)
    return paths
