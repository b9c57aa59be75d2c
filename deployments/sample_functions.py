"""The functions that nodes of the SAMPLE stage call."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import diffusion.autoencoder.inpaint
import diffusion.batch.conditions
import diffusion.batch.slices
import diffusion.control.controlled
import diffusion.latent.batches
import diffusion.latent.cameras
import diffusion.latent.files
import diffusion.latent.guides
import diffusion.latent.latents
import diffusion.latent.operations
import diffusion.latent.tracks
import diffusion.latent.videos
import diffusion.schedules.schedulers
import diffusion.schedules.sigma_lists
import diffusion.schedules.tables
import diffusion.text.empty_prompt
import diffusion.vision.clip_picture
import diffusion.vision.unclip
from diffusion.autoencoder.preview import Previews
from diffusion.engine.stage import SampleStage
from diffusion.upscaling.tiled_redraw import redraw
from diffusion.vision.video_pictures import (
    augmented,
    low_resolution,
    picture_prompts,
    view_prompts,
)
from graph.latent_sizes import LatentSize
from graph.redraw import Drawing, Tiles
from graph.sampling import ModelSampling, Noise, SampleRequest, Sigmas
from graph.segment_run import Report
from graph.values import ClipVisionOutput, Conditioning, Image, Latent, Model, Tensor, Vae


@dataclass(frozen=True)
class NodeSampling:
    """The sample stage as one node sees it: its steps are reported under the node's id."""

    stage: SampleStage
    node_id: str
    report: Report

    async def sample(self, request: SampleRequest) -> tuple[Latent, Latent]:
        """The output, and the last denoised prediction."""
        own = replace(request, node_id=self.node_id)
        return await self.stage.sample(own, self.report, preview=Previews())

    async def sigmas(
        self, model: Model, *, sampler_name: str, scheduler: str, steps: int, denoise: float = 1.0
    ) -> Sigmas:
        return await self.stage.sigmas(
            model, sampler_name=sampler_name, scheduler=scheduler, steps=steps, denoise=denoise
        )

    async def model_sampling(self, model: Model) -> ModelSampling:
        return await self.stage.model_sampling(model)

    async def add_noise(self, model: Model, noise: Noise, sigmas: Sigmas, latent: Latent) -> Latent:
        return await self.stage.add_noise(model, noise, sigmas, latent)

    async def decode(self, vae: Vae, latent: Latent) -> Image:
        return await self.stage.decode(vae, latent)

    async def encode(self, vae: Vae, image: Image) -> Tensor:
        return await self.stage.encode(vae, image)

    async def encode_video(self, vae: Vae, frames: Image) -> Tensor:
        return await self.stage.encode_video(vae, frames)

    async def video_latent_size(self, vae: Vae) -> LatentSize:
        return await self.stage.video_latent_size(vae)

    async def decode_tiled(
        self,
        vae: Vae,
        latent: Latent,
        *,
        tile: int,
        overlap: int,
        frames: int = 64,
        frame_overlap: int = 8,
    ) -> Image:
        return await self.stage.decode_tiled(
            vae, latent, tile=tile, overlap=overlap, frames=frames, frame_overlap=frame_overlap
        )

    async def encode_tiled(
        self,
        vae: Vae,
        image: Image,
        *,
        tile: int,
        overlap: int,
        frames: int = 64,
        frame_overlap: int = 8,
    ) -> Tensor:
        return await self.stage.encode_tiled(
            vae, image, tile=tile, overlap=overlap, frames=frames, frame_overlap=frame_overlap
        )

    async def redraw(
        self,
        image: Image,
        drawing: Drawing,
        tiles: Tiles,
        *,
        factor: float,
        upscaled: Image | None = None,
    ) -> Image:
        return await redraw(self, image, drawing, tiles, factor=factor, upscaled=upscaled)

    async def condition_on_picture(
        self,
        seen: ClipVisionOutput,
        image: Image,
        vae: Vae,
        *,
        motion_bucket_id: int,
        fps: int,
        augmentation_level: float,
    ) -> tuple[Conditioning, Conditioning]:
        latents = await self.stage.encode(vae, augmented(image, augmentation_level))
        return picture_prompts(
            seen,
            latents,
            motion_bucket_id=motion_bucket_id,
            fps=fps,
            augmentation_level=augmentation_level,
        )

    async def condition_on_orbit(
        self,
        seen: ClipVisionOutput,
        image: Image,
        vae: Vae,
        *,
        elevations: Sequence[float],
        azimuths: Sequence[float],
    ) -> tuple[Conditioning, Conditioning]:
        latents = await self.stage.encode(vae, image[..., :3])
        return picture_prompts(seen, latents, elevation=elevations, azimuth=azimuths)

    async def condition_on_views(
        self,
        seen: ClipVisionOutput,
        image: Image,
        vae: Vae,
        views: Sequence[tuple[float, float]],
    ) -> tuple[Conditioning, Conditioning]:
        return view_prompts(seen, await self.stage.encode(vae, image), views)

    low_resolution = staticmethod(low_resolution)
    join_rows = staticmethod(diffusion.batch.slices.join_rows)
    steps_between = staticmethod(diffusion.schedules.schedulers.steps_between)

    fit_mask = staticmethod(diffusion.autoencoder.inpaint.fit_mask)
    grey_out = staticmethod(diffusion.autoencoder.inpaint.grey_out)
    grow_noise_mask = staticmethod(diffusion.autoencoder.inpaint.grow_noise_mask)
    zeros_like = staticmethod(diffusion.autoencoder.inpaint.zeros_like)

    set_noise_mask = staticmethod(diffusion.latent.latents.set_noise_mask)
    upscale_latent = staticmethod(diffusion.latent.latents.upscale_latent)
    upscale_latent_by = staticmethod(diffusion.latent.latents.upscale_latent_by)
    crop_latent = staticmethod(diffusion.latent.latents.crop_latent)
    rotate_latent = staticmethod(diffusion.latent.latents.rotate_latent)
    flip_latent = staticmethod(diffusion.latent.latents.flip_latent)
    blend_latents = staticmethod(diffusion.latent.latents.blend_latents)
    composite_latents = staticmethod(diffusion.latent.latents.composite_latents)
    composite_latents_masked = staticmethod(diffusion.latent.latents.composite_latents_masked)
    latent_from_batch = staticmethod(diffusion.latent.batches.latent_from_batch)
    repeat_latent = staticmethod(diffusion.latent.batches.repeat_latent)
    batch_latents = staticmethod(diffusion.latent.batches.batch_latents)
    rebatch_latents = staticmethod(diffusion.latent.batches.rebatch_latents)
    add_latents = staticmethod(diffusion.latent.latents.add_latents)
    subtract_latents = staticmethod(diffusion.latent.latents.subtract_latents)
    multiply_latent = staticmethod(diffusion.latent.latents.multiply_latent)
    interpolate_latents = staticmethod(diffusion.latent.latents.interpolate_latents)
    concat_latents = staticmethod(diffusion.latent.latents.concat_latents)
    cut_latent_to_batch = staticmethod(diffusion.latent.latents.cut_latent_to_batch)
    cut_latent = staticmethod(diffusion.latent.latents.cut_latent)
    set_seed_behavior = staticmethod(diffusion.latent.batches.set_seed_behavior)
    apply_latent_operation = staticmethod(diffusion.latent.operations.apply_latent_operation)
    read_latent = staticmethod(diffusion.latent.files.read_latent)
    empty_latent = staticmethod(diffusion.latent.latents.empty_latent)
    trim_latent = staticmethod(diffusion.latent.latents.trim_latent)

    as_frames = staticmethod(diffusion.latent.guides.as_frames)
    whole_steps = staticmethod(diffusion.latent.guides.whole_steps)
    begun_with = staticmethod(diffusion.latent.guides.begun_with)
    with_guide = staticmethod(diffusion.latent.guides.with_guide)
    without_guides = staticmethod(diffusion.latent.guides.without_guides)

    unclip_conditioning = staticmethod(diffusion.vision.unclip.unclip_conditioning)
    combine_conditionings = staticmethod(diffusion.batch.conditions.combine_conditionings)
    concat_conditionings = staticmethod(diffusion.batch.conditions.concat_conditionings)
    average_conditionings = staticmethod(diffusion.batch.conditions.average_conditionings)
    set_area = staticmethod(diffusion.batch.conditions.set_area)
    set_area_percentage = staticmethod(diffusion.batch.conditions.set_area_percentage)
    set_strength = staticmethod(diffusion.batch.conditions.set_strength)
    set_mask = staticmethod(diffusion.batch.conditions.set_mask)
    crop_masks = staticmethod(diffusion.batch.conditions.crop_masks)
    set_timestep_range = staticmethod(diffusion.batch.conditions.set_timestep_range)
    empty_prompt = staticmethod(diffusion.text.empty_prompt.empty_prompt)
    zero_out = staticmethod(diffusion.batch.conditions.zero_out)
    apply_control = staticmethod(diffusion.control.controlled.apply_control)
    apply_control_to_both = staticmethod(diffusion.control.controlled.apply_control_to_both)
    apply_face_control = staticmethod(diffusion.control.controlled.apply_face_control)
    with_extras = staticmethod(diffusion.batch.conditions.with_extras)
    with_more = staticmethod(diffusion.batch.conditions.with_more)
    with_reference = staticmethod(diffusion.batch.conditions.with_reference)

    cover_frames = staticmethod(diffusion.latent.videos.cover_frames)
    frames_within = staticmethod(diffusion.latent.videos.frames_within)
    fit_frames = staticmethod(diffusion.latent.videos.fit_frames)
    frames_on_grey = staticmethod(diffusion.latent.videos.frames_on_grey)
    unknown_latents = staticmethod(diffusion.latent.videos.unknown_latents)
    unknown_frames = staticmethod(diffusion.latent.videos.unknown_frames)
    blank_video = staticmethod(diffusion.latent.videos.blank_video)
    with_frames = staticmethod(diffusion.latent.videos.with_frames)
    join_channels = staticmethod(diffusion.latent.videos.join_channels)
    join_frames = staticmethod(diffusion.latent.videos.join_frames)
    join_seen = staticmethod(diffusion.vision.clip_picture.join_seen)
    vace_frames = staticmethod(diffusion.latent.videos.vace_frames)
    vace_mask = staticmethod(diffusion.latent.videos.vace_mask)
    vace_part = staticmethod(diffusion.latent.videos.vace_part)
    vace_mask_channels = staticmethod(diffusion.latent.videos.vace_mask_channels)
    read_tracks = staticmethod(diffusion.latent.tracks.read_tracks)
    moved_latents = staticmethod(diffusion.latent.tracks.moved_latents)
    camera_path = staticmethod(diffusion.latent.cameras.camera_path)

    basic = staticmethod(diffusion.schedules.schedulers.basic)
    karras = staticmethod(diffusion.schedules.schedulers.karras)
    exponential = staticmethod(diffusion.schedules.schedulers.exponential)
    polyexponential = staticmethod(diffusion.schedules.schedulers.polyexponential)
    laplace = staticmethod(diffusion.schedules.schedulers.laplace)
    vp = staticmethod(diffusion.schedules.schedulers.vp)
    beta = staticmethod(diffusion.schedules.schedulers.beta)
    sd_turbo = staticmethod(diffusion.schedules.schedulers.sd_turbo)
    align_your_steps = staticmethod(diffusion.schedules.tables.align_your_steps)
    optimal_steps = staticmethod(diffusion.schedules.tables.optimal_steps)
    gits = staticmethod(diffusion.schedules.tables.gits)
    flux2 = staticmethod(diffusion.schedules.schedulers.flux2)
    ltxv = staticmethod(diffusion.schedules.schedulers.ltxv)

    split = staticmethod(diffusion.schedules.sigma_lists.split)
    split_by_denoise = staticmethod(diffusion.schedules.sigma_lists.split_by_denoise)
    flip = staticmethod(diffusion.schedules.sigma_lists.flip)
    set_first = staticmethod(diffusion.schedules.sigma_lists.set_first)
    extend_intermediate = staticmethod(diffusion.schedules.sigma_lists.extend_intermediate)
    manual = staticmethod(diffusion.schedules.sigma_lists.manual)
    percent_to_sigma = staticmethod(diffusion.schedules.sigma_lists.percent_to_sigma)
