"""CLIP text encoders: from checkpoint files to modules, and from token chunks to conditioning.

What each family reads off its encoders, and how weights move a token away from the empty
prompt, follows ComfyUI: sd1_clip.py (`SDClipModel`, `ClipTokenWeightEncoder`), sdxl_clip.py.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from diffusion.clip_layout import PartName, find_parts, read_config, tensors_of
from diffusion.embeddings import Lookup
from diffusion.filling import fill
from diffusion.prompt import Chunk, Embeddings, chunks, empty_chunk, no_embeddings
from diffusion.tokenizer import END, ClipTokenizer
from diffusion.weights import Weights

if TYPE_CHECKING:
    from transformers import CLIPTextModelWithProjection

ROWS_PER_CALL = 32
PADDING: Mapping[PartName, int] = {"l": END, "g": 0, "h": 0}


@dataclass(frozen=True)
class Reading:
    """Which hidden state of a CLIP conditions the model. `layer` counts from the end, -1 the last.

    `layer` None is the last one after the final norm. `norm` lays that norm on other layers too.
    `project` gives the pooled state through the text projection.
    """

    layer: int | None
    norm: bool
    project: bool

    def skipped_to(self, stop_at_layer: int | None, layers: int) -> "Reading":
        """This reading with clip skip, which asks in vain for layers that are not there."""
        if stop_at_layer is None:
            return self
        layer = stop_at_layer if abs(stop_at_layer) <= layers else None
        return Reading(layer, self.norm, self.project)


SD1 = Reading(layer=None, norm=True, project=False)
SD2 = Reading(layer=-2, norm=True, project=True)
SDXL = Reading(layer=-2, norm=False, project=True)
READINGS: Mapping[tuple[PartName, ...], Mapping[PartName, Reading]] = {
    ("l",): {"l": SD1},
    ("h",): {"h": SD2},
    ("g",): {"g": SDXL},
    ("g", "l"): {"l": SDXL, "g": SDXL},
}


@dataclass(frozen=True)
class Prompt:
    """A text for all encoders, or with `text_l` one of its own for CLIP-L.

    Two texts are brought to one number of chunks, the shorter with empty ones (ComfyUI
    nodes_clip_sdxl.py, `CLIPTextEncodeSDXL`).
    """

    text: str
    text_l: str | None = None


@dataclass(frozen=True, eq=False)
class Encoded:
    """tokens [1, T, D] and pooled [1, P], float32 on the CPU; and what was left out of them."""

    tokens: Tensor
    pooled: Tensor
    warnings: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        return self.tokens.nbytes + self.pooled.nbytes


@dataclass(frozen=True, eq=False)
class ClipPart:
    """One CLIP of a text encoder."""

    name: PartName
    module: "CLIPTextModelWithProjection"
    reading: Reading

    @property
    def layers(self) -> int:
        return len(self.module.text_model.encoder.layers)

    def chunks(self, text: str, tokenizer: ClipTokenizer, embeddings: Embeddings) -> list[Chunk]:
        return chunks(text, tokenizer, pad=PADDING[self.name], embeddings=embeddings)

    def empty(self) -> Chunk:
        return empty_chunk(PADDING[self.name])

    def run(self, rows: Sequence[Chunk], reading: Reading) -> tuple[Tensor, Tensor]:
        """Hidden states [B, 77, D] and pooled states [B, P] of chunks, float32 on the CPU."""
        calls = [
            self._run(rows[at : at + ROWS_PER_CALL], reading)
            for at in range(0, len(rows), ROWS_PER_CALL)
        ]
        hidden, pooled = zip(*calls, strict=True)
        return torch.cat(hidden), torch.cat(pooled)

    def _run(self, rows: Sequence[Chunk], reading: Reading) -> tuple[Tensor, Tensor]:
        model = self.module.text_model
        x = self._embedded(rows)
        length = x.shape[1]
        mask = torch.full((1, 1, length, length), float("-inf"), dtype=x.dtype, device=x.device)
        mask = mask.triu(1)
        chosen = None
        for i, layer in enumerate(model.encoder.layers, start=-self.layers):
            x = layer(x, mask)
            chosen = x if i == reading.layer else chosen
        last = model.final_layer_norm(x)
        if chosen is None:
            chosen = last
        elif reading.norm:
            chosen = model.final_layer_norm(chosen)
        pooled = last[torch.arange(len(rows)), torch.tensor([_end(row) for row in rows])]
        if reading.project:
            pooled = self.module.text_projection(pooled)
        return chosen.float().cpu(), pooled.float().cpu()

    def _embedded(self, rows: Sequence[Chunk]) -> Tensor:
        table = self.module.text_model.embeddings
        ids = [[t if isinstance(t, int) else 0 for t in row.tokens] for row in rows]
        x: Tensor = table.token_embedding(torch.tensor(ids, device=self.module.device))
        for b, row in enumerate(rows):
            for t, token in enumerate(row.tokens):
                if isinstance(token, Tensor):
                    x[b, t] = token.to(x)
        positions: Tensor = table.position_embedding.weight[: x.shape[1]]
        return x + positions


def _end(chunk: Chunk) -> int:
    """Where the first end token is: its state is the pooled one."""
    return next(
        i for i, token in enumerate(chunk.tokens) if isinstance(token, int) and token == END
    )


@dataclass(frozen=True, eq=False)
class TextEncoder:
    """The CLIPs of one checkpoint, or of the files a workflow names together."""

    parts: tuple[ClipPart, ...]  # in the order in which their states are joined: l, then g
    tokenizer: ClipTokenizer
    size: int  # bytes
    embeddings: Mapping[PartName, Embeddings]
    warnings: tuple[str, ...] = ()  # about the files it was made of

    @torch.inference_mode()
    def encode(
        self, prompts: Sequence[Prompt], *, stop_at_layer: int | None = None
    ) -> list[Encoded]:
        """The conditioning of each of `prompts`, all of them in one model call per CLIP.

        `stop_at_layer` is clip skip: -1 the last layer, -2 the one before it.

        Raises:
            PromptDepthError: parentheses nest too deep.
        """
        read = [self._tokenized(prompt) for prompt in prompts]
        encoded = {}
        for part in self.parts:
            reading = part.reading.skipped_to(stop_at_layer, part.layers)
            encoded[part.name] = _encoded(part, [chunks[part.name] for chunks, _ in read], reading)
        return [
            replace(
                _joined([encoded[part.name][i] for part in self.parts]),
                warnings=self.warnings + warnings,
            )
            for i, (_, warnings) in enumerate(read)
        ]

    def _tokenized(self, prompt: Prompt) -> tuple[dict[PartName, list[Chunk]], tuple[str, ...]]:
        """The chunks for every CLIP, and which embeddings are not in them."""
        warnings: tuple[str, ...] = ()
        own = {"l": prompt.text if prompt.text_l is None else prompt.text_l}
        read = {}
        for part in self.parts:
            embeddings = Lookup(self.embeddings.get(part.name, no_embeddings), part.name)
            text = own.get(part.name, prompt.text)
            read[part.name] = part.chunks(text, self.tokenizer, embeddings)
            warnings += embeddings.warnings
        if prompt.text_l is not None:
            most = max(map(len, read.values()))
            for part in self.parts:
                read[part.name] += [part.empty()] * (most - len(read[part.name]))
        return read, warnings


def _encoded(part: ClipPart, prompts: Sequence[list[Chunk]], reading: Reading) -> list[Encoded]:
    """Every prompt's chunks in a row, weighted against the empty prompt, which is run once."""
    rows = [chunk for prompt in prompts for chunk in prompt]
    if any(chunk.weighted for chunk in rows):
        hidden, pooled = part.run([*rows, part.empty()], reading)
        hidden = _weighted(hidden[:-1], hidden[-1], rows)
    else:
        hidden, pooled = part.run(rows, reading)
    encoded, at = [], 0
    for prompt in prompts:
        tokens = hidden[at : at + len(prompt)].flatten(0, 1)[None]
        encoded.append(Encoded(tokens.clone(), pooled[at : at + 1].clone()))
        at += len(prompt)
    return encoded


def _weighted(hidden: Tensor, empty: Tensor, rows: Iterable[Chunk]) -> Tensor:
    """Each token's state moved along the line from the empty prompt's, as far as it counts."""
    weights = torch.tensor([row.weights for row in rows])[..., None]
    return torch.where(weights == 1.0, hidden, (hidden - empty) * weights + empty)


def _joined(encoded: Sequence[Encoded]) -> Encoded:
    """Several CLIPs' states side by side; the pooled state is the last one's."""
    length = min(each.tokens.shape[1] for each in encoded)
    tokens = torch.cat([each.tokens[:, :length] for each in encoded], dim=-1)
    return Encoded(tokens, encoded[-1].pooled)


def load_text_encoder(
    files: Sequence[Weights],
    tokenizer: ClipTokenizer,
    *,
    dtype: torch.dtype,
    device: torch.device,
    embeddings: Callable[[PartName, int], Embeddings] | None = None,
) -> TextEncoder:
    """The text encoder of a checkpoint, or of files that each hold one.

    `embeddings` gives, for a CLIP and its width, what `embedding:name` is looked up in.

    Raises:
        BadModelFile: there is none, or one of a kind that is not known.
    """
    found = {name: part for weights in files for name, part in find_parts(weights).items()}
    readings = READINGS.get(tuple(sorted(found)))
    if readings is None:
        kinds = " and ".join(f"CLIP-{name.upper()}" for name in sorted(found)) or "no text encoder"
        raise files[0].bad(problem=f"{kinds} found in it, which no known family reads")
    parts = tuple(
        ClipPart(name, _module(found[name], dtype, device), reading)
        for name, reading in readings.items()
    )
    parameters = [p for part in parts for p in part.module.parameters()]
    return TextEncoder(
        parts=parts,
        tokenizer=tokenizer,
        size=sum(p.nbytes for p in parameters),
        embeddings={}
        if embeddings is None
        else {part.name: embeddings(part.name, part.module.config.hidden_size) for part in parts},
    )


def _module(
    part: Weights, dtype: torch.dtype, device: torch.device
) -> "CLIPTextModelWithProjection":
    # Here and not at the top: importing this class takes many seconds, and only the stage that
    # encodes prompts needs it.
    from transformers.models.clip.configuration_clip import CLIPTextConfig  # noqa: PLC0415
    from transformers.models.clip.modeling_clip import CLIPTextModelWithProjection  # noqa: PLC0415

    config = read_config(part)
    with torch.device("meta"):
        module = CLIPTextModelWithProjection(CLIPTextConfig(**config))
    fill(module, part, tensors_of(part, dtype, device))
    positions = torch.arange(config["max_position_embeddings"], device=device)[None]
    module.text_model.embeddings.position_ids = positions  # a buffer that no file holds
    return module
