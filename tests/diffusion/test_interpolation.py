"""Frame interpolation: the numbers of the pack's and ComfyUI's nodes on seeded files."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from diffusion.interpolation.film import Film
from diffusion.interpolation.frames import FrameDrawing
from diffusion.interpolation.loading import LoadedInterpolator, film_keys
from diffusion.interpolation.stage import FrameSizeError, InterpolationStage, needed_bytes
from diffusion.upscaling.stage import UpscaleStage
from diffusion.weights import open_weights
from graph.errors import BadModelFile
from graph.interpolation import FrameInterpolator, Interpolation, InterpolationStates
from graph.model_files.header import read_header
from graph.values import ModelFile
from imaging.sizes import ImageTooLargeError
from storage.models.kinds import nature_of
from tests.diffusion.interpolation_files import film_layout, film_tensors, frames, write_rife

CPU = torch.device("cpu")
PLACES = ((10, 12), (30, 30), (45, 60), (69, 89))
# Of the first frame that is drawn, at PLACES: what RIFE_VFI (of the pack) and FrameInterpolate
# (of ComfyUI 0.33.0) give with the same files and frames.
RIFE_40 = ((0.99919, 0.0, 0.40415), (1.0, 0.0, 0.0), (0.0, 0.99972, 0.0), (1.0, 1.0, 0.0))
RIFE_47 = (
    (0.12378, 0.09926, 0.10279),
    (0.9, 0.9, 0.9),
    (0.52264, 0.50974, 0.48928),
    (0.25999, 0.22382, 0.22525),
)
RIFE_417 = (
    (0.10499, 0.10041, 0.09708),
    (0.38634, 0.33414, 0.34067),
    (0.51405, 0.48212, 0.4695),
    (0.63995, 0.59712, 0.58262),
)
RIFE_426_OF_COMFYUI = (
    (0.11092, 0.10368, 0.1011),
    (0.60909, 0.5485, 0.56188),
    (0.54436, 0.4577, 0.46497),
    (0.71029, 0.66654, 0.64896),
)
FILM = (
    (0.01767, 0.06055, 0.03808),
    (0.0, 0.0, 0.19425),
    (0.0, 0.0, 0.20633),
    (0.00412, 0.31544, 0.29118),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("interpolation")


@pytest.fixture
def stage(folder: Path) -> Iterator[InterpolationStage]:
    shared = UpscaleStage(
        lambda file: open_weights(folder / file.folder / file.name, file),
        device=CPU,
        budget_bytes=2**30,
    )
    yield InterpolationStage(shared)
    shared.close()


def file_of(name: str) -> ModelFile:
    return ModelFile("frame_interpolation", name)


def at_places(frame: Tensor) -> Tensor:
    return torch.stack([frame[y, x] for y, x in PLACES])


@pytest.mark.parametrize(
    ("name", "how", "expected"),
    [
        ("rife40", Interpolation("rife", 3, None, 2.0, refine=True, together=2), RIFE_40),
        ("rife47", Interpolation("rife", 2), RIFE_47),
        ("rife417", Interpolation("rife", 2), RIFE_417),
        ("rife426", Interpolation("core", 2), RIFE_426_OF_COMFYUI),
    ],
)
async def test_rife_draws_what_the_original_does(
    stage: InterpolationStage,
    folder: Path,
    name: str,
    how: Interpolation,
    expected: tuple[tuple[float, ...], ...],
) -> None:
    write_rife(folder, name)
    told = list[tuple[int, int]]()
    model = FrameInterpolator(file_of(f"{name}.pth"))
    given = frames(2)
    drawn = await stage.interpolate(model, given, how, lambda done, of: told.append((done, of)))
    assert len(drawn) == how.multiplier + 1
    assert torch.equal(drawn[[0, -1]], given)
    assert at_places(drawn[1]).allclose(torch.tensor(expected), atol=1e-4)
    assert told


def test_film_draws_what_the_original_does() -> None:
    network = Film()
    network.load_state_dict(film_tensors())
    loaded = LoadedInterpolator(network, CPU, torch.float32, 0, knows_time=False)
    drawing = FrameDrawing(loaded, Interpolation("film", 2), lambda ask, counts=True: ask())  # noqa: ARG005
    with torch.inference_mode():
        drawn = drawing.over(frames(2))
    assert at_places(drawn[1]).allclose(torch.tensor(FILM), atol=1e-4)


def test_film_is_read_in_the_names_of_each_of_its_files() -> None:
    with torch.device("meta"):
        names = list(Film().state_dict())
    old = list(film_layout(dict.fromkeys(names, torch.empty(0))))
    assert old != names
    assert list(film_keys(old)) == names
    assert list(film_keys(names)) == names


def test_frames_behind_which_nothing_is_drawn() -> None:
    first = InterpolationStates((0,), is_skip_list=True)
    assert Interpolation("rife", 3, first).pairs(3) == [(0, 0), (1, 2)]
    assert Interpolation("film", 3, first).pairs(3) == [(1, 2)]
    only_first = InterpolationStates((0,), is_skip_list=False)
    assert Interpolation("rife", 3, only_first).pairs(3) == [(0, 2), (1, 0)]
    assert Interpolation("core", 4).count(3) == 9


class Part(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convs = torch.nn.ModuleList([torch.nn.Conv2d(3, 4, 3)])

    def forward(self, x: Tensor) -> Tensor:
        return x


class Whole(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block0 = Part()

    def forward(self, x: Tensor) -> Tensor:
        return x


def test_torchscript_is_read_as_data(tmp_path: Path) -> None:
    whole, path = Whole(), tmp_path / "film_net_fp32.pt"
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        scripted = torch.jit.script(whole)
        scripted.save(str(path))
    weights = open_weights(path, file_of(path.name))
    assert set(weights) == {"block0.convs.0.weight", "block0.convs.0.bias"}
    assert torch.equal(weights["block0.convs.0.weight"], whole.block0.convs[0].weight)  # type: ignore[arg-type]


async def test_what_cannot_be_drawn_is_refused(stage: InterpolationStage, folder: Path) -> None:
    write_rife(folder, "rife47")
    model = FrameInterpolator(file_of("rife47.pth"))
    with pytest.raises(ImageTooLargeError):
        await stage.interpolate(model, frames(2), Interpolation("rife", 10**7))
    other = {"conv_first.weight": torch.zeros(4, 3, 3, 3)}
    torch.save(other, folder / "frame_interpolation" / "other.pth")
    with pytest.raises(BadModelFile, match="no frame interpolation model"):
        await stage.interpolate(
            FrameInterpolator(file_of("other.pth")), frames(2), Interpolation("core", 2)
        )


def test_small_frames_are_refused_by_film_with_the_size() -> None:
    error = FrameSizeError("film.pt", 64, 40, 90)
    assert str(error) == "'film.pt' takes frames of at least 64 × 64 pixels, got 40 × 90."


def test_uploads_know_its_kind(folder: Path) -> None:
    write_rife(folder, "rife47")
    path = folder / "frame_interpolation" / "rife47.pth"
    assert nature_of(read_header(path, file_of(path.name))).kind == "frame_interpolator"


def test_frames_that_film_keeps_while_it_draws_count() -> None:
    loaded = LoadedInterpolator(Film(), CPU, torch.float32, 0, knows_time=False)
    given = torch.zeros(2, 64, 64, 3)
    few, many = (needed_bytes(loaded, given, Interpolation("film", n)) for n in (2, 64))
    assert many - few == 62 * 164 * 64 * 64 * 4
    core = (needed_bytes(loaded, given, Interpolation("core", n)) for n in (2, 64))
    assert len(set(core)) == 1
