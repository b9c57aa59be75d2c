"""FizzNodes: prompts that change from frame to frame."""

from typing import Annotated, TypedDict, Unpack

from graph.node import Default, MayBeAbsent, Widget, node
from graph.prompt_schedules import Between, Scheduled
from graph.stages import Stage
from graph.stages.encode import PromptScheduling
from graph.values import Clip, Conditioning, Latent

CATEGORY = "FizzNodes 📅🅕🅝"
KEYFRAMES = '"0" :"",\n"11" :"",\n"23" :"",\n"35" :"",\n"47" :"",\n"59" :""\n'
Lines = Annotated[str, Widget(multiline=True)]
Linked = Annotated[str, Widget(multiline=True, forceInput=True), MayBeAbsent(), Default("")]
Frames = Annotated[int, Widget(min=1, max=999999, step=1)]
End = Annotated[int, Widget(min=0, max=9999, step=1), MayBeAbsent(), Default(0)]
Number = Annotated[
    float,
    Widget(min=-9999.0, max=9999.0, step=0.1, forceInput=True),
    MayBeAbsent(),
    Default(0.0),
]


class Texts(TypedDict):
    pre_text: Linked
    app_text: Linked
    pw_a: Number
    pw_b: Number
    pw_c: Number
    pw_d: Number


class Batched(Texts):
    start_frame: End
    end_frame: End


def _scheduled(text: str, given: Texts) -> Scheduled:
    numbers = {name: float(given[name]) for name in ("pw_a", "pw_b", "pw_c", "pw_d")}
    return Scheduled(text, given["pre_text"], given["app_text"], numbers)


async def _encoded(encoders: PromptScheduling, clip: Clip, frames: list[Between]) -> Conditioning:
    """Every text is encoded once."""
    texts = dict.fromkeys(text for one in frames for text in (one.now, one.next))
    said = {text: await encoders.encode_text(clip, text) for text in texts}
    return encoders.blend_prompts([(said[one.now], said[one.next], one.weight) for one in frames])


async def _batch(
    encoders: PromptScheduling, text: str, clip: Clip, max_frames: int, given: Batched
) -> tuple[Conditioning, Conditioning]:
    start, end = given["start_frame"], given["end_frame"]
    sides = _scheduled(text, given).over(max_frames, range(start, min(end, max_frames)))
    end = min(end or max_frames, max_frames)
    start = 0 if start >= end else start
    positive, negative = [await _encoded(encoders, clip, side[start:end]) for side in sides]
    return positive, negative


@node(
    "PromptSchedule",
    runs_on=Stage.ENCODE,
    display_name="Prompt Schedule 📅🅕🅝",
    category=f"{CATEGORY}/ScheduleNodes",
    outputs=("POS", "NEG"),
    costly=True,
)
async def prompt_schedule(
    encoders: PromptScheduling,
    *,
    text: Lines = KEYFRAMES,
    clip: Clip,
    max_frames: Frames = 120,
    current_frame: Annotated[int, Widget(min=0, max=999999, step=1, forceInput=True)] = 0,
    print_output: bool = False,  # noqa: ARG001 - nobody reads a server's output
    **given: Unpack[Texts],
) -> tuple[Conditioning, Conditioning]:
    """What one frame of a schedule is told, and what not."""
    sides = _scheduled(text, given).over(max_frames, range(max_frames))
    found = []
    for side in sides:
        own = side[current_frame % max_frames]
        if own.now == own.next or own.weight == 1:
            found.append(await encoders.encode_text(clip, own.now))
        else:
            found.append(await _encoded(encoders, clip, [own]))
    return found[0], found[1]


@node(
    "BatchPromptSchedule",
    runs_on=Stage.ENCODE,
    display_name="Batch Prompt Schedule 📅🅕🅝",
    category=f"{CATEGORY}/BatchScheduleNodes",
    outputs=("POS", "NEG"),
    costly=True,
)
async def batch_prompt_schedule(
    encoders: PromptScheduling,
    *,
    text: Lines = KEYFRAMES,
    clip: Clip,
    max_frames: Frames = 120,
    print_output: bool = False,  # noqa: ARG001
    **given: Unpack[Batched],
) -> tuple[Conditioning, Conditioning]:
    """What every frame of a schedule is told, and what not."""
    return await _batch(encoders, text, clip, max_frames, given)


@node(
    "BatchPromptScheduleLatentInput",
    runs_on=Stage.ENCODE,
    display_name="Batch Prompt Schedule (Latent Input) 📅🅕🅝",
    category=f"{CATEGORY}/BatchScheduleNodes",
    outputs=("POS", "NEG", "INPUT_LATENTS"),
    costly=True,
)
async def batch_prompt_schedule_of_latents(
    encoders: PromptScheduling,
    *,
    text: Lines = KEYFRAMES,
    clip: Clip,
    num_latents: Latent,
    print_output: bool = False,  # noqa: ARG001
    **given: Unpack[Batched],
) -> tuple[Conditioning, Conditioning, Latent]:
    """What every frame of a schedule is told, and what not, for as many frames as latents."""
    frames = int(num_latents.samples.shape[0])
    positive, negative = await _batch(encoders, text, clip, frames, given)
    return positive, negative, num_latents
