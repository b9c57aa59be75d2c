"""YOLOv8: boxes and shapes of things. The network is written after its description and weights.

The layers are Ultralytics' YOLOv8 (Jocher et al. 2023): C2f blocks, a pyramid up and down, and
heads without anchors whose distances are distributions (Li et al. 2020, "Generalized Focal Loss").
Widths and depths are those of the weights.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, silu

from preprocessors.pictures import Picture

STRIDES = (8, 16, 32)
BINS = 16  # of a distribution of distances
PAD_LEVEL = 114
MOST_BOXES = 300
MOST_COMPARED = 30_000
OVERLAP = 0.7  # above which the weaker of two boxes of a class is left out
CLASS_OFFSET_PX = 7680  # boxes of different classes never overlap when they are moved by it


class Conv(nn.Module):
    """A convolution, normalized, with SiLU."""

    def __init__(self, weight: Tensor, stride: int = 1) -> None:
        super().__init__()
        out, into, size, _ = weight.shape
        self.conv = nn.Conv2d(into, out, size, stride, size // 2, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return silu(self.bn(self.conv(x)))


Weights = Mapping[str, Tensor]


def _conv(weights: Weights, name: str, stride: int = 1) -> Conv:
    return Conv(weights[f"{name}.conv.weight"], stride)


class Bottleneck(nn.Module):
    def __init__(self, weights: Weights, name: str, *, shortcut: bool) -> None:
        super().__init__()
        self.cv1, self.cv2 = (_conv(weights, f"{name}.{part}") for part in ("cv1", "cv2"))
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        y = self.cv2(self.cv1(x))
        return x + y if self.shortcut else y  # type: ignore[no-any-return]


class C2f(nn.Module):
    """Two halves, of which one goes through blocks; all that comes out on the way is joined."""

    def __init__(self, weights: Weights, name: str, *, shortcut: bool) -> None:
        super().__init__()
        self.cv1, self.cv2 = (_conv(weights, f"{name}.{part}") for part in ("cv1", "cv2"))
        count = _count(weights, rf"{re.escape(name)}\.m\.(\d+)\.")
        self.m = nn.ModuleList(
            Bottleneck(weights, f"{name}.m.{k}", shortcut=shortcut) for k in range(count)
        )

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.cv1(x).chunk(2, 1))
        for block in self.m:
            parts.append(block(parts[-1]))
        return self.cv2(torch.cat(parts, 1))  # type: ignore[no-any-return]


class Sppf(nn.Module):
    """What is largest around each place, in ever wider windows."""

    def __init__(self, weights: Weights, name: str) -> None:
        super().__init__()
        self.cv1, self.cv2 = (_conv(weights, f"{name}.{part}") for part in ("cv1", "cv2"))

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.cv1(x)]
        for _ in range(3):
            parts.append(nn.functional.max_pool2d(parts[-1], 5, 1, 2))
        return self.cv2(torch.cat(parts, 1))  # type: ignore[no-any-return]


def _head(weights: Weights, name: str) -> nn.Sequential:
    last = weights[f"{name}.2.weight"]
    return nn.Sequential(
        _conv(weights, f"{name}.0"),
        _conv(weights, f"{name}.1"),
        nn.Conv2d(last.shape[1], last.shape[0], 1),
    )


class Proto(nn.Module):
    """Pictures of which each shape is a sum."""

    def __init__(self, weights: Weights, name: str) -> None:
        super().__init__()
        wide = weights[f"{name}.upsample.weight"].shape[0]
        self.cv1 = _conv(weights, f"{name}.cv1")
        self.upsample = nn.ConvTranspose2d(wide, wide, 2, 2)
        self.cv2, self.cv3 = (_conv(weights, f"{name}.{part}") for part in ("cv2", "cv3"))

    def forward(self, x: Tensor) -> Tensor:
        return self.cv3(self.cv2(self.upsample(self.cv1(x))))  # type: ignore[no-any-return]


class Detect(nn.Module):
    """Boxes and classes at every place of three levels; of shapes also their coefficients."""

    def __init__(self, weights: Weights, name: str) -> None:
        super().__init__()
        levels = range(len(STRIDES))
        self.cv2 = nn.ModuleList(_head(weights, f"{name}.cv2.{k}") for k in levels)
        self.cv3 = nn.ModuleList(_head(weights, f"{name}.cv3.{k}") for k in levels)
        shapes = f"{name}.cv4.0.2.weight" in weights
        self.cv4 = nn.ModuleList(
            _head(weights, f"{name}.cv4.{k}") for k in (levels if shapes else ())
        )
        self.proto = Proto(weights, f"{name}.proto") if shapes else None

    def forward(self, xs: list[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Boxes [N, 4] as x1, y1, x2, y2, scores [N, C], coefficients [N, M], and pictures."""
        boxes, scores, shapes = [], [], []
        bins = torch.arange(BINS, dtype=xs[0].dtype, device=xs[0].device)
        for k, (x, stride) in enumerate(zip(xs, STRIDES, strict=True)):
            far = self.cv2[k](x)[0].reshape(4, BINS, -1).softmax(1)
            left, top, right, bottom = (far * bins[:, None]).sum(1)
            ys, xs_ = torch.meshgrid(
                torch.arange(x.shape[2], device=x.device) + 0.5,
                torch.arange(x.shape[3], device=x.device) + 0.5,
                indexing="ij",
            )
            px, py = xs_.reshape(-1), ys.reshape(-1)
            sides = torch.stack([px - left, py - top, px + right, py + bottom], 1)
            boxes.append(sides * stride)
            scores.append(self.cv3[k](x)[0].flatten(1).T.sigmoid())
            if self.proto is not None:
                shapes.append(self.cv4[k](x)[0].flatten(1).T)
        coefficients = torch.cat(shapes) if shapes else torch.zeros(sum(map(len, boxes)), 0)
        pictures = None if self.proto is None else self.proto(xs[0])[0]
        return torch.cat(boxes), torch.cat(scores), coefficients, pictures


def _count(weights: Weights, pattern: str) -> int:
    found = [int(match[1]) for name in weights if (match := re.match(pattern, name))]
    return max(found, default=-1) + 1


class Yolo(nn.Module):
    """The network. `names` are those of its classes."""

    def __init__(self, weights: Weights, names: Mapping[int, str], size_px: int) -> None:
        super().__init__()
        self.names, self.size_px = dict(names), size_px
        conv = {k: _conv(weights, f"model.{k}", 2) for k in (0, 1, 3, 5, 7, 16, 19)}
        c2f = {k: C2f(weights, f"model.{k}", shortcut=k < 10) for k in (2, 4, 6, 8, 12, 15, 18, 21)}
        layers: dict[int, nn.Module] = {**conv, **c2f}
        layers |= {9: Sppf(weights, "model.9"), 22: Detect(weights, "model.22")}
        self.model = nn.ModuleDict({str(k): layer for k, layer in sorted(layers.items())})

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        run = {int(k): layer for k, layer in self.model.items()}
        kept: dict[int, Tensor] = {}
        for k in range(10):
            x = kept[k] = run[k](x)
        middle = run[12](torch.cat([_doubled(kept[9]), kept[6]], 1))
        fine = run[15](torch.cat([_doubled(middle), kept[4]], 1))
        middle = run[18](torch.cat([run[16](fine), middle], 1))
        coarse = run[21](torch.cat([run[19](middle), kept[9]], 1))
        return run[22]([fine, middle, coarse])  # type: ignore[no-any-return]


def _doubled(x: Tensor) -> Tensor:
    return interpolate(x, scale_factor=2, mode="nearest")


@dataclass(frozen=True, eq=False)
class Thing:
    """Something that was found: its class's name, box and confidence, and its shape, if asked."""

    name: str
    box: tuple[float, float, float, float]
    confidence: float
    shape: Tensor | None  # [h, w], of the picture as the network saw it


def fitted(picture: Picture, size_px: int) -> tuple[Picture, float, tuple[int, int]]:
    """A picture with its longer side at `size_px` and grey borders; the scale, and left and top."""
    height, width = picture.shape[:2]
    scale = min(size_px / height, size_px / width)
    wide, high = (max(round(side * scale), 1) for side in (width, height))
    over_x, over_y = ((size_px - side) % STRIDES[-1] / 2 for side in (wide, high))
    if (wide, high) != (width, height):
        picture = cv2.resize(picture, (wide, high), interpolation=cv2.INTER_LINEAR)
    left, right = round(over_x - 0.1), round(over_x + 0.1)
    top, bottom = round(over_y - 0.1), round(over_y + 0.1)
    border = (PAD_LEVEL,) * 3
    padded = cv2.copyMakeBorder(
        picture, top, bottom, left, right, cv2.BORDER_CONSTANT, value=border
    )
    return padded, scale, (left, top)


def find(network: Yolo, picture: Picture, threshold: float) -> list[Thing]:
    """What the network finds in a picture [H, W, 3] of 8 bits, the surest first."""
    padded, _, _ = fitted(picture, network.size_px)
    device = next(network.parameters()).device
    x = torch.from_numpy(np.ascontiguousarray(padded)).to(device).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        boxes, scores, coefficients, pictures = network(x.float())
    best, classes = scores.max(1)
    sure = best > threshold
    boxes, best, classes = boxes[sure], best[sure], classes[sure]
    coefficients = coefficients[sure]
    kept = surest(boxes + classes[:, None] * CLASS_OFFSET_PX, best)
    shapes = _shapes(pictures, coefficients[kept], boxes[kept], padded.shape[:2])
    whole = _unfitted(boxes[kept], padded.shape[:2], picture.shape[:2])
    return [
        Thing(
            network.names.get(int(classes[index]), str(int(classes[index]))),
            (whole[k][0], whole[k][1], whole[k][2], whole[k][3]),
            float(best[index]),
            None if shapes is None else shapes[k],
        )
        for k, index in enumerate(kept.tolist())
    ]


def surest(boxes: Tensor, scores: Tensor) -> Tensor:
    """The indexes of boxes that no surer one overlaps by much, the surest first."""
    order = scores.argsort(descending=True)[:MOST_COMPARED]
    kept: list[int] = []
    while len(order) and len(kept) < MOST_BOXES:
        first, order = order[0], order[1:]
        kept.append(int(first))
        one, rest = boxes[first], boxes[order]
        width = torch.minimum(one[2], rest[:, 2]) - torch.maximum(one[0], rest[:, 0])
        height = torch.minimum(one[3], rest[:, 3]) - torch.maximum(one[1], rest[:, 1])
        both = width.clamp(min=0) * height.clamp(min=0)
        area = (one[2] - one[0]) * (one[3] - one[1])
        areas = (rest[:, 2] - rest[:, 0]) * (rest[:, 3] - rest[:, 1])
        order = order[both / (area + areas - both) <= OVERLAP]
    return torch.tensor(kept, dtype=torch.long, device=boxes.device)


def _shapes(
    pictures: Tensor | None, coefficients: Tensor, boxes: Tensor, size: tuple[int, ...]
) -> Tensor | None:
    """The shape of each thing in its box, [N, h, w]."""
    if pictures is None or not len(boxes):
        return None
    sums = (coefficients @ pictures.flatten(1)).reshape(-1, *pictures.shape[1:])
    shapes = interpolate(sums[None], size=tuple(size), mode="bilinear")[0] > 0
    xs, ys = (torch.arange(side, device=boxes.device) for side in (size[1], size[0]))
    x1, y1, x2, y2 = (side[:, None] for side in boxes.T)
    across, down = (xs >= x1) & (xs < x2), (ys >= y1) & (ys < y2)
    inside: Tensor = shapes & across[:, None, :] & down[:, :, None]
    return inside.float().cpu()


def _unfitted(boxes: Tensor, seen: tuple[int, ...], size: tuple[int, ...]) -> list[list[float]]:
    """Boxes in the pixels of the picture itself."""
    gain = min(seen[0] / size[0], seen[1] / size[1])
    high, wide = (max(round(side * gain), 1) for side in size[:2])
    left, top = round((seen[1] - wide) / 2 - 0.1), round((seen[0] - high) / 2 - 0.1)
    gains = torch.tensor([wide / size[1], high / size[0]]).repeat(2)
    moved = (boxes.cpu() - torch.tensor([left, top, left, top])) / gains
    limits = torch.tensor([size[1], size[0], size[1], size[0]])
    return torch.minimum(moved.clamp(min=0), limits).tolist()
