"""Detailers: which parts of a picture are drawn again, how large, and the graph that does it.

Each part is cut out, drawn by core nodes, and put back. Parts that do not overlap do not wait for
each other, so they share batches.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graph.extra_schedules import sampled
from graph.folding import ITEMS
from graph.made_values import MadeTooLargeError
from graph.prompt import Node, Source
from graph.segs import Region, Seg, Segs, overlap
from graph.wildcards import CONCAT

CUT, PUT, CROP_PROMPT = "comfyray.CutPart", "comfyray.PutPart", "comfyray.CropPrompt"
MOST_NODES = 20_000  # that one detailer becomes


@dataclass(frozen=True)
class Detailing:
    """How parts are drawn, under the names of Impact Pack's inputs."""

    guide_size: float
    guide_size_for: bool
    max_size: float
    seed: int
    steps: int
    cfg: float
    sampler_name: str
    scheduler: str
    denoise: float
    feather: int
    noise_mask: bool
    force_inpaint: bool
    wildcard: str = ""
    cycle: int = 1
    inpaint_model: bool = False
    noise_mask_feather: int = 0
    refiner_ratio: float = 0.2


def scaled_size(seg: Seg, how: Detailing) -> tuple[int, int] | None:
    """Width and height in which a part is drawn; None where it is large enough as it is."""
    wide, high = seg.size
    box_wide, box_high = seg.bbox[2] - seg.bbox[0], seg.bbox[3] - seg.bbox[1]
    if not how.force_inpaint and min(box_wide, box_high) >= how.guide_size:
        return None
    shorter = max(min(box_wide, box_high) if how.guide_size_for else min(wide, high), 1)
    factor = how.guide_size / shorter
    if max(int(wide * factor), int(high * factor)) > how.max_size:
        factor *= how.max_size / max(int(wide * factor), int(high * factor))
    size = int(wide * factor), int(high * factor)
    if factor > 1 and min(size) > 0:
        return size
    return seg.size if how.force_inpaint else None


@dataclass(frozen=True)
class Prompted:
    """What a part is drawn by: links, or descriptions."""

    model: Any
    clip: Any
    vae: Any
    positive: Any
    negative: Any
    refiner: "Prompted | None" = None


@dataclass(frozen=True)
class Drawn:
    """One picture drawn again: links to it and to its parts, each as they were and are."""

    image: Source | Any
    cropped: tuple[Source, ...]
    refined: tuple[Source, ...]
    with_alpha: tuple[Source, ...]
    indexes: tuple[int, ...]  # of the parts that were drawn


@dataclass(frozen=True)
class Part:
    """One part to be drawn: its place in its SEGS, and in what size."""

    index: int
    size: tuple[int, int]
    text: str
    seed: int


@dataclass(frozen=True)
class Task:
    """A graph that grows, what its parts are drawn by, and how."""

    nodes: dict[str, Node]
    prompted: Prompted
    how: Detailing


def drawn_again(
    name: str, links: Mapping[str, Any], segs: Segs, parts: Sequence[Part], task: Task
) -> Drawn:
    """Add to the graph what draws the parts of one picture.

    `links` are to `image`, to the `batch` of SEGS and the `picture` that these are of in it.
    """
    nodes, how = task.nodes, task.how
    images: list[Any] = [links["image"]]  # as it is after so many parts
    done: list[Region] = []
    cropped, refined, with_alpha = [], [], []
    for part in parts:
        own = f"{name} part {part.index}"
        region = segs.items[part.index].crop_region
        waits = max((k + 1 for k, it in enumerate(done) if overlap(it, region)), default=0)
        place = {"batch": links["batch"], "picture": links["picture"], "index": part.index}
        cut = {"image": images[waits], **place, "size": part.size}
        nodes[f"{own} cut"] = Node(CUT, {**cut, "feather": how.noise_mask_feather})
        again = _part(own, region, segs.size, part, task)
        put = {"image": images[-1], "part": again, **place, "feather": how.feather}
        nodes[f"{own} put"] = Node(PUT, put)
        images.append(Source(f"{own} put", 0))
        done.append(region)
        cropped.append(Source(f"{own} cut", 2))
        refined.append(Source(f"{own} put", 1))
        with_alpha.append(Source(f"{own} put", 2))
    return Drawn(
        images[-1],
        tuple(cropped),
        tuple(refined),
        tuple(with_alpha),
        tuple(part.index for part in parts),
    )


def _part(own: str, region: Region, size: tuple[int, int], part: Part, task: Task) -> Source:
    """Add to the graph what draws one part; gives its picture."""
    nodes, prompted, how = task.nodes, task.prompted, task.how
    pixels, mask = Source(f"{own} cut", 0), Source(f"{own} cut", 1)
    model, prompts = prompted.model, {"positive": prompted.positive, "negative": prompted.negative}
    if how.noise_mask_feather > 0:
        nodes[f"{own} model"] = Node("DifferentialDiffusion", {"model": model, "strength": 1.0})
        model = Source(f"{own} model", 0)
    for side, prompt in prompts.items():
        given = {"conditioning": prompt, "region": region, "size": size}
        nodes[f"{own} {side}"] = Node(CROP_PROMPT, given)
        prompts[side] = Source(f"{own} {side}", 0)
    if part.text:
        prompts["positive"] = _worded(nodes, own, part.text, prompted.clip, prompts["positive"])
    if how.noise_mask and how.inpaint_model:
        shown = {"vae": prompted.vae, "pixels": pixels, "mask": mask, "noise_mask": True}
        nodes[f"{own} latent"] = Node("InpaintModelConditioning", {**prompts, **shown})
        prompts = {side: Source(f"{own} latent", k) for k, side in enumerate(prompts)}
        latent = Source(f"{own} latent", 2)
    else:
        nodes[f"{own} encoded"] = Node("VAEEncode", {"pixels": pixels, "vae": prompted.vae})
        latent = Source(f"{own} encoded", 0)
        if how.noise_mask:
            masked = {"samples": latent, "mask": mask}
            nodes[f"{own} latent"] = Node("SetLatentNoiseMask", masked)
            latent = Source(f"{own} latent", 0)
    for k in range(how.cycle):
        drawing = {
            "model": model,
            "seed": part.seed + k,
            "steps": how.steps,
            "cfg": how.cfg,
            "sampler_name": how.sampler_name,
            "scheduler": how.scheduler,
            **prompts,
            "latent_image": latent,
            "denoise": how.denoise,
        }
        latent = _sampled(f"{own} drawn {k}", drawing, mask, task)
    nodes[f"{own} decoded"] = Node("VAEDecode", {"samples": latent, "vae": prompted.vae})
    return Source(f"{own} decoded", 0)


def _sampled(name: str, drawing: Mapping[str, Any], mask: Source, task: Task) -> Source:
    """Add what denoises a part: in one go, or to its end by another model."""
    nodes, refiner, how = task.nodes, task.prompted.refiner, task.how
    if refiner is None:
        return sampled(nodes, name, drawing)
    whole = math.floor(how.steps / how.denoise)
    first = whole - how.steps
    between = first + math.floor(how.steps * (1.0 - how.refiner_ratio))
    shared = {key: value for key, value in drawing.items() if key not in {"seed", "denoise"}}
    shared |= {"noise_seed": drawing["seed"], "steps": whole}
    span = {"start_at_step": first, "end_at_step": between}
    begun = {**shared, "add_noise": "enable", "return_with_leftover_noise": "enable", **span}
    nodes[f"{name} begun"] = Node("KSamplerAdvanced", begun)
    latent = Source(f"{name} begun", 0)
    if how.noise_mask:
        over = {"destination": drawing["latent_image"], "source": latent, "mask": mask}
        place = {"x": 0, "y": 0, "resize_source": False}
        nodes[f"{name} masked"] = Node("LatentCompositeMasked", {**over, **place})
        latent = Source(f"{name} masked", 0)
    shared |= {"model": refiner.model, "positive": refiner.positive, "negative": refiner.negative}
    span = {"start_at_step": between, "end_at_step": whole + 1}
    rest = {**shared, "add_noise": "disable", "return_with_leftover_noise": "disable", **span}
    nodes[name] = Node("KSamplerAdvanced", {**rest, "latent_image": latent})
    return Source(name, 0)


def _worded(nodes: dict[str, Node], own: str, text: str, clip: Any, positive: Source) -> Source:
    """Add what encodes a part's own text, in place of the prompt or ([CONCAT]) after it."""
    after = positive if text.startswith(CONCAT) else None
    return encoded(nodes, f"{own} text", text.removeprefix(CONCAT), clip, after)


def encoded(
    nodes: dict[str, Node], name: str, text: str, clip: Any, after: Source | None = None
) -> Source:
    """Add to `nodes` what encodes the pieces of a text, one behind the other."""
    pieces = [piece for one in text.split("BREAK") if (piece := one.strip())]
    if len(nodes) + 2 * len(pieces) > MOST_NODES:
        raise MadeTooLargeError(len(nodes) + 2 * len(pieces), "nodes", MOST_NODES)
    for k, piece in enumerate(pieces or [""]):
        nodes[f"{name} {k}"] = Node("CLIPTextEncode", {"clip": clip, "text": piece})
        prompt = Source(f"{name} {k}", 0)
        if after is not None:
            joined = {"conditioning_to": after, "conditioning_from": prompt}
            nodes[f"{name}s {k}"] = Node("ConditioningConcat", joined)
            prompt = Source(f"{name}s {k}", 0)
        after = prompt
    assert after is not None
    return after


def listed(nodes: dict[str, Node], name: str, links: Sequence[Any]) -> Source:
    """Add what puts several values on one link."""
    if not links:
        size = {"width": 64, "height": 64, "batch_size": 1, "color": 0}
        nodes[f"{name} empty"] = Node("EmptyImage", size)
        links = [Source(f"{name} empty", 0)]
    nodes[name] = Node(ITEMS, {f"item{k}": link for k, link in enumerate(links)})
    return Source(name, 0)
