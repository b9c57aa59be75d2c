"""Many rows in one call of a real, narrow network."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from diffusion.batch.calls import Limits
from diffusion.batch.frame import Frame
from diffusion.batch.preparation import prepare
from diffusion.batch.rows import Row
from diffusion.families.family import LoadedModel
from diffusion.families.registry import FAMILIES
from diffusion.families.sd.denoiser import FEATURE_MAPS, UnetDenoiser
from diffusion.schedules.model_sampling import Prediction, discrete
from diffusion.weights import open_weights
from graph.values import Change, Condition
from tests.diffusion.model_files import CPU
from tests.diffusion.narrow_stage import INPAINT, NARROW, REFINER, drawn, write_models
from tests.diffusion.networks import by_diffusers

PIXEL_BYTES = FEATURE_MAPS * 32 * 4


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LoadedModel]:
    folder = tmp_path_factory.mktemp("narrow")
    write_models(folder)
    return {
        file.name: FAMILIES.load(
            open_weights(Path(folder / file.name), file), dtype=torch.float32, device=CPU
        )
        for file in (NARROW, INPAINT, REFINER)
    }


def denoiser(
    unet: LoadedModel, *, max_rows: int = 64, activation_bytes: int = 2**30
) -> UnetDenoiser:
    return UnetDenoiser(unet, Limits(max_rows, activation_bytes, torch.float32, CPU))


def row(
    unet: LoadedModel,
    seed: int = 1,
    *,
    batch: int = 1,
    tokens: int = 77,
    prediction: Prediction = "eps",
    sigma: float = 3.0,
    patches: tuple[Change, ...] = (),
) -> Row:
    x = drawn(seed, batch, 4, 8, 8)
    sampling = discrete(prediction)
    frame = Frame(x, None, sampling, unet.latent_format)
    condition = Condition(
        drawn(seed + 50, 1, tokens, unet.shape.context_dim), pooled=drawn(seed, 1, 1280)
    )
    (prompt,) = prepare({"positive": (condition,)}, frame, partial(unet.family.embed, unet))[
        "positive"
    ]
    return Row(x, torch.tensor(sigma), prompt, sampling, patches)


def direct(unet: LoadedModel, asked: Row) -> Tensor:
    """The same answer, from the network as diffusers runs it."""
    sampling = asked.sampling
    count = len(asked.x)
    with torch.inference_mode():
        output = by_diffusers(unet)(
            sampling.input_scaling(asked.sigma, asked.x),
            sampling.timestep(asked.sigma).float().expand(count),
            encoder_hidden_states=asked.prompt.embedding.context.expand(count, -1, -1),
        ).sample
    return sampling.denoised(asked.sigma, output, asked.x)


def apart(answering: UnetDenoiser, rows: Sequence[Row]) -> list[Tensor]:
    return [answering([each])[0] for each in rows]


def assert_close(got: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_the_answer_is_the_networks_own(models: dict[str, LoadedModel], tmp_path: Path) -> None:
    write_models(tmp_path)
    fresh = FAMILIES.load(
        open_weights(tmp_path / NARROW.name, NARROW), dtype=torch.float32, device=CPU
    )
    expected = direct(fresh, row(fresh, batch=2))
    assert_close(denoiser(models[NARROW.name])([row(fresh, batch=2)]), [expected])


def test_rows_of_any_sigma_prediction_and_prompt_length_share_a_call(
    models: dict[str, LoadedModel],
) -> None:
    unet = models[NARROW.name]
    rows = [
        row(unet, 1),
        row(unet, 2, tokens=154, sigma=0.5),
        row(unet, 3, tokens=231, prediction="v"),
        row(unet, 4, batch=3, prediction="x0"),
    ]
    answering = denoiser(unet)
    assert_close(answering(rows), apart(answering, rows))


@pytest.mark.parametrize("name", [INPAINT.name, REFINER.name])
def test_channels_and_sizes_of_each_row_are_its_own(
    models: dict[str, LoadedModel], name: str
) -> None:
    unet = models[name]
    rows = [row(unet, 1, batch=2), row(unet, 2)]
    answering = denoiser(unet)
    assert_close(answering(rows), apart(answering, rows))


def test_a_call_holds_no_more_than_memory_is_estimated_for(models: dict[str, LoadedModel]) -> None:
    answering = denoiser(models[NARROW.name], activation_bytes=6 * 64 * PIXEL_BYTES)
    assert (answering.limit(8, 8), answering.limit(16, 8), answering.limit(64, 64)) == (6, 3, 1)


class Cramped(torch.nn.Module):
    """A network on a device that holds at most so many pictures."""

    def __init__(self, inside: Any, room: int) -> None:
        super().__init__()
        self.inside = inside
        self.room = room
        self.tried: list[int] = []
        self.shape = inside.shape

    def forward(self, sample: Tensor, *arguments: Any, **options: Any) -> Any:
        self.tried.append(len(sample))
        if len(sample) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.inside(sample, *arguments, **options)


def cramped(unet: LoadedModel, room: int) -> tuple[UnetDenoiser, Cramped]:
    module: Any = Cramped(unet.module, room)
    answering = denoiser(replace(unet, module=module))
    return answering, module


def test_a_call_that_runs_out_of_memory_is_halved_and_goes_on(
    models: dict[str, LoadedModel],
) -> None:
    unet = models[NARROW.name]
    rows = [row(unet, 1, batch=3), row(unet, 2, batch=3)]
    answering, module = cramped(unet, room=2)
    assert_close(answering(rows), apart(denoiser(unet), rows))
    assert module.tried == [6, 3, 1, 1, 1, 1, 1, 1]


def test_one_picture_that_does_not_fit_is_an_error(models: dict[str, LoadedModel]) -> None:
    answering, _ = cramped(models[NARROW.name], room=0)
    with pytest.raises(torch.OutOfMemoryError):
        answering([row(models[NARROW.name])])


def test_blind_self_attention_changes_the_answer_of_its_own_rows_only(
    models: dict[str, LoadedModel],
) -> None:
    unet = models[NARROW.name]
    answering = denoiser(unet)
    plain, blind = answering([row(unet), row(unet, patches=(Change("identity_attention"),))])
    assert_close([plain], answering([row(unet)]))
    assert float((plain - blind).abs().max()) > 1e-3


def test_attention_that_is_recorded_is_not_blind(models: dict[str, LoadedModel]) -> None:
    unet = models[NARROW.name]
    recorded, blind = Change("record_attention"), Change("identity_attention")
    rows = [row(unet, patches=(recorded,)), row(unet, patches=(recorded, blind))]
    plain, both = denoiser(unet)(rows)
    assert_close([both], [plain])


def test_nothing_of_a_job_is_kept_once_it_is_forgotten(models: dict[str, LoadedModel]) -> None:
    answering = denoiser(models[NARROW.name])
    answering([row(models[NARROW.name])])
    answering.forget()
    assert answering.remembered == 0
