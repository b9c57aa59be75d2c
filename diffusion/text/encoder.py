"""Text encoders: from model files to modules, and from prompts to conditioning."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import torch
from torch import Tensor

from diffusion.networks.filling import size_of
from diffusion.text.clip_layout import PartName
from diffusion.text.clip_part import PartStates
from diffusion.text.embeddings import FindVectors, Lookup
from diffusion.text.encodings import (
    SeeingPart,
    States,
    TextEncodings,
    TextPart,
    TextTools,
    Tokenizers,
    side_by_side,
)
from diffusion.text.prompt import Chunk, Picture, no_embeddings
from diffusion.text.t5_part import Padding, T5Part
from diffusion.weights import Weights
from graph.values import ModelFile

NONE: Mapping[str, ModelFile] = MappingProxyType({})


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
    pictures: tuple[Picture, ...] = ()  # for networks that see, at the places that the text has

    def of(self, part: PartName) -> str:
        own = {"l": self.text_l, "t5xxl": self.text_t5}.get(part)
        return self.text if own is None else own

    @property
    def texts(self) -> tuple[str, ...]:
        own = (self.text, self.text_l, self.text_t5)
        return tuple(text for text in own if text is not None)


@dataclass(frozen=True, eq=False)
class Encoded:
    """tokens [1, T, D], and pooled [1, P] where there is some, float32 on the CPU.

    `warnings` say what was left out of them.
    """

    tokens: Tensor
    pooled: Tensor | None
    warnings: tuple[str, ...] = ()
    extras: Mapping[str, Tensor] = field(default_factory=dict)  # what a family reads beside them

    @property
    def size(self) -> int:
        tensors = (self.tokens, self.pooled, *self.extras.values())
        return sum(tensor.nbytes for tensor in tensors if tensor is not None)


@dataclass(frozen=True, eq=False)
class TextEncoder:
    """The networks of one checkpoint, or of the files a workflow names together."""

    parts: tuple[TextPart, ...]  # in the order in which their states are joined
    tokenizers: Tokenizers
    size: int  # bytes
    embeddings: Mapping[PartName, FindVectors]
    warnings: tuple[str, ...] = ()  # about the files it was made of
    joined: Callable[[States], tuple[Tensor, Tensor | None]] = side_by_side

    @torch.inference_mode()
    def encode(
        self,
        prompts: Sequence[Prompt],
        *,
        stop_at_layer: int | None = None,
        private_embeddings: Mapping[str, ModelFile] = NONE,
        t5_padding: Padding | None = None,
    ) -> list[Encoded]:
        """The conditioning of each of `prompts`, all of them in one model call per CLIP.

        `stop_at_layer` is clip skip: -1 the last layer, -2 the one before it. Of embeddings, a name
        is looked up in `private_embeddings` first. `t5_padding` takes the place of a family's own.

        Raises:
            PromptDepthError: parentheses nest too deep.
            PromptTooLongError, TextTooLongError: a network is asked to read too much.
        """
        if t5_padding is not None:
            parts = (
                replace(p, padding=t5_padding) if isinstance(p, T5Part) else p for p in self.parts
            )
            return replace(self, parts=tuple(parts)).encode(
                prompts, stop_at_layer=stop_at_layer, private_embeddings=private_embeddings
            )
        read = [self._tokenized(prompt, private_embeddings) for prompt in prompts]
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
            Encoded(*self.joined(own), self.warnings + warnings, _extras(own))
            for own, (_, warnings) in zip(states, read, strict=True)
        ]

    def _tokenized(
        self, prompt: Prompt, private_embeddings: Mapping[str, ModelFile]
    ) -> tuple[dict[PartName, list[Chunk]], tuple[str, ...]]:
        """The chunks for every network, and which embeddings are not in them."""
        warnings: tuple[str, ...] = ()
        read = {}
        for part in self.parts:
            found = self.embeddings.get(part.name, no_embeddings)
            embeddings = Lookup(found, part.name, private_embeddings)
            if part.name in prompt.left_out:
                read[part.name] = [] if part.in_chunks else [part.empty()]
            else:
                chunks = part.chunks(prompt.of(part.name), embeddings)
                if prompt.pictures and isinstance(part, SeeingPart):
                    chunks = [part.with_pictures(chunk, prompt.pictures) for chunk in chunks]
                read[part.name] = chunks
            warnings += embeddings.warnings
        if prompt.text_l is not None:
            clips = [part for part in self.parts if part.in_chunks]
            most = max((len(read[part.name]) for part in clips), default=0)
            for part in clips:
                read[part.name] += [part.empty()] * (most - len(read[part.name]))
        return read, warnings


def _extras(states: States) -> dict[str, Tensor]:
    return {name: tensor for each in states.values() for name, tensor in each.extras.items()}


def load_text_encoder(
    files: Sequence[Weights],
    tokenizers: Tokenizers,
    encodings: TextEncodings,
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
        TokenizerMissingError: the tokenizer of one of them is nowhere.
    """
    found = encodings.find(files)
    encoding = encodings.choose(kind, files, found)
    tools = TextTools(tokenizers, dtype, device)
    parts = tuple(
        make(found[network], tools) for network, make in encoding.parts.items() if network in found
    )
    return TextEncoder(
        parts=parts,
        tokenizers=tokenizers,
        size=sum(size_of(part.module) for part in parts),
        embeddings={}
        if embeddings is None
        else {part.name: embeddings(part.name, part.width) for part in parts},
        joined=encoding.joined,
    )


def expected_text_bytes(
    files: Sequence[Weights], encodings: TextEncodings, *, dtype: torch.dtype
) -> int:
    """About what the text encoder of these files takes in memory, by their names and shapes."""
    found = encodings.find(files)
    return sum(network.expected_bytes(part, dtype) for network, part in found.items())
