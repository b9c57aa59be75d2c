"""Faces swapped: inswapper's networks and reswapper's, which are like it, and hyperswap's.

Where a face lies in its crop, how it is put back and how faces are chosen is ComfyUI-ReActor's
(reactor_core, reactor_swapper.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graph.faces import (
    ATTRIBUTES,
    BUFFALO,
    DETECTION,
    MOST_CHOSEN,
    Boost,
    Chosen,
    Face,
    NoFaceError,
    Swap,
    check_swaps,
    in_order,
)
from graph.model_files.onnx_graph import last_weights
from imaging.face_alignment import Picture, Points, Warp, arcface_points, warped
from preprocessors.detectors import AnnotatorFile, Detectors
from preprocessors.face_restore import pasted_square, restored, restored_crop
from preprocessors.faces import (
    EMBEDDING,
    Spotted,
    as_input,
    build_attributes,
    build_detector,
    is_female,
    known,
    levels,
    spotted,
)
from preprocessors.onnx_networks import NetworkRunError, OnnxNetwork, build_onnx

LOOKED_AT = (640, 320)  # sides of the pictures in which faces are looked for
HYPERSWAP = "hyperswap"
# Where the points belong in hyperswap's crops of 256 pixels.
HYPERSWAP_POINTS = np.array(
    [[84.87, 105.94], [171.13, 105.94], [128.0, 146.66], [96.95, 188.64], [159.05, 188.64]],
    dtype=np.float32,
)
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Swapper:
    """A network that draws a face as another's. `emap` turns who someone is into its terms."""

    network: OnnxNetwork
    side: int
    emap: Floats | None  # None of hyperswap

    @property
    def nbytes(self) -> int:
        return self.network.nbytes

    def draw(self, crop: Picture, who: Floats) -> Picture:
        """The face in a crop, as another's.

        Raises:
            NetworkRunError: the network gives no picture.
        """
        unit = (who / (np.linalg.norm(who) or 1.0)).reshape(1, -1).astype(np.float32)
        if self.emap is None:
            seen = as_input(crop, 127.5, 1 / 127.5)
        else:
            seen, unit = as_input(crop, 0.0, 1 / 255.0), unit @ self.emap
            unit = unit / (np.linalg.norm(unit) or 1.0)
        given = [seen if len(socket.shape) == 4 else unit for socket in self.network.inputs]
        drawn = self.network(*given)[0]
        if drawn.shape != (1, 3, self.side, self.side):
            raise NetworkRunError(self.network.name, f"it gives {drawn.shape}, not a picture")
        picture = np.nan_to_num(drawn[0].transpose(1, 2, 0), posinf=255.0, neginf=0.0)
        if self.emap is not None:
            return np.asarray(np.clip(255 * picture, 0, 255), dtype=np.uint8)
        if picture.min() < 0 or picture.max() <= 1.5:  # else they are levels already
            picture = (picture + 1) / 2 * 255
        return np.asarray(np.clip(picture, 0, 255), dtype=np.uint8)


def build_swapper(file: AnnotatorFile) -> Swapper:
    """Raises: ValueError: the file is none of a swapper."""
    network = build_onnx(file)
    pictures = [socket.shape for socket in network.inputs if len(socket.shape) == 4]
    sides = {side for shape in pictures for side in shape[2:]}
    if len(network.inputs) != 2 or len(pictures) != 1 or sides not in ({128}, {256}):
        problem = "it is no swapper of faces: that takes a picture of 128 or 256 pixels and a face"
        raise ValueError(problem)
    (side,) = sides
    assert side is not None
    if HYPERSWAP in file.path.name.lower():
        return Swapper(network, side, None)
    shape, raw = last_weights(file.path) or ((), b"")
    if shape != (EMBEDDING, EMBEDDING) or len(raw) != 4 * EMBEDDING**2:
        problem = f"its last weights are {shape}, not the {EMBEDDING} × {EMBEDDING} of a swapper"
        raise ValueError(problem)
    return Swapper(network, side, np.frombuffer(raw, dtype="<f4").reshape(shape))


def partial_affine(points: Points, target: Points) -> Warp | None:
    """OpenCV's way from points to where they belong; None where there is none."""
    found = cv2.estimateAffinePartial2D(points.astype(np.float32), target)[0]
    return None if found is None or not np.isfinite(found).all() else np.asarray(found)


def aligned(picture: Picture, points: Points, side: int) -> Picture:
    """An upright face as ReActor shows it to the networks that know faces."""
    warp = partial_affine(points, arcface_points(side))
    return np.zeros((side, side, 3), np.uint8) if warp is None else warped(picture, warp, side)


def swapped(swapper: Swapper, picture: Picture, face: Spotted, who: Floats) -> Picture:
    """A picture in which a face is another's."""
    if swapper.emap is None:
        return _hyperswapped(swapper, picture, face, who)
    warp = partial_affine(face.points, arcface_points(swapper.side))
    if warp is None:
        return picture
    return pasted_square(picture, swapper.draw(warped(picture, warp, swapper.side), who), warp)


def _hyperswapped(swapper: Swapper, picture: Picture, face: Spotted, who: Floats) -> Picture:
    side = swapper.side
    warp = partial_affine(face.points, HYPERSWAP_POINTS * (side / 256))
    if warp is None:
        return picture
    size = picture.shape[1], picture.shape[0]
    crop = cv2.warpAffine(
        picture, warp, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )
    drawn = swapper.draw(np.asarray(crop, dtype=np.uint8), who).astype(np.float32) / 255
    oval = np.zeros((side, side), dtype=np.float32)
    axes = int(side * 0.35), int(side * 0.4)
    cv2.ellipse(oval, (side // 2, side // 2), axes, 0, 0, 360, 1.0, -1)
    oval = np.clip(cv2.GaussianBlur(oval, (15, 15), 0), 0, 1)
    back = cv2.WARP_INVERSE_MAP
    there = cv2.warpAffine(drawn, warp, size, flags=cv2.INTER_LANCZOS4 | back)
    mask = cv2.warpAffine(oval, warp, size, flags=cv2.INTER_CUBIC | back, borderValue=0.0)
    mask = cv2.GaussianBlur(np.clip(mask, 0, 1), (3, 3), 0)[..., None]
    mixed = picture.astype(np.float32) / 255 * (1 - mask) + np.clip(there, 0, 1) * mask
    return (mixed * 255).clip(0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Boosting:
    """A swapper whose faces are restored before they are put back, where a boost says so."""

    detectors: Detectors
    swapper: Swapper
    boost: Boost | None

    def swapped(self, picture: Picture, face: Spotted, who: Floats) -> Picture:
        """A picture in which a face is another's."""
        swapper, boost = self.swapper, self.boost
        if boost is None or boost.restoring is None or swapper.emap is None:
            return swapped(swapper, picture, face, who)
        warp = partial_affine(face.points, arcface_points(swapper.side))
        if warp is None:
            return picture
        drawn = swapper.draw(warped(picture, warp, swapper.side), who)
        large = restored_crop(self.detectors, boost.restoring, drawn, boost.interpolation)
        scaled = warp * (large.shape[0] / swapper.side)
        return pasted_square(picture, large, scaled, interpolation=cv2.INTER_CUBIC)


def swap_faces(
    detectors: Detectors, image: Tensor, source: Tensor | None, face: Face | None, how: Swap
) -> tuple[Tensor, Face | None]:
    """Pictures with faces of another picture, or with `face`, and the first face of that picture.

    Faces are put into the inputs in the order in which both are named, and begin anew where there
    are more places than faces. Where no face is found, pictures stay as they are.

    Raises:
        TooManyFacesError: that would be too many swaps.
    """
    wanted = how.choosing.of_inputs
    check_swaps(len(image) * len(wanted.places))
    originals = levels(image)
    pictures = list(originals)
    sources, first = _sources(detectors, source, face, how.choosing.of_sources)
    found = [_found(detectors, picture) for picture in pictures]
    boxes: list[list[tuple[float, ...]]] = [[] for _ in pictures]
    turn = 0
    with detectors.opened(how.model, build_swapper) as swapper:
        boosting = Boosting(detectors, swapper, how.boost)
        for place in wanted.places if sources else ():
            who = sources[turn % len(sources)]
            used = False
            for k, faces in enumerate(found):
                target = _at(detectors, originals[k], faces, wanted, place)
                if target is not None:
                    pictures[k] = boosting.swapped(pictures[k], target, who)
                    boxes[k].append(target.box)
                    used = True
            turn += used
    restore = how.restoring is not None and (how.boost is None or how.boost.restore_with_main_after)
    if restore and how.restoring is not None:
        only = how.choosing.restore_swapped_only
        pictures = [
            restored(detectors, how.restoring, picture, box if only and any(boxes) else None)
            for picture, box in zip(pictures, boxes, strict=True)
        ]
    return torch.from_numpy(np.stack(pictures)).float() / 255, first


def swap_like(
    detectors: Detectors, image: Tensor, source: Tensor, reference: Tensor, how: Swap
) -> Tensor:
    """As `swap_faces`: in each picture the face that is most like the largest of a reference.

    Raises:
        NoFaceError: there is none in the reference, or in `source`.
    """
    wanted = _largest_unit(detectors, reference, "reference_image")
    _largest_unit(detectors, source, "source_image")
    done = []
    for one in image.split(1):
        picture = levels(one)[0]
        faces = in_order(_found(detectors, picture), how.choosing.input_faces_order)
        alike = [float(_unit(detectors, picture, face) @ wanted) for face in faces[:MOST_CHOSEN]]
        if not alike:
            done.append(one)
            continue
        place = str(alike.index(max(alike)))
        chosen = replace(how, choosing=replace(how.choosing, input_faces_index=place))
        done.append(swap_faces(detectors, one, source, None, chosen)[0])
    return torch.cat(done)


def _largest_unit(detectors: Detectors, image: Tensor, name: str) -> Floats:
    picture = levels(image)[0]
    faces = in_order(_found(detectors, picture), "large-small")
    if not faces:
        raise NoFaceError(name, 1)
    return _unit(detectors, picture, faces[0])


def _unit(detectors: Detectors, picture: Picture, face: Spotted) -> Floats:
    who = known(detectors, BUFFALO, picture, face, aligned).embedding.numpy()
    return np.asarray(who / (np.linalg.norm(who) or 1.0))


def _found(detectors: Detectors, picture: Picture) -> list[Spotted]:
    with detectors.opened(BUFFALO.file(DETECTION), build_detector) as network:
        for side in LOOKED_AT:
            if found := spotted(network, picture, side):
                return found
    return []


def _sources(
    detectors: Detectors, source: Tensor | None, face: Face | None, chosen: Chosen
) -> tuple[list[Floats], Face | None]:
    """Who is put into the pictures, and the first face that was seen."""
    if source is None:
        if face is None or not _fits(chosen.gender, face.female):
            return [], face
        return [face.embedding.numpy()], face
    picture = levels(source)[0]
    found = _found(detectors, picture)
    if not found:
        return [], None
    targets = (_at(detectors, picture, found, chosen, place) for place in chosen.places)
    faces = [known(detectors, BUFFALO, picture, one, aligned) for one in targets if one is not None]
    return [one.embedding.numpy() for one in faces], face_model(detectors, picture, found[0])


def face_model(detectors: Detectors, picture: Picture, face: Spotted) -> Face:
    """A face as ReActor hands it on."""
    with detectors.opened(BUFFALO.file(ATTRIBUTES), build_attributes) as network:
        female = is_female(network, picture, face)
    return replace(known(detectors, BUFFALO, picture, face, aligned), female=female)


def face_similarity(detectors: Detectors, first: Tensor, second: Tensor) -> float | None:
    """How alike the surest faces of two pictures are, in 0..1; None where one has no face."""
    units = []
    for image in (first, second):
        picture = levels(image)[0]
        found = _found(detectors, picture)
        if not found:
            return None
        units.append(_unit(detectors, picture, found[0]))
    return max(0.0, min(1.0, float(units[0] @ units[1])))


def _at(
    detectors: Detectors, picture: Picture, faces: Sequence[Spotted], chosen: Chosen, place: int
) -> Spotted | None:
    """The face at a place of an order, if there is one, of that gender."""
    ordered = in_order(faces, chosen.order)
    if place >= len(ordered):
        return None
    face: Spotted = ordered[place]
    if chosen.gender == "no":
        return face
    with detectors.opened(BUFFALO.file(ATTRIBUTES), build_attributes) as network:
        return face if _fits(chosen.gender, is_female(network, picture, face)) else None


def _fits(gender: str, female: bool | None) -> bool:
    return gender == "no" or female is None or female == (gender == "female")
