"""Lines of manga without their screen tones (the pack's LineartMangaDetector).

The network of MangaLineExtraction (Li, Liu and Wong, Deep Extraction of Manga Structural Lines,
2017): a residual encoder and decoder with sums between them. controlnet-aux does not have it.
"""

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from graph.annotators import LINEART_MANGA
from preprocessors.detectors import AnnotatorFile, Detectors, device_of, filled
from preprocessors.pictures import Picture, at_resolution

SIDE = 256  # the resolution is raised to a multiple of this


class Convolution(nn.Module):
    """Normalisation, activation, convolution, and where it enlarges, twice the size."""

    def __init__(
        self, inner: int, outer: int, kernel: int = 3, *, stride: int = 1, enlarge: bool = False
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.BatchNorm2d(inner, eps=1e-3),
            nn.LeakyReLU(0.2),
            nn.Conv2d(inner, outer, kernel, stride=stride, padding=kernel // 2),
        ]
        self.model = nn.Sequential(*layers, *([nn.Upsample(scale_factor=2)] if enlarge else []))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x)
        return out


class Shortcut(nn.Module):
    """A sum, whose first term is brought to the channels and size of the second."""

    def __init__(self, inner: int, outer: int, *, stride: int = 1, enlarge: bool = False) -> None:
        super().__init__()
        self.model: nn.Sequential | None = None
        if inner != outer or stride != 1:
            bigger = [nn.Upsample(scale_factor=2)] if enlarge else []
            self.model = nn.Sequential(nn.Conv2d(inner, outer, 1, stride=stride), *bigger)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return (self.model(x) if self.model is not None else x) + y


class Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, inner: int, outer: int, *, stride: int = 1, enlarge: bool = False) -> None:
        super().__init__()
        self.conv1 = Convolution(inner, outer, stride=stride, enlarge=enlarge)
        self.residual = Convolution(outer, outer)
        self.shortcut = Shortcut(inner, outer, stride=stride, enlarge=enlarge)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.shortcut(x, self.residual(self.conv1(x)))
        return out


class Blocks(nn.Module):
    """Blocks in a row; the first may enlarge, or the last may shrink."""

    def __init__(
        self, inner: int, outer: int, count: int, *, shrink: bool = False, enlarge: bool = False
    ) -> None:
        super().__init__()
        self.model = nn.Sequential(
            *(
                Block(
                    inner if index == 0 else outer,
                    outer,
                    stride=2 if shrink and index == count - 1 else 1,
                    enlarge=enlarge and index == 0,
                )
                for index in range(count)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x)
        return out


class MangaLines(nn.Module):
    """[B, 1, H, W] in levels of 255 to lines of the same size; H and W multiples of 16."""

    def __init__(self) -> None:
        super().__init__()
        self.block0 = Blocks(1, 24, 2)
        self.block1 = Blocks(24, 48, 3, shrink=True)
        self.block2 = Blocks(48, 96, 5, shrink=True)
        self.block3 = Blocks(96, 192, 7, shrink=True)
        self.block4 = Blocks(192, 384, 12, shrink=True)
        self.block5 = Blocks(384, 192, 7, enlarge=True)
        self.block6 = Blocks(192, 96, 5, enlarge=True)
        self.block7 = Blocks(96, 48, 3, enlarge=True)
        self.block8 = Blocks(48, 24, 2, enlarge=True)
        self.block9 = Blocks(24, 16, 2)
        self.conv15 = Convolution(16, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x0 = self.block0(x)
        x1 = self.block1(x0)
        x2 = self.block2(x1)
        x3 = self.block3(x2)
        x = x3 + self.block5(self.block4(x3))
        x = x2 + self.block6(x)
        x = x1 + self.block7(x)
        x = x0 + self.block8(x)
        out: Tensor = self.conv15(self.block9(x))
        return out


def build_lineart_manga(file: AnnotatorFile) -> nn.Module:
    return filled(MangaLines(), file.tensors())


def manga_lineart(detectors: Detectors, image: Tensor, resolution_px: int) -> Tensor:
    """White lines on black."""

    def draw(picture: Picture) -> Picture:
        grey = torch.from_numpy(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))
        lines = network(grey[None, None].float().to(device_of(network)))[0, 0]
        return np.asarray(255 - lines.cpu().numpy().clip(0, 255).astype(np.uint8))

    with detectors.loaded(LINEART_MANGA, build_lineart_manga) as network:
        return at_resolution(image, resolution_px + -resolution_px % SIDE, draw)
