"""Faces, found, known, swapped and restored by the image stage."""

from typing import Any, Protocol

from graph.faces import Face, FaceAnalysis, Faces, Restoring, Swap
from graph.values import Image


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

    def swap_faces(
        self, detectors: Any, image: Image, source: Image | None, face: Face | None, how: Swap
    ) -> tuple[Image, Face | None]: ...

    def face_similarity(self, detectors: Any, first: Image, second: Image) -> float | None: ...

    def restored_pictures(self, detectors: Any, image: Image, how: Restoring) -> Image: ...
