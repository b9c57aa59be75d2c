"""Jobs for models that do not fit in memory together: turns, and who gives up."""

import asyncio

from diffusion.memory.admission import Admission


async def use(admission: Admission, model: str, size: int, said: list[str]) -> None:
    async with admission.admitted(model, size):
        said.append(f"{model} in")
        await asyncio.sleep(0)
        said.append(f"{model} out")


async def test_models_that_fit_are_used_together() -> None:
    said: list[str] = []
    admission = Admission(10)
    await asyncio.gather(*(use(admission, model, 5, said) for model in "ab"))
    assert said == ["a in", "b in", "a out", "b out"]


async def test_models_that_do_not_fit_take_turns_in_order() -> None:
    said: list[str] = []
    admission = Admission(10)
    await asyncio.gather(*(use(admission, model, 20, said) for model in "aaba"))
    turns = ["a in", "a in", "a out", "a out", "b in", "b out", "a in", "a out"]
    assert said == turns


async def test_one_that_is_too_large_bears_what_is_small_beside_it() -> None:
    said: list[str] = []
    admission = Admission(10)
    async with admission.admitted("large", 40):
        await use(admission, "autoencoder", 5, said)
        waiting = asyncio.create_task(use(admission, "encoder", 6, said))
        await asyncio.sleep(0)
        assert said == ["autoencoder in", "autoencoder out"]
    await waiting
    assert said[2:] == ["encoder in", "encoder out"]


async def test_who_gives_up_lets_the_next_in() -> None:
    admission = Admission(10)
    said: list[str] = []
    async with admission.admitted("a", 10):
        waiting = [asyncio.create_task(use(admission, m, 10, said)) for m in "bc"]
        await asyncio.sleep(0)
        waiting[0].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert said == ["c in", "c out"]
