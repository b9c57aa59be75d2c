"""Text encodings of families: which networks read a prompt, and how outputs are combined.

Families describe it; encoder.py does it. A network is found in files the same way for all families;
how its states are read may differ.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from diffusion.text.clip_layout import PartName
from diffusion.text.clip_part import PartStates
from diffusion.text.prompt import Chunk, Embeddings, Picture, Tokenizer
from diffusion.text.tokenizer import ClipTokenizer
from diffusion.weights import Weights

States: TypeAlias = Mapping[PartName, PartStates]


class TextPart(Protocol):
    """One network of a text encoder."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def name(self) -> PartName: ...

    @property
    def in_chunks(self) -> bool:
        """Whether prompts are read in chunks of one length, of which there may be none."""

    @property
    def module(self) -> Any: ...

    @property
    def width(self) -> int:
        """Of what embeddings stand for in its prompts."""

    def chunks(self, text: str, embeddings: Embeddings) -> list[Chunk]:
        """What it reads of a prompt, at least one."""

    def empty(self) -> Chunk:
        """What fills a shorter prompt up."""

    def encoded(
        self, prompts: Sequence[list[Chunk]], stop_at_layer: int | None
    ) -> list[PartStates]: ...


@runtime_checkable
class SeeingPart(Protocol):
    """A network that sees pictures in its prompts."""

    def with_pictures(self, chunk: Chunk, pictures: Sequence[Picture]) -> Chunk:
        """`chunk` with pictures in the places that it has for them."""


@dataclass(frozen=True)
class Tokenizers:
    """CLIP's, and how the others are come by: they are looked for when they are wanted."""

    clip: ClipTokenizer
    t5: Callable[[], Tokenizer]
    qwen: Callable[[], Tokenizer]
    umt5: Callable[[], Tokenizer]  # for files that carry none


@dataclass(frozen=True, eq=False)
class TextTools:
    """What networks are made with."""

    tokenizers: Tokenizers
    dtype: torch.dtype
    device: torch.device


@dataclass(frozen=True, eq=False)
class TextNetwork:
    """One kind of text encoder, as it is found in files."""

    name: PartName
    title: str  # for messages
    find: Callable[[Weights], Weights | None]  # the part of a file that is one
    expected_bytes: Callable[[Weights, torch.dtype], int]


MakePart: TypeAlias = Callable[[Weights, TextTools], TextPart]


@dataclass(frozen=True, eq=False)
class TextEncoding:
    """How a family reads prompts.

    `parts`: the networks, in the order in which their states are joined, and how each is read.
    `kinds`: what loaders of text encoders call the family; a family without any is known by its
    networks alone, and so is, whatever a loader calls it, one that is `told_by_networks`. `joined`
    gives the tokens [1, T, D], and the pooled text [1, P] or None.
    """

    parts: Mapping[TextNetwork, MakePart]
    joined: Callable[[States], tuple[Tensor, Tensor | None]]
    kinds: frozenset[str] = frozenset()
    needs_all: bool = True
    recognised_by_networks: bool = False

    def fits(self, found: Collection[TextNetwork]) -> bool:
        """Whether these networks can be read together."""
        if self.needs_all:
            return set(found) == self.parts.keys()
        return bool(found) and self.parts.keys() >= set(found)


@dataclass(frozen=True, eq=False)
class TextEncodings:
    """Those of all families. `of_checkpoint` gives that of the diffusion model in a file."""

    encodings: Sequence[TextEncoding]
    of_checkpoint: Callable[[Weights], TextEncoding | None]

    def find(self, files: Sequence[Weights]) -> dict[TextNetwork, Weights]:
        """The text encoders in files, named without prefix.

        Raises:
            BadModelFile: one is damaged, or of a kind that is not known.
        """
        networks = dict.fromkeys(n for encoding in self.encodings for n in encoding.parts)
        found: dict[TextNetwork, Weights] = {}
        for network in networks:
            parts = (network.find(weights) for weights in reversed(files))
            if (part := next((p for p in parts if p is not None), None)) is not None:
                found[network] = part
        return found

    def choose(
        self, kind: str, files: Sequence[Weights], found: Collection[TextNetwork]
    ) -> TextEncoding:
        """By its name, by the model beside it in a checkpoint, or by the networks found.

        Raises:
            BadModelFile: no known family reads just these.
        """
        named = [e for e in self.encodings if kind in e.kinds]
        own = None if kind else self.of_checkpoint(files[0])
        if named or own is None:
            own = next((e for e in named if e.fits(found)), None)
        if own is None:
            plain = [] if named else [e for e in self.encodings if not e.kinds]
            plain += [e for e in self.encodings if e.recognised_by_networks]
            own = next((e for e in plain if e.fits(found)), None)
        if own is None or not own.fits(found):
            names = " and ".join(sorted(network.title for network in found))
            family = f"the family {kind!r}" if named else "known family"
            problem = f"{names or 'no text encoder'} found in it, which no {family} reads"
            raise files[0].bad(problem=problem)
        return own


def side_by_side(states: States) -> tuple[Tensor, Tensor]:
    """Several CLIPs' states side by side; the pooled state is the last one's."""
    length = min(each.tokens.shape[1] for each in states.values())
    tokens = torch.cat([each.tokens[:, :length] for each in states.values()], dim=-1)
    pooled = list(states.values())[-1].pooled
    assert pooled is not None
    return tokens, pooled


def only(states: States) -> tuple[Tensor, Tensor | None]:
    """What one network says, where there is no other."""
    (state,) = states.values()
    return state.tokens, state.pooled
