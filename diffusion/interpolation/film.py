"""FILM: flows between two frames on seven levels, and a decoder over both (Reda et al. 2022).

Parameters have the names of ComfyUI's files. (dajes/frame-interpolation-pytorch;
ComfyUI comfy_extras/frame_interpolation_models/film_net.py)
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

LEVELS, FUSED_LEVELS, SUB_LEVELS, OWN_LEVELS = 7, 5, 4, 3
WIDTH, COLORS, FLOW = 64, 3, 2
FLOW_CONVS, FLOW_WIDTHS = (3, 3, 3, 3), (32, 64, 128, 256)
SMALLEST = 2 ** (LEVELS - 1)  # px of a side, of which the coarsest level has one

Pyramid = list[Tensor]  # finest first


class Layer(nn.Module):
    """A convolution that keeps the size; one with an even kernel looks right and down."""

    def __init__(self, into: int, out: int, size: int, *, bends: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(into, out, size, padding=size // 2 if size % 2 else 0)
        self._grows = size % 2 == 0
        self._bends = bends

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(functional.pad(x, (0, 1, 0, 1)) if self._grows else x)
        return functional.leaky_relu(x, 0.2) if self._bends else x


class SubTree(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        widths = [COLORS, *(WIDTH * 2**level for level in range(SUB_LEVELS))]
        self.convs = nn.ModuleList(
            [nn.Sequential(Layer(a, b, 3), Layer(b, b, 3)) for a, b in pairwise(widths)]
        )

    def forward(self, x: Tensor, levels: int) -> Pyramid:
        found = []
        for level, layers in enumerate(list(self.convs)[:levels]):
            x = layers(functional.avg_pool2d(x, 2, 2) if level else x)
            found.append(x)
        return found


class Extractor(nn.Module):
    """Features that mean the same on every level."""

    def __init__(self) -> None:
        super().__init__()
        self.extract_sublevels = SubTree()

    def forward(self, images: Pyramid) -> Pyramid:
        trees = [
            self.extract_sublevels(image, min(len(images) - level, SUB_LEVELS))
            for level, image in enumerate(images)
        ]
        return [
            torch.cat([trees[level - deep][deep] for deep in range(min(level + 1, SUB_LEVELS))], 1)
            for level in range(len(images))
        ]


class FlowPredictor(nn.Module):
    def __init__(self, into: int, count: int, width: int) -> None:
        super().__init__()
        layers = [Layer(into if place == 0 else width, width, 3) for place in range(count)]
        last = Layer(width // 2, FLOW, 1, bends=False)
        self._convs = nn.ModuleList([*layers, Layer(width, width // 2, 1), last])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self._convs:
            x = layer(x)
        return x


class FlowEstimator(nn.Module):
    """What is added to the flow on each level, from coarse to fine."""

    def __init__(self) -> None:
        super().__init__()
        into, predictors = 2 * WIDTH, []
        for level, (count, width) in enumerate(zip(FLOW_CONVS, FLOW_WIDTHS, strict=True)):
            predictors.append(FlowPredictor(into, count, width))
            into += WIDTH * 2 ** (level + 2)
        self._predictor = predictors[-1]  # of all coarse levels
        self._predictors = nn.ModuleList(predictors[:-1][::-1])

    def forward(self, first: Pyramid, second: Pyramid) -> Pyramid:
        """The flow on each level."""
        own = list(self._predictors)
        shared = len(first) - len(own)
        flow, flows = None, list[Tensor]()
        for place, level in enumerate(reversed(range(len(first)))):
            predictor = self._predictor if place < shared else own[place - shared]
            a, b = first[level], second[level]
            if flow is None:
                flow = predictor(torch.cat([a, b], 1))
            else:
                flow = _enlarged(flow, a)
                flow = flow + predictor(torch.cat([a, moved(b, flow)], 1))
            flows.append(flow)
        return flows[::-1]


def _enlarged(flow: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(2 * flow, size=like.shape[2:], mode="bilinear")


def moved(x: Tensor, flow: Tensor) -> Tensor:
    """`x` [B, C, H, W] read where `flow` [B, 2, H, W] in pixels leads, edges continued."""
    height, width = flow.shape[-2:]
    across = torch.linspace(1 / width - 1, 1 - 1 / width, width, device=x.device)
    down = torch.linspace(1 / height - 1, 1 - 1 / height, height, device=x.device)
    grid = torch.stack(
        [
            across[None, None, :] + flow[:, 0].float() / (width * 0.5),
            down[None, :, None] + flow[:, 1].float() / (height * 0.5),
        ],
        dim=3,
    )
    read = functional.grid_sample(x.float(), grid, padding_mode="border", align_corners=False)
    return read.to(x.dtype)


def _width_at(level: int) -> int:
    """Channels of both frames on a level of the decoder, with colors and flows."""
    return 2 * (sum(WIDTH << deep for deep in range(level)) + COLORS + FLOW)


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        into, more, levels = _width_at(SUB_LEVELS), 0, list[nn.Module]()
        for level in reversed(range(SUB_LEVELS)):
            width = WIDTH * 2 ** min(level, OWN_LEVELS)
            levels.append(
                nn.ModuleList(
                    [
                        Layer(into, width, 2, bends=False),
                        Layer(into + (more or width), width, 3),
                        Layer(width, width, 3),
                    ]
                )
            )
            into, more = width, _width_at(level) - width // 2
        self.convs = nn.ModuleList(levels)
        self.output_conv = nn.Conv2d(WIDTH, COLORS, 1)

    def forward(self, pyramid: Pyramid) -> Tensor:
        x = pyramid[-1]
        levels: Iterable[Any] = zip(self.convs, pyramid[-2::-1], strict=True)
        for (first, second, third), beside in levels:
            x = first(functional.interpolate(x, size=beside.shape[2:], mode="nearest"))
            x = third(second(torch.cat([beside, x], 1)))
        answer: Tensor = self.output_conv(x)
        return answer


@dataclass(frozen=True, eq=False)
class Seen:
    """A frame on all levels."""

    images: Pyramid
    features: Pyramid

    def to_move(self) -> Pyramid:
        both = zip(self.images[:FUSED_LEVELS], self.features[:FUSED_LEVELS], strict=True)
        return [torch.cat(pair, 1) for pair in both]


class Film(nn.Module):
    """The frames at times between two others."""

    def __init__(self) -> None:
        super().__init__()
        self.extract = Extractor()
        self.predict_flow = FlowEstimator()
        self.fuse = Decoder()

    def seen(self, image: Tensor) -> Seen:
        """[1, 3, H, W] on all levels."""
        images = [image]
        for _ in range(1, LEVELS):
            images.append(functional.avg_pool2d(images[-1], 2, 2))
        return Seen(images, self.extract(images))

    def forward(self, first: Seen, second: Seen, times: Sequence[float]) -> Tensor:
        """[T, 3, H, W]."""
        there = self.predict_flow(first.features, second.features)[:FUSED_LEVELS]
        back = self.predict_flow(second.features, first.features)[:FUSED_LEVELS]
        ends = first.to_move(), second.to_move()
        return torch.cat([self._at(time, ends, there, back) for time in times])

    def _at(
        self, time: float, ends: tuple[Pyramid, Pyramid], there: Pyramid, back: Pyramid
    ) -> Tensor:
        levels = []
        for first, second, flow, reverse in zip(*ends, there, back, strict=True):
            to_first, to_second = reverse * time, flow * (1 - time)
            levels.append(
                torch.cat(
                    [moved(first, to_first), moved(second, to_second), to_first, to_second], 1
                )
            )
        answer: Tensor = self.fuse(levels)
        return answer
