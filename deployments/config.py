"""What is served and how large: the `args` of serve_config.yaml, typed."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from api.jobs.webhook_delays import DELAYS_S
from graph.model_files.limits import HeaderLimits
from media.limits import MediaLimits

GIB = 2**30
NO_SIZES = "compile needs warm_sizes: nothing is compiled for others"
NO_BASES = "the sampler's warm_sizes need warm_bases to be tried with"
OTHER_BASES = "a pinned sampler warms its own base, and no warm_bases"


class Part(BaseModel):
    """A section of the configuration. Unknown names are refused, so a typo is seen."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Size(Part):
    """How many replicas a deployment has, and what each may hold.

    `max_ongoing_requests` bounds how many segments a replica works on; keep it above the sampler's
    batch, or Serve never hands it enough requests to fill one.
    """

    num_gpus: NonNegativeFloat = 0.0
    min_replicas: int = Field(default=1, ge=0)
    max_replicas: PositiveInt = 1
    target_ongoing_requests: PositiveFloat = 8
    upscale_delay_s: NonNegativeFloat = Field(
        default=5, description="How long more replicas must be wanted before they are started."
    )
    downscale_delay_s: NonNegativeFloat = Field(
        default=300,
        description="How long fewer must suffice before one stops; it has weights.",
    )
    downscale_to_zero_delay_s: NonNegativeFloat = Field(
        default=900, description="How long nobody must ask before the last one is stopped."
    )
    look_back_s: PositiveFloat = Field(
        default=15, gt=10, description="Over which the number of requests is averaged."
    )
    max_replicas_per_node: PositiveInt | None = Field(
        default=None, description="On one Ray node, so that a lost node takes no more of them."
    )
    max_ongoing_requests: PositiveInt = 32
    max_queued_requests: int = -1
    node_labels: dict[str, str] = Field(
        default={}, description="Of the Ray nodes that may run it; empty: as of the application."
    )

    def options(self, *, has_gpu: bool, node_labels: Mapping[str, str]) -> dict[str, Any]:
        """Serve's options. `num_cpus` 0: replicas wait for devices, not for cores.

        So a head with no cores would get some, too: `node_labels` are what keeps them off.
        """
        actor: dict[str, Any] = {"num_cpus": 0}
        if has_gpu and self.num_gpus:
            actor["num_gpus"] = self.num_gpus
        if labels := self.node_labels or node_labels:
            actor["label_selector"] = dict(labels)
        options: dict[str, Any] = {
            "ray_actor_options": actor,
            "max_ongoing_requests": self.max_ongoing_requests,
            "max_queued_requests": self.max_queued_requests,
            "graceful_shutdown_wait_loop_s": 0.1,
            "graceful_shutdown_timeout_s": 20,
        }
        if self.max_replicas_per_node:
            options["max_replicas_per_node"] = self.max_replicas_per_node
        if self.min_replicas == self.max_replicas:
            return options | {"num_replicas": self.max_replicas}
        scaling = {
            "min_replicas": self.min_replicas,
            "max_replicas": self.max_replicas,
            "target_ongoing_requests": self.target_ongoing_requests,
            "upscale_delay_s": self.upscale_delay_s,
            "downscale_delay_s": self.downscale_delay_s,
            "downscale_to_zero_delay_s": self.downscale_to_zero_delay_s,
            "look_back_period_s": self.look_back_s,
        }
        return options | {"autoscaling_config": scaling}


# One replica, which every router calls and listens to for as long as it lives.
HUB = Size(max_ongoing_requests=4096)

# One replica: what a pack's process keeps is there, and nowhere else.
PACK_SIZE = Size(max_ongoing_requests=128)


class HostedConfig(Part):
    """The hosted API's endpoints, which are translations into workflows."""

    aliases: dict[str, dict[str, str]] = Field(
        default={},
        description="Folder of models -> a name that clients use -> file. Of checkpoints, the "
        "names default, realtime, inpaint and outpaint are used where a request names none.",
    )
    native_px: dict[str, PositiveInt] = Field(
        default={},
        description="Checkpoint file -> side of its pictures where a request names no size; "
        "512 or 1024 by its family otherwise.",
    )
    wait_s: float = Field(default=20, ge=0, le=60, description="How long an answer is held.")
    errors_as_200: bool = Field(
        default=False, description="Errors with HTTP 200, for clients that look at bodies alone."
    )


class PricesConfig(Part):
    """What jobs cost; keys may have budgets."""

    per_output: NonNegativeFloat = 0.0
    per_second: NonNegativeFloat = Field(default=0.0, description="Of running.")
    currency: str = "USD"


class ModelsConfig(Part):
    """Models that owners upload, and where they may be fetched from."""

    max_bytes: PositiveInt = Field(default=16 * GIB, description="Of one file.")
    max_models: int = Field(default=100, ge=0, description="Of one owner.")
    max_total_bytes: PositiveInt = Field(default=100 * GIB, description="Of one owner.")
    min_free_bytes: int = Field(default=2 * GIB, ge=0, description="Of the disk, left free.")
    max_uploads: PositiveInt = Field(default=8, description="Of one owner at once.")
    upload_kept_s: PositiveFloat = 24 * 3600
    max_tensors: PositiveInt = Field(default=20_000, description="Of one model file.")
    max_header_bytes: PositiveInt = Field(
        default=8 * 2**20, description="Of a model file's header, or of the pickle in it."
    )
    families: tuple[str, ...] = Field(
        default=(), description="Packages of further model families (deployments/more_families.py)."
    )
    fetch_timeout_s: PositiveFloat = 3600
    allowed_hosts: tuple[str, ...] = Field(
        default=("huggingface.co", "civitai.com"),
        description="From whose URLs models are fetched, over https; sub-domains too.",
    )

    @property
    def header_limits(self) -> HeaderLimits:
        """How much of a model file's header is read."""
        return HeaderLimits(self.max_tensors, self.max_header_bytes)


class DiskConfig(Part):
    """What the outputs, uploads and models of one owner may take together."""

    max_bytes: PositiveInt = 128 * GIB
    of_owners: dict[str, int] = Field(
        default={}, description="Owner -> bytes, for those who may keep more or less."
    )


class RouterConfig(Size):
    """The ingress: HTTP, planning, results, outputs."""

    max_ongoing_requests: PositiveInt = 512
    result_cache_bytes: PositiveInt = Field(
        default=GIB // 8, description="Less than what replicas hold: see deployments/transport.py."
    )
    max_running_jobs: PositiveInt = 16
    max_queued_jobs: PositiveInt = 1000
    max_queued_jobs_per_owner: PositiveInt = 500
    job_lease_s: PositiveFloat = Field(
        default=15, description="After which the jobs of a router that died are taken up."
    )
    webhook_delays_s: tuple[PositiveFloat, ...] = Field(
        default=DELAYS_S, description="Between the tries to deliver a webhook."
    )
    job_timeout_s: PositiveFloat = 3600
    max_expanded_nodes: PositiveInt = Field(
        default=10_000, description="Nodes that a job's nodes may add to its workflow as it runs."
    )
    max_body_bytes: PositiveInt = 64 * 2**20
    max_body_values: PositiveInt = Field(
        default=1_000_000, description="Of JSON: texts, numbers, lists and objects together."
    )
    max_body_nesting: PositiveInt = Field(default=200, description="Of lists and objects.")
    max_bodies_bytes: PositiveInt = Field(
        default=GIB, description="Of memory, for all bodies at once; one owner may take half."
    )
    large_body_bytes: PositiveInt = Field(
        default=256 * 1024,
        description="A body with a workflow from here on is read and planned in another process.",
    )
    large_body_processes: PositiveInt = Field(
        default=1, description="How many are read at once, each in its turn of its owner's."
    )
    body_first_s: PositiveFloat = Field(
        default=30, description="A body that comes more slowly than the rate below is cut off then."
    )
    body_least_bytes_per_s: PositiveFloat = 16 * 1024
    max_upload_bytes: PositiveInt = 100 * 2**20
    max_input_pixels: PositiveInt = Field(
        default=64 * 2**20, description="Of a picture that is read, all its frames together."
    )
    max_input_frames: PositiveInt = 1024
    max_input_bytes: PositiveInt = Field(
        default=512 * 2**20, description="Of all input files of one request together."
    )
    picture_processes: PositiveInt = Field(
        default=2, description="How many pictures are looked at or repainted at once."
    )
    max_sockets: PositiveInt = Field(
        default=384, description="WebSockets; each is one of the ongoing requests above."
    )
    max_sockets_per_owner: PositiveInt = 256
    retention_s: PositiveFloat = Field(
        default=7 * 24 * 3600, description="Of jobs and their outputs, after which they go."
    )
    upload_retention_s: PositiveFloat = Field(
        default=7 * 24 * 3600, description="Of input files, since they were uploaded the last time."
    )
    reading_rate: str = Field(
        default="3000/minute", description="How often a key may ask for what it has."
    )
    stranger_rate: str = Field(
        default="300/minute",
        description="How often requests without a valid key may come from one address.",
    )
    disk: DiskConfig = DiskConfig()
    hosted: HostedConfig = HostedConfig()
    models: ModelsConfig = ModelsConfig()
    prices: PricesConfig = PricesConfig()


class EncoderConfig(Size):
    """Text and image encoders. `lora_bytes` bounds the LoRA files kept in host memory."""

    memory_bytes: PositiveInt = 3 * GIB
    vision_bytes: PositiveInt = 3 * GIB  # of image encoders and what IP-Adapters make of them
    lora_bytes: PositiveInt = GIB // 4
    cache_bytes: PositiveInt = GIB // 4


class WarmSizeConfig(Part):
    """A size of pictures in pixels, and how many `rows` the calls have that are tried.

    A picture is one row, and another one where its guidance asks for the negative too. What is
    compiled for 2 rows serves any number above.
    """

    width: int = Field(ge=16, le=16384, multiple_of=8)
    height: int = Field(ge=16, le=16384, multiple_of=8)
    rows: tuple[PositiveInt, ...] = Field(default=(1, 2), min_length=1)


class SamplerConfig(Size):
    """Diffusion models and autoencoders. `memory_bytes` bounds the weights that stay.

    Among them are those that LoRAs changed; the LoRA files are in host memory, in `lora_bytes`.
    A replica is ready once it has warmed its base models: see docs/compiling.md.
    """

    memory_bytes: PositiveInt = 6 * GIB
    lora_bytes: PositiveInt = GIB
    max_rows: PositiveInt = Field(default=16, description="Latents in one model call, at most.")
    batching: bool = Field(default=True, description="Whether requests share model calls.")
    mix_loras: bool = Field(
        default=True,
        description="Whether those under other LoRAs do, each through its own changed layers. Not "
        "where `compile` is set.",
    )
    warm_bases: tuple[str, ...] = Field(
        default=(), description="Files to load at start, where the sampler is not pinned to one."
    )
    warm_sizes: tuple[WarmSizeConfig, ...] = Field(
        default=(), description="Of pictures that base models are tried with at start."
    )
    compile: bool = Field(default=False, description="Whether they are compiled for these sizes.")

    @model_validator(mode="after")
    def _check_compile(self) -> Self:
        if self.compile and not self.warm_sizes:
            raise ValueError(NO_SIZES)
        return self


class UpscalerConfig(Size):
    """Upscaling models. `memory_bytes` bounds the weights that stay."""

    memory_bytes: PositiveInt = GIB


class PreprocessorConfig(Size):
    """Picture operations. `memory_bytes` bounds the networks of preprocessors that stay."""

    memory_bytes: PositiveInt = 2 * GIB
    max_video_pixels: PositiveInt = Field(
        default=2**28, description="Of all frames that one node decodes; each takes 12 bytes."
    )
    max_video_frames: PositiveInt = 10_000
    max_media_s: PositiveFloat = Field(
        default=3600, description="Of a video or sound that is read."
    )

    @property
    def media_limits(self) -> MediaLimits:
        """What video and sound may be."""
        return MediaLimits(
            frames=self.max_video_frames,
            all_pixels=self.max_video_pixels,
            duration_s=self.max_media_s,
        )


class OutputConfig(Size):
    """What encodes pictures, video and sound, on cores alone."""


class PackConfig(Part):
    """A custom node pack that may run: what it is, and what its processes may do."""

    hash: str = Field(
        pattern="^[0-9a-f]{64}$", description="Of its files, as `make packs` prints it."
    )
    shared: bool = Field(
        default=False, description="One process for all owners; else each has its own."
    )
    network: bool = Field(default=False, description="Whether it may open connections.")
    routes: bool = Field(
        default=False, description="Whether its routes, and its scripts for the editor, are served."
    )
    processes: bool = Field(default=False, description="Whether it may start programs: ffmpeg.")
    python: str = Field(
        default="", description="The interpreter of an environment made for it; empty: ours."
    )
    threads: PositiveInt = 2
    memory_bytes: PositiveInt = Field(default=8 * GIB, description="Of each of its processes.")
    file_bytes: PositiveInt = Field(default=4 * GIB, description="Of a file that it writes.")
    scratch_bytes: PositiveInt = Field(
        default=8 * GIB, description="Of all files of each of its processes."
    )
    max_processes: PositiveInt = Field(default=4, description="Of owners at once, and one more.")
    load_s: PositiveFloat = 120
    describe_s: PositiveFloat = Field(default=30, description="For INPUT_TYPES of all its nodes.")
    hook_s: PositiveFloat = Field(default=5, description="For VALIDATE_INPUTS and IS_CHANGED.")
    call_s: PositiveFloat = Field(default=600, description="For a node.")
    route_s: PositiveFloat = Field(default=30, description="For a request to one of its routes.")


class PacksConfig(Part):
    """The custom node packs of COMFYRAY_PACKS_DIR that may run."""

    containment: Literal["required", "best_effort"] = Field(
        default="required",
        description="best_effort: packs run also where the kernel cannot confine them.",
    )
    allow: dict[str, PackConfig] = Field(default={}, description="Folder of a pack -> its size.")


class AppConfig(Part):
    """The whole application.

    Profile `local` fuses the tensor stages into one process, so that torch is paid for once;
    `cluster` gives each its own deployment, and each name in `pinned` a sampler of its own that
    holds that base model and no other.
    """

    profile: Literal["local", "cluster"] = "local"
    device: str = "auto"
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    torch_threads: int = Field(default=0, ge=0, description="0: as many as there are cores.")
    node_labels: dict[str, str] = Field(
        default={}, description="Of the Ray nodes that may run replicas; empty: all may."
    )
    router: RouterConfig = RouterConfig()
    encoder: EncoderConfig = EncoderConfig()
    preprocessor: PreprocessorConfig = PreprocessorConfig()
    sampler: SamplerConfig = SamplerConfig()
    upscaler: UpscalerConfig = UpscalerConfig()
    output: OutputConfig = OutputConfig()
    packs: PacksConfig = PacksConfig()
    pinned: dict[str, SamplerConfig] = Field(
        default={}, description="File name of a base model -> the size of its own sampler."
    )

    @model_validator(mode="after")
    def _check_warm_bases(self) -> Self:
        if self.sampler.warm_sizes and not self.sampler.warm_bases:
            raise ValueError(NO_BASES)
        if any(size.warm_bases for size in self.pinned.values()):
            raise ValueError(OTHER_BASES)
        return self
