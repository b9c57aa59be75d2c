"""Sampling by schedules that packs add to ComfyUI's, as a graph of core nodes."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from graph.prompt import Node, Source
from graph.sampling import SCHEDULER_NAMES

_AYS = {
    f"AYS {kind}": ("AlignYourStepsScheduler", {"model_type": kind})
    for kind in ("SD1", "SDXL", "SVD")
}
EXTRA: Mapping[str, tuple[str, Mapping[str, Any]]] = MappingProxyType(
    {
        **_AYS,
        "GITS": ("GITSScheduler", {"coeff": 1.2}),
        "GITS[coeff=1.2]": ("GITSScheduler", {"coeff": 1.2}),
    }
)
SCHEDULERS_OF_EFFICIENCY = (*SCHEDULER_NAMES, *_AYS, "GITS")
SCHEDULERS_OF_IMPACT = (*SCHEDULER_NAMES, "AYS SDXL", "AYS SD1", "AYS SVD", "GITS[coeff=1.2]")


def sampled(nodes: dict[str, Node], name: str, how: Mapping[str, Any]) -> Source:
    """Add to `nodes` what denoises as KSampler does with the inputs `how`; gives its latent."""
    extra = EXTRA.get(how["scheduler"]) if isinstance(how["scheduler"], str) else None
    if extra is None:
        nodes[name] = Node("KSampler", how)
        return Source(name, 0)
    class_type, said = extra
    steps, denoise = how["steps"], how["denoise"]
    whole = int(steps / denoise)
    nodes[f"{name} all sigmas"] = Node(class_type, {**said, "steps": whole, "denoise": 1.0})
    cut = {"sigmas": Source(f"{name} all sigmas", 0), "step": whole - steps}
    nodes[f"{name} sigmas"] = Node("SplitSigmas", cut)
    nodes[f"{name} sampler"] = Node("KSamplerSelect", {"sampler_name": how["sampler_name"]})
    passed = {key: how[key] for key in ("model", "cfg", "positive", "negative", "latent_image")}
    passed |= {"add_noise": True, "noise_seed": how["seed"]}
    passed |= {"sampler": Source(f"{name} sampler", 0), "sigmas": Source(f"{name} sigmas", 1)}
    nodes[name] = Node("SamplerCustom", passed)
    return Source(name, 0)
