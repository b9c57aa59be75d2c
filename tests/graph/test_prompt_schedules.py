"""FizzNodes' prompts by frame: which prompts a frame has, and how much of each."""

import asyncio
from collections.abc import Sequence

import pytest

from graph.arithmetic import ExpressionError
from graph.nodes.packs.fizz import batch_prompt_schedule, prompt_schedule
from graph.prompt_schedules import Between, PromptScheduleError, Scheduled
from graph.values import Clip, Condition, Conditioning, ModelFile

CLIP = Clip((ModelFile("checkpoints", "sd15.safetensors"),))
TEXT = '"0": "fox --neg dark",\n"4": "hare",\n'


class Encoders:
    """Writes down what it is asked for: a text is its own tokens."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def encode_text(self, clip: Clip, text: str) -> Conditioning:
        assert clip == CLIP
        self.asked.append(text)
        return (Condition(text),)

    def blend_prompts(
        self, parts: Sequence[tuple[Conditioning, Conditioning, float]]
    ) -> Conditioning:
        said = [(a[0].tokens, b[0].tokens, weight) for a, b, weight in parts]
        return (Condition(said),)


def test_a_frame_has_as_much_of_the_next_prompt_as_it_is_near() -> None:
    positive, negative = Scheduled(TEXT).over(6, range(0))
    assert [one.weight for one in positive] == [1, 0.75, 0.5, 0.25, 1, 0.5]
    assert positive[1] == Between(" fox  ", " hare ", 0.75)
    assert positive[5] == Between(" hare ", " hare ", 0.5)
    assert negative[0].now == "  dark "
    assert negative[0].next == "  "


def test_what_stands_around_prompts_has_sides_too() -> None:
    around = Scheduled('"2": "fox"', before="a --neg bad", behind="4090")
    positive, negative = around.over(3, range(0))
    assert positive[0] == Between("a  fox 409", "a  fox 409", 1.0)  # a last 0 is lost, as there
    assert negative[0].now == " bad  "


def test_backticks_are_arithmetic_of_the_frame() -> None:
    text = '"0": "(fox:`t / max_f + pw_a`) and `sqrt(4)`", "max_f / 2": "hare"'
    positive, _ = Scheduled(text, numbers={"pw_a": 1.0}).over(5, range(5))
    assert positive[1].now == "(fox:1.25) and 2.0"
    assert positive[2].now == "hare"
    later, _ = Scheduled(text, numbers={"pw_a": 1.0}).over(5, range(4, 5))
    assert "`" in later[0].now


@pytest.mark.parametrize(
    ("text", "frames", "said"),
    [
        ('"0" "fox"', 4, "expected keyframes"),
        ("", 4, "at least one"),
        ('"0": 3', 4, "a text for every keyframe"),
        ('"0": "fox"', 5000, "at most 4096 frames, got 5000"),
    ],
)
def test_what_cannot_be_read_is_said(text: str, frames: int, said: str) -> None:
    with pytest.raises(PromptScheduleError, match=said):
        Scheduled(text).over(frames, range(0))


def test_an_expression_is_no_python() -> None:
    with pytest.raises(ExpressionError):
        Scheduled('"0": "`__import__(1)`"').over(2, range(2))


def given(**others: object) -> dict[str, object]:
    numbers = {"pw_a": 0.0, "pw_b": 0.0, "pw_c": 0.0, "pw_d": 0.0}
    return {"pre_text": "", "app_text": "", **numbers, **others}


def test_a_batch_encodes_every_text_once() -> None:
    encoders = Encoders()
    whole = given(start_frame=0, end_frame=0)
    positive, _ = asyncio.run(
        batch_prompt_schedule(encoders, text=TEXT, clip=CLIP, max_frames=6, **whole)  # type: ignore[arg-type]
    )
    assert len(positive[0].tokens) == 6
    assert encoders.asked == [" fox  ", " hare ", "  dark ", "  "]
    part = given(start_frame=2, end_frame=5)
    positive, _ = asyncio.run(
        batch_prompt_schedule(encoders, text=TEXT, clip=CLIP, max_frames=6, **part)  # type: ignore[arg-type]
    )
    assert positive[0].tokens == [("fox", "hare", 0.5), ("fox", "hare", 0.25), ("hare", "hare", 1)]


def test_one_frame_of_a_schedule_goes_round_the_end() -> None:
    encoders = Encoders()
    positive, negative = asyncio.run(
        prompt_schedule(
            encoders,
            text=TEXT,
            clip=CLIP,
            max_frames=6,
            current_frame=8,
            **given(),  # type: ignore[arg-type]
        )
    )
    assert positive[0].tokens == [("fox", "hare", 0.5)]
    assert negative[0].tokens == [("dark", "", 0.5)]
