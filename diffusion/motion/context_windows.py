"""ComfyUI's own context windows: over the pictures of a batch, or along an axis of each.

(ComfyUI comfy/context_windows.py, IndexListContextHandler)
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

import torch
from torch import Tensor

from diffusion.batch.prompts import Embedding, Prompt
from diffusion.batch.rows import JobImage
from diffusion.batch.slices import frame_prompt
from diffusion.motion.windows import Frames, check_overlap, frames_of, fused
from graph.errors import ServiceError
from graph.motion import CONTEXT_WINDOWS, Windows
from graph.values import Change

NEAR = 1e-4  # of noise levels that are taken for the same
CHANNELS = 1


@dataclass(eq=False)
class WindowAxisError(ServiceError):
    """Windows along an axis that latents have not, or that is not to be cut."""

    status = 422
    code = "window_axis_invalid"
    template = (
        "Context windows, input 'dim': latents of {axes} axes have windows along 0 "
        "or 2 to {last}, got {received}."
    )
    axes: int
    last: int
    received: int


@dataclass(frozen=True, eq=False)
class WindowedJob:
    """One job that is asked about in windows. For the thread that steps."""

    windows: Windows
    axis: int
    length: int  # of that axis
    sigmas: Tensor  # of the run
    prompts: dict[tuple[int, Frames], tuple[Prompt, Prompt]] = field(default_factory=dict)
    images: dict[tuple[int, Frames], tuple[JobImage, JobImage]] = field(default_factory=dict)

    def at(self, sigma: float, step: int) -> "WindowedStep":
        """The windows at a noise level; of one between two steps, those of the step."""
        near = torch.isclose(self.sigmas, torch.tensor(sigma), rtol=NEAR)
        found = torch.nonzero(near)
        step = int(found[0]) if len(found) else step
        return WindowedStep(self, frames_of(self.windows, self.length, step), sigma)


@dataclass(frozen=True, eq=False)
class WindowedStep:
    """The windows of a job at one step."""

    job: WindowedJob
    windows: Sequence[Frames]
    sigma: float

    def motion(self, _window: Frames | None) -> None:
        """Nothing lets pictures see each other but the model itself."""

    def cut(self, x: Tensor, window: Frames) -> Tensor:
        """What of latents is in a window."""
        return x.index_select(self.job.axis, torch.tensor(window, device=x.device))

    def prompt(self, prompt: Prompt, window: Frames) -> Prompt:
        """A job's prompt for what is in a window."""
        known, key = self.job.prompts, (id(prompt), window)
        if key not in known:
            known[key] = prompt, windowed(prompt, window, self.job.axis)
        return known[key][1]

    def image(self, image: JobImage, window: Frames) -> JobImage:
        """A job's image prompt for what is in a window."""
        if self.job.axis:
            return image
        known, key = self.job.images, (id(image), window)
        if key not in known:
            known[key] = image, image.of_frames(window)
        return known[key][1]

    def fused(self, answers: Sequence[tuple[Frames, Tensor]], like: Tensor) -> Tensor:
        """What is predicted of all latents, put together from what is of windows."""
        axis, windows = self.job.axis, self.job.windows
        turned = [(own, answer.movedim(axis, 0)) for own, answer in answers]
        return fused(windows, turned, like.movedim(axis, 0), self.sigma).movedim(0, axis)


def windowed(prompt: Prompt, window: Frames, axis: int) -> Prompt:
    """A prompt for some of a batch, or for a part of each latent along an axis."""
    if axis == 0:
        return frame_prompt(prompt, window, prompt.shape[0])
    sides, length = len(prompt.shape), prompt.shape[axis]
    shape = list(prompt.shape)
    shape[axis] = len(window)
    mask, from_end = prompt.region.mask, axis - sides
    if mask is not None and from_end >= -2:
        mask = mask.index_select(from_end, torch.tensor(window, device=mask.device))
    return replace(
        prompt,
        region=replace(prompt.region, mask=mask),
        embedding=_along(prompt.embedding, window, axis, (sides, length)),
        shape=torch.Size(shape),
    )


def _along(embedding: Embedding, window: Frames, axis: int, whole: tuple[int, int]) -> Embedding:
    """What lies beside latents of so many axes, of which one is so long, is cut as they are."""
    tensors = ((own.name, getattr(embedding, own.name)) for own in fields(embedding))
    beside = {
        name: tensor.index_select(axis, torch.tensor(window, device=tensor.device))
        for name, tensor in tensors
        if isinstance(tensor, Tensor) and tensor.ndim == whole[0] and tensor.shape[axis] == whole[1]
    }
    return replace(embedding, **beside) if beside else embedding


def prepare_windows(
    changes: Sequence[Change], shape: Sequence[int], sigmas: Tensor
) -> WindowedJob | None:
    """The windows of a job over latents of such a shape; None where all fits into one.

    Raises:
        WindowAxisError: there can be none along the axis.
        WindowOverlapError: they would move on too little.
    """
    applied = [change for change in changes if change.kind == CONTEXT_WINDOWS]
    if not applied:
        return None
    windows, axis = applied[-1]["windows"], applied[-1]["axis"]
    if axis >= len(shape) or axis == CHANNELS:
        raise WindowAxisError(len(shape), len(shape) - 1, axis)
    check_overlap(windows)
    length = shape[axis]
    return WindowedJob(windows, axis, length, sigmas) if length > windows.length else None
