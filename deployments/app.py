"""Builds the Serve application: binds every deployment."""

from collections.abc import Mapping
from typing import Any

import ray
from ray import serve
from ray.serve import Application

from api.jobs.event_hub import EventHub
from deployments.config import HUB, PACK_SIZE, AppConfig, Size
from deployments.cost_router import ROUTING
from deployments.local_stages import LocalStages
from deployments.output_encoder import OutputEncoder
from deployments.pack_host import PackHost, PackSite
from deployments.preprocessor import Preprocessor
from deployments.prompt_encoder import PromptEncoder
from deployments.router import Router
from deployments.sampler import PooledSampler, Sampler
from deployments.settings import Settings
from deployments.site import Site
from deployments.upscaler import Upscaler
from graph.stages import Stage
from storage.models.extra_paths import read_extra_paths

FUSED = (Stage.ENCODE, Stage.IMAGE, Stage.SAMPLE, Stage.UPSCALE, Stage.OUTPUT)


def build(config: AppConfig) -> Application:
    """The application of serve_config.yaml."""
    return bound(config, LocalStages)


def bound(config: AppConfig, local_stages: type[LocalStages]) -> Application:
    """The application, with the class that has all tensor stages of the local profile."""
    settings = Settings()
    site = Site(
        settings.models_dir.resolve(),
        settings.private_models_dir,
        config.device,
        config.dtype,
        config.torch_threads,
        hub=settings.hub == "on",
        log=settings.log,
        otlp_endpoint=settings.otlp_endpoint,
        header_limits=config.router.models.header_limits,
        more_families=config.router.models.families,
        extra_folders=read_extra_paths(settings.extra_model_paths),
    )
    has_gpu = wants_gpu(config)

    def bind(name: str, kind: type[Any], size: Size, *args: Any, **named: Any) -> Application:
        deployment = serve.deployment(name=name)(kind)
        options = size.options(has_gpu=has_gpu, node_labels=config.node_labels)
        if settings.log == "json":  # what Serve itself logs
            options["logging_config"] = {"encoding": "JSON"}
        if kind is PooledSampler and size.max_replicas > 1:
            options["request_router_config"] = ROUTING
        return deployment.options(**options).bind(*args, **named)

    stages, pinned = bind_stages(config, site, bind, local_stages)
    packs = bind_packs(config, settings, site, stages, bind)
    return bind(
        "Router",
        serve.ingress()(Router),
        config.router,
        settings,
        config.router,
        stages,
        pinned,
        sampler_replicas(config),
        packs=packs,
        hub=bind("EventHub", EventHub, HUB) if config.router.max_replicas > 1 else None,
    )


def bind_stages(
    config: AppConfig, site: Site, bind: Any, local_stages: type[LocalStages]
) -> tuple[Mapping[Stage, Application], Mapping[str, Application]]:
    """The tensor stages of a profile, and the samplers pinned to one base model."""
    if config.profile == "local":
        fused = bind("Stages", local_stages, config.sampler, site, config)
        return dict.fromkeys(FUSED, fused), {}
    stages = {
        Stage.ENCODE: bind("PromptEncoder", PromptEncoder, config.encoder, site, config.encoder),
        Stage.IMAGE: bind(
            "Preprocessor", Preprocessor, config.preprocessor, site, config.preprocessor
        ),
        Stage.SAMPLE: bind("Sampler", PooledSampler, config.sampler, site, config.sampler),
        Stage.UPSCALE: bind("Upscaler", Upscaler, config.upscaler, site, config.upscaler),
        Stage.OUTPUT: bind("OutputEncoder", OutputEncoder, config.output, site),
    }
    pinned = {
        base: bind(f"Sampler-{base.rpartition('.')[0]}", Sampler, size, site, size, base)
        for base, size in config.pinned.items()
    }
    return stages, pinned


def bind_packs(
    config: AppConfig,
    settings: Settings,
    site: Site,
    stages: Mapping[Stage, Application],
    bind: Any,
) -> dict[str, tuple[Application, float]]:
    """A deployment for each custom node pack that is allowed, by name."""
    if settings.packs_dir is None:
        return {}
    where = PackSite(
        settings.packs_dir.resolve(),
        settings.data_dir.resolve() / "packs",
        config.packs.containment == "required",
    )
    return {
        name: (
            bind(f"Pack-{name}", PackHost, PACK_SIZE, name, pack, where, site, stages),
            pack.hook_s,
        )
        for name, pack in config.packs.allow.items()
    }


def sampler_replicas(config: AppConfig) -> dict[str, int]:
    """The most replicas of each pinned sampler, and under "" of those that are not pinned."""
    pool = 1 if config.profile == "local" else config.sampler.max_replicas
    return {"": pool, **{base: size.max_replicas for base, size in config.pinned.items()}}


def wants_gpu(config: AppConfig) -> bool:
    """Whether to ask Ray for GPUs: where one is named, or where this cluster has one."""
    if config.device != "auto":
        return config.device.startswith("cuda")
    return bool(ray.is_initialized() and ray.cluster_resources().get("GPU"))
