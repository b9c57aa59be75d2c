"""Segmentation, against transformers' own OneFormer and image processor."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PilImage

from diffusion.text.tokenizer import END, START, ClipTokenizer
from graph.annotators import FOLDER, ONEFORMER_ADE20K, ONEFORMER_COCO, UNIFORMER
from preprocessors.oneformer import TASK, coco_colors, segments_ade20k, segments_coco
from preprocessors.uniformer import segments_uniformer
from tests.diffusion.model_files import CONTRACT, filled
from tests.preprocessors.annotator_files import (
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
CLASSES = 12


def test_the_task_is_asked_for_in_clips_tokens() -> None:
    assert (START, *ClipTokenizer()("the task is semantic"), END) == TASK


def small_oneformer() -> Any:
    """OneFormer with narrow parts and few layers."""
    from transformers import (  # noqa: PLC0415 - slow
        OneFormerConfig,
        OneFormerForUniversalSegmentation,
    )

    backbone = {
        "model_type": "swin",
        "embed_dim": 16,
        "depths": [1, 1, 1, 1],
        "num_heads": [1, 1, 2, 2],
        "window_size": 4,
        "out_features": ["stage1", "stage2", "stage3", "stage4"],
    }
    narrow = {
        "backbone_config": backbone,
        "num_labels": CLASSES,
        "num_queries": 12,
        "conv_dim": 32,
        "mask_dim": 32,
        "hidden_dim": 32,
        "encoder_feedforward_dim": 32,
        "dim_feedforward": 32,
        "encoder_layers": 1,
        "decoder_layers": 2,
        "query_dec_layers": 1,
        "num_attention_heads": 4,
        "dropout": 0.0,
    }
    config = OneFormerConfig.from_dict(narrow)
    return lively(OneFormerForUniversalSegmentation(config), gain=2.0)


@pytest.mark.parametrize("data", ["ade20k", "coco"])
def test_segments_are_transformers(tmp_path: Path, data: str) -> None:
    from transformers import OneFormerImageProcessorPil  # noqa: PLC0415 - slow

    annotator, draw, colors = {
        "ade20k": (ONEFORMER_ADE20K, segments_ade20k, library("util").ade_palette()),
        "coco": (ONEFORMER_COCO, segments_coco, coco_colors()),
    }[data]
    model = small_oneformer()
    processor: Any = OneFormerImageProcessorPil(size={"shortest_edge": 96, "longest_edge": 256})
    folder = tmp_path / FOLDER / annotator.file.repository
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    inputs = processor(
        images=PilImage.fromarray(picture()), task_inputs=["semantic"], return_tensors="pt"
    )
    task = torch.tensor([[*TASK, *[0] * (77 - len(TASK))]])
    with torch.inference_mode():
        outputs = model(pixel_values=inputs["pixel_values"], task_inputs=task)
    (classes,) = processor.post_process_semantic_segmentation(outputs, target_sizes=[(64, 128)])
    expected = np.array(colors, dtype=np.uint8)[classes.numpy()]
    assert len(np.unique(classes)) > 1
    hint = as_levels(draw(detectors(tmp_path), as_image(picture()), 64))
    assert (hint == expected).all(axis=2).mean() > 0.995


def test_uniformer_is_the_packs(tmp_path: Path) -> None:
    """Recorded from the pack's own backbone under transformers' UPerNet, in mmsegmentation's names.

    The classes of every fourth pixel; both networks are narrow.
    """
    with np.load(CONTRACT / "uniformer.npz") as archive:
        classes, shapes = archive["classes"], json.loads(str(archive["shapes"]))
    weights = {
        key: value.abs() + 0.5 if key.endswith("running_var") else value
        for key, value in filled(shapes).items()
    }
    put(tmp_path, {"state_dict": weights, "meta": {"epoch": 1}}, UNIFORMER)
    assert len(np.unique(classes)) > 1
    expected = np.array(library("util").ade_palette(), dtype=np.uint8)[classes]
    hint = as_levels(segments_uniformer(detectors(tmp_path), as_image(picture()), 64))
    assert (hint[::4, ::4] == expected).all(axis=2).mean() > 0.99
