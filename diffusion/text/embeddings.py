"""Textual inversion embeddings: files of vectors that `embedding:name` inserts into a prompt."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import torch
from torch import Tensor

from diffusion.text.clip_layout import PartName
from diffusion.weights import Weights
from graph.embeddings import MOST_NAMED, embedding_file
from graph.errors import MissingModelFile
from graph.values import ModelFile

# What a file calls the vectors for one CLIP; the first are files for SDXL.
NAMES: Mapping[PartName, str] = {
    "l": "clip_l",
    "g": "clip_g",
    "h": "clip_h",
    "t5xxl": "t5xxl",
}
TITLES: Mapping[PartName, str] = {
    "l": "CLIP-L",
    "g": "CLIP-G",
    "h": "CLIP-H",
    "t5xxl": "T5",
    "qwen3": "Qwen3",
    "umt5xxl": "UMT5",
    "qwen25_7b": "Qwen2.5-VL",
}
BUNDLE = "bundle_emb."  # several embeddings that OneTrainer put in one file

FindFile: TypeAlias = Callable[[str, str], ModelFile]  # folder, name; raises MissingModelFile
OpenWeights: TypeAlias = Callable[[ModelFile], Weights]
FindVectors: TypeAlias = Callable[[str | ModelFile], Tensor | None]  # by name, or of a file


class EmbeddingFiles:
    """The embeddings folder. Safe to use from several threads.

    Files are looked for anew at each use, so a new one is seen; their vectors are small and read
    when they are wanted.
    """

    def __init__(self, find: FindFile, open_weights: OpenWeights) -> None:
        self._find = find
        self._open = open_weights

    def __call__(self, part: PartName, width: int) -> FindVectors:
        """What one CLIP looks embeddings up in."""

        def vectors(name: str | ModelFile) -> Tensor | None:
            """[N, width].

            Raises:
                BadModelFile: the file cannot be read.
            """
            file = name if isinstance(name, ModelFile) else embedding_file(name, self._find)
            found = None if file is None else find_vectors(self._open(file), part)
            return found if found is not None and found.shape[-1] == width else None

        return vectors


class Lookup:
    """Embeddings of one CLIP, an owner's own first, and what was asked of them in vain.

    Of very many in one text only the first are looked for.
    """

    def __init__(
        self,
        embeddings: FindVectors,
        part: PartName,
        private_embeddings: Mapping[str, ModelFile] = MappingProxyType({}),
    ) -> None:
        self._embeddings = embeddings
        self._part = part
        self._private_embeddings = private_embeddings
        self._missed: dict[str, str] = {}
        self._asked: set[str] = set()

    def __call__(self, name: str) -> Tensor | None:
        """As the embeddings. Raises BadModelFile."""
        word = name.strip(",")
        self._asked.add(word)
        if len(self._asked) > MOST_NAMED:  # in a text that was made while the workflow ran
            return None
        part = TITLES.get(self._part, self._part)
        self._missed[word] = f"Embedding {word!r} is not there or not made for {part}: ignored"
        try:
            vectors = self._embeddings(self._private_embeddings.get(name, name))
        except MissingModelFile:  # an own one, deleted meanwhile
            return None
        if vectors is not None:
            del self._missed[word]
        return vectors

    @property
    def warnings(self) -> tuple[str, ...]:
        texts = tuple(self._missed.values())
        if len(self._asked) > MOST_NAMED:
            texts += (f"More than {MOST_NAMED} embeddings are named: the others are ignored",)
        return texts


def find_vectors(weights: Weights, part: PartName) -> Tensor:
    """The vectors [N, D] that a file has for one CLIP, of whatever width they are.

    A1111's files have them under `*`, ComfyUI's for SDXL under each CLIP's name, others as the only
    tensor there is (ComfyUI comfy/sd1_clip.py, `load_embed`).

    Raises:
        BadModelFile: there are none in it.
    """
    name = NAMES.get(part, part)
    if name in weights:
        return _joined(weights, [name])
    bundled = [key for key in weights if key.startswith(BUNDLE)]
    for ending in (".string_to_param.*", f".{name}"):
        if keys := [key for key in bundled if key.endswith(ending)]:
            return _joined(weights, keys)
    first = next(iter(weights), None)
    if first is None:
        raise weights.bad(problem="no tensors in it")
    return _joined(weights, [first])


def _joined(weights: Weights, keys: Iterable[str]) -> Tensor:
    tensors = [weights[key].detach().float().clone() for key in keys]
    if any(tensor.dim() == 0 for tensor in tensors):
        raise weights.bad(problem="a number where vectors should be")
    try:
        return torch.cat([tensor.reshape(-1, tensor.shape[-1]) for tensor in tensors])
    except RuntimeError as error:
        raise weights.bad(problem="vectors of different widths") from error
