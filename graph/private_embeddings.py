"""Private embeddings: those that an owner uploaded, resolved for each prompt that names them.

The replica that encodes prompts knows no owners. The description of the text encoder therefore
carries the private files that this prompt names; all other names are looked up in the shared
embeddings folder.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from graph.embeddings import named_in
from graph.values import Clip, ModelFile

PrivateEmbeddings: TypeAlias = Mapping[str, ModelFile]  # by each name that one may be called by


@dataclass
class NamedEmbeddings:
    """The private embeddings that texts name. A long text that many nodes share is read once."""

    private_embeddings: PrivateEmbeddings
    _named: dict[int, tuple[str, frozenset[str]]] = field(default_factory=dict)  # by id, kept

    def of(self, text: str) -> frozenset[str]:
        """The names in a text that the owner has a file for."""
        if id(text) not in self._named:
            names = frozenset(name for name in named_in(text) if name in self.private_embeddings)
            self._named[id(text)] = text, names
        return self._named[id(text)][1]


def with_private_embeddings(
    inputs: Mapping[str, Any],
    private_embeddings: PrivateEmbeddings,
    named_embeddings: NamedEmbeddings | None = None,
) -> dict[str, Any]:
    """A node's inputs; every CLIP among them carries the embeddings that the texts name."""
    if not private_embeddings or not any(isinstance(value, Clip) for value in inputs.values()):
        return dict(inputs)
    embeddings = named_embeddings or NamedEmbeddings(private_embeddings)
    texts = [value for value in inputs.values() if isinstance(value, str)]
    names = {name for text in texts for name in embeddings.of(text)}
    if not names:
        return dict(inputs)
    named = tuple((name, private_embeddings[name]) for name in sorted(names))
    return {
        name: replace(value, private_embeddings=named) if isinstance(value, Clip) else value
        for name, value in inputs.items()
    }
