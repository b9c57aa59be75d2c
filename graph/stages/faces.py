"""Faces, found, known, swapped and restored by the image stage, and controls that read them."""

from typing import Any, Protocol

from graph.faces import Face, FaceAnalysis, Faces, Restoring, Swap
from graph.image_prompts import ImagePrompt
from graph.values import Conditioning, ControlNet, Image, Mask


class FaceNetworks(Protocol):
    """What networks know of faces. `detectors` has the networks."""

    @property
    def detectors(self) -> Any: ...

    def faces_of(
        self,
        detectors: Any,
        analysis: FaceAnalysis,
        image: Image,
        *,
        smallest_px: int,
        largest_first: bool,
    ) -> Faces: ...

    def face_keypoints(self, image: Image, faces: Faces, otherwise: Image | None) -> Image: ...

    def images_from_batch(self, image: Image, first: int, length: int) -> Image: ...

    def swap_faces(
        self, detectors: Any, image: Image, source: Image | None, face: Face | None, how: Swap
    ) -> tuple[Image, Face | None]: ...

    def swap_like(
        self, detectors: Any, image: Image, source: Image, reference: Image, how: Swap
    ) -> Image: ...

    def face_similarity(self, detectors: Any, first: Image, second: Image) -> float | None: ...

    def restored_pictures(self, detectors: Any, image: Image, how: Restoring) -> Image: ...


class FaceControls(Protocol):
    """Prompts under a ControlNet that reads faces."""

    def apply_face_control(
        self,
        positive: Conditioning,
        negative: Conditioning,
        net: ControlNet,
        hint: Image,
        prompt: ImagePrompt,
        *,
        strength: float,
        start_percent: float,
        end_percent: float,
        mask: Mask | None = None,
    ) -> tuple[Conditioning, Conditioning]: ...
