"""Prompts: ComfyUI's weight syntax, and token chunks of the length that CLIP reads.

`(text)` counts 1.1 times as much, `(text:1.3)` exactly 1.3 times whatever is around it; a
parenthesis after a backslash is a letter; brackets are letters. `embedding:name` stands for
learned vectors. After ComfyUI sd1_clip.py, `token_weights` and `SDTokenizer`.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from torch import Tensor

from diffusion.text.tokenizer import END, START
from graph.embeddings import MARK
from graph.errors import ServiceError


@dataclass(frozen=True)
class Picture:
    """A picture in a prompt, known by a digest of its pixels."""

    digest: str
    pixels: Tensor = field(compare=False, repr=False)  # [H, W, 3] in 0..1


Token: TypeAlias = int | Tensor | Picture  # an id, or a learned vector [D] in its place
Weighted: TypeAlias = tuple[Token, float]
# A learned embedding's vectors [N, D] by name, None if there is none of that name and width.
Embeddings: TypeAlias = Callable[[str], Tensor | None]
Tokenizer: TypeAlias = Callable[[str], list[int]]  # token ids of a text, and nothing around them

CHUNK = 77
ROOM = CHUNK - 2  # between the start and the end token
BREAKABLE = 8  # a segment of that many tokens may be broken over two chunks, a shorter one moves
DEEPEST = 100


@dataclass(eq=False)
class PromptDepthError(ServiceError):
    """A prompt whose parentheses nest deeper than anybody means."""

    status = 422
    code = "prompt_too_deep"
    template = "A prompt has more than {limit} parentheses inside each other."
    limit: int


@dataclass(frozen=True, eq=False)
class Chunk:
    """What CLIP reads at once: start, up to 75 tokens, end, padding; and what each counts."""

    tokens: tuple[Token, ...]
    weights: tuple[float, ...]

    @property
    def weighted(self) -> bool:
        return any(weight != 1.0 for weight in self.weights)


def no_embeddings(_name: object) -> None:
    """Embeddings of a folder that has none."""


def check_depth(text: str) -> None:
    """Refuse parentheses that nest too deep.

    Raises:
        PromptDepthError: more than `DEEPEST` are open at once.
    """
    depth = 0
    for parenthesis in re.findall(r"[()]", text):
        depth = depth + 1 if parenthesis == "(" else max(depth - 1, 0)
        if depth > DEEPEST:
            raise PromptDepthError(DEEPEST)


def segments(text: str) -> list[tuple[str, float]]:
    """The pieces of `text` that share a weight, in order, without the syntax.

    Raises:
        PromptDepthError: parentheses nest too deep.
    """
    check_depth(text)
    hidden = text.replace("\\)", "\0\1").replace("\\(", "\0\2")
    found = _segments(hidden, 1.0)
    return [(piece.replace("\0\1", ")").replace("\0\2", "("), weight) for piece, weight in found]


def _segments(text: str, weight: float) -> Iterator[tuple[str, float]]:
    for piece in _pieces(text):
        if len(piece) < 2 or piece[0] != "(" or piece[-1] != ")":
            yield piece, weight
            continue
        inner, own = piece[1:-1], _own_weight(piece[1:-1])
        if own is None:
            yield from _segments(inner, weight * 1.1)
        else:
            yield from _segments(inner[: inner.rindex(":")], own)


def _own_weight(inner: str) -> float | None:
    """The number after the last colon, which must have something before it."""
    before, _, number = inner.rpartition(":")
    try:
        return float(number) if before else None
    except ValueError:
        return None


def _pieces(text: str) -> Iterator[str]:
    """`text` cut before and after every outermost pair of parentheses."""
    start = depth = 0
    for match in re.finditer(r"[()]", text):
        at = match.start()
        if match[0] == "(":
            if depth == 0 and at > start:
                yield text[start:at]
                start = at
            depth += 1
        else:
            depth -= 1  # below zero when one too many is closed; the next opening one pays for it
            if depth == 0:
                yield text[start : at + 1]
                start = at + 1
    if start < len(text):
        yield text[start:]


def groups(text: str, tokenizer: Tokenizer, embeddings: Embeddings) -> list[list[Weighted]]:
    """The tokens of a prompt, in the groups that belong together.

    Raises:
        PromptDepthError: parentheses nest too deep.
    """
    found: list[list[Weighted]] = []
    for segment, weight in segments(text):
        for group in _read(segment, tokenizer, embeddings):
            found.append([(token, weight) for token in group])
    return found


def unweighted(text: str, tokenizer: Tokenizer, embeddings: Embeddings) -> list[Token]:
    """The tokens of a prompt whose parentheses are letters, those after a backslash too."""
    plain = text.replace("\\)", ")").replace("\\(", "(")
    return [token for group in _read(plain, tokenizer, embeddings) for token in group]


def _read(text: str, tokenizer: Tokenizer, embeddings: Embeddings) -> Iterator[Sequence[Token]]:
    """The tokens of a text, in the groups that belong together."""
    for word in _split_at_embeddings(text):
        vectors, rest = _embedding(word, embeddings)
        yield vectors
        yield tokenizer(rest)


def chunks(
    text: str, tokenizer: Tokenizer, *, pad: int, embeddings: Embeddings = no_embeddings
) -> list[Chunk]:
    """The chunks of a prompt, at least one. `pad` is the id that fills them up.

    Raises:
        PromptDepthError: parentheses nest too deep.
    """
    read = groups(text, tokenizer, embeddings)
    return [_closed(payload, pad) for payload in _packed(read)]


def empty_chunk(pad: int) -> Chunk:
    """What a prompt without words is read as."""
    return _closed((), pad)


def _split_at_embeddings(segment: str) -> list[str]:
    first, *others = re.split(rf"[ \n]{MARK}", segment)
    words = [first, *(MARK + other for other in others)]
    return [word for word in words if word]


def _embedding(word: str, embeddings: Embeddings) -> tuple[Sequence[Tensor], str]:
    """The vectors that `word` names, and what of it is text. Unknown names are left out."""
    if not word.startswith(MARK):
        return (), word
    name, *rest = word.removeprefix(MARK).split() or [""]
    found = embeddings(name)
    if found is None and (bare := name.strip(",")) != name:
        found = embeddings(bare)
        rest = [name[len(bare) :], *rest]
    vectors = () if found is None else tuple(found.reshape(-1, found.shape[-1]))
    return vectors, " ".join(rest)


def _packed(groups: Iterable[Sequence[Weighted]]) -> list[list[Weighted]]:
    """Chunks' contents: short groups whole, long ones broken where a chunk is full."""
    full: list[list[Weighted]] = []
    current: list[Weighted] = []
    for group in groups:
        rest = list(group)
        while len(current) + len(rest) > ROOM:
            if len(group) >= BREAKABLE:
                room = ROOM - len(current)
                current, rest = current + rest[:room], rest[room:]
            full.append(current)
            current = []
        current = current + rest
    return [*full, current]


def _closed(payload: Sequence[Weighted], pad: int) -> Chunk:
    padding = [(pad, 1.0)] * (ROOM - len(payload))
    tokens, weights = zip((START, 1.0), *payload, (END, 1.0), *padding, strict=True)
    return Chunk(tokens, weights)
