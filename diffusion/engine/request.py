"""Turns a sampling request into a run: noise, masks and prompts for one model."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional

from diffusion.batch.controls import Encode, LoadedControl, prepare_controls
from diffusion.batch.fitting import repeat_to
from diffusion.batch.frame import Frame
from diffusion.batch.grounding import LoadedGrounding
from diffusion.batch.preparation import check_widths, prepare
from diffusion.batch.rows import JobImage
from diffusion.batch.slices import frame_rows, prompt_rows, slice_of
from diffusion.control.image_adapters import prepare_images
from diffusion.control.model_patches import prepare_patches
from diffusion.dit.patches import LoadedPatch
from diffusion.engine.hooked import hooks_of, prepare_hooks
from diffusion.engine.run import Inpainting, Run
from diffusion.families.family import LoadedModel
from diffusion.guidance.changes import prompts_of, start_changes
from diffusion.guidance.guided import Guided
from diffusion.guidance.guiders import GUIDERS
from diffusion.guidance.lazy_cache import with_lazycache
from diffusion.guidance.model_changes import mask_function, model_sampling
from diffusion.guidance.network_changes import start_run_changes
from diffusion.latent.noise import NoiseSource
from diffusion.latent_format import process_in
from diffusion.motion.context_windows import prepare_windows
from diffusion.motion.job import initial_noise, prepare_video
from diffusion.motion.loading import Key, LoadedMotion
from diffusion.samplers import SAMPLERS
from diffusion.samplers.protocol import SamplingContext
from diffusion.schedules.model_sampling import ModelSampling
from diffusion.vision.ip_adapter import ImageLayers
from graph.sampling import Noise, SampleRequest
from graph.values import ControlNet, Gligen, Latent, ModelFile, Vae


def latent_for(latent: Latent, model: LoadedModel) -> Latent:
    """`latent`, of which an empty one gets as many channels as the model has.

    A picture becomes a video of one frame, where the model's latents have a time axis.

    (ComfyUI comfy/sample.py, fix_empty_latent_channels)
    """
    samples, format = latent.samples, model.latent_format
    if samples.shape[1] != format.channels and not torch.count_nonzero(samples):
        samples = repeat_to(samples.movedim(1, 0), format.channels).movedim(0, 1)
    if format.dimensions == 3 and samples.ndim == 4:
        samples = samples.unsqueeze(2)
    return latent if samples is latent.samples else replace(latent, samples=samples)


def prepare_run(
    request: SampleRequest,
    latent: Latent,
    model: LoadedModel,
    device: torch.device,
    controls: Mapping[ControlNet, LoadedControl] = MappingProxyType({}),
    *,
    adapters: Mapping[ModelFile, ImageLayers] = MappingProxyType({}),
    encoders: Mapping[Vae, Encode] = MappingProxyType({}),
    motions: Mapping[Key, LoadedMotion] = MappingProxyType({}),
    patches: Mapping[ModelFile, LoadedPatch] = MappingProxyType({}),
    groundings: Mapping[Gligen, LoadedGrounding] = MappingProxyType({}),
) -> Run:
    """All that is done once, before the first step."""
    guider, sampler = request.guider, SAMPLERS[request.sampler.name]
    changes = guider.model.changes
    brought = prompts_of(changes)
    check_widths((*guider.conditionings, *brought.items()), model.shape.context_dim)
    sampling = model_sampling(model.parameterization, changes)
    sigmas = request.sigmas.to("cpu", torch.float32)
    video = prepare_video(
        changes, motions, model, sampling, sigmas=sigmas, frames=len(latent.samples)
    )
    source = _noise_source(request, latent, device)
    noise = initial_noise(
        changes, _initial_noise(request.noise, source), request.noise.seed, device
    )
    frame = replace(_frame(latent, model, sampling, device), seed=source.seed)
    conditions = (condition for _, conditions in guider.conditionings for condition in conditions)
    used = prepare_controls(
        conditions,
        controls,
        model.shape,
        sampling,
        frame.latent,
        px=model.latent_format.px,
        encoders=encoders,
    )
    images: tuple[JobImage, ...] = (
        *prepare_images(changes, adapters, model, sampling, len(frame.latent)),
        *prepare_patches(changes, patches, encoders, model, device),
    )
    prompts = prepare(
        dict(guider.conditionings),
        replace(
            frame,
            controls=used,
            groundings=groundings,
            hooks=prepare_hooks(hooks_of(guider), sampling, float(torch.max(sigmas))),
        ),
        partial(model.family.embed, model),
    )
    prompts |= prepare(brought, frame, partial(model.family.embed, model))
    if request.rows is not None:
        frame, prompts = frame_rows(frame, request.rows), prompt_rows(prompts, request.rows)
    guided = Guided(
        prompts,
        dict(guider.scales),
        sampling,
        start_changes(changes),
        replace(
            start_run_changes(changes, sampling, model.family, source.after_initial, images),
            frames=video or prepare_windows(changes, latent.samples.shape, sigmas),
        ),
        wants_uncond=sampler.wants_uncond,
    )
    redrawn = source.inpaint() if sampler.redraws_inpaint_noise else noise
    return Run(
        sampler=sampler,
        sigmas=sigmas,
        latent=frame.latent,
        noise=noise.to(device),
        context=SamplingContext(source, sampling),
        guider=with_lazycache(GUIDERS[guider.kind], changes, sampling),
        guided=guided,
        inpainting=None
        if frame.denoise_mask is None
        else Inpainting(
            frame.denoise_mask,
            frame.latent,
            None if model.sees_kept_clean else redrawn.to(device),
            mask_function(changes, sampling, sigmas),
        ),
        options=dict(request.sampler.options),
    )


def _noise_source(request: SampleRequest, latent: Latent, device: torch.device) -> NoiseSource:
    noise = request.noise
    seed = noise.seed if noise.sampler_seed is None else noise.sampler_seed
    shape = tuple(latent.samples.shape)
    rows = None if request.rows is None else slice_of(request.rows)
    return NoiseSource(seed or 0, shape, rows, latent.batch_index, device)


def _initial_noise(noise: Noise, source: NoiseSource) -> Tensor:
    if noise.seed is None:
        return torch.zeros(source.shape)[source.rows or slice(None)]
    return replace(source, seed=noise.seed).initial()


def _frame(
    latent: Latent, model: LoadedModel, sampling: ModelSampling, device: torch.device
) -> Frame:
    samples = latent.samples.to(device, torch.float32)
    if torch.count_nonzero(samples):  # an empty latent is not shifted
        samples = process_in(model.latent_format, samples)
    return Frame(
        samples,
        _denoise_mask(latent, device),
        sampling,
        model.latent_format,
    )


def _denoise_mask(latent: Latent, device: torch.device) -> Tensor | None:
    """The noise mask in the shape of the latent. (ComfyUI comfy/utils.py, reshape_mask)"""
    mask = latent.noise_mask
    if mask is None:
        return None
    batch, channels, *size = latent.samples.shape
    mask = mask.to(torch.float32)
    if len(size) == 3:  # what comes without a time axis is a mask for each frame
        mask = mask if mask.ndim == 5 else mask.reshape(1, 1, -1, *mask.shape[-2:])
        mask = functional.interpolate(mask, size=size, mode="trilinear")
    else:
        mask = mask.reshape(-1, 1, *mask.shape[-2:])
        mask = functional.interpolate(mask, size=size, mode="bilinear")
    return repeat_to(mask.expand(-1, channels, *size), batch).to(device)
