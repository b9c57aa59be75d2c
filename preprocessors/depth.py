"""Depth maps from what a network predicts, and the surfaces they show."""

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image as PilImage
from torch import Tensor, nn

from preprocessors.detectors import device_of
from preprocessors.pictures import Picture


class DepthNetwork(nn.Module):
    """A depth estimator of transformers, with the image processor that it was trained with."""

    def __init__(self, model: nn.Module, processor: Any) -> None:
        super().__init__()
        self.model = model
        self.processor = processor

    def forward(self, picture: Picture) -> Any:
        """What the model says of a picture [H, W, 3]."""
        inputs = self.processor(images=PilImage.fromarray(picture), return_tensors="pt")
        return self.model(pixel_values=inputs["pixel_values"].to(device_of(self.model)))


def dpt_processor(config: Mapping[str, Any], **defaults: Any) -> Any:
    """transformers' image processor for DPT, on PIL: it needs no torchvision."""
    from transformers.models.dpt.image_processing_pil_dpt import DPTImageProcessorPil  # noqa: PLC0415

    return DPTImageProcessorPil.from_dict({**defaults, **config})


def resized(depth: Tensor, height: int, width: int) -> Picture:
    """[1, h, w] as [height, width], smoothly."""
    sized = nn.functional.interpolate(
        depth[:, None].float(), size=(height, width), mode="bicubic", align_corners=False
    )
    return np.asarray(sized[0, 0].cpu().numpy())


def stretched(depth: Picture) -> Picture:
    """`depth` from 0 to 1, both reached; 0 where it is even."""
    risen = depth - depth.min()
    return np.asarray(risen / risen.max() if risen.any() else risen)


def surface(depth: Picture, relative: Picture, a: float, background: float) -> Picture:
    """The normals of a depth map as colours: blue along x, green along y, red towards the eye.

    `a` is how flat the surface is; nearer than `background` of `relative` is drawn, the rest flat.
    """
    x = cv2.Sobel(depth, cv2.CV_32F, 1, 0, ksize=3)
    y = cv2.Sobel(depth, cv2.CV_32F, 0, 1, ksize=3)
    x[relative < background] = 0
    y[relative < background] = 0
    normal = np.stack([x, y, np.full_like(x, a)], axis=2)
    normal = normal / np.sum(normal**2.0, axis=2, keepdims=True) ** 0.5
    levels = (normal * 127.5 + 127.5).clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(levels[:, :, ::-1])


def imagenet(levels: Tensor) -> Tensor:
    """[B, 3, H, W], less the mean of ImageNet's pictures, over their deviation."""
    mean = torch.tensor([0.485, 0.456, 0.406]).to(levels).view(3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).to(levels).view(3, 1, 1)
    return (levels - mean) / deviation
