"""Embeddings that an owner uploaded: who reads a prompt is handed those that the prompt names.

A replica that encodes knows no owners. So it is told, with the description of the text encoder,
which files the names in this prompt stand for; it looks up all others in the shared folder.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from graph.embeddings import named_in
from graph.values import Clip, ModelFile

OwnWords: TypeAlias = Mapping[str, ModelFile]  # by each name that one may be called by


def with_own_words(inputs: Mapping[str, Any], own_words: OwnWords) -> dict[str, Any]:
    """A node's inputs, in which every CLIP has the words that a text beside it names."""
    texts = [value for value in inputs.values() if isinstance(value, str)]
    names = {name for text in texts for name in named_in(text) if name in own_words}
    if not names:
        return dict(inputs)
    named = tuple((name, own_words[name]) for name in sorted(names))
    return {
        name: replace(value, own_words=named) if isinstance(value, Clip) else value
        for name, value in inputs.items()
    }
