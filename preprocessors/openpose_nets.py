"""The networks of OpenPose, and from pictures to their heatmaps.

Bodies: Cao et al. 2017; hands: Simon et al. 2017; faces: the same machine with 71 maps.
"""

from collections.abc import Mapping

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from preprocessors.controlnet_aux_parts import part
from preprocessors.detectors import AnnotatorFile, device_of, filled
from preprocessors.pictures import Picture

BOX = 368  # pixels; the side that networks were trained at
STRIDE = 8  # pixels of the picture for one of a map
GREY = 128
FACE_MAPS, FACE_STAGES, FACE_SIDE = 71, 6, 384


def build_body(file: AnnotatorFile) -> nn.Module:
    return _filled(part("open_pose.model").bodypose_model(), file.tensors())


def build_hand(file: AnnotatorFile) -> nn.Module:
    return _filled(part("open_pose.model").handpose_model(), file.tensors())


def build_face(file: AnnotatorFile) -> nn.Module:
    return filled(FaceNet(), file.tensors())


def _filled(network: nn.Module, tensors: Mapping[str, Tensor]) -> nn.Module:
    """The file names layers, and not the stage that each is in."""
    stages = {key: key.partition(".")[2] for key in network.state_dict()}
    found = {key: tensors[name] for key, name in stages.items() if name in tensors}
    return filled(network, found)


class FaceNet(nn.Module):
    """[B, 3, H, W] in -0.5..0.5 to heatmaps [B, 71, H / 8, W / 8], refined stage by stage."""

    def __init__(self) -> None:
        super().__init__()
        sizes = {"1": (64, 2), "2": (128, 2), "3": (256, 4), "4": (512, 4), "5": (512, 2)}
        inner = 3
        for group, (outer, count) in sizes.items():
            for index in range(1, count + 1):
                self.add_module(f"conv{group}_{index}", _convolution(inner, outer, 3))
                inner = outer
        self.conv5_3_CPM = _convolution(512, 128, 3)
        self.conv6_1_CPM = _convolution(128, 512, 1)
        self.conv6_2_CPM = _convolution(512, FACE_MAPS, 1)
        for stage in range(2, FACE_STAGES + 1):
            inner = FACE_MAPS + 128
            for index in range(1, 8):
                outer, kernel = (FACE_MAPS if index == 7 else 128), (7 if index < 6 else 1)
                name = f"Mconv{index}_stage{stage}"
                self.add_module(name, _convolution(inner, outer, kernel))
                inner = outer

    def forward(self, x: Tensor) -> Tensor:
        for name, child in self.named_children():
            if name == "conv6_1_CPM":
                break
            if name in {"conv2_1", "conv3_1", "conv4_1"}:
                x = nn.functional.max_pool2d(x, 2)
            x = torch.relu(child(x))
        maps: Tensor = self.conv6_2_CPM(torch.relu(self.conv6_1_CPM(x)))
        for stage in range(2, FACE_STAGES + 1):
            maps = torch.cat([maps, x], dim=1)
            for index in range(1, 8):
                maps = self.get_submodule(f"Mconv{index}_stage{stage}")(maps)
                maps = torch.relu(maps) if index < 7 else maps
        return maps


def _convolution(inner: int, outer: int, kernel: int) -> nn.Conv2d:
    return nn.Conv2d(inner, outer, kernel, padding=kernel // 2)


def sized(x: Picture, height: int, width: int) -> Picture:
    """`x` [H, W, ...] resized: smaller by area, larger by Lanczos."""
    k = (height + width) / (x.shape[0] + x.shape[1])
    method = cv2.INTER_AREA if k < 1 else cv2.INTER_LANCZOS4
    if x.ndim == 3 and x.shape[2] not in {1, 3}:
        return np.stack([sized(layer, height, width) for layer in np.moveaxis(x, 2, 0)], axis=2)
    return np.asarray(cv2.resize(x, (width, height), interpolation=method))


def body_maps(network: nn.Module, picture: Picture) -> tuple[Picture, Picture]:
    """Heatmaps [H, W, 19] and part affinities [H, W, 38] of a BGR picture."""
    height, width = picture.shape[:2]
    scale = 0.5 * BOX / height
    small = sized(picture, int(height * scale), int(width * scale))
    affinities, heat = network(_padded(small, network))
    return tuple(_at_size(x, small, height, width) for x in (heat, affinities))  # type: ignore[return-value]


def hand_maps(network: nn.Module, picture: Picture, side: int) -> Picture:
    """Heatmaps [side, side, 22] of a BGR cut-out of one hand, the mean of four scales."""
    soft = cv2.GaussianBlur(picture, (0, 0), 0.8)
    maps = []
    for scale in (0.5, 1.0, 1.5, 2.0):
        resized = sized(soft, int(BOX * scale), int(BOX * scale))
        maps.append(_at_size(network(_padded(resized, network)), resized, side, side) / 4)
    return np.asarray(sum(maps[1:], maps[0].astype(np.float64)))


def face_maps(network: nn.Module, picture: Picture) -> Picture:
    """Heatmaps [71, H, W] of a BGR cut-out of one face."""
    resized = sized(picture, FACE_SIDE, FACE_SIDE)
    x = torch.from_numpy(np.ascontiguousarray(resized)).movedim(-1, 0)[None]
    maps = network((x / 256.0 - 0.5).to(device_of(network)))
    larger = nn.functional.interpolate(maps, picture.shape[:2], mode="bilinear", align_corners=True)
    return np.asarray(larger[0].cpu().numpy())


def _padded(picture: Picture, network: nn.Module) -> Tensor:
    """[1, 3, H, W] in -0.5..0.5, completed with grey to multiples of the stride."""
    down, right = (-side % STRIDE for side in picture.shape[:2])
    padded = np.pad(picture, ((0, down), (0, right), (0, 0)), constant_values=GREY)
    x = torch.from_numpy(padded.astype(np.float32)).movedim(-1, 0)[None]
    return (x / 256 - 0.5).to(device_of(network))


def _at_size(maps: Tensor, padded_from: Picture, height: int, width: int) -> Picture:
    """[1, C, h, w] as [height, width, C], without what was padded."""
    x = maps[0].movedim(0, -1).cpu().numpy()
    larger = sized(x, x.shape[0] * STRIDE, x.shape[1] * STRIDE)
    return sized(larger[: padded_from.shape[0], : padded_from.shape[1]], height, width)
