"""Embeddings that an owner uploaded: who reads a prompt is handed those that the prompt names.

A replica that encodes knows no owners. So it is told, with the description of the text encoder,
which files the names in this prompt stand for; it looks up all others in the shared folder.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from graph.embeddings import named_in
from graph.values import Clip, ModelFile

OwnWords: TypeAlias = Mapping[str, ModelFile]  # by each name that one may be called by


@dataclass
class NamedWords:
    """Which of an owner's words texts name. Many nodes may share a long text: it is read once."""

    own_words: OwnWords
    _named: dict[int, tuple[str, frozenset[str]]] = field(default_factory=dict)  # by id, kept

    def of(self, text: str) -> frozenset[str]:
        """The names in a text that the owner has a file for."""
        if id(text) not in self._named:
            names = frozenset(name for name in named_in(text) if name in self.own_words)
            self._named[id(text)] = text, names
        return self._named[id(text)][1]


def with_own_words(
    inputs: Mapping[str, Any], own_words: OwnWords, named_words: NamedWords | None = None
) -> dict[str, Any]:
    """A node's inputs, in which every CLIP has the words that a text beside it names."""
    if not own_words or not any(isinstance(value, Clip) for value in inputs.values()):
        return dict(inputs)
    words = named_words or NamedWords(own_words)
    texts = [value for value in inputs.values() if isinstance(value, str)]
    names = {name for text in texts for name in words.of(text)}
    if not names:
        return dict(inputs)
    named = tuple((name, own_words[name]) for name in sorted(names))
    return {
        name: replace(value, own_words=named) if isinstance(value, Clip) else value
        for name, value in inputs.items()
    }
