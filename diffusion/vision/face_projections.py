"""What makes tokens of who a face is: FaceID's projections of IP-Adapter, and InstantID's.

Some look at the picture of the face as well. (ComfyUI_IPAdapter_plus: image_proj_models.py)
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from diffusion.networks.filling import copied
from diffusion.vision.ip_adapter import (
    PROJECTIONS,
    ImageEncoderMismatchError,
    Tensors,
    looked_at,
    normed,
    part_of,
    resampled,
)
from diffusion.weights import Weights

FACE = 512  # numbers by which a face is known
SDXL_TEXT = 2048
CROPS = {SDXL_TEXT: 256}  # sides of the pictures of faces, by the width of the tokens
CROP = 224
LOOKING = "perceiver_resampler."
SECOND_VERSION = "plusv2"  # in the names of files, and nowhere in them


@dataclass(frozen=True, eq=False)
class FaceProjection:
    """Makes tokens [B, T, D] of faces [B, 1, 512].

    `unit`: the faces are of length 1. With `width` it looks at what an image encoder saw of them,
    [B, T, width]; then `strength` says how much that counts, where `adds`.
    """

    name: str
    tensors: Tensors
    unit: bool
    width: int | None
    adds: bool
    project: Callable[[Tensors, Tensor], Tensor]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    @property
    def crop_px(self) -> int:
        norm = self.tensors.get("norm.weight", self.tensors.get("norm_out.weight"))
        return CROPS.get(0 if norm is None else len(norm), CROP)

    @torch.inference_mode()
    def __call__(self, who: Tensor, seen: Tensor | None, strength: float) -> Tensor:
        """Raises ImageEncoderMismatchError."""
        like = next(iter(self.tensors.values()))
        tokens = self.project(self.tensors, who.to(like.device, like.dtype))
        if self.width is not None and seen is not None:
            if seen.shape[-1] != self.width:
                raise ImageEncoderMismatchError(self.name, self.width, seen.shape[-1])
            found = looked_at(self.tensors, LOOKING, tokens, seen.to(like.device, like.dtype))
            tokens = tokens + strength * found if self.adds else found
        return tokens.float().cpu()


def projects_faces(weights: Weights) -> bool:
    """Whether a file's projection reads faces, and not pictures."""
    part = part_of(weights, PROJECTIONS)
    if LOOKING + "proj_in.weight" in part:
        return True
    if "latents" in part and "proj_in.weight" in part:
        return part.shape("proj_in.weight")[-1] == FACE
    return "proj.2.weight" in part and "proj.3.weight" not in part


def load_face_projection(
    weights: Weights, *, dtype: torch.dtype, device: torch.device
) -> FaceProjection:
    """The half of a FaceID adapter that makes tokens of faces.

    Raises:
        BadModelFile: it is incomplete, or reads pictures.
    """
    if not projects_faces(weights):
        raise weights.bad(problem="its projection reads pictures, not faces")
    part = part_of(weights, PROJECTIONS)
    tensors = {key: copied(part[key], dtype, device) for key in part}
    whole = "latents" in part
    looks = LOOKING + "proj_in.weight" in part
    try:
        width = part.shape(LOOKING + "proj_in.weight")[1] if looks else None
        project = resampled if whole else known
        made = FaceProjection(
            weights.file.name,
            tensors,
            unit=not whole,
            width=width,
            adds=SECOND_VERSION in weights.file.name.lower(),
            project=project,
        )
        made(torch.zeros(1, 1, FACE), None if width is None else torch.zeros(1, 2, width), 1.0)
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        raise weights.bad(problem=f"its face projection is not whole: {error}") from error
    return made


def known(tensors: Tensors, who: Tensor) -> Tensor:
    """Two linear layers make all tokens of a face [B, 1, 512]."""
    hidden = functional.linear(who, tensors["proj.0.weight"], tensors["proj.0.bias"])
    hidden = functional.gelu(hidden)
    tokens = functional.linear(hidden, tensors["proj.2.weight"], tensors["proj.2.bias"])
    return normed(tensors, "norm", tokens.reshape(len(who), -1, len(tensors["norm.weight"])))
