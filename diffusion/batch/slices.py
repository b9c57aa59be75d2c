"""Samples some rows of a batch with the results of the whole batch, and joins them again.

What is prepared for a job is prepared for its whole batch first, then cut: masks, pictures and
prompts that are fewer than the batch's pictures are repeated over all of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from diffusion.batch.controls import Control
from diffusion.batch.fitting import repeat_to
from diffusion.batch.frame import Frame
from diffusion.batch.prompts import Prompt
from graph.sampling import Rows
from graph.values import Latent


def slice_of(rows: Rows) -> slice:
    return slice(rows.start, rows.stop)


def latent_rows(latent: Latent, rows: Rows) -> Latent:
    """`rows` of a latent batch, with their noise masks and batch indices."""
    own, mask, index = slice_of(rows), latent.noise_mask, latent.batch_index
    return Latent(
        latent.samples[own],
        None if mask is None else repeat_to(mask, rows.of)[own],
        None if index is None else index[own],
        latent.drawn,
    )


def join_rows(parts: Sequence[Any]) -> Any:
    """One batch of latents, or of pictures [B, H, W, C], from its parts in their order."""
    return join_latents(parts) if isinstance(parts[0], Latent) else torch.cat(list(parts))


def join_latents(parts: Sequence[Latent]) -> Latent:
    """One batch of latents, with the noise masks and batch indices that all parts have."""
    masks = [part.noise_mask for part in parts if part.noise_mask is not None]
    indices = [part.batch_index for part in parts if part.batch_index is not None]
    return Latent(
        torch.cat([part.samples for part in parts]),
        torch.cat(masks) if masks else None,
        tuple(chain.from_iterable(indices)) if indices else None,
        parts[0].drawn,
    )


def frame_rows(frame: Frame, rows: Rows) -> Frame:
    """`rows` of a job's latents and of their denoise mask."""
    own, mask = slice_of(rows), frame.denoise_mask
    return replace(
        frame, latent=frame.latent[own], denoise_mask=None if mask is None else mask[own]
    )


def frame_prompt(prompt: Prompt, frames: Sequence[int], of: int) -> Prompt:
    """A prompt that was prepared for a batch of so many, for some of it in any order.

    What it says to all of them alike stays the very same, and with it what was made of that.
    """
    places = list(frames)

    def cut(tensor: Tensor) -> Tensor:
        return tensor if len(tensor) == 1 else repeat_to(tensor, of)[places]

    embedding, mask = prompt.embedding, prompt.region.mask
    return replace(
        prompt,
        region=prompt.region if mask is None else replace(prompt.region, mask=cut(mask)),
        embedding=embedding.cut(cut) if embedding.differs else embedding,
        shape=torch.Size((len(places), *prompt.shape[1:])),
        controls=tuple(_framed(control, cut, len(places)) for control in prompt.controls),
    )


def _framed(control: Control, cut: Callable[[Tensor], Tensor], count: int) -> Control:
    use = control.use
    mask = None if use.mask is None else cut(use.mask)
    hint = use.hint if len(use.hint) == 1 else cut(use.hint[: control.batch])
    counts = None if control.counts is None else cut(control.counts)
    control = replace(control, counts=counts)
    control = replace(control, where=None if control.where is None else cut(control.where))
    if mask is use.mask and hint is use.hint:
        return replace(control, batch=count)  # and goes on sharing what is worked out
    return replace(control, use=replace(use, hint=hint, mask=mask), batch=count, guides={})


def prompt_rows(
    prompts: Mapping[str, Sequence[Prompt]], rows: Rows
) -> dict[str, tuple[Prompt, ...]]:
    """Prompts that were prepared for a whole batch, for `rows` of it."""
    controls: dict[Control, Control] = {}  # prompts that share one go on sharing what it works out
    for prompt in chain.from_iterable(prompts.values()):
        controls |= {c: _control(c, rows) for c in prompt.controls if c not in controls}
    return {
        name: tuple(_prompt(prompt, rows, controls) for prompt in own)
        for name, own in prompts.items()
    }


def _prompt(prompt: Prompt, rows: Rows, controls: Mapping[Control, Control]) -> Prompt:
    mask = prompt.region.mask
    return replace(
        prompt,
        region=replace(prompt.region, mask=None if mask is None else _cut(mask, rows)),
        embedding=prompt.embedding.cut(lambda tensor: _cut(tensor, rows)),
        shape=torch.Size((rows.stop - rows.start, *prompt.shape[1:])),
        controls=tuple(controls[control] for control in prompt.controls),
    )


def _control(control: Control, rows: Rows) -> Control:
    hint = _cut(control.use.hint[: rows.of], rows)
    mask = control.use.mask
    use = replace(control.use, hint=hint, mask=None if mask is None else _cut(mask, rows))
    counts, where = control.counts, control.where
    control = replace(control, counts=None if counts is None else _cut(counts, rows))
    control = replace(control, where=None if where is None else _cut(where, rows))
    return replace(control, use=use, batch=rows.stop - rows.start, guides={})


def _cut(tensor: Tensor, rows: Rows) -> Tensor:
    """Rows of what is cycled over a batch; one for all serves any of them."""
    return tensor if len(tensor) == 1 else repeat_to(tensor, rows.of)[slice_of(rows)]
