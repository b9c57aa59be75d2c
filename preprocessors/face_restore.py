"""Faces drawn anew by restoring networks (GFPGAN, GPEN), and put back into their pictures.

Crops, masks and edges are ComfyUI-ReActor's (restorer.py, face_restoration_helper.py) without
its network that parses faces: edges are soft squares.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graph.faces import BUFFALO, DETECTION, MOST_CHOSEN, Restoring
from imaging.face_alignment import FFHQ, Picture, Warp
from preprocessors.detectors import Detectors
from preprocessors.faces import Spotted, as_input, build_detector, levels, spotted
from preprocessors.onnx_networks import NetworkRunError, build_onnx

SIDE, LOOKED_AT = 512, 640
LARGER = ("2048", "1024")  # in the names of networks that draw larger faces
NEAREST_EYES_PX = 5.0
SAME = 0.5  # two boxes that share so much are of one face
NEAR = 0.25  # of a face's size: how far apart their middles may be
GREY = (132, 133, 135)  # beyond the picture
WHITE, SEEN = 255.0, 20.0
METHODS = {
    "Nearest": cv2.INTER_NEAREST,
    "Bilinear": cv2.INTER_LINEAR,
    "Bicubic": cv2.INTER_CUBIC,
    "Lanczos": cv2.INTER_LANCZOS4,
}
Floats = NDArray[np.float32]


def pasted_square(
    picture: Picture, face: Picture, warp: Warp, *, interpolation: int = cv2.INTER_LINEAR
) -> Picture:
    """A square crop put back into the picture, from which `warp` cut it; its edges are soft."""
    back = cv2.invertAffineTransform(warp)
    size = picture.shape[1], picture.shape[0]
    there = cv2.warpAffine(face, back, size, flags=interpolation, borderValue=0.0)
    white = np.full(face.shape[:2], WHITE, dtype=np.float32)
    mask: NDArray[Any] = cv2.warpAffine(white, back, size, borderValue=0.0)
    mask[mask > SEEN] = WHITE
    rows, columns = np.where(mask == WHITE)
    if len(rows):
        mean_side = int(np.sqrt(float(np.ptp(rows)) * float(np.ptp(columns))))
        edge, soft = max(mean_side // 10, 10), 2 * max(mean_side // 20, 5) + 1
        mask = cv2.erode(mask, np.ones((edge, edge), np.uint8))
        mask = cv2.GaussianBlur(mask, (soft, soft), 0)
    mask = mask[..., None] / WHITE
    return (mask * there + (1 - mask) * picture.astype(np.float32)).astype(np.uint8)


def side_of(name: str) -> int:
    """How large the faces are that a network draws, told by its name."""
    return next((int(side) for side in LARGER if side in name.lower()), SIDE)


def drawn_anew(detectors: Detectors, how: Restoring, crop: Picture) -> Picture:
    """What the network makes of an upright face.

    Raises:
        NetworkRunError: it gives no picture of that size.
    """
    seen = as_input(crop, 127.5, 1 / 127.5)
    name = how.model.name
    if name.lower().endswith(".onnx"):
        with detectors.opened(how.model, build_onnx) as network:
            weight = np.ones(1)
            given = [seen if len(one.shape) == 4 else weight for one in network.inputs]
            drawn = network(*given)[0][0]
    else:
        with detectors.restorer(how.model) as draw, torch.inference_mode():
            drawn = draw(torch.from_numpy(seen))[0].numpy()
    if drawn.shape != (3, *crop.shape[:2]):
        raise NetworkRunError(name, f"it gives {drawn.shape} of a face of {crop.shape[:2]}")
    levels = (np.clip(np.nan_to_num(drawn), -1, 1) + 1) / 2 * 255
    anew = np.asarray(levels.transpose(1, 2, 0).round(), dtype=np.uint8)
    if how.visibility >= 1:
        return anew
    return np.asarray(crop * (1 - how.visibility) + anew * how.visibility, dtype=np.uint8)


def restored_pictures(detectors: Detectors, image: Tensor, how: Restoring) -> Tensor:
    """Pictures whose faces are drawn anew."""
    pictures = [restored(detectors, how, picture, None) for picture in levels(image)]
    return torch.from_numpy(np.stack(pictures)).float() / 255


def restored_crop(detectors: Detectors, how: Restoring, crop: Picture, method: str) -> Picture:
    """A small crop of a face, made larger and drawn anew."""
    side = side_of(how.model.name)
    large = cv2.resize(crop, (side, side), interpolation=METHODS[method])
    return drawn_anew(detectors, how, np.asarray(large, dtype=np.uint8))


def restored(
    detectors: Detectors, how: Restoring, picture: Picture, only: Sequence[Sequence[float]] | None
) -> Picture:
    """A picture whose faces are drawn anew; with `only`, those in such boxes."""
    with detectors.opened(BUFFALO.file(DETECTION), build_detector) as network:
        faces = [face for face in spotted(network, picture, LOOKED_AT) if _eyes(face, picture)]
    left = None if only is None else list(only)
    for face in faces[:MOST_CHOSEN]:
        if left is not None:
            box = next((box for box in left if _same(face.box, box)), None)
            if box is None:
                continue
            left.remove(box)
        picture = _redrawn(detectors, how, picture, face)
    return picture


def _eyes(face: Spotted, picture: Picture) -> bool:
    """Whether a face is large enough to be drawn, in a picture whose shorter side is 640."""
    scale = max(1.0, min(picture.shape[:2]) / LOOKED_AT)
    return bool(np.linalg.norm(face.points[0] - face.points[1]) / scale > NEAREST_EYES_PX)


def _redrawn(detectors: Detectors, how: Restoring, picture: Picture, face: Spotted) -> Picture:
    side = side_of(how.model.name)
    target = FFHQ * (side / SIDE)
    warp = cv2.estimateAffinePartial2D(face.points, target, method=cv2.LMEDS)[0]
    if warp is None or not np.isfinite(warp).all():
        return picture
    crop = cv2.warpAffine(picture, warp, (side, side), borderValue=GREY)
    anew = drawn_anew(detectors, how, np.asarray(crop, dtype=np.uint8))
    back, size = cv2.invertAffineTransform(warp), (picture.shape[1], picture.shape[0])
    there = cv2.warpAffine(anew, back, size)
    mask = cv2.warpAffine(np.ones((side, side), np.float32), back, size)
    inner = cv2.erode(mask, np.ones((2, 2), np.uint8))
    edge = int(float(inner.sum()) ** 0.5) // 20
    soft = cv2.erode(inner, np.ones((2 * edge, 2 * edge), np.uint8)) if edge else inner
    soft = cv2.GaussianBlur(soft, (2 * edge + 1, 2 * edge + 1), 0)[..., None]
    mixed = soft * (inner[..., None] * there) + (1 - soft) * picture
    return np.asarray(mixed, dtype=np.float32).astype(np.uint8)


def _same(first: Sequence[float], second: Sequence[float]) -> bool:
    """Whether two boxes are of one face: they share much, and their middles are near."""
    a, b = np.array(first), np.array(second)
    common = np.prod(np.maximum(0.0, np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])))
    areas = (max(1.0, float(np.prod(box[2:] - box[:2]))) for box in (a, b))
    shared = common / (sum(areas) - common)
    apart = np.abs((a[:2] + a[2:]) / 2 - (b[:2] + b[2:]) / 2)
    return bool(shared >= SAME) and bool(np.all(apart < (a[2:] - a[:2]) * NEAR))
