"""Semantic segmentation by UniFormer and UPerNet (the pack's UniformerSegmentor)."""

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from graph.annotators import UNIFORMER
from preprocessors.controlnet_aux_parts import part
from preprocessors.depth import imagenet
from preprocessors.detectors import AnnotatorFile, Detectors, filled
from preprocessors.edges import as_batch
from preprocessors.pictures import Picture, at_resolution
from preprocessors.transformers_models import highest, renamed
from preprocessors.uniformer_net import UniFormer

SHORT, LONG = 512, 2048  # pixels; a picture is brought to the first, but not over the second
# From mmsegmentation's names to transformers'.
RULES = [
    (r"\.bn\.", ".batch_norm."),
    (r"^decode_head\.conv_seg\.", "decode_head.classifier."),
]


class UniFormerSegmenter(nn.Module):
    """[B, 3, H, W] to logits of classes, at a quarter of the size."""

    def __init__(self, backbone: UniFormer, decode_head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.decode_head = decode_head

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.decode_head(self.backbone(x))
        return logits


def build_uniformer(file: AnnotatorFile) -> nn.Module:
    from transformers.models.upernet.configuration_upernet import UperNetConfig  # noqa: PLC0415
    from transformers.models.upernet.modeling_upernet import UperNetHead  # noqa: PLC0415

    tensors = renamed(file.tensors(), RULES)
    widths = [tensors[f"backbone.norm{stage}.bias"].shape[0] for stage in range(1, 5)]
    depths = [1 + highest(tensors, rf"backbone\.blocks{stage}\.(\d+)\.") for stage in range(1, 5)]
    classes = tensors["decode_head.classifier.bias"].shape[0]
    hidden = tensors["decode_head.bottleneck.conv.weight"].shape[0]
    config = UperNetConfig.from_dict({"hidden_size": hidden, "num_labels": classes})
    head = UperNetHead(config, widths)  # type: ignore[no-untyped-call]
    return filled(UniFormerSegmenter(UniFormer(widths, depths), head), tensors)


def segments_uniformer(detectors: Detectors, image: Tensor, resolution_px: int) -> Tensor:
    """Every pixel in the colour of its class, in the colours of ADE20K."""
    colors = np.array(part("util").ade_palette(), dtype=np.uint8)

    def draw(picture: Picture) -> Picture:
        height, width = picture.shape[:2]
        scale = min(LONG / max(height, width), SHORT / min(height, width))
        size = int(width * scale + 0.5), int(height * scale + 0.5)
        resized = cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)
        # The pack hands over RGB for BGR, so colours are the wrong way round, as in its hints.
        logits = network(imagenet(as_batch(resized[..., ::-1], network) / 255.0))
        for larger in (size[::-1], (height, width)):
            logits = nn.functional.interpolate(logits, larger, mode="bilinear")
        classes = torch.argmax(logits.softmax(dim=1), dim=1)[0]
        return np.asarray(colors[classes.cpu().numpy()])

    with detectors.loaded(UNIFORMER, build_uniformer) as network:
        return at_resolution(image, resolution_px, draw)
