"""What Wan's nodes tell models, against what ComfyUI 0.3.64's do (`wan_nodes.npz`),
and of Bernini's against 0.33.0's.

Both were run with an autoencoder that only shrinks pictures, on pictures drawn from their names.
"""

import inspect
import json
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from deployments.sample_functions import NodeSampling
from diffusion.latent.tracks import BadTracksError
from graph.latent_sizes import LatentSize
from graph.nodes import load_node_types
from graph.values import ClipVisionOutput, Condition, Latent, ModelFile, Vae
from imaging.sizes import SizeMismatchError
from tests.diffusion.model_files import recorded
from tests.diffusion.wan_files import plain

ANSWERS = recorded("wan_nodes")
TYPES = load_node_types()
WAN21, WAN22 = (Vae(ModelFile("vae", name)) for name in ("wan21", "wan22"))
SIZES = {WAN21: LatentSize(16, frames=4), WAN22: LatentSize(48, px=16, frames=4)}
PROMPT = (Condition(torch.zeros(1, 1, 4)),)


@dataclass(frozen=True)
class Shrinking(NodeSampling):
    """The sample stage with autoencoders that shrink every fourth frame."""

    async def encode_video(self, vae: Vae, frames: Tensor) -> Tensor:
        size = SIZES[vae]
        x = frames[::4].movedim(-1, 0)[:3]
        x = functional.avg_pool2d(x.movedim(1, 0), size.px).movedim(0, 1)
        return torch.stack([x[c % 3] * (1 + c / 10) for c in range(size.channels)])[None]

    async def video_latent_size(self, vae: Vae) -> LatentSize:
        return SIZES[vae]


STAGE: Any = Shrinking(None, "1", lambda _event: None)  # type: ignore[arg-type]


def image(key: str, count: int = 1) -> Tensor:
    return torch.sigmoid(plain(key, (count, 20, 30, 3)))


def seen(key: str) -> ClipVisionOutput:
    states = plain(key, (1, 2, 3))
    return ClipVisionOutput(states, states, states)


SIZE = {"width": 48, "height": 32, "length": 9, "batch_size": 1}
TRACKS = [
    [{"x": 4 + k * 0.3, "y": 10} for k in range(121)],
    [{"x": 30, "y": 5 + k * 0.1} for k in range(60)],
]
LENS = {"speed": 1.5, "fx": 0.6, "fy": 0.4, "cx": 0.4, "cy": 0.6}
CASES: dict[str, dict[str, Any]] = {
    "WanImageToVideo": {
        **SIZE,
        "start_image": image("a", 2),
        "clip_vision_output": seen("s"),
        "batch_size": 2,
    },
    "WanImageToVideo.long": {**SIZE, "start_image": image("a", 12)},
    "WanFirstLastFrameToVideo": {
        **SIZE,
        "start_image": image("a"),
        "end_image": image("b", 2),
        "clip_vision_start_image": seen("s"),
        "clip_vision_end_image": seen("t"),
    },
    "WanFirstLastFrameToVideo.end": {
        "vae": WAN22,
        "end_image": image("b"),
        "clip_vision_end_image": seen("t"),
        "batch_size": 1,
        "width": 64,
        "height": 32,
        "length": 5,
    },
    "WanFunInpaintToVideo": {**SIZE, "start_image": image("a"), "clip_vision_output": seen("s")},
    "WanFunControlToVideo": {
        **SIZE,
        "start_image": image("a"),
        "control_video": image("c", 5),
        "clip_vision_output": seen("s"),
    },
    "Wan22FunControlToVideo": {
        **SIZE,
        "ref_image": image("a", 2),
        "control_video": image("c", 12),
    },
    "BerniniConditioning": {
        **SIZE,
        "source_video": image("src", 12),
        "reference_video": torch.cat([image("ref", 3)] * 4),
        "reference_images": {
            "reference_image_1": image("b", 2),
            "reference_image_0": image("a"),
        },
        "ref_max_size": 24,
    },
    "WanVaceToVideo": {
        **SIZE,
        "strength": 0.7,
        "control_video": image("c", 5),
        "control_masks": image("m", 5)[..., 0],
        "reference_image": image("a"),
    },
    "WanVaceToVideo.nothing": {**SIZE, "strength": 1.0, "batch_size": 2},
    "WanPhantomSubjectToVideo": {**SIZE, "images": image("a", 2)},
    "WanCameraImageToVideo": {
        **SIZE,
        "start_image": image("a", 2),
        "camera_conditions": plain("k", (1, 2)),
    },
    "Wan22ImageToVideoLatent": {
        "vae": WAN22,
        "start_image": image("a", 5),
        "batch_size": 2,
        "width": 64,
        "height": 32,
        "length": 9,
    },
    "Wan22ImageToVideoLatent.nothing": {
        "vae": WAN22,
        "batch_size": 2,
        "width": 64,
        "height": 32,
        "length": 9,
    },
    **{
        f"WanCameraEmbedding.{pose}": {
            "camera_pose": pose,
            "width": 32,
            "height": 16,
            "length": 5,
            **LENS,
        }
        for pose in ("Pan Up", "Zoom In", "ClockWise (CW)")
    },
    "WanTrackToVideo": {
        **SIZE,
        "tracks": json.dumps(TRACKS),
        "start_image": image("a"),
        "clip_vision_output": seen("s"),
    },
    "WanTrackToVideo.batch": {
        **SIZE,
        "tracks": json.dumps(TRACKS[0]),
        "temperature": 50.0,
        "topk": 1,
        "start_image": image("a", 2),
        "batch_size": 2,
    },
    "WanCameraEmbedding.tall": {
        "camera_pose": "Pan Left",
        "width": 16,
        "height": 48,
        "length": 5,
    },
}


async def run(name: str) -> tuple[Any, ...]:
    function = TYPES[name.partition(".")[0]].function
    wanted = inspect.signature(function).parameters
    given = {"positive": PROMPT, "negative": PROMPT, "vae": WAN21, **CASES[name]}
    result = await function(STAGE, **{key: v for key, v in given.items() if key in wanted})
    return result if isinstance(result, tuple) else (result,)


def told(results: tuple[Any, ...]) -> dict[str, Any]:
    """Every tensor and number in the results, by output and name."""
    found: dict[str, Any] = {}
    for place, value in enumerate(results):
        if isinstance(value, Latent):
            found[f"{place}|samples"] = value.samples
            if value.noise_mask is not None:
                found[f"{place}|noise_mask"] = value.noise_mask
        elif isinstance(value, tuple) and isinstance(value[0], Condition):
            found |= {f"{place}|{key}": own for key, own in value[0].extras.items()}
        else:
            found[f"{place}|"] = value
    flat: dict[str, Any] = {}
    for key, value in found.items():
        if isinstance(value, tuple | list):
            flat |= {f"{key}.{i}": own for i, own in enumerate(value)}
        else:
            flat[key] = getattr(value, "penultimate_hidden_states", value)
    return flat


@pytest.mark.parametrize("name", CASES)
async def test_nodes_tell_models_what_comfyuis_do(name: str) -> None:
    expected = {
        key.removeprefix(f"{name}|"): value
        for key, value in ANSWERS.items()
        if key.startswith(f"{name}|")
    }
    found = told(await run(name))
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        own = torch.as_tensor(found[key]).to(value.dtype)
        torch.testing.assert_close(own, value, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "tracks", ["3", '{"x": 1}', "[1]", '[{"x": 1}]', '[[{"x": "a", "y": 2}]]', '[["a"]]']
)
async def test_tracks_that_are_none_are_refused(tracks: str) -> None:
    given = {**CASES["WanTrackToVideo"], "tracks": tracks}
    with pytest.raises(BadTracksError):
        await TYPES["WanTrackToVideo"].function(
            STAGE, positive=PROMPT, negative=PROMPT, vae=WAN21, **given
        )


@pytest.mark.parametrize("tracks", ["[]", "", "no tracks"])
async def test_without_tracks_a_video_begins_with_a_picture(tracks: str) -> None:
    given = {
        "positive": PROMPT,
        "negative": PROMPT,
        "vae": WAN21,
        **SIZE,
        "start_image": image("a"),
    }
    moved = await TYPES["WanTrackToVideo"].function(STAGE, tracks=tracks, **given)
    still = await TYPES["WanImageToVideo"].function(STAGE, **given)
    assert torch.equal(told(moved)["0|concat_latent_image"], told(still)["0|concat_latent_image"])


async def test_controls_add_up() -> None:
    """A second VACE node goes on where the first ended."""
    node = TYPES["WanVaceToVideo"].function
    size = {"vae": WAN21, **SIZE}
    once = await node(STAGE, positive=PROMPT, negative=PROMPT, strength=0.5, **size)
    twice = await node(STAGE, positive=once[0], negative=once[1], strength=0.25, **size)
    assert twice[0][0].extras["vace_strength"] == (0.5, 0.25)
    assert len(twice[1][0].extras["vace_frames"]) == len(twice[1][0].extras["vace_mask"]) == 2
    assert PROMPT[0].extras == {}


async def test_an_autoencoder_of_another_model_is_refused() -> None:
    node = TYPES["Wan22ImageToVideoLatent"].function
    with pytest.raises(SizeMismatchError):
        await node(STAGE, vae=WAN21, width=64, height=32, length=5, start_image=image("a"))
