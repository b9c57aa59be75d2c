"""PhotoMaker, narrow, with random weights."""

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from diffusion.vision.photomaker import IdentityPlaceError, load_photomaker, with_person
from graph.errors import BadModelFile
from graph.nodes.photomaker import encode_person
from graph.values import Clip, Condition, Conditioning, Image, ModelFile, PhotoMaker
from tests.diffusion.core_sampling import close
from tests.diffusion.image_files import SEEN, WIDTH, image_encoder
from tests.diffusion.model_files import CPU, seeded, written
from tests.diffusion.narrow_stage import drawn

OTHER = 80  # what the second projection gives
TOKEN = SEEN + OTHER


def photomaker_tensors() -> dict[str, Tensor]:
    """In the layout of the file's `id_encoder`."""
    layers = {"fc1": (TOKEN, TOKEN), "fc2": (TOKEN, TOKEN)}
    first = {**layers, "fc1": (TOKEN, 2 * TOKEN)}
    shapes: dict[str, tuple[int, ...]] = {"visual_projection_2.weight": (OTHER, WIDTH)}
    for mlp, own, width in (("mlp1", first, 2 * TOKEN), ("mlp2", layers, TOKEN)):
        for name, shape in own.items():
            shapes[f"fuse_module.{mlp}.{name}.weight"] = shape
            shapes[f"fuse_module.{mlp}.{name}.bias"] = shape[:1]
        for kind in ("weight", "bias"):
            shapes[f"fuse_module.{mlp}.layernorm.{kind}"] = (width,)
            shapes[f"fuse_module.layer_norm.{kind}"] = (TOKEN,)
    return {**image_encoder(), **{name: seeded(name, shape) for name, shape in shapes.items()}}


def picture() -> Tensor:
    return drawn(61, 2, 40, 30, 3).sigmoid()


@pytest.mark.parametrize("prefix", ["", "id_encoder."])
def test_a_person_takes_the_place_of_a_token_as_in_comfyui(tmp_path: Path, prefix: str) -> None:
    tensors = {prefix + name: tensor for name, tensor in photomaker_tensors().items()}
    loaded = load_photomaker(written(tmp_path, tensors), dtype=torch.float32, device=CPU)
    (told,) = with_person((Condition(drawn(62, 1, 77, TOKEN)),), loaded, picture(), 2)
    assert close(told.tokens, "photomaker")
    with pytest.raises(IdentityPlaceError, match="token 77"):
        with_person((Condition(drawn(62, 1, 77, TOKEN)),), loaded, picture(), 77)
    with pytest.raises(IdentityPlaceError, match="of width 768"):
        with_person((Condition(drawn(62, 1, 77, 768)),), loaded, picture(), 2)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadModelFile, match="no PhotoMaker"):
        load_photomaker(written(tmp_path, image_encoder()), dtype=torch.float32, device=CPU)
    wider = {**photomaker_tensors(), "visual_projection_2.weight": torch.zeros(OTHER + 1, WIDTH)}
    with pytest.raises(BadModelFile, match="do not make tokens"):
        load_photomaker(written(tmp_path, wider), dtype=torch.float32, device=CPU)


async def test_the_word_is_left_out_of_the_prompt() -> None:
    read: list[object] = []

    class Encoders:
        async def encode_text(self, _clip: Clip, text: str) -> Conditioning:
            read.append(text)
            return ()

        async def show_person(
            self, conditioning: Conditioning, _file: PhotoMaker, _image: Image, place: int
        ) -> Conditioning:
            read.append(place)
            return conditioning

    for text in ("a photo of photomaker in rain", "a photo"):
        await encode_person(
            cast(Any, Encoders()),
            photomaker=PhotoMaker(ModelFile("photomaker", "a")),
            image=picture(),
            clip=Clip(()),
            text=text,
        )
    assert read == ["a photo of in rain", 3, "a photo"]
