"""T5 and UMT5 (which has a position table in each layer).

(ComfyUI comfy/text_encoders/t5.py, sd3_clip.py, flux.py and wan.py)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from diffusion.text.clip_layout import PartName
from diffusion.text.clip_part import PartStates
from diffusion.text.filling import fill_narrow, narrow_bytes
from diffusion.text.prompt import Chunk, Embeddings, Token, Tokenizer, groups
from diffusion.weights import Weights
from graph.errors import ServiceError

if TYPE_CHECKING:
    from transformers import T5EncoderModel

END, PAD = 1, 0
LONGEST = 2048  # tokens of one prompt, whose memory grows with their square
PREFIXES = ("text_encoders.{}.transformer.", "{}.transformer.", "")
QUERIES = "encoder.block.0.layer.0.SelfAttention.q.weight"
TABLES = ("shared.weight", "encoder.embed_tokens.weight")
BIAS = "encoder.block.{}.layer.0.SelfAttention.relative_attention_bias.weight"
PERCEPTRON = "encoder.block.{}.layer.1.DenseReluDense."


@dataclass(eq=False)
class PromptTooLongError(ServiceError):
    """A prompt of more tokens than an encoder's memory is meant for."""

    status = 422
    code = "prompt_too_long"
    template = "A prompt of {received} tokens is too long for T5, which takes at most {limit}."
    limit: int
    received: int


@dataclass(frozen=True)
class Padding:
    """What follows a prompt: padding up to `shortest` tokens, and at least `behind` of it."""

    shortest: int
    behind: int = 0


@dataclass(frozen=True, eq=False)
class T5Part:
    """The T5 of a text encoder.

    `masked`: nothing sees the padding, and its states are zeros, or left out if it is `dropped`.
    """

    name: PartName
    module: "T5EncoderModel"
    tokenizer: Tokenizer
    padding: Padding
    dtype: torch.dtype  # in which it computes
    masked: bool = False
    dropped: bool = False
    empty_ends: bool = True  # whether the empty prompt that weights are measured from has an end
    in_chunks: ClassVar[bool] = False

    @property
    def layers(self) -> int:
        return len(self.module.encoder.block)

    @property
    def width(self) -> int:
        return int(self.module.config.d_model)

    def chunks(self, text: str, embeddings: Embeddings) -> list[Chunk]:
        """The whole prompt as one.

        Raises:
            PromptTooLongError, PromptDepthError.
        """
        read = [pair for group in groups(text, self.tokenizer, embeddings) for pair in group]
        if len(read) >= LONGEST:
            raise PromptTooLongError(LONGEST, len(read) + 1)
        read.append((END, 1.0))
        pads = max(self.padding.behind, self.padding.shortest - len(read))
        if len(read) + pads > LONGEST:
            raise PromptTooLongError(LONGEST, len(read) + pads)
        read += [(PAD, 1.0)] * pads
        tokens, weights = zip(*read, strict=True)
        return [Chunk(tokens, weights)]

    def empty(self) -> Chunk:
        """No prompt at all, not even padding."""
        return Chunk((END,), (1.0,))

    def encoded(
        self, prompts: Sequence[list[Chunk]], stop_at_layer: int | None
    ) -> list[PartStates]:
        """Each prompt by itself, weighted against an empty one of its length."""
        layer = stop_at_layer if stop_at_layer and abs(stop_at_layer) <= self.layers else None
        return [PartStates(self._encoded(prompt[0], layer)) for prompt in prompts]

    def _encoded(self, chunk: Chunk, layer: int | None) -> Tensor:
        length = sum(_seen(chunk.tokens)) if self.dropped else len(chunk.tokens)
        return self._weighted(chunk, layer)[:, :length]

    def _weighted(self, chunk: Chunk, layer: int | None) -> Tensor:
        if not chunk.weighted:
            return self._run([chunk.tokens], layer)
        first = END if self.empty_ends else PAD
        nothing = (first, *[PAD] * (len(chunk.tokens) - 1))
        hidden, empty = self._run([chunk.tokens, nothing], layer)[:, None]
        weights = torch.tensor(chunk.weights)[None, :, None]
        return torch.where(weights == 1.0, hidden, (hidden - empty) * weights + empty)

    def _run(self, rows: Sequence[Sequence[Token]], layer: int | None) -> Tensor:
        """[B, T, D], float32 on the CPU. All tokens see all others, padding too if not masked."""
        stack: Any = self.module.encoder
        x = torch.stack([self._embedded(row) for row in rows])
        seen = torch.tensor([_seen(row) for row in rows], device=x.device)
        chosen, bias = None, torch.zeros(())
        for i, block in enumerate(stack.block, start=-self.layers):
            attention = block.layer[0].SelfAttention
            if attention.has_relative_attention_bias:
                bias = attention.compute_bias(x.shape[1], x.shape[1], device=x.device)
                if self.masked:
                    hidden = torch.zeros_like(x[:, None, None, :, 0])
                    bias = bias + hidden.masked_fill(~seen[:, None, None], float("-inf"))
            x, _, _ = block(x, None, bias)
            chosen = x if i == layer else chosen
        last: Tensor = stack.final_layer_norm(x if chosen is None else chosen)
        if self.masked and not self.dropped:
            last = last * seen[..., None]
        return last.float().cpu()

    def _embedded(self, row: Sequence[Token]) -> Tensor:
        table = self.module.shared
        ids = [t if isinstance(t, int) else PAD for t in row]
        x: Tensor = table(torch.tensor(ids, device=table.weight.device)).to(self.dtype)
        for t, token in enumerate(row):
            if isinstance(token, Tensor):
                x[t] = token.to(x)
        return x


def _seen(row: Sequence[Token]) -> list[bool]:
    """Which tokens are no padding: those up to the first end."""
    last = next((place for place, token in enumerate(row) if _is_end(token)), len(row))
    return [place <= last for place in range(len(row))]


def _is_end(token: Token) -> bool:
    return isinstance(token, int) and token == END


class Perceptron(nn.Module):
    """T5's gated perceptron, whose layers may be of any precision.

    (transformers' own brings its input to the precision of its weights.)
    """

    def __init__(self, like: Any) -> None:
        super().__init__()
        self.wi_0, self.wi_1, self.wo, self.act = like.wi_0, like.wi_1, like.wo, like.act

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.wo(self.act(self.wi_0(x)) * self.wi_1(x))
        return answer


def find_t5(weights: Weights) -> Weights | None:
    """The T5 encoder in a file, named without prefix."""
    return _find(weights, "t5xxl", own_tables=False)


def find_umt5(weights: Weights) -> Weights | None:
    """The UMT5 encoder in a file, named without prefix."""
    return _find(weights, "umt5xxl", own_tables=True)


def _find(weights: Weights, name: PartName, *, own_tables: bool) -> Weights | None:
    parts = (weights.under(prefix.format(name)) for prefix in PREFIXES)
    found = next((part for part in parts if QUERIES in part), None)
    return None if found is None or has_own_tables(found) is not own_tables else found


def has_own_tables(part: Weights) -> bool:
    """Whether other layers than the first have a table of positions, as UMT5's have."""
    return BIAS.format(1) in part


def read_t5_config(part: Weights) -> dict[str, Any]:
    """Arguments of transformers' T5Config, from the shapes of `part`.

    Raises:
        BadModelFile: it is incomplete, or another kind of T5.
    """
    if PERCEPTRON.format(0) + "wi_0.weight" not in part:
        raise part.bad(problem="its T5 has no gated perceptrons, as T5 1.0 has none")
    try:
        vocabulary, width = part.shape(_table(part))
        inner = part.shape(QUERIES)[0]
        buckets, heads = part.shape(BIAS.format(0))
        return {
            "vocab_size": vocabulary,
            "d_model": width,
            "d_kv": inner // heads,
            "d_ff": part.shape(PERCEPTRON.format(0) + "wi_0.weight")[0],
            "num_layers": len({key.split(".")[2] for key in part if ".block." in key}),
            "num_heads": heads,
            "relative_attention_num_buckets": buckets,
            "feed_forward_proj": "gated-gelu",
            "dropout_rate": 0.0,
            "attn_implementation": "eager",  # which adds the bias of positions
        }
    except KeyError as error:
        raise part.bad(problem=f"its T5 is incomplete: {error}") from error


def _table(part: Weights) -> str:
    return next((key for key in TABLES if key in part), TABLES[0])


def expected_t5_bytes(part: Weights, dtype: torch.dtype) -> int:
    """About what it takes in memory."""
    return narrow_bytes(part, dtype)


def load_t5(part: Weights, dtype: torch.dtype, device: torch.device) -> "T5EncoderModel":
    """The T5 or UMT5 that was found. Layers narrower than `dtype` stay so.

    Raises:
        BadModelFile: it is incomplete, or another kind of T5.
    """
    # Here and not at the top, as for CLIP.
    from transformers.models.t5.configuration_t5 import T5Config  # noqa: PLC0415
    from transformers.models.t5.modeling_t5 import T5Attention, T5EncoderModel  # noqa: PLC0415

    config = T5Config(**read_t5_config(part))
    with torch.device("meta"):
        module = T5EncoderModel(config)
    stack: Any = module.encoder
    for block in stack.block:
        block.layer[1].DenseReluDense = Perceptron(block.layer[1].DenseReluDense)
    if has_own_tables(part):
        for block in stack.block[1:]:
            with torch.device("meta"):
                block.layer[0].SelfAttention = T5Attention(config, has_relative_attention_bias=True)
    stack.embed_tokens = nn.Identity()  # `shared` is the table
    keys = {TABLES[0] if key in TABLES else key: key for key in part}
    fill_narrow(module, part, dtype, device, tables=(TABLES[0],), keys=keys, wide=dtype)
    return module
