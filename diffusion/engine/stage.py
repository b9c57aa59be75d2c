"""The sample stage: the functions that nodes call to sample, decode and encode.

Nothing here knows Ray. The stage holds weights within a memory budget, turns requests into jobs
of the step engine, and runs autoencoders on a thread of their own beside the steps.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

from diffusion.autoencoder.kinds import expected_vae_bytes, load_vae
from diffusion.autoencoder.pixel_space import or_pixel_space
from diffusion.autoencoder.tiles import decode_tiled, encode_tiled
from diffusion.autoencoder.vae import LoadedVae, check_of_videos, decode, encode
from diffusion.batch.calls import Called, Limits, unheard
from diffusion.batch.slices import latent_rows
from diffusion.control.grounding import Groundings
from diffusion.control.image_adapters import IMAGE_CHANGES, ImageAdapters
from diffusion.control.loading import Controls, vaes_of
from diffusion.control.model_patches import PATCH_CHANGES, ModelPatches, patches_on
from diffusion.engine.engine import Job, Report, StepEngine, Track
from diffusion.engine.hooked import hooked_denoiser, warned
from diffusion.engine.mixing import ResidentModel, mixable, mixable_with
from diffusion.engine.noising import noised
from diffusion.engine.request import latent_for, prepare_run
from diffusion.engine.run import sample
from diffusion.engine.warming import Warming, WarmSize, blank_request, warm_up
from diffusion.families.family import LoadedModel
from diffusion.families.registry import FAMILIES, Families
from diffusion.guidance.model_changes import check_changes, in_latent_format, model_sampling
from diffusion.latent_format import LatentFormat, process_out
from diffusion.memory.budget import MemoryBudget
from diffusion.memory.cache import leased
from diffusion.motion.loading import MotionModules
from diffusion.networks.compiling import Regions
from diffusion.parameterization import Parameterization
from diffusion.samplers.ksampler import ksampler_sigmas
from diffusion.schedules.model_sampling import ModelSampling
from diffusion.weights import Weights
from graph.latent_sizes import LatentSize
from graph.motion import BETA_SCHEDULE, CONTEXT_WINDOWS, EVOLVED
from graph.sampling import Guider, Noise, SampleRequest
from graph.values import Change, Latent, Model, ModelFile, Vae

OpenWeights: TypeAlias = Callable[[ModelFile], Weights]
Preview: TypeAlias = Callable[[LatentFormat, Tensor], bytes | None]
ApplyChanges: TypeAlias = Callable[[LoadedModel, Sequence[Change]], LoadedModel]


class SampleStage:
    """All of one replica's diffusion models and autoencoders. For one event loop."""

    def __init__(
        self,
        open_weights: OpenWeights,
        *,
        device: torch.device,
        dtype: torch.dtype,
        vae_dtype: torch.dtype | None = None,
        memory: MemoryBudget,
        activation_bytes: int = 4 * 2**30,
        max_rows: int = 32,
        batching: bool = True,
        mix_loras: bool = True,
        weight_changes: Collection[str] = (),
        apply_changes: ApplyChanges | None = None,
        called: Called = unheard,
        regions: Regions | None = None,
        families: Families = FAMILIES,
    ) -> None:
        """A stage that keeps its weights in `memory`, which it may share with others.

        A model call holds at most `max_rows` pictures and what `activation_bytes` suffice for.
        `batching` off lets every job step alone, `mix_loras` those under other LoRAs (mixing.py).
        `apply_changes` makes a model with changes of the
        kinds `weight_changes` of one without, which it leaves alone and may share memory with.
        `called` hears of every step: how many pictures it took on, and how long it was. `regions`
        has what is compiled for models when they are warmed; without it nothing is. `families` are
        those whose models it serves.
        """
        self._open = open_weights = or_pixel_space(open_weights)
        self._device = device
        self._dtype = dtype
        self._vae_dtype = vae_dtype or dtype
        self._families = families
        self._max_rows = max_rows
        self._mix_loras = mix_loras
        self._activation_bytes = activation_bytes
        self._memory = memory
        self.weights = memory.weights
        self._opened: dict[ModelFile, Weights] = {}  # read, and not loaded yet
        self._controls = Controls(
            open_weights, self.weights, dtype, device, families.controls, self._vae_dtype
        )
        self._images = ImageAdapters(open_weights, self.weights, dtype, device)
        self._groundings = Groundings(open_weights, self.weights, dtype, device)
        self._motions = MotionModules(open_weights, self.weights, dtype, device)
        self._patches = ModelPatches(open_weights, self.weights, dtype, device, families.patches)
        self._weight_changes = frozenset(weight_changes)
        self._apply = apply_changes
        self._regions = regions
        self._parameterizations: dict[ModelFile, Parameterization] = {}
        self._engine = StepEngine(batching=batching, called=called)
        self._vae_thread = ThreadPoolExecutor(1, "vae")

    async def sample(
        self,
        request: SampleRequest,
        report: Report | None = None,
        *,
        preview: Preview | None = None,
        deadline: float | None = None,
    ) -> tuple[Latent, Latent]:
        """The output, and the last denoised prediction; of the request's `rows` where it has some.

        Every step is told to `report`, with what `preview` makes of the denoised latent in the
        model's scale, if anything. `deadline` is in the event loop's time.

        Raises:
            SamplingError: the model, the sampler or the deadline; see its subclasses.
            UnknownModelChangeError, BadModelFile, MissingModelFile: the model cannot be made.
        """
        model = await self._scheduled(request.guider.model)
        self._check(model)
        async with self._model(model) as resident:
            warn = partial(warned, report, request.node_id)
            warn(resident.model.warnings)
            loaded = in_latent_format(resident.model, model.changes)
            latent = latent_for(request.latent, loaded)
            own = latent if request.rows is None else latent_rows(latent, request.rows)
            if len(request.sigmas) == 0:
                return own, own
            of = (resident.model, (model.file, self._applied(model)))
            async with (
                self._controls.leased(request.guider, *of) as controls,
                self._controls.encoders(self._vaes(request.guider)) as encoders,
                self._groundings.leased(request.guider, loaded) as groundings,
                self._images.leased(model) as images,
                self._motions.leased(model) as motions,
                self._patches.leased(model, loaded.shape) as patches,
            ):
                run = await asyncio.to_thread(
                    partial(
                        prepare_run,
                        adapters=images,
                        encoders=encoders,
                        motions=motions,
                        patches=patches,
                        groundings=groundings,
                    ),
                    replace(request, guider=replace(request.guider, model=model)),
                    latent,
                    loaded,
                    self._device,
                    controls,
                )
                track = Track(of=len(request.sigmas) - 1)
                size = tuple(run.latent.shape[2:])
                lease = partial(self._lease, model)
                denoiser = await hooked_denoiser(resident, request.guider, lease, warn)
                job = Job(request.node_id, denoiser, size, sample(run, track), track)
                job.report, job.deadline = report, deadline
                if denoiser is resident.denoiser:
                    job.mixable = resident.mixable
                if preview is not None:
                    job.preview = partial(preview, loaded.latent_format)
                samples = await self._engine.run(job)
        denoised = samples if track.denoised is None else track.denoised
        seed = request.noise.seed
        drawn = None if seed is None else (seed, tuple(latent.samples.shape))
        return (
            replace(own, samples=_on_link(samples, loaded), drawn=drawn),
            replace(own, samples=_on_link(denoised, loaded), drawn=drawn),
        )

    async def warm(self, model: Model, sizes: Iterable[WarmSize] = ()) -> None:
        """Have the weights of `model` in memory, as far as the budget allows, and used for `sizes`.

        Raises:
            SamplingError: it cannot be compiled for one of them.
            BadModelFile, MissingModelFile: it cannot be made.
        """
        self._check(model)
        async with self._model(model) as resident:
            asked = Warming(resident.denoiser, self._regions)
            for size in sizes:
                for rows in size.rows:
                    request = blank_request(model, resident.model, size, rows)
                    await warm_up(self._engine, request, resident.model, asked, self._device)

    async def sigmas(
        self, model: Model, *, sampler_name: str, scheduler: str, steps: int, denoise: float = 1.0
    ) -> Tensor:
        """The schedule [steps + 1] of a KSampler over `model`; empty when nothing is denoised."""
        sampling = await self.model_sampling(model)
        return ksampler_sigmas(sampling, sampler_name, scheduler, steps, denoise)

    async def model_sampling(self, model: Model) -> ModelSampling:
        """The noise levels of `model`, with the changes applied to it. Loads no weights."""
        self._check(model)
        model = await self._scheduled(model)
        own = self._parameterizations.get(model.file)
        if own is None:
            own = await asyncio.to_thread(
                lambda: self._families.parameterization(self._open(model.file))
            )
            self._parameterizations[model.file] = own
        return model_sampling(own, model.changes)

    async def decode(self, vae: Vae, latent: Latent) -> Tensor:
        """Pictures [B, H, W, 3] in 0..1."""
        async with self._vae(vae) as loaded:
            work = partial(decode, drawn=latent.drawn)
            return await self._beside_steps(work, loaded, latent.samples)

    async def encode(self, vae: Vae, image: Tensor) -> Tensor:
        """Latent samples [B, C, h, w] of pictures [B, H, W, C]."""
        async with self._vae(vae) as loaded:
            return await self._beside_steps(encode, loaded, image)

    async def encode_video(self, vae: Vae, frames: Tensor) -> Tensor:
        """Latent samples [1, C, T, h, w] of frames [T, H, W, C]. Raises NoVideoVaeError."""
        async with self._vae(vae) as loaded:
            check_of_videos(loaded, vae.file)
            return await self._beside_steps(encode, loaded, frames)

    async def video_latent_size(self, vae: Vae) -> LatentSize:
        """What its latents are. Raises NoVideoVaeError."""
        async with self._vae(vae) as loaded:
            check_of_videos(loaded, vae.file)
            return LatentSize(loaded.latent_channels, loaded.downscale, loaded.frames)

    async def decode_tiled(
        self,
        vae: Vae,
        latent: Latent,
        *,
        tile: int,
        overlap: int,
        frames: int = 64,
        frame_overlap: int = 8,
    ) -> Tensor:
        """As `decode`, in tiles of so many picture pixels along a side; of videos see tiles.py."""
        work = partial(
            decode_tiled, tile=tile, overlap=overlap, frames=frames, frame_overlap=frame_overlap
        )
        async with self._vae(vae) as loaded:
            return await self._beside_steps(work, loaded, latent.samples)

    async def encode_tiled(
        self,
        vae: Vae,
        image: Tensor,
        *,
        tile: int,
        overlap: int,
        frames: int = 64,
        frame_overlap: int = 8,
    ) -> Tensor:
        """As `encode`, in tiles of so many picture pixels along a side; of videos see tiles.py."""
        work = partial(
            encode_tiled, tile=tile, overlap=overlap, frames=frames, frame_overlap=frame_overlap
        )
        async with self._vae(vae) as loaded:
            return await self._beside_steps(work, loaded, image)

    async def add_noise(self, model: Model, noise: Noise, sigmas: Tensor, latent: Latent) -> Latent:
        """`latent` with the noise that `model` would have between the ends of `sigmas`."""
        sampling = await self.model_sampling(model)
        async with self._model(model) as resident:
            own = in_latent_format(resident.model, model.changes).latent_format
            return await asyncio.to_thread(noised, latent, noise, sigmas, sampling, own)

    async def close(self) -> None:
        await self._engine.close()
        self._vae_thread.shutdown()

    @property
    def jobs(self) -> int:
        """How many runs of samplers are under way."""
        return self._engine.jobs

    @property
    def used_bytes(self) -> int:
        """The weights in memory."""
        return self.weights.used_bytes()

    def check_health(self) -> None:
        """Raises what stopped the step engine, if anything did."""
        self._engine.check_health()

    async def _beside_steps(
        self, work: Callable[[LoadedVae, Tensor], Tensor], vae: LoadedVae, tensor: Tensor
    ) -> Tensor:
        loop = asyncio.get_running_loop()
        return (await loop.run_in_executor(self._vae_thread, work, vae, tensor)).clone()

    async def _scheduled(self, model: Model) -> Model:
        """`model` with the beta schedule that its motion module was trained on."""
        if all(change.kind != BETA_SCHEDULE for change in model.changes):
            return model
        changes = await asyncio.to_thread(self._motions.scheduled, model.changes)
        return replace(model, changes=changes)

    def _check(self, model: Model) -> None:
        own = IMAGE_CHANGES | PATCH_CHANGES | {EVOLVED, CONTEXT_WINDOWS}
        kinds = self._weight_changes | self._families.changes | own
        check_changes(model.changes, kinds)

    @asynccontextmanager
    async def _model(self, model: Model) -> AsyncIterator[ResidentModel]:
        """The weights of `model`, once there is room for them.

        Jobs whose models differ in other ways share them.
        """
        base = ("model", model.file, model.weight_dtype)
        measure = partial(self._model_bytes, model)
        async with (
            self._memory.turn(base, measure, [model.file]) as size,
            leased(self._lease(model, size=size)) as resident,
        ):
            yield resident

    def _lease(
        self, model: Model, hooked: tuple[Change, ...] = (), size: int = 0
    ) -> AbstractContextManager[Any]:
        """The weights of `model`, under more changes."""
        applied = (*self._applied(model), *hooked)
        base = ("model", model.file, model.weight_dtype)
        load = partial(self._load_model, model.file, model.weight_dtype)
        if not applied:
            return self.weights.lease(base, load, expected_bytes=size)
        change = partial(self._changed, changes=applied)
        return self.weights.lease_upon(base, load, (*base, applied), change, expected_bytes=size)

    def _model_bytes(self, model: Model) -> int:
        """What a base model will take, told by its file's header."""
        weights = self._opened[model.file] = self._open(model.file)  # for the load that comes next
        return self._families.expected_bytes(
            weights, dtype=self._dtype, weight_dtype=model.weight_dtype
        )

    def _applied(self, model: Model) -> tuple[Change, ...]:
        """The changes to the weights of `model`."""
        return tuple(c for c in model.changes if c.kind in self._weight_changes)

    def _vaes(self, guider: Guider) -> list[Vae]:
        """All that make latents of hints, and of what model patches go by."""
        return vaes_of(guider) + [
            use.vae for use in patches_on(guider.model.changes) if use.vae is not None
        ]

    def _vae(self, vae: Vae) -> AbstractAsyncContextManager[LoadedVae]:
        return self._memory.leased(
            ("vae", vae.file),
            partial(self._load_vae, vae.file),
            lambda: expected_vae_bytes(self._open(vae.file), dtype=self._vae_dtype),
            vae.file,
        )

    def _load_model(self, file: ModelFile, weight_dtype: str) -> ResidentModel:
        weights = self._opened.pop(file, None) or self._open(file)
        resident = self._asked(
            self._families.load(
                weights, dtype=self._dtype, device=self._device, weight_dtype=weight_dtype
            )
        )
        if not self._mix_loras or self._regions is not None:  # that is compiled for one at a time
            return resident
        return mixable(resident, self._limits(resident.model))

    def _changed(self, base: ResidentModel, *, changes: tuple[Change, ...]) -> ResidentModel:
        assert self._apply is not None
        return mixable_with(self._asked(self._apply(base.model, changes)), base)

    def _asked(self, model: LoadedModel) -> ResidentModel:
        if self._regions is not None:
            self._regions.place(model.module, model.family.blocks(model.module))
        return ResidentModel(model, model.family.denoiser(model, self._limits(model)))

    def _limits(self, model: LoadedModel) -> Limits:
        return Limits(self._max_rows, self._activation_bytes, model.dtype, self._device)

    def _load_vae(self, file: ModelFile) -> LoadedVae:
        return load_vae(self._open(file), dtype=self._vae_dtype, device=self._device)


def _on_link(samples: Tensor, model: LoadedModel) -> Tensor:
    """A copy on the CPU in the scale of links, which others may write to."""
    return process_out(model.latent_format, samples.float()).cpu().clone()
