"""The encode stage: batches the prompts of many requests, and caches their encodings."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Protocol

import torch

from diffusion.batch.calls import Called
from diffusion.batch.calls import unheard as unheard_call
from diffusion.memory.budget import MemoryBudget
from diffusion.text.clip_layout import PartName
from diffusion.text.embeddings import FindVectors
from diffusion.text.encoder import (
    Encoded,
    Prompt,
    TextEncoder,
    expected_text_bytes,
    load_text_encoder,
)
from diffusion.text.encodings import TextEncodings, Tokenizers
from diffusion.text.pictures import shown
from diffusion.text.prompt import check_depth
from diffusion.text.qwen_tokenizer import QWEN_FILE, QwenTokenizer
from diffusion.text.sentence_pieces import UMT5_FILE, SentencePieces
from diffusion.text.t5_part import Padding
from diffusion.text.t5_tokenizer import T5_FILE, T5Tokenizer
from diffusion.text.tokenizer import ClipTokenizer
from diffusion.text.tokenizer_files import find_tokenizer
from diffusion.weights import Weights
from graph.choices import TextEncoderName
from graph.errors import ServiceError
from graph.values import Change, Clip, Condition, Conditioning, Image, ModelFile
from graph.weight_hooks import encoded_spans

OpenWeights = Callable[[ModelFile], Weights]
Warn = Callable[[str], None]


class ApplyChanges(Protocol):
    """Makes a text encoder with changes, such as LoRAs, of one without, which it leaves alone."""

    def __call__(self, encoder: TextEncoder, changes: Sequence[Change]) -> TextEncoder: ...


@dataclass(eq=False)
class UnknownChangeError(ServiceError):
    """A change to a text encoder that this stage cannot apply."""

    status = 422
    code = "unknown_change"
    template = "A text encoder cannot be changed by {kind!r}."
    kind: str


def unheard(_warning: str) -> None:
    """Nobody wants to know."""


def unheard_lookup(_found: bool) -> None:
    """Nobody counts."""


class EncodeStage:
    """Text encoders of one device. Its coroutines belong to one event loop; work is on a thread.

    While a batch is being encoded, prompts pile up; those for the same encoder make the next
    batch. `budget_bytes` bounds the encoders kept in memory, unless they share `resident`
    with other models; `cache_bytes` bounds the finished prompts, which are kept for
    each owner apart.
    """

    def __init__(
        self,
        open_weights: OpenWeights,
        *,
        dtype: torch.dtype,
        device: torch.device,
        memory: MemoryBudget,
        encodings: TextEncodings,
        cache_bytes: int,
        weight_changes: Collection[str] = (),
        apply_changes: ApplyChanges | None = None,
        embeddings: Callable[[PartName, int], FindVectors] | None = None,
        models_dir: Path | None = None,
        called: Called = unheard_call,
        looked_up: Callable[[bool], None] = unheard_lookup,
    ) -> None:
        """`encodings` say how the families read prompts.

        `called` hears of every batch, `looked_up` of every prompt: whether it was known.
        """
        self._open = open_weights
        self._encodings = encodings
        self._dtype = dtype
        self._device = device
        self._weight_changes = frozenset(weight_changes)
        self._apply = apply_changes
        self._embeddings = embeddings
        self._models_dir = models_dir
        self._called = called
        self._looked_up = looked_up
        self._tokenizers: Tokenizers | None = None
        self._opened: dict[Clip, list[Weights]] = {}  # read, and not loaded yet
        self._memory = memory
        self.weights = memory.weights
        self._cache = _Cache(cache_bytes)
        self._waiting: OrderedDict[Clip, list[_Waiting]] = OrderedDict()
        self._draining: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="encode")

    async def encode_text(
        self, clip: Clip, text: str, *, warn: Warn = unheard, owner: str = ""
    ) -> Conditioning:
        """ComfyUI's CLIPTextEncode. What of the text or the files is left out, `warn` is told.

        Raises:
            PromptDepthError, BadModelFile, UnknownChangeError.
        """
        return await self._condition(clip, Prompt(text), {}, warn, owner)

    async def encode_sdxl(
        self,
        clip: Clip,
        *,
        text_g: str,
        text_l: str,
        sizes: Mapping[str, int],
        warn: Warn = unheard,
        owner: str = "",
    ) -> Conditioning:
        """ComfyUI's CLIPTextEncodeSDXL: a text for each encoder.

        `sizes` has width, height, crop_w, crop_h, target_width and target_height, in pixels.
        """
        return await self._condition(clip, Prompt(text_g, text_l), sizes, warn, owner)

    async def encode_flux(
        self,
        clip: Clip,
        *,
        clip_l: str,
        t5xxl: str,
        guidance: float,
        warn: Warn = unheard,
        owner: str = "",
    ) -> Conditioning:
        """ComfyUI's CLIPTextEncodeFlux: a text for each encoder, and how strongly to follow it."""
        prompt = Prompt(clip_l, text_t5=t5xxl)
        return await self._condition(clip, prompt, {"guidance": guidance}, warn, owner)

    async def encode_sd3(
        self,
        clip: Clip,
        *,
        texts: Mapping[TextEncoderName, str],
        padded: bool,
        warn: Warn = unheard,
        owner: str = "",
    ) -> Conditioning:
        """ComfyUI's CLIPTextEncodeSD3: a text for each encoder; empty ones may be left out."""
        left_out = frozenset(part for part, text in texts.items() if not (text or padded))
        prompt = Prompt(texts["g"], texts["l"], texts["t5xxl"], left_out)
        return await self._condition(clip, prompt, {}, warn, owner)

    async def encode_shown(
        self,
        clip: Clip,
        text: str,
        *,
        pictures: Sequence[Image],
        area_px: int,
        warn: Warn = unheard,
        owner: str = "",
    ) -> Conditioning:
        """A text with places for pictures, each shown about `area_px` pixels large.

        Raises:
            NoVisionTowerError: the text encoder's file has nothing to see them with.
        """
        seen = [await asyncio.to_thread(shown, picture, area_px) for picture in pictures]
        return await self._condition(clip, Prompt(text, pictures=tuple(seen)), {}, warn, owner)

    async def encode_sdxl_refiner(
        self,
        clip: Clip,
        *,
        text: str,
        ascore: float,
        width: int,
        height: int,
        warn: Warn = unheard,
        owner: str = "",
    ) -> Conditioning:
        """ComfyUI's CLIPTextEncodeSDXLRefiner: a text, and how beautiful the picture shall be."""
        extras = {"aesthetic_score": ascore, "width": width, "height": height}
        return await self._condition(clip, Prompt(text), extras, warn, owner)

    def resident(self) -> tuple[Clip, ...]:
        """The encoders in memory, least recently used first."""
        return tuple(key for key in self.weights.resident() if isinstance(key, Clip))

    def close(self) -> None:
        """Give the thread back. Nothing can be encoded afterwards."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _condition(
        self, clip: Clip, prompt: Prompt, extras: Mapping[str, Any], warn: Warn, owner: str
    ) -> Conditioning:
        hooks = () if clip.hooks is None else clip.hooks.on_conditions
        conditions = []
        for span, own in await asyncio.to_thread(encoded_spans, clip):
            encoded_span = await self._condition_for(own, prompt, extras, warn, owner)
            conditions.append(replace(encoded_span, hooks=hooks, encoded_for=span))
        return tuple(conditions)

    async def _condition_for(
        self,
        clip: Clip,
        prompt: Prompt,
        extras: Mapping[str, Any],
        warn: Warn,
        owner: str,
    ) -> Condition:
        encoded = await self._encode(clip, prompt, owner)
        for warning in encoded.warnings:
            warn(warning)
        return Condition(encoded.tokens, encoded.pooled, extras={**encoded.extras, **extras})

    async def _encode(self, clip: Clip, prompt: Prompt, owner: str) -> Encoded:
        for change in clip.changes:
            if change.kind not in self._weight_changes:
                raise UnknownChangeError(change.kind)
        for text in prompt.texts:
            check_depth(text)  # before it shares a batch: a bad prompt fails alone
        cached = self._cache.get((owner, clip, prompt))
        self._looked_up(cached is not None)
        if cached is not None:
            return cached
        waiting = _Waiting(prompt, owner)
        self._waiting.setdefault(clip, []).append(waiting)
        if self._draining is None or self._draining.done():
            self._draining = asyncio.create_task(self._drain())
        return await waiting.result

    async def _drain(self) -> None:
        """Encode what waits, one encoder's prompts at a time, until nothing does."""
        while self._waiting:
            clip, group = self._waiting.popitem(last=False)
            wanted = list(dict.fromkeys(w.prompt for w in group if not w.result.cancelled()))
            if wanted:
                await self._answer(clip, group, wanted)

    async def _answer(
        self, clip: Clip, group: "Sequence[_Waiting]", wanted: Sequence[Prompt]
    ) -> None:
        loop, began = asyncio.get_running_loop(), time.perf_counter()
        base = _without_changes(clip)
        try:
            measure = partial(self._measured, base)
            async with self._memory.turn(base, measure, clip.files) as size:
                work = partial(self._compute, clip, wanted, size)
                encoded = await loop.run_in_executor(self._thread, work)
        except Exception as error:  # noqa: BLE001 - those who wait get it, the next batch goes on
            for waiting in group:
                waiting.fail(error)
            return
        self._called(len(wanted), time.perf_counter() - began)
        answers = dict(zip(wanted, encoded, strict=True))
        for waiting in group:
            if waiting.prompt in answers:  # else who asked is gone
                self._cache.put((waiting.owner, clip, waiting.prompt), answers[waiting.prompt])
            waiting.settle(answers)

    def _measured(self, clip: Clip) -> int:
        """What an encoder will take, told by its files' headers."""
        files = self._opened[clip] = [self._open(file) for file in clip.files]
        return expected_text_bytes(files, self._encodings, dtype=self._dtype)

    def _compute(self, clip: Clip, prompts: Sequence[Prompt], size: int) -> list[Encoded]:
        """On the thread."""
        with self._encoder(clip, size) as encoder:
            return encoder.encode(
                prompts,
                stop_at_layer=clip.stop_at_layer,
                private_embeddings=dict(clip.private_embeddings),
                t5_padding=None if clip.t5_padding is None else Padding(*clip.t5_padding),
            )

    def _encoder(self, clip: Clip, size: int) -> AbstractContextManager[TextEncoder]:
        loaded = _of_weights(clip)
        base = _without_changes(clip)
        load = partial(self._load, base)
        if not clip.changes:
            return self.weights.lease(base, load, expected_bytes=size)
        assert self._apply is not None
        change = partial(self._apply, changes=clip.changes)
        return self.weights.lease_upon(base, load, loaded, change, expected_bytes=size)

    def _load(self, clip: Clip) -> TextEncoder:
        if self._tokenizers is None:
            self._tokenizers = Tokenizers(
                ClipTokenizer(),
                cache(self._t5_tokenizer),
                cache(self._qwen_tokenizer),
                cache(self._umt5_tokenizer),
            )
        files = self._opened.pop(clip, None) or [self._open(file) for file in clip.files]
        return load_text_encoder(
            files,
            self._tokenizers,
            self._encodings,
            dtype=self._dtype,
            device=self._device,
            kind=clip.kind,
            embeddings=self._embeddings,
        )

    def _t5_tokenizer(self) -> T5Tokenizer:
        return T5Tokenizer(find_tokenizer(T5_FILE, self._models_dir))

    def _qwen_tokenizer(self) -> QwenTokenizer:
        return QwenTokenizer(find_tokenizer(QWEN_FILE, self._models_dir))

    def _umt5_tokenizer(self) -> SentencePieces:
        return SentencePieces(find_tokenizer(UMT5_FILE, self._models_dir).read_bytes())


def _of_weights(clip: Clip) -> Clip:
    """What tells its weights apart, and not how they are read."""
    return replace(clip, stop_at_layer=None, private_embeddings=(), t5_padding=None)


def _without_changes(clip: Clip) -> Clip:
    return replace(_of_weights(clip), changes=())


@dataclass(eq=False)
class _Waiting:
    """A request for one prompt. Its future is made on the loop that will settle it."""

    prompt: Prompt
    owner: str
    result: asyncio.Future[Encoded] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def settle(self, answers: Mapping[Prompt, Encoded]) -> None:
        if not self.result.done():
            self.result.set_result(answers[self.prompt])

    def fail(self, error: Exception) -> None:
        if not self.result.done():
            self.result.set_exception(error)


class _Cache:
    """Finished prompts of each owner, least recently used out first. For one event loop.

    Were they shared, who asked for a prompt could tell by the time whether another owner had.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget = budget_bytes
        self._used = 0
        self._values: OrderedDict[tuple[str, Clip, Prompt], Encoded] = OrderedDict()

    def get(self, key: tuple[str, Clip, Prompt]) -> Encoded | None:
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: tuple[str, Clip, Prompt], value: Encoded) -> None:
        replaced = self._values.pop(key, None)
        self._used += value.size - (replaced.size if replaced else 0)
        self._values[key] = value
        while self._used > self._budget:
            _, dropped = self._values.popitem(last=False)
            self._used -= dropped.size
