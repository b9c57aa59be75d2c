"""The sample stage: diffusion models and autoencoders."""

from collections.abc import Sequence
from typing import Any, Protocol

from graph.choices import LatentAxis, ScaleCrop, ScaleMethod, SeedBehavior, SigmaSpacing
from graph.redraw import Drawing, Tiles
from graph.sampling import ModelSampling, Noise, SampleRequest, Sigmas
from graph.stages.faces import FaceControls
from graph.stages.seen_pictures import LowResolution, PictureConditioning
from graph.stages.videos import Videos
from graph.values import (
    Change,
    ClipVisionOutput,
    Conditioning,
    ControlNet,
    Image,
    InputFile,
    Latent,
    Mask,
    Model,
    Steering,
    Tensor,
    Vae,
)


class Sampling(Protocol):
    """Latents denoised."""

    def join_rows(self, parts: Sequence[Any]) -> Any:
        """One batch of the parts of a result, in their order."""

    async def add_noise(
        self, model: Model, noise: Noise, sigmas: Sigmas, latent: Latent
    ) -> Latent: ...

    async def sample(self, request: SampleRequest) -> tuple[Latent, Latent]: ...

    async def sigmas(
        self, model: Model, *, sampler_name: str, scheduler: str, steps: int, denoise: float = 1.0
    ) -> Sigmas: ...

    def steps_between(
        self, sigmas: Sigmas, start_step: int, last_step: int, *, force_full_denoise: bool
    ) -> Sigmas: ...


class Redrawing(Protocol):
    """Pictures drawn again in tiles."""

    async def redraw(
        self,
        image: Image,
        drawing: Drawing,
        tiles: Tiles,
        *,
        factor: float,
        upscaled: Image | None = None,
    ) -> Image: ...


class Autoencoding(Protocol):
    """Pictures to latents and back."""

    async def decode(self, vae: Vae, latent: Latent) -> Image: ...

    async def encode(self, vae: Vae, image: Image) -> Tensor: ...

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
        """`frames` and `frame_overlap` are those of a tile of a video."""

    async def encode_tiled(
        self,
        vae: Vae,
        image: Image,
        *,
        tile: int,
        overlap: int,
        frames: int = 64,
        frame_overlap: int = 8,
    ) -> Tensor: ...


class Inpainting(Protocol):
    """What inpainting models are told."""

    def fit_mask(self, image: Image, mask: Mask) -> Mask: ...

    def grey_out(self, image: Image, mask: Mask) -> Image: ...

    def grow_noise_mask(self, mask: Mask, grow: int) -> Mask: ...

    def zeros_like(self, samples: Tensor) -> Tensor: ...


class Latents(Protocol):
    """Latents made, scaled, cut, combined and batched."""

    def read_latent(self, file: InputFile) -> Latent:
        """Raises BadModelFile."""

    def set_noise_mask(self, latent: Latent, mask: Mask) -> Latent: ...

    def upscale_latent(
        self, latent: Latent, width: int, height: int, method: ScaleMethod, crop: ScaleCrop
    ) -> Latent: ...

    def upscale_latent_by(self, latent: Latent, factor: float, method: ScaleMethod) -> Latent: ...

    def crop_latent(self, latent: Latent, width: int, height: int, x: int, y: int) -> Latent: ...

    def rotate_latent(self, latent: Latent, rotation: str) -> Latent: ...

    def flip_latent(self, latent: Latent, method: str) -> Latent: ...

    def blend_latents(self, first: Latent, second: Latent, factor: float) -> Latent: ...

    def composite_latents(
        self, destination: Latent, source: Latent, at: tuple[int, int], feather: int
    ) -> Latent: ...

    def composite_latents_masked(
        self,
        destination: Latent,
        source: Latent,
        at: tuple[int, int],
        mask: Mask | None,
        *,
        resize_source: bool,
    ) -> Latent: ...

    def latent_from_batch(self, latent: Latent, first: int, length: int) -> Latent: ...

    def repeat_latent(self, latent: Latent, amount: int) -> Latent: ...

    def batch_latents(self, first: Latent, second: Latent) -> Latent: ...

    def rebatch_latents(self, latents: list[Latent], batch_size: int) -> tuple[Latent, ...]: ...

    def add_latents(self, first: Latent, second: Latent) -> Latent: ...

    def subtract_latents(self, first: Latent, second: Latent) -> Latent: ...

    def multiply_latent(self, latent: Latent, factor: float) -> Latent: ...

    def interpolate_latents(self, first: Latent, second: Latent, ratio: float) -> Latent: ...

    def concat_latents(self, first: Latent, second: Latent, dim: str) -> Latent: ...

    def cut_latent_to_batch(self, latent: Latent, dim: LatentAxis, size: int) -> Latent: ...

    def cut_latent(self, latent: Latent, dim: LatentAxis, index: int, amount: int) -> Latent: ...

    def set_seed_behavior(self, latent: Latent, behavior: SeedBehavior) -> Latent: ...

    def apply_latent_operation(self, latent: Latent, operation: Change) -> Latent: ...

    def empty_latent(self, shape: tuple[int, ...]) -> Latent: ...

    def trim_latent(self, latent: Latent, amount: int) -> Latent: ...


class Guides(Protocol):
    """Frames that a video is made to begin with, or to go by."""

    def as_frames(self, image: Image, width: int, height: int, *, crop: bool) -> Image: ...

    def whole_steps(self, image: Image) -> Image: ...

    def begun_with(self, frames: Tensor, shape: tuple[int, ...], strength: float) -> Latent: ...

    def with_guide(
        self,
        positive: Conditioning,
        negative: Conditioning,
        latent: Latent,
        guide: Tensor,
        *,
        frame: int,
        pictures: int,
        strength: float,
    ) -> tuple[Conditioning, Conditioning, Latent]: ...

    def without_guides(
        self, positive: Conditioning, negative: Conditioning, latent: Latent
    ) -> tuple[Conditioning, Conditioning, Latent]: ...


class Conditionings(Protocol):
    """Conditionings joined, mixed, and told where, when and how strongly they apply."""

    def unclip_conditioning(
        self,
        conditioning: Conditioning,
        seen: ClipVisionOutput,
        *,
        strength: float,
        noise_augmentation: float,
    ) -> Conditioning: ...

    def empty_prompt(self) -> Conditioning:
        """What Stable Diffusion 2's text encoder says of no words."""

    def combine_conditionings(self, first: Conditioning, second: Conditioning) -> Conditioning: ...

    def concat_conditionings(self, to: Conditioning, source: Conditioning) -> Conditioning: ...

    def average_conditionings(
        self, to: Conditioning, source: Conditioning, strength: float
    ) -> Conditioning: ...

    def set_area(
        self,
        conditioning: Conditioning,
        *,
        width: int,
        height: int,
        x: int,
        y: int,
        strength: float,
    ) -> Conditioning: ...

    def set_area_percentage(
        self,
        conditioning: Conditioning,
        *,
        width: float,
        height: float,
        x: float,
        y: float,
        strength: float,
    ) -> Conditioning: ...

    def set_strength(self, conditioning: Conditioning, strength: float) -> Conditioning: ...

    def set_mask(
        self, conditioning: Conditioning, mask: Mask, strength: float, *, bounds: bool
    ) -> Conditioning: ...

    def crop_masks(
        self,
        conditioning: Conditioning,
        region: tuple[int, int, int, int],
        size: tuple[int, int],
    ) -> Conditioning: ...

    def set_timestep_range(
        self, conditioning: Conditioning, start: float, end: float
    ) -> Conditioning: ...

    def zero_out(self, conditioning: Conditioning) -> Conditioning: ...

    def apply_control(
        self, conditioning: Conditioning, net: ControlNet, hint: Image, strength: float
    ) -> Conditioning: ...

    def apply_control_to_both(
        self,
        positive: Conditioning,
        negative: Conditioning,
        net: ControlNet,
        hint: Image,
        *,
        strength: float,
        start_percent: float,
        end_percent: float,
        vae: Vae | None = None,
        mask: Mask | None = None,
        steering: Steering | None = None,
        uncond_multiplier: float = 1.0,
    ) -> tuple[Conditioning, Conditioning]: ...

    def with_extras(self, conditioning: Conditioning, **extras: Any) -> Conditioning: ...

    def with_reference(self, conditioning: Conditioning, latent: Latent) -> Conditioning: ...


class Schedules(Protocol):
    """Noise levels by the rules of a scheduler."""

    async def model_sampling(self, model: Model) -> ModelSampling: ...

    def basic(
        self, model: ModelSampling, scheduler: str, steps: int, denoise: float = 1.0
    ) -> Sigmas: ...

    def karras(self, steps: int, sigma_max: float, sigma_min: float, rho: float) -> Sigmas: ...

    def exponential(self, steps: int, sigma_max: float, sigma_min: float) -> Sigmas: ...

    def polyexponential(
        self, steps: int, sigma_max: float, sigma_min: float, rho: float
    ) -> Sigmas: ...

    def laplace(
        self, steps: int, sigma_max: float, sigma_min: float, mu: float, beta: float
    ) -> Sigmas: ...

    def vp(self, steps: int, beta_d: float, beta_min: float, eps_s: float) -> Sigmas: ...

    def beta(self, model: ModelSampling, steps: int, *, alpha: float, beta: float) -> Sigmas: ...

    def sd_turbo(self, model: ModelSampling, steps: int, denoise: float) -> Sigmas: ...

    def align_your_steps(self, model_type: str, steps: int, denoise: float) -> Sigmas: ...

    def optimal_steps(self, model_type: str, steps: int, denoise: float) -> Sigmas: ...

    def gits(self, coeff: float, steps: int, denoise: float) -> Sigmas: ...

    def flux2(self, steps: int, tokens: int) -> Sigmas: ...

    def ltxv(
        self,
        steps: int,
        tokens: int = ...,
        *,
        max_shift: float,
        base_shift: float,
        terminal: float | None,
    ) -> Sigmas: ...


class SigmaLists(Protocol):
    """Lists of noise levels, cut, joined and changed."""

    def split(self, sigmas: Sigmas, step: int) -> tuple[Sigmas, Sigmas]: ...

    def split_by_denoise(self, sigmas: Sigmas, denoise: float) -> tuple[Sigmas, Sigmas]: ...

    def flip(self, sigmas: Sigmas) -> Sigmas: ...

    def set_first(self, sigmas: Sigmas, sigma: float) -> Sigmas: ...

    def extend_intermediate(
        self,
        sigmas: Sigmas,
        steps: int,
        start_at_sigma: float,
        end_at_sigma: float,
        spacing: SigmaSpacing,
    ) -> Sigmas: ...

    def manual(self, text: str) -> Sigmas: ...

    def percent_to_sigma(
        self, model: ModelSampling, percent: float, *, actual: bool = False
    ) -> float: ...


class SampleFunctions(
    Sampling,
    Videos,
    Redrawing,
    Autoencoding,
    Inpainting,
    Latents,
    Guides,
    Conditionings,
    FaceControls,
    PictureConditioning,
    LowResolution,
    Schedules,
    SigmaLists,
    Protocol,
):
    """What nodes of the sample stage may call."""
