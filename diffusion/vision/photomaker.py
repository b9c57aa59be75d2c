"""PhotoMaker: a person's picture in place of a prompt's word (Li et al. 2023).

(ComfyUI comfy_extras/nodes_photomaker.py)
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from diffusion.networks.filling import copied, fill, size_of
from diffusion.vision.clip_picture import preprocessed
from diffusion.vision.clip_vision import LoadedClipVision, load_clip_vision
from diffusion.weights import Weights
from graph.errors import ServiceError
from graph.values import Conditioning

PREFIXES = ("", "id_encoder.")
FUSE, SECOND = "fuse_module.", "visual_projection_2.weight"
NORM = "layer_norm.weight"


@dataclass(eq=False)
class IdentityPlaceError(ServiceError):
    """A prompt that has no token where a person's picture is to be, or is of another width."""

    status = 422
    code = "identity_place_invalid"
    template = (
        "Input 'text': a picture takes the place of token {token} of width {width}, "
        "the prompt has {tokens} of width {received}."
    )
    token: int
    width: int
    tokens: int
    received: int


class Mlp(nn.Module):
    """Two layers behind a norm."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.layernorm = nn.LayerNorm(into)
        self.fc1 = nn.Linear(into, out)
        self.fc2 = nn.Linear(out, out)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.fc2(functional.gelu(self.fc1(self.layernorm(x))))
        return answer


class Fuse(nn.Module):
    """Makes one token of a prompt's and of a person."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp1 = Mlp(2 * width, width)
        self.mlp2 = Mlp(width, width)
        self.layer_norm = nn.LayerNorm(width)

    def forward(self, token: Tensor, person: Tensor) -> Tensor:
        """Both [1, D]."""
        x = self.mlp1(torch.cat([token, person], dim=-1)) + token
        x = self.mlp2(x) + x
        answer: Tensor = self.layer_norm(x)
        return answer


@dataclass(frozen=True, eq=False)
class LoadedPhotoMaker:
    """An image encoder with a second projection, and what fuses both with a token."""

    seeing: LoadedClipVision
    second: Tensor
    fuse: Fuse
    width: int

    @property
    def size(self) -> int:
        """Bytes."""
        return self.seeing.size + self.second.nbytes + size_of(self.fuse)

    @torch.inference_mode()
    def __call__(self, image: Tensor, token: Tensor) -> Tensor:
        """The first of pictures [B, H, W, C] fused with a prompt's token [1, D]."""
        own = self.seeing.module
        x = preprocessed(
            image[:1].to(self.second.device, torch.float32), self.seeing.side, crop=True
        )
        shared = own.vision_model(x.to(self.second.dtype)).pooler_output
        person = [own.visual_projection(shared), functional.linear(shared, self.second)]
        fused: Tensor = self.fuse(token.to(self.second), torch.cat(person, dim=-1))
        return fused.float().cpu()


def load_photomaker(
    weights: Weights, *, dtype: torch.dtype, device: torch.device
) -> LoadedPhotoMaker:
    """Raises BadModelFile where something is missing, or nothing of it is there."""
    parts = (weights.under(prefix) if prefix else weights for prefix in PREFIXES)
    part = next((own for own in parts if FUSE + NORM in own and SECOND in own), None)
    if part is None:
        examples = ", ".join(sorted(weights)[:3])
        raise weights.bad(problem=f"no PhotoMaker in it, but {examples} ...")
    own = part.under(FUSE)
    (width,) = own.shape(NORM) if len(own.shape(NORM)) == 1 else (0,)
    with torch.device("meta"):
        fuse = Fuse(width)
    fill(fuse, weights, {key: copied(own[key], dtype, device) for key in own})
    seeing = load_clip_vision(part, dtype=dtype, device=device)
    if not isinstance(seeing, LoadedClipVision):
        raise weights.bad(problem="its image encoder is no CLIP")
    second = copied(part[SECOND], dtype, device)
    config = seeing.module.config
    seen = (second.ndim, *second.shape[1:], config.projection_dim + len(second))
    if seen != (2, config.hidden_size, width):
        raise weights.bad(problem=f"its projections do not make tokens of width {width}")
    return LoadedPhotoMaker(seeing, second, fuse, width)


def with_person(
    conditioning: Conditioning, loaded: LoadedPhotoMaker, image: Tensor, place: int
) -> Conditioning:
    """Prompts whose token at `place` is a person's. Raises IdentityPlaceError."""
    conditions = []
    for condition in conditioning:
        tokens = torch.as_tensor(condition.tokens).clone()
        if place >= tokens.shape[1] or tokens.shape[2] != loaded.width:
            raise IdentityPlaceError(place, loaded.width, *tokens.shape[1:])
        tokens[:, place] = loaded(image, tokens[0, place][None])
        conditions.append(replace(condition, tokens=tokens))
    return tuple(conditions)
