"""Depth by Depth Anything, first and second version (the pack's detectors of these names)."""

import math
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from graph.annotators import DEPTH_ANYTHING, DEPTH_ANYTHING_V2
from preprocessors.depth import DepthNetwork, dpt_processor, imagenet, resized, stretched
from preprocessors.detectors import AnnotatorFile, Detectors, device_of
from preprocessors.edges import as_batch, as_levels
from preprocessors.midas import FUSION
from preprocessors.pictures import Picture, at_resolution, each_picture
from preprocessors.transformers_models import highest, pretrained, renamed, split_attention

SIDE, PATCH, HEAD = 518, 14, 64  # pixels, pixels, channels
# The layers of DINOv2 that are fused, counted from 1, by how many there are.
LAYERS_V2 = {12: [3, 6, 9, 12], 24: [5, 12, 18, 24], 40: [10, 20, 30, 40]}
RULES = [
    (r"^pretrained\.(cls_token|mask_token)$", r"backbone.embeddings.\1"),
    (r"^pretrained\.pos_embed$", "backbone.embeddings.position_embeddings"),
    (r"^pretrained\.patch_embed\.proj\.", "backbone.embeddings.patch_embeddings.projection."),
    (r"^pretrained\.norm\.", "backbone.layernorm."),
    (r"^pretrained\.blocks\.", "backbone.encoder.layer."),
    (r"\.attn\.attention\.", ".attention.attention."),
    (r"\.attn\.proj\.", ".attention.output.dense."),
    (r"\.ls(\d)\.gamma$", r".layer_scale\1.lambda1"),
    (r"\.mlp\.w12\.", ".mlp.weights_in."),
    (r"\.mlp\.w3\.", ".mlp.weights_out."),
    (r"^depth_head\.", ""),
    (r"^projects\.(\d)\.", r"neck.reassemble_stage.layers.\1.projection."),
    (r"^resize_layers\.(\d)\.", r"neck.reassemble_stage.layers.\1.resize."),
    (r"^scratch\.output_conv1\.", "head.conv1."),
    (r"^scratch\.output_conv2\.0\.", "head.conv2."),
    (r"^scratch\.output_conv2\.2\.", "head.conv3."),
]


def _build(file: AnnotatorFile, *, second: bool) -> DepthNetwork:
    from transformers.models.depth_anything.configuration_depth_anything import DepthAnythingConfig  # noqa: PLC0415
    from transformers.models.depth_anything.modeling_depth_anything import (  # noqa: PLC0415
        DepthAnythingForDepthEstimation,
    )

    tensors, config = file.tensors(), file.config()
    if "pretrained.cls_token" in tensors:
        tensors = renamed(split_attention(tensors), [*RULES, *FUSION])
        config = _sizes(tensors, second=second)
    processor = dpt_processor(
        file.config("preprocessor_config.json"),
        size={"height": SIDE, "width": SIDE},
        keep_aspect_ratio=True,
        ensure_multiple_of=PATCH,
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )
    known = DepthAnythingConfig.from_dict(config)
    return DepthNetwork(pretrained(DepthAnythingForDepthEstimation, known, tensors), processor)


build_depth_anything = partial(_build, second=False)
build_depth_anything_v2 = partial(_build, second=True)


def _sizes(tensors: dict[str, Tensor], *, second: bool) -> dict[str, Any]:
    """The configuration of a network with these tensors."""
    width = tensors["backbone.embeddings.cls_token"].shape[-1]
    layers = 1 + highest(tensors, r"backbone\.encoder\.layer\.(\d+)\.")
    necks = [f"neck.reassemble_stage.layers.{n}.projection.bias" for n in range(4)]
    last = list(range(layers - 3, layers + 1))
    backbone = {
        "model_type": "dinov2",
        "image_size": SIDE,
        "patch_size": PATCH,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // HEAD,
        "use_swiglu_ffn": "backbone.encoder.layer.0.mlp.weights_in.weight" in tensors,
        "out_indices": LAYERS_V2.get(layers, last) if second else last,
        "reshape_hidden_states": False,
    }
    return {
        "backbone_config": backbone,
        "reassemble_hidden_size": width,
        "patch_size": PATCH,
        "neck_hidden_sizes": [tensors[name].shape[0] for name in necks],
        "fusion_hidden_size": tensors["neck.convs.0.weight"].shape[0],
        "head_hidden_size": tensors["head.conv2.bias"].shape[0],
    }


def depth_anything(
    detectors: Detectors, image: Tensor, resolution_px: int, ckpt_name: str
) -> Tensor:
    """Depth maps, the nearer the brighter."""

    def draw(picture: Picture) -> Picture:
        depth = resized(network(picture).predicted_depth, *picture.shape[:2])
        levels = as_levels(stretched(depth)).astype(np.float32)
        return as_levels(stretched(levels))

    with detectors.loaded(DEPTH_ANYTHING[ckpt_name], build_depth_anything) as network:
        return at_resolution(image, resolution_px, draw)


def depth_anything_v2(
    detectors: Detectors, image: Tensor, resolution_px: int, ckpt_name: str
) -> Tensor:
    """Depth maps, the nearer the brighter, made of the pictures as they are and resized then."""
    with detectors.loaded(DEPTH_ANYTHING_V2[ckpt_name], build_depth_anything_v2) as network:
        drawn = each_picture(image, partial(_draw_v2, network))
    return at_resolution(drawn, resolution_px, lambda picture: picture)


def _draw_v2(network: DepthNetwork, picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    scale = max(SIDE / height, SIDE / width)
    size = _whole_patches(width * scale), _whole_patches(height * scale)
    x = cv2.resize(picture / 255.0, size, interpolation=cv2.INTER_CUBIC)
    pixels = imagenet(as_batch(x, network)).to(device_of(network), torch.float32)
    depth = network.model(pixel_values=pixels).predicted_depth[:, None]
    sized = nn.functional.interpolate(depth, (height, width), mode="bilinear", align_corners=True)
    return as_levels(stretched(sized[0, 0].cpu().numpy()))


def _whole_patches(side: float) -> int:
    """The multiple of a patch next to `side`, and no less than the network was trained for."""
    nearest = round(side / PATCH) * PATCH
    return nearest if nearest >= SIDE else math.ceil(side / PATCH) * PATCH
