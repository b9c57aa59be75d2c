"""ControlNet hints, made by the image stage. `resolution_px` is the shorter side of the result."""

from typing import Any, Protocol

from graph.annotators import Annotator
from graph.values import Image, Keypoints, Mask


class Hints(Protocol):
    """ControlNet hints that need no network."""

    def canny_edges(
        self, image: Image, low_threshold: int, high_threshold: int, resolution_px: int
    ) -> Image: ...

    def pyramid_canny(
        self, image: Image, low_threshold: int, high_threshold: int, resolution_px: int
    ) -> Image: ...

    def scribble(self, image: Image, resolution_px: int) -> Image: ...

    def scribble_xdog(self, image: Image, threshold: int, resolution_px: int) -> Image: ...

    def binary_lines(self, image: Image, threshold: int, resolution_px: int) -> Image: ...

    def standard_lineart(
        self, image: Image, sigma_px: float, threshold: float, resolution_px: int
    ) -> Image: ...

    def color_palette(self, image: Image, resolution_px: int) -> Image: ...

    def shuffle_content(self, image: Image, resolution_px: int, seed: int) -> Image: ...

    def tile(self, image: Image, halvings: int) -> Image: ...

    def tile_simple(self, image: Image, scale_factor: float, blur_strength: float) -> Image: ...

    def luminance(self, image: Image, gamma: float, resolution_px: int) -> Image: ...

    def intensity(self, image: Image, gamma: float, resolution_px: int) -> Image: ...

    def inpaint_hint(self, image: Image, mask: Mask, *, black: bool) -> Image: ...


class LineDetectors(Protocol):
    """Lines and edges that networks find. `detectors` has the networks."""

    @property
    def detectors(self) -> Any: ...

    def hed_edges(
        self,
        detectors: Any,
        image: Image,
        resolution_px: int,
        *,
        safe: bool,
        scribble: bool = False,
    ) -> Image: ...

    def pidinet_edges(
        self,
        detectors: Any,
        image: Image,
        resolution_px: int,
        *,
        safe: bool,
        scribble: bool = False,
    ) -> Image: ...

    def teed_edges(
        self,
        detectors: Any,
        image: Image,
        resolution_px: int,
        *,
        safe_steps: int,
        weights: Annotator = ...,
    ) -> Image: ...

    def realistic_lineart(
        self, detectors: Any, image: Image, resolution_px: int, *, coarse: bool
    ) -> Image: ...

    def anime_lineart(self, detectors: Any, image: Image, resolution_px: int) -> Image: ...

    def manga_lineart(self, detectors: Any, image: Image, resolution_px: int) -> Image: ...

    def straight_lines(
        self,
        detectors: Any,
        image: Image,
        resolution_px: int,
        *,
        score_threshold: float,
        length_threshold: float,
    ) -> Image: ...

    def any_lines(
        self,
        edges: Image,
        lines: Image,
        *,
        bounds: tuple[float, float],
        smallest_px: int,
        connectivity: int,
    ) -> Image: ...


class DepthDetectors(Protocol):
    """Depth and normals that networks estimate."""

    @property
    def detectors(self) -> Any: ...

    def midas_depth(self, detectors: Any, image: Image, resolution_px: int) -> Image: ...

    def midas_normals(
        self, detectors: Any, image: Image, resolution_px: int, *, a: float, background: float
    ) -> Image: ...

    def zoe_depth(self, detectors: Any, image: Image, resolution_px: int) -> Image: ...

    def leres_depth(
        self, detectors: Any, image: Image, resolution_px: int, *, nearest: float, background: float
    ) -> Image: ...

    def depth_anything(
        self, detectors: Any, image: Image, resolution_px: int, ckpt_name: str
    ) -> Image: ...

    def depth_anything_v2(
        self, detectors: Any, image: Image, resolution_px: int, ckpt_name: str
    ) -> Image: ...

    def bae_normals(self, detectors: Any, image: Image, resolution_px: int) -> Image: ...


class PoseDetectors(Protocol):
    """People that networks find."""

    @property
    def detectors(self) -> Any: ...

    def openpose(
        self,
        detectors: Any,
        image: Image,
        resolution_px: int,
        *,
        body: bool,
        hand: bool,
        face: bool,
        wide_sticks: bool,
    ) -> tuple[Image, Keypoints]: ...

    def dwpose(
        self,
        detectors: Any,
        image: Image,
        resolution_px: int,
        *,
        people: Annotator | None,
        points: Annotator,
        body: bool,
        hand: bool,
        face: bool,
        wide_sticks: bool,
    ) -> tuple[Image, Keypoints]: ...


class Segmentation(Protocol):
    """Pictures in which each pixel has the color of what it shows."""

    @property
    def detectors(self) -> Any: ...

    def segments_ade20k(self, detectors: Any, image: Image, resolution_px: int) -> Image: ...

    def segments_coco(self, detectors: Any, image: Image, resolution_px: int) -> Image: ...

    def segments_uniformer(self, detectors: Any, image: Image, resolution_px: int) -> Image: ...
