"""Textual-inversion embeddings in prompts: `embedding:name`."""

import re
from collections.abc import Callable, Iterator

from graph.errors import MissingModelFile
from graph.values import ModelFile

FOLDER = "embeddings"
EXTENSIONS = ("", ".safetensors", ".pt", ".bin")  # in the order in which ComfyUI tries them
MARK = "embedding:"
MOST_NAMED = 200  # different ones in a workflow: each is a file to look for
NAMED = re.compile(rf"{MARK}([^\s:()]+)")


def named_in(text: str) -> Iterator[str]:
    """The names of the embeddings that a prompt asks for, each once, and no more than tell that
    there are too many.
    """
    seen: set[str] = set()
    for match in NAMED.finditer(text):
        name = match[1].rstrip(",")
        if name not in seen:
            yield name
            seen.add(name)
        if len(seen) > MOST_NAMED:
            return


def embedding_file(name: str, find: Callable[[str, str], ModelFile]) -> ModelFile | None:
    """The file of that name, with an ending or without; None where there is none.

    `find` takes a folder and a name and raises MissingModelFile.
    """
    for extension in EXTENSIONS:
        try:
            return find(FOLDER, name + extension)
        except MissingModelFile:
            continue
    return None
