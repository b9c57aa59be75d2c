"""Impact Pack: detailers, which draw parts of pictures again.

They are graphs of core nodes, made when it is known which parts there are.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, TypeAlias, TypedDict, Unpack

from graph.detailing import (
    CROP_PROMPT,
    CUT,
    PUT,
    Detailing,
    Drawn,
    Part,
    Prompted,
    Task,
    drawn_again,
    listed,
    scaled_size,
)
from graph.errors import NotAvailableError
from graph.extra_schedules import SCHEDULERS_OF_IMPACT
from graph.node import Choices, Default, MayBeAbsent, RawLink, Widget, node
from graph.nodes.packs.impact_values import BasicPipe
from graph.prompt import Node, Source
from graph.results import Expansion
from graph.sampling import SAMPLER_NAMES
from graph.segs import Seg, Segs
from graph.stages import Stage
from graph.stages.parts import Details
from graph.stages.sample import Conditionings
from graph.values import Clip, Conditioning, Image, Link, Mask, Model, Vae
from graph.wildcards import populated, worded

DETAILER = "ImpactPack/Detailer"
ONE, DRAW = "comfyray.PartsOfOne", "comfyray.DrawParts"
WITH_PICTURES = "comfyray.PartsWithPictures"
SegsBatch: TypeAlias = Annotated[tuple[Segs, ...], Link("comfyray.SEGS_BATCH")]
Hook = Annotated[Any | None, Link("DETAILER_HOOK")]
Schedule = Annotated[Any | None, Link("SCHEDULER_FUNC")]
Size = Annotated[float, Widget(min=64, max=16384, step=8)]
Radius = Annotated[int, Widget(min=0, max=100, step=1)]
Share = Annotated[float, Widget(min=0.0, max=1.0, step=0.01)]
Text = Annotated[str, Widget(multiline=True, dynamicPrompts=False)]
Yes = Annotated[bool, Default(True)]
MadeImage = Annotated[Expansion, Link("IMAGE")]
MadeSegs = Annotated[Expansion, Link("SEGS")]
MadeBasicPipe = Annotated[Expansion, Link("BASIC_PIPE")]


class Sizes(TypedDict):
    guide_size: Annotated[Size, Default(512)]
    guide_size_for: Yes
    max_size: Annotated[Size, Default(1024)]


class Drawing(Sizes):
    seed: Annotated[int, Widget(min=0, max=2**64 - 1), Default(0)]
    steps: Annotated[int, Widget(min=1, max=10000), Default(20)]
    cfg: Annotated[float, Widget(min=0.0, max=100.0), Default(8.0)]
    sampler_name: Annotated[str, Choices(SAMPLER_NAMES)]
    scheduler: Annotated[str, Choices(SCHEDULERS_OF_IMPACT)]


class Masking(TypedDict):
    denoise: Annotated[float, Widget(min=0.0001, max=1.0, step=0.01), Default(0.5)]
    feather: Annotated[Radius, Default(5)]
    noise_mask: Yes
    force_inpaint: Yes


class Prompts(TypedDict):
    positive: Conditioning
    negative: Conditioning


class Models(TypedDict):
    model: Model
    clip: Clip
    vae: Vae


class More(TypedDict):
    cycle: Annotated[int, Widget(min=1, max=10, step=1), Default(1)]
    inpaint_model: Annotated[bool, MayBeAbsent(), Default(False)]
    noise_mask_feather: Annotated[Radius, MayBeAbsent(), Default(20)]
    scheduler_func_opt: Schedule


class Worded(TypedDict):
    wildcard: Text


class Hooked(TypedDict):
    detailer_hook: Hook


class Refined(TypedDict):
    refiner_ratio: Annotated[float, Widget(min=0.0, max=1.0), Default(0.2)]


class OfSegs(TypedDict):
    image: Image
    segs: Segs


class EachPart(OfSegs, Models, Drawing, Prompts, Masking, Worded, Hooked, More):
    """The inputs of DetailerForEach."""


class EachPartPipe(OfSegs, Drawing, Masking, Worded, Refined, Hooked, More):
    """The inputs of DetailerForEachPipe."""

    basic_pipe: BasicPipe
    refiner_basic_pipe_opt: BasicPipe | None


SETTINGS = tuple(Detailing.__annotations__)
DEBUGGED = ("image", "cropped", "cropped_refined", "cropped_refined_alpha", "cnet_images")
MadeDebug: TypeAlias = tuple[MadeImage, MadeImage, MadeImage, MadeImage, MadeImage]


def drawing_step(given: Mapping[str, Any], pipe: BasicPipe, refiner: BasicPipe | None) -> Node:
    """The step that draws the parts `batch` of `image`.

    Raises:
        NotAvailableError: its text asks for a LoRA.
    """
    if "<lora:" in str(given.get("wildcard", "")):
        needed = "a LoRA loader in place of <lora:...> in `wildcard`"
        raise NotAvailableError(DETAILER, needed)
    inputs = {name: given[name] for name in SETTINGS if name in given}
    inputs |= dict(zip(("model", "clip", "vae", "positive", "negative"), pipe.parts, strict=True))
    if refiner is not None:
        inputs |= {f"refiner_{n}": getattr(refiner, n) for n in ("model", "positive", "negative")}
    batch = Source("batch", 0)
    return Node(DRAW, {**inputs, "image": given["image"], "batch": batch, "batch_link": batch})


def _of_each(given: Mapping[str, Any], pipe: BasicPipe, refiner: BasicPipe | None = None) -> Any:
    nodes = {
        "batch": Node(ONE, {"image": given["image"], "segs": given["segs"]}),
        "drawn": drawing_step(given, pipe, refiner),
    }
    none = listed(nodes, "control pictures", ())
    return nodes, Source("drawn", 0), Source("drawn", 1), none


def models_of(given: Mapping[str, Any]) -> BasicPipe:
    return BasicPipe(*(given[name] for name in ("model", "clip", "vae", "positive", "negative")))


@node(
    "DetailerForEach",
    runs_on=Stage.INLINE,
    rewrites=True,
    display_name="Detailer (SEGS)",
    category=DETAILER,
)
def detail_each(**given: Unpack[EachPart]) -> MadeImage:
    """Draw each part of a picture again, larger, and put it back."""
    nodes, image, _, _ = _of_each(given, models_of(given))
    return Expansion(nodes, (image,))


@node(
    "DetailerForEachDebug",
    runs_on=Stage.INLINE,
    rewrites=True,
    display_name="DetailerDebug (SEGS)",
    category=DETAILER,
    outputs=DEBUGGED,
    list_outputs=(1, 2, 3, 4),
)
def detail_each_debug(**given: Unpack[EachPart]) -> MadeDebug:
    """Draw each part of a picture again, and show the parts."""
    nodes, image, _, none = _of_each(given, models_of(given))
    parts = tuple(Source("drawn", slot) for slot in (2, 3, 4))
    return Expansion(nodes, (image, *parts, none))  # type: ignore[return-value]


@node(
    "DetailerForEachPipe",
    runs_on=Stage.INLINE,
    rewrites=True,
    display_name="Detailer (SEGS/pipe)",
    category=DETAILER,
    outputs=("image", "segs", "basic_pipe", "cnet_images"),
    list_outputs=(3,),
)
def detail_each_pipe(
    **given: Unpack[EachPartPipe],
) -> tuple[MadeImage, MadeSegs, MadeBasicPipe, MadeImage]:
    """Draw each part of a picture again by what a pipe carries."""
    pipe = given["basic_pipe"]
    nodes, *outputs, none = _of_each(given, pipe, given.get("refiner_basic_pipe_opt"))
    return Expansion(nodes, (*outputs, pipe, none))  # type: ignore[return-value]


@node(
    "DetailerForEachDebugPipe",
    runs_on=Stage.INLINE,
    rewrites=True,
    display_name="DetailerDebug (SEGS/pipe)",
    category=DETAILER,
    outputs=("image", "segs", "basic_pipe", *DEBUGGED[1:]),
    list_outputs=(3, 4, 5, 6),
)
def detail_each_debug_pipe(
    **given: Unpack[EachPartPipe],
) -> tuple[MadeImage, MadeSegs, MadeBasicPipe, MadeImage, MadeImage, MadeImage, MadeImage]:
    """Draw each part of a picture again by what a pipe carries, and show the parts."""
    pipe = given["basic_pipe"]
    nodes, *outputs, none = _of_each(given, pipe, given.get("refiner_basic_pipe_opt"))
    parts = tuple(Source("drawn", slot) for slot in (2, 3, 4))
    return Expansion(nodes, (*outputs, pipe, *parts, none))  # type: ignore[return-value]


@node(ONE, runs_on=Stage.IMAGE, internal=True)
def parts_of_one(details: Details, *, image: Image, segs: Segs) -> SegsBatch:
    """The parts of the only picture, in its size."""
    return (details.scaled_to(segs, details.one_picture(image)),)


class Settings(Drawing, Masking, More):
    """How parts are drawn."""

    refiner_ratio: Annotated[float, Default(0.2)]
    wildcard: Annotated[str, Default("")]


Raw = Annotated[Any | None, Link("*"), RawLink()]


@node(
    DRAW,
    runs_on=Stage.IMAGE,
    expands=True,
    internal=True,
    outputs=("image", "segs", "cropped", "refined", "alpha"),
    list_outputs=(2, 3, 4),
)
def draw_parts(
    details: Details,
    *,
    batch: SegsBatch,
    batch_link: Raw = None,
    image: Raw = None,
    model: Raw = None,
    clip: Raw = None,
    vae: Raw = None,
    positive: Raw = None,
    negative: Raw = None,
    refiner_model: Raw = None,
    refiner_positive: Raw = None,
    refiner_negative: Raw = None,
    **settings: Unpack[Settings],
) -> tuple[MadeImage, MadeSegs, MadeImage, MadeImage, MadeImage]:
    """The graph that draws the parts of each picture again."""
    given: Mapping[str, Any] = settings
    how = Detailing(**{name: given[name] for name in SETTINGS})
    refiner = None
    if refiner_model is not None:
        refiner = Prompted(refiner_model, clip, vae, refiner_positive, refiner_negative)
    prompted = Prompted(model, clip, vae, positive, negative, refiner)
    nodes: dict[str, Node] = {}
    task = Task(nodes, prompted, how)
    drawn: list[Drawn] = []
    for k, segs in enumerate(batch):
        own: Any = image
        if len(batch) > 1:
            one = {"image": image, "batch_index": k, "length": 1}
            nodes[f"picture {k}"] = Node("ImageFromBatch", one)
            own = Source(f"picture {k}", 0)
        links = {"image": own, "batch": batch_link, "picture": k}
        seeded = replace(how, seed=how.seed + k)
        parts = _parts(segs, details.drawable(segs), seeded)
        drawn.append(drawn_again(f"picture {k}", links, segs, parts, task))
    picture: Any = drawn[0].image
    for k, other in enumerate(drawn[1:], 1):
        nodes[f"pictures {k}"] = Node("ImageBatch", {"image1": picture, "image2": other.image})
        picture = Source(f"pictures {k}", 0)
    indexes = {"indexes": drawn[0].indexes, "batch": batch_link}
    kept = {f"picture_{k}": link for k, link in enumerate(drawn[0].refined)}
    nodes["segs"] = Node(WITH_PICTURES, {**indexes, **kept})
    lists = [
        _sorted(nodes, name, [(one, segs) for one, segs in zip(drawn, batch, strict=True)])
        for name in ("cropped", "refined", "with_alpha")
    ]
    return Expansion(nodes, (picture, Source("segs", 0), *lists))  # type: ignore[return-value]


def _parts(segs: Segs, usable: tuple[int, ...], how: Detailing) -> list[Part]:
    """Which parts are drawn, in their order, how large and by which words."""
    said = worded(how.wildcard, segs.items, usable, how.seed)
    sized = ((one, scaled_size(segs.items[one.index], how)) for one in said)
    return [
        Part(one.index, size, populated(one.text, one.seed), one.seed)
        for one, size in sized
        if size is not None
    ]


def _sorted(nodes: dict[str, Node], name: str, drawn: list[tuple[Drawn, Segs]]) -> Source:
    """The pictures of parts on one link, those of each picture by height and width."""

    def size(seg: Seg) -> tuple[int, int]:
        wide, high = seg.size
        return high, wide

    links: list[Source] = []
    for k, (one, segs) in enumerate(drawn):
        pairs = list(zip(one.indexes, getattr(one, name), strict=True))
        pairs.sort(key=lambda pair: size(segs.items[pair[0]]), reverse=True)
        if not pairs:
            blank = {"width": 64, "height": 64, "batch_size": 1, "color": 0}
            nodes[f"{name} {k} blank"] = Node("EmptyImage", blank)
            links.append(Source(f"{name} {k} blank", 0))
        links += [link for _, link in pairs]
    return listed(nodes, name, links)


@node(CUT, runs_on=Stage.IMAGE, internal=True, outputs=("part", "mask", "original"))
def cut_part(
    details: Details,
    *,
    image: Image,
    batch: SegsBatch,
    picture: int,
    index: int,
    size: Annotated[tuple[int, int], Link("comfyray.SIZE")],
    feather: int,
) -> tuple[Image, Mask, Image]:
    """A part of a picture in the size in which it is drawn."""
    return details.cut_part(image, batch[picture], index, size, feather)


@node(PUT, runs_on=Stage.IMAGE, internal=True, outputs=("image", "part", "alpha"))
def put_part(
    details: Details,
    *,
    image: Image,
    part: Image,
    batch: SegsBatch,
    picture: int,
    index: int,
    feather: int,
) -> tuple[Image, Image, Image]:
    """A picture with a part that was drawn again."""
    return details.put_part(image, part, batch[picture], index, feather)


@node(CROP_PROMPT, runs_on=Stage.SAMPLE, internal=True)
def crop_prompt(
    stage: Conditionings,
    *,
    conditioning: Conditioning,
    region: Annotated[tuple[int, int, int, int], Link("comfyray.REGION")],
    size: Annotated[tuple[int, int], Link("comfyray.SIZE")],
) -> Conditioning:
    """A prompt whose masks are those of a part of its picture."""
    return stage.crop_masks(conditioning, region, size)


@node(WITH_PICTURES, runs_on=Stage.IMAGE, internal=True)
def with_pictures(
    _details: Details,
    *,
    batch: SegsBatch,
    indexes: Annotated[tuple[int, ...], Link("comfyray.INDEXES")],
    **pictures: Any,
) -> Segs:
    """The parts that were drawn, with their pictures."""
    segs = batch[0]
    return segs.of(
        replace(segs.items[index], image=pictures[f"picture_{k}"])
        for k, index in enumerate(indexes)
    )
