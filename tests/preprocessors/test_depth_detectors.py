"""Depth and normals, against transformers' own models and controlnet-aux's own classes."""

import gzip
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image as PilImage
from torch import Tensor, nn

from graph.annotators import (
    DEPTH_ANYTHING,
    DEPTH_ANYTHING_V2,
    FOLDER,
    LERES,
    MIDAS,
    NORMAL_BAE,
    ZOE,
    Annotator,
)
from preprocessors.depth_anything import RULES as DEPTH_ANYTHING_RULES
from preprocessors.depth_anything import depth_anything, depth_anything_v2
from preprocessors.leres import leres_depth
from preprocessors.midas import FUSION, RULES, midas_depth, midas_normals, sizes
from preprocessors.normal_bae import bae_normals
from preprocessors.transformers_models import renamed, split_attention
from preprocessors.zoe import zoe_depth
from tests.diffusion.model_files import filled
from tests.preprocessors.annotator_files import (
    Levels,
    as_image,
    as_levels,
    detectors,
    library,
    lively,
    picture,
    put,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)
CONTRACT = Path(__file__).parents[1] / "contract"


def assert_same(hint: Tensor, expected: Levels, off_levels: int = 1) -> None:
    """Equal but for a level here and there, and not a blank."""
    drawn = as_levels(hint)
    assert drawn.shape == (*expected.shape[:2], 3)
    assert expected.std() > 5
    shown = expected if expected.ndim == 3 else expected[..., None]
    off = np.abs(drawn.astype(int) - shown)
    assert (off > off_levels).mean() < 0.002


def checkpoint(tmp_path: Path, annotator: Annotator, model: Any, processor: Any) -> None:
    """A checkpoint as transformers writes it, where the hub would put it."""
    repository = annotator.files[-1].repository
    folder = tmp_path / FOLDER / repository
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def stretched_levels(depth: Any) -> Levels:
    depth = depth - depth.min()
    return (np.asarray(depth / depth.max()) * 255).astype(np.uint8)


def small_midas() -> Any:
    """DPT-hybrid with narrow parts."""
    from transformers import DPTConfig, DPTForDepthEstimation  # noqa: PLC0415 - slow

    narrow = {
        "is_hybrid": True,
        "hidden_size": 64,
        "num_attention_heads": 1,
        "intermediate_size": 128,
        "fusion_hidden_size": 32,
        "neck_hidden_sizes": [256, 512, 32, 64],
    }
    config = DPTConfig.from_dict(narrow)
    return lively(DPTForDepthEstimation(config), gain=0.7)


def test_midas_is_transformers_dpt(tmp_path: Path) -> None:
    from transformers import DPTImageProcessorPil  # noqa: PLC0415 - slow

    model = small_midas()
    processor = DPTImageProcessorPil(image_mean=[0.5] * 3, image_std=[0.5] * 3)
    checkpoint(tmp_path, MIDAS, model, processor)
    inputs = processor(images=PilImage.fromarray(picture()), return_tensors="pt")
    with torch.inference_mode():
        said = model(**inputs).predicted_depth[:, None]
    depth = nn.functional.interpolate(said, size=(64, 128), mode="bicubic")[0, 0].numpy()
    loaded, image = detectors(tmp_path), as_image(picture())
    assert_same(midas_depth(loaded, image, 64), stretched_levels(depth))
    normals = as_levels(midas_normals(loaded, image, 64, a=1.0, background=0.1))
    far = stretched_levels(depth) < 25
    assert (normals[far] == [255, 127, 127]).all()
    x = cv2.Sobel(depth, cv2.CV_32F, 1, 0, ksize=3)
    leaning = (np.abs(x) > 0.05) & ~far & (stretched_levels(depth) > 27)
    assert (np.sign(normals[..., 2].astype(int) - 127.5) == np.sign(x))[leaning].all()


def recorded_names(name: str) -> dict[str, Tensor]:
    """Tensors without content, under the names that a model's authors gave them."""
    shapes = json.loads(gzip.decompress((CONTRACT / f"{name}.json.gz").read_bytes()))
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


def test_midas_own_file_has_all_that_transformers_needs() -> None:
    """Names and shapes of controlnet_aux.midas over timm 0.9.16; see docs/preprocessors.md."""
    from transformers import DPTConfig, DPTForDepthEstimation  # noqa: PLC0415 - slow

    given = renamed(split_attention(recorded_names("midas_names")), [*RULES, *FUSION])
    with torch.device("meta"):
        wanted = DPTForDepthEstimation(DPTConfig.from_dict(sizes(given))).state_dict()
    assert {key: given[key].shape for key in wanted} == {k: v.shape for k, v in wanted.items()}
    assert given.keys() - wanted.keys() == {
        f"pretrained.model.head.{x}" for x in ("weight", "bias")
    }


def test_depth_anything_is_transformers(tmp_path: Path) -> None:
    from transformers import (  # noqa: PLC0415 - slow
        DepthAnythingForDepthEstimation,
        DPTImageProcessorPil,
    )

    annotator = DEPTH_ANYTHING["depth_anything_vits14.pth"]
    model = lively(DepthAnythingForDepthEstimation(small_depth_anything([9, 10, 11, 12])))
    processor = DPTImageProcessorPil(
        size={"height": 518, "width": 518}, keep_aspect_ratio=True, ensure_multiple_of=14
    )
    checkpoint(tmp_path, annotator, model, processor)
    inputs = processor(images=PilImage.fromarray(picture()), return_tensors="pt")
    with torch.inference_mode():
        outputs = model(**inputs)
    (said,) = processor.post_process_depth_estimation(outputs, [(64, 128)])
    image, loaded = as_image(picture()), detectors(tmp_path)
    hint = depth_anything(loaded, image, 64, "depth_anything_vits14.pth")
    assert_same(hint, stretched_levels(said["predicted_depth"].numpy()))


def small_depth_anything(layers: list[int]) -> Any:
    from transformers import DepthAnythingConfig  # noqa: PLC0415 - slow

    backbone = {
        "model_type": "dinov2",
        "image_size": 518,
        "patch_size": 14,
        "hidden_size": 64,
        "num_hidden_layers": 12,
        "num_attention_heads": 1,
        "out_indices": layers,
        "reshape_hidden_states": False,
    }
    narrow = {
        "backbone_config": backbone,
        "reassemble_hidden_size": 64,
        "patch_size": 14,
        "neck_hidden_sizes": [16, 32, 64, 64],
        "fusion_hidden_size": 32,
    }
    return DepthAnythingConfig.from_dict(narrow)


def test_depth_anything_v2_is_the_packs(tmp_path: Path) -> None:
    """Recorded from the pack's own network of this size, over the same weights in its names."""
    with np.load(CONTRACT / "depth_anything.npz") as archive:
        expected, shapes = archive["hint"], json.loads(str(archive["shapes"]))
    put(tmp_path, filled(shapes), DEPTH_ANYTHING_V2["depth_anything_v2_vits.pth"])
    image = as_image(picture(128, 128))
    hint = depth_anything_v2(detectors(tmp_path), image, 192, "depth_anything_v2_vits.pth")
    assert_same(hint[:, ::3, ::3], expected, off_levels=2)


def test_depth_anything_knows_its_authors_names() -> None:
    with np.load(CONTRACT / "depth_anything.npz") as archive:
        shapes = json.loads(str(archive["shapes"]))
    empty = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
    given = renamed(split_attention(empty), [*DEPTH_ANYTHING_RULES, *FUSION])
    assert not [key for key in given if key.startswith(("pretrained", "depth_head", "scratch"))]


def test_zoe_is_transformers(tmp_path: Path) -> None:
    from transformers import (  # noqa: PLC0415 - slow
        ZoeDepthConfig,
        ZoeDepthForDepthEstimation,
        ZoeDepthImageProcessorPil,
    )

    backbone = {
        "model_type": "beit",
        "image_size": 384,
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "use_relative_position_bias": True,
        "reshape_hidden_states": False,
        "out_indices": [1, 2, 3, 4],
    }
    narrow = {
        "backbone_config": backbone,
        "neck_hidden_sizes": [16, 16, 32, 32],
        "fusion_hidden_size": 32,
        "bottleneck_features": 32,
    }
    config = ZoeDepthConfig.from_dict(narrow)
    model = lively(ZoeDepthForDepthEstimation(config))
    processor = ZoeDepthImageProcessorPil()
    checkpoint(tmp_path, ZOE, model, processor)
    inputs = processor(images=PilImage.fromarray(picture()), return_tensors="pt")
    with torch.inference_mode():
        said = model(**inputs).predicted_depth[:, None]
    down, right = int(np.sqrt(64 / 2) * 3), int(np.sqrt(128 / 2) * 3)
    padded = (64 + 2 * down, 128 + 2 * right)
    depth = nn.functional.interpolate(said, size=padded, mode="bicubic")[0, 0].numpy()
    levels = stretched_levels(depth[down:-down, right:-right]).astype(np.float32)
    near, far = np.percentile(levels, 2), np.percentile(levels, 85)
    expected = ((1 - (levels - near) / (far - near)) * 255).clip(0, 255).astype(np.uint8)
    assert_same(zoe_depth(detectors(tmp_path), as_image(picture()), 64), expected, 4)


def test_leres_is_the_librarys(tmp_path: Path) -> None:
    leres = library("leres")
    model = leres.RelDepthModel(backbone="resnext101")
    lively(model, gain=0.5)
    trained = {f"module.{key}": value for key, value in model.state_dict().items()}
    put(tmp_path, {"depth_model": trained}, LERES)
    image, loaded = as_image(picture()), detectors(tmp_path)
    for nearest, background in ((0.0, 0.0), (30.0, 20.0)):
        expected = leres.LeresDetector(model, None)(
            picture(),
            thr_a=nearest,
            thr_b=background,
            detect_resolution=64,
            image_resolution=64,
            output_type="np",
        )
        hint = leres_depth(loaded, image, 64, nearest=nearest, background=background)
        assert_same(hint, np.asarray(expected))


def test_bae_normals_are_the_librarys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bae = library("normalbae")
    options = SimpleNamespace(architecture="BN", sampling_ratio=0.4, importance_ratio=0.7)
    model = lively(bae.NNET(options), gain=0.7)
    folder = put(
        tmp_path, {"model": {f"module.{k}": v for k, v in model.state_dict().items()}}, NORMAL_BAE
    )
    detector = bae.NormalBaeDetector.from_pretrained(folder)
    expected = detector(picture(), detect_resolution=64, image_resolution=64, output_type="np")
    capsys.readouterr()  # it tells of what it loads
    hint = bae_normals(detectors(tmp_path), as_image(picture()), 64)
    assert_same(hint, np.asarray(expected))
