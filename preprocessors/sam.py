"""SAM: the shapes of things at points and in boxes, from the files of its authors.

The network is transformers' (Kirillov et al. 2023); what it is told of each part is Impact Pack's
(core.py, make_sam_mask).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image as PilImage
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from graph.segs import SamHints, SamModel, Seg, Segs
from imaging.segs import dilate_mask, one_picture
from imaging.sizes import check_size
from preprocessors.detectors import AnnotatorFile, Detectors
from preprocessors.pictures import Picture
from preprocessors.transformers_models import highest, pretrained, renamed

SIDE_PX = 1024
SHAPES_OF_A_PART = 3
MEAN, DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
GLOBAL_POSITIONS = 127  # relative positions of a block that attends to the whole picture
RULES = (
    (r"^image_encoder\.", "vision_encoder."),
    (r"\bblocks\.", "layers."),
    (r"\.norm(\d?)\.", r".layer_norm\1."),
    (r"\.norm_final_attn\.", ".layer_norm_final_attn."),
    (r"neck\.0\.", "neck.conv1."),
    (r"neck\.1\.", "neck.layer_norm1."),
    (r"neck\.2\.", "neck.conv2."),
    (r"neck\.3\.", "neck.layer_norm2."),
    (r"patch_embed\.proj\.", "patch_embed.projection."),
    (r"point_embeddings\.", "point_embed."),
    (r"pe_layer\.positional_encoding_gaussian_matrix", "shared_embedding.positional_embedding"),
    (r"mask_downscaling\.0\.", "mask_embed.conv1."),
    (r"mask_downscaling\.1\.", "mask_embed.layer_norm1."),
    (r"mask_downscaling\.3\.", "mask_embed.conv2."),
    (r"mask_downscaling\.4\.", "mask_embed.layer_norm2."),
    (r"mask_downscaling\.6\.", "mask_embed.conv3."),
    (r"output_upscaling\.0\.", "upscale_conv1."),
    (r"output_upscaling\.1\.", "upscale_layer_norm."),
    (r"output_upscaling\.3\.", "upscale_conv2."),
    (r"(iou_prediction_head|output_hypernetworks_mlps\.\d)\.layers\.0\.", r"\1.proj_in."),
    (r"(iou_prediction_head|output_hypernetworks_mlps\.\d)\.layers\.2\.", r"\1.proj_out."),
    (r"(iou_prediction_head|output_hypernetworks_mlps\.\d)\.layers\.1\.", r"\1.layers.0."),
)
Points = list[tuple[float, float]]


def build_sam(file: AnnotatorFile) -> nn.Module:
    """SAM in the size of the file's weights."""
    from transformers.models.sam.configuration_sam import SamConfig, SamVisionConfig  # noqa: PLC0415
    from transformers.models.sam.modeling_sam import SamModel as Network  # noqa: PLC0415

    tensors = {n: t for n, t in file.tensors().items() if n not in {"pixel_mean", "pixel_std"}}
    blocks = 1 + highest(tensors, r"image_encoder\.blocks\.(\d+)\.")
    wide = tensors["image_encoder.patch_embed.proj.weight"].shape[0]
    positions = [tensors[f"image_encoder.blocks.{k}.attn.rel_pos_h"] for k in range(blocks)]
    vision = SamVisionConfig(
        hidden_size=wide,
        num_hidden_layers=blocks,
        num_attention_heads=wide // positions[0].shape[1],
        global_attn_indexes=[k for k, it in enumerate(positions) if len(it) == GLOBAL_POSITIONS],
        mlp_dim=tensors["image_encoder.blocks.0.mlp.lin1.weight"].shape[0],
    )
    named = renamed(tensors, RULES)
    shared = named["prompt_encoder.shared_embedding.positional_embedding"]
    named["shared_image_embedding.positional_embedding"] = shared
    return pretrained(Network, SamConfig(vision_config=vision), named)


class Predictor:
    """SAM, which has seen one picture [H, W, 3] of 8 bits."""

    def __init__(self, network: Any, picture: Picture) -> None:
        self._network = network
        self._size = picture.shape[:2]
        scale = SIDE_PX / max(self._size)
        high, wide = (int(side * scale + 0.5) for side in self._size)
        self._seen = high, wide
        device = next(network.parameters()).device
        resized = PilImage.fromarray(picture).resize((wide, high), PilImage.Resampling.BILINEAR)
        x = torch.from_numpy(np.array(resized)).to(device).permute(2, 0, 1).float()
        mean, deviation = (x.new_tensor(values)[:, None, None] for values in (MEAN, DEVIATION))
        x = (x - mean) / deviation
        x = pad(x, (0, SIDE_PX - x.shape[2], 0, SIDE_PX - x.shape[1]))
        self._device = device
        self._embedded = network.get_image_embeddings(x[None])

    def shapes(
        self, points: Points, labels: list[int], box: tuple[float, ...] | None, threshold: float
    ) -> list[Tensor]:
        """The shapes [H, W] that score enough, or the one that scores best."""
        prompts: dict[str, Any] = {}
        if points:
            prompts["input_points"] = self._scaled(points)[None, None]
            prompts["input_labels"] = torch.tensor(labels, device=self._device)[None, None]
        if box is not None:
            prompts["input_boxes"] = self._scaled([box[:2], box[2:]]).reshape(1, 1, 4)
        if not prompts:
            return []
        found = self._network(image_embeddings=self._embedded, multimask_output=True, **prompts)
        scores = found.iou_scores[0, 0]
        masks = interpolate(found.pred_masks[0], size=(SIDE_PX, SIDE_PX), mode="bilinear")
        masks = masks[..., : self._seen[0], : self._seen[1]]
        masks = interpolate(masks, size=self._size, mode="bilinear")[0] > 0
        good = [mask for mask, score in zip(masks, scores, strict=True) if score >= threshold]
        return good or ([masks[int(scores.argmax())]] if float(scores.max()) > 0 else [])

    def _scaled(self, points: Any) -> Tensor:
        scale = [new / old for new, old in zip(self._seen, self._size, strict=True)]
        return torch.tensor(points, dtype=torch.float32, device=self._device) * torch.tensor(
            scale[::-1], dtype=torch.float32, device=self._device
        )


def sam_mask(
    detectors: Detectors, sam: SamModel, segs: Segs, image: Tensor, hints: SamHints
) -> Tensor:
    """The shapes of all parts in one mask [1, H, W]."""
    shapes = sam_shapes(detectors, sam, segs, image, hints)
    return dilate_mask(shapes.any(dim=0).float(), hints.dilation)[None]


def sam_masks(
    detectors: Detectors, sam: SamModel, segs: Segs, image: Tensor, hints: SamHints
) -> tuple[Tensor, Tensor]:
    """As `sam_mask`, and the shapes in threes, as SAM gives them, [B, H, W]."""
    shapes = sam_shapes(detectors, sam, segs, image, hints)
    whole = dilate_mask(shapes.any(dim=0).float(), hints.dilation)[None]
    groups = [group.any(dim=0) for group in shapes.split(SHAPES_OF_A_PART)] if len(shapes) else []
    return whole, torch.stack(groups).float() if groups else torch.zeros_like(whole)


def sam_shapes(
    detectors: Detectors, sam: SamModel, segs: Segs, image: Tensor, hints: SamHints
) -> Tensor:
    """The shapes of all parts one by one, [B, H, W]."""
    levels = (255.0 * one_picture(image)[0, ..., :3].float()).clamp(0, 255)
    picture = np.asarray(levels.to(torch.uint8).cpu().numpy())
    shapes = [torch.zeros(0, *picture.shape[:2], dtype=torch.bool)]
    if not segs.items:
        return shapes[0]
    check_size(SHAPES_OF_A_PART * len(segs.items), *picture.shape[:2], 1)
    with detectors.opened(sam.file, build_sam) as network, torch.inference_mode():
        predictor = Predictor(network, picture)
        for points, labels, box in prompts(segs, picture.shape[:2], hints):
            for shape in predictor.shapes(points, labels, box, hints.threshold):
                shapes.append(shape.cpu()[None])
    return torch.cat(shapes)


def prompts(
    segs: Segs, size: tuple[int, ...], hints: SamHints
) -> Iterator[tuple[Points, list[int], tuple[float, ...] | None]]:
    """What SAM is told, part by part: points, which of them are inside, and a box."""
    small = hints.mask_hint_use_negative == "Small"
    if hints.detection_hint == "mask-points":
        inside = [int(not (small and seg.bbox[2] - seg.bbox[0] < 10)) for seg in segs.items]
        yield [_middle(seg) for seg in segs.items], inside, None
        return
    for seg in segs.items:
        x1, y1, x2, y2 = seg.bbox
        more = hints.bbox_expansion
        box = max(x1 - more, 0), max(y1 - more, 0), min(x2 + more, size[1]), min(y2 + more, size[0])
        points = _points(hints.detection_hint, box, _middle(seg))
        labels = [1] * len(points)
        if hints.detection_hint == "mask-area":
            points, labels = _of_mask(seg, hints.mask_hint_threshold, outside=small)
        if hints.mask_hint_use_negative == "Outter":
            outer = list(_around(seg, size))
            points, labels = points + outer, labels + [0] * len(outer)
        yield points, labels, box


def _middle(seg: Seg) -> tuple[float, float]:
    x1, y1, x2, y2 = seg.bbox
    return x1 + (x2 - x1) / 2, y1 + (y2 - y1) / 2


def _points(hint: str, box: tuple[float, ...], middle: tuple[float, float]) -> Points:
    x1, y1, x2, y2 = box
    xs = [x1 + (x2 - x1) / 3 * k for k in (1, 2)]
    ys = [y1 + (y2 - y1) / 3 * k for k in (1, 2)]
    across, down = [(x, middle[1]) for x in xs], [(middle[0], y) for y in ys]
    return {
        "center-1": [middle],
        "mask-point-bbox": [middle],
        "horizontal-2": across,
        "vertical-2": down,
        "rect-4": across + down,
        "diamond-4": [(x, y) for y in ys for x in xs],
    }.get(hint, [])


def _of_mask(seg: Seg, threshold: float, *, outside: bool) -> tuple[Points, list[int]]:
    """Points on a grid in a part's region: inside of its mask, and outside if that is asked for."""
    x, y = seg.crop_region[:2]
    high, wide = seg.mask.shape[-2:]
    points: Points = []
    labels: list[int] = []
    for i in range(0, high, max(3, high // 20)):
        for j in range(0, wide, max(3, wide // 20)):
            value = float(seg.mask[..., i, j])
            if value > threshold or (outside and value == 0):
                points.append((x + j, y + i))
                labels.append(int(value > threshold))
    return points, labels


def _around(seg: Seg, size: tuple[int, ...]) -> Iterator[tuple[float, float]]:
    """Points on a grid over the picture, away from a part; by sides that the pack swapped."""
    x1, y1, x2, y2 = seg.crop_region
    wide, high = size[0], size[1]
    for i in range(10, high - 10, max(3, wide // 20)):
        for j in range(10, wide - 10, max(3, high // 20)):
            if not (x1 - 10 <= j <= x2 + 10 and y1 - 10 <= i <= y2 + 10):
                yield j, i
