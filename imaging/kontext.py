"""The picture sizes that Flux Kontext was trained on."""

from torch import Tensor

from imaging.resize import resize_image

# Width and height, of about 2**20 pixels each. (ComfyUI comfy_extras/nodes_flux.py)
NARROW = (
    (672, 1568),
    (688, 1504),
    (720, 1456),
    (752, 1392),
    (800, 1328),
    (832, 1248),
    (880, 1184),
    (944, 1104),
)
SIZES = (*NARROW, (1024, 1024), *((height, width) for width, height in NARROW[::-1]))


def scaled_for_kontext(image: Tensor) -> Tensor:
    """[B, H, W, C] at the size nearest to it in shape, the middle of it."""
    aspect = image.shape[2] / image.shape[1]
    _, width, height = min((abs(aspect - w / h), w, h) for w, h in SIZES)
    return resize_image(image, width, height, "lanczos", "center")
