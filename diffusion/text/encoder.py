"""Text encoders: from model files to modules, and from prompts to conditioning.

What each family makes of its encoders' states follows ComfyUI: sd1_clip.py, sdxl_clip.py,
text_encoders/sd3_clip.py and flux.py.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from diffusion.dit.loading import find_dit
from diffusion.dit.shapes import Sd3Shape
from diffusion.text.clip_layout import PartName, find_parts
from diffusion.text.clip_part import ClipPart, PartStates, Reading, load_clip
from diffusion.text.embeddings import FindVectors, Lookup
from diffusion.text.prompt import CHUNK, Chunk, Embeddings, Tokenizer, no_embeddings
from diffusion.text.t5_part import T5Part, expected_t5_bytes, find_t5, load_t5
from diffusion.text.tokenizer import ClipTokenizer
from diffusion.weights import Weights
from graph.values import ModelFile

NONE: Mapping[str, ModelFile] = MappingProxyType({})
States: TypeAlias = Mapping[PartName, PartStates]
SD3_WIDTH = 4096  # of tokens: CLIP's are padded to T5's
CLIP_WIDTHS: Mapping[PartName, int] = {"l": 768, "g": 1280}


@dataclass(frozen=True)
class Prompt:
    """A text for all encoders, or texts of their own for CLIP-L and T5.

    Where CLIP-L has its own, the CLIPs' are brought to one number of chunks, the shorter with empty
    ones (ComfyUI nodes_clip_sdxl.py, `CLIPTextEncodeSDXL`). Encoders `left_out` that way read
    no prompt, and nothing if no CLIP does (nodes_sd3.py, `CLIPTextEncodeSD3`).
    """

    text: str
    text_l: str | None = None
    text_t5: str | None = None
    left_out: frozenset[PartName] = frozenset()

    def of(self, part: PartName) -> str:
        own = {"l": self.text_l, "t5xxl": self.text_t5}.get(part)
        return self.text if own is None else own

    @property
    def texts(self) -> tuple[str, ...]:
        own = (self.text, self.text_l, self.text_t5)
        return tuple(text for text in own if text is not None)


@dataclass(frozen=True, eq=False)
class Encoded:
    """tokens [1, T, D] and pooled [1, P], float32 on the CPU; and what was left out of them."""

    tokens: Tensor
    pooled: Tensor
    warnings: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        return self.tokens.nbytes + self.pooled.nbytes


class TextPart(Protocol):
    """One network of a text encoder."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def name(self) -> PartName: ...

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


def _sdxl(states: States) -> tuple[Tensor, Tensor]:
    """Several CLIPs' states side by side; the pooled state is the last one's."""
    length = min(each.tokens.shape[1] for each in states.values())
    tokens = torch.cat([each.tokens[:, :length] for each in states.values()], dim=-1)
    pooled = list(states.values())[-1].pooled
    assert pooled is not None
    return tokens, pooled


def _sd3(states: States) -> tuple[Tensor, Tensor]:
    """The CLIPs side by side, then T5's tokens; zeros for what is missing."""
    clips = [states[name] for name in ("l", "g") if name in states]
    tokens: list[Tensor] = []
    if clips:
        length = min(each.tokens.shape[1] for each in clips)
        beside = torch.cat([each.tokens[:, :length] for each in clips], dim=-1)
        before = 0 if "l" in states else CLIP_WIDTHS["l"]
        after = SD3_WIDTH - before - beside.shape[-1]
        tokens.append(functional.pad(beside, (before, after)))
    if "t5xxl" in states:
        tokens.append(states["t5xxl"].tokens)
    pooled = [
        torch.zeros(1, width) if name not in states else states[name].pooled
        for name, width in CLIP_WIDTHS.items()
    ]
    if not tokens:
        tokens.append(torch.zeros(1, CHUNK, SD3_WIDTH))
    return torch.cat(tokens, dim=1), torch.cat([each for each in pooled if each is not None], dim=1)


def _flux(states: States) -> tuple[Tensor, Tensor]:
    """T5's tokens, and CLIP-L's pooled state."""
    pooled = states["l"].pooled
    assert pooled is not None
    return states["t5xxl"].tokens, pooled


@dataclass(frozen=True)
class TextFamily:
    """How a family reads its CLIPs, in order, and joins what they and T5 say."""

    readings: Mapping[PartName, Reading]
    joined: Callable[[States], tuple[Tensor, Tensor]] = _sdxl
    shortest_t5: int = 0  # tokens that T5's prompts are padded to; 0 where it reads none
    needs_all: bool = True

    def fits(self, clips: Collection[PartName], *, has_t5: bool) -> bool:
        """Whether these networks can be read together."""
        if self.needs_all:
            return set(clips) == self.readings.keys() and has_t5 is (self.shortest_t5 > 0)
        return self.readings.keys() >= set(clips) and (bool(clips) or has_t5)


SD1 = Reading(layer=None, norm=True, project=False)
SD2 = Reading(layer=-2, norm=True, project=True)
SDXL = Reading(layer=-2, norm=False, project=True)
SD3_L = Reading(layer=-2, norm=False, project=False)
BY_PARTS: Mapping[frozenset[PartName], TextFamily] = {
    frozenset(family.readings): family
    for family in (
        TextFamily({"l": SD1}),
        TextFamily({"h": SD2}),
        TextFamily({"g": SDXL}),
        TextFamily({"l": SDXL, "g": SDXL}),
    )
}
BY_KIND: Mapping[str, TextFamily] = {
    "sd3": TextFamily({"l": SD3_L, "g": SDXL}, _sd3, shortest_t5=77, needs_all=False),
    "flux": TextFamily({"l": SD1}, _flux, shortest_t5=256),
}


@dataclass(frozen=True)
class Tokenizers:
    """CLIP's, and how T5's is come by: it is looked for when a T5 is loaded."""

    clip: ClipTokenizer
    t5: Callable[[], Tokenizer]


@dataclass(frozen=True, eq=False)
class TextEncoder:
    """The networks of one checkpoint, or of the files a workflow names together."""

    parts: tuple[TextPart, ...]  # in the order in which their states are joined
    tokenizers: Tokenizers
    size: int  # bytes
    embeddings: Mapping[PartName, FindVectors]
    warnings: tuple[str, ...] = ()  # about the files it was made of
    joined: Callable[[States], tuple[Tensor, Tensor]] = field(default=_sdxl)

    @torch.inference_mode()
    def encode(
        self,
        prompts: Sequence[Prompt],
        *,
        stop_at_layer: int | None = None,
        own_words: Mapping[str, ModelFile] = NONE,
    ) -> list[Encoded]:
        """The conditioning of each of `prompts`, all of them in one model call per CLIP.

        `stop_at_layer` is clip skip: -1 the last layer, -2 the one before it. Of embeddings, a name
        is looked up in `own_words` first.

        Raises:
            PromptDepthError: parentheses nest too deep.
            PromptTooLongError: T5 is asked to read too much.
        """
        read = [self._tokenized(prompt, own_words) for prompt in prompts]
        states: list[dict[PartName, PartStates]] = [{} for _ in prompts]
        for part in self.parts:
            own = [
                (i, chunks[part.name]) for i, (chunks, _) in enumerate(read) if chunks[part.name]
            ]
            if own:
                places, asked = zip(*own, strict=True)
                answers = part.encoded(asked, stop_at_layer)
                for place, answer in zip(places, answers, strict=True):
                    states[place][part.name] = answer
        return [
            Encoded(*self.joined(own), self.warnings + warnings)
            for own, (_, warnings) in zip(states, read, strict=True)
        ]

    def _tokenized(
        self, prompt: Prompt, own_words: Mapping[str, ModelFile]
    ) -> tuple[dict[PartName, list[Chunk]], tuple[str, ...]]:
        """The chunks for every network, and which embeddings are not in them."""
        warnings: tuple[str, ...] = ()
        read = {}
        for part in self.parts:
            found = self.embeddings.get(part.name, no_embeddings)
            embeddings = Lookup(found, part.name, own_words)
            if part.name in prompt.left_out:
                read[part.name] = [part.empty()] if part.name == "t5xxl" else []
            else:
                read[part.name] = part.chunks(prompt.of(part.name), embeddings)
            warnings += embeddings.warnings
        if prompt.text_l is not None:
            clips = [part for part in self.parts if part.name != "t5xxl"]
            most = max((len(read[part.name]) for part in clips), default=0)
            for part in clips:
                read[part.name] += [part.empty()] * (most - len(read[part.name]))
        return read, warnings


def load_text_encoder(
    files: Sequence[Weights],
    tokenizers: Tokenizers,
    *,
    dtype: torch.dtype,
    device: torch.device,
    kind: str = "",
    embeddings: Callable[[PartName, int], FindVectors] | None = None,
) -> TextEncoder:
    """The text encoder of a checkpoint, or of files that each hold one.

    `kind` names the family where the files do not tell it. `embeddings` gives, for a network and
    its width, what `embedding:name` is looked up in.

    Raises:
        BadModelFile: there is none, or one of a kind that is not known.
        T5TokenizerMissingError: there is a T5 among them, and its tokenizer is nowhere.
    """
    clips = {name: part for weights in files for name, part in find_parts(weights).items()}
    t5 = next((part for weights in files if (part := find_t5(weights)) is not None), None)
    family = _family(kind, files, clips, t5)
    parts: list[TextPart] = [
        ClipPart(name, load_clip(clips[name], dtype, device), reading, tokenizers.clip)
        for name, reading in family.readings.items()
        if name in clips
    ]
    if t5 is not None:
        tokenizer = tokenizers.t5()  # before the weights, which are large
        module = load_t5(t5, dtype, device)
        parts.append(T5Part("t5xxl", module, tokenizer, family.shortest_t5, dtype))
    return TextEncoder(
        parts=tuple(parts),
        tokenizers=tokenizers,
        size=sum(p.nbytes for part in parts for p in part.module.parameters()),
        embeddings={}
        if embeddings is None
        else {part.name: embeddings(part.name, part.width) for part in parts},
        joined=family.joined,
    )


def expected_text_bytes(files: Sequence[Weights], *, dtype: torch.dtype) -> int:
    """About what the text encoder of these files takes in memory, by their names and shapes."""
    clips = {name: part for weights in files for name, part in find_parts(weights).items()}
    t5 = next((part for weights in files if (part := find_t5(weights)) is not None), None)
    size = sum(math.prod(p.shape(key)) for p in clips.values() for key in p) * dtype.itemsize
    return size + (0 if t5 is None else expected_t5_bytes(t5, dtype))


def _family(
    kind: str,
    files: Sequence[Weights],
    clips: Mapping[PartName, Weights],
    t5: Weights | None,
) -> TextFamily:
    """By its name, by the model beside it in a checkpoint, or by the networks found.

    Raises:
        BadModelFile: no known family reads just these.
    """
    family = BY_KIND.get(kind or _kind_of_checkpoint(files[0]))
    if family is None and t5 is None:
        family = BY_PARTS.get(frozenset(clips))
    if family is None or not family.fits(clips, has_t5=t5 is not None):
        names = [f"CLIP-{name.upper()}" for name in sorted(clips)] + ["T5"] * (t5 is not None)
        found = " and ".join(names) or "no text encoder"
        named = f"the family {kind!r}" if kind in BY_KIND else "known family"
        raise files[0].bad(problem=f"{found} found in it, which no {named} reads")
    return family


def _kind_of_checkpoint(weights: Weights) -> str:
    found = find_dit(weights)
    if found is None:
        return ""
    return "sd3" if isinstance(found[1], Sd3Shape) else "flux"
