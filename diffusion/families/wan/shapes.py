"""Detects the configuration of Wan's transformer from its tensors' names and shapes.

In two layouts: the published one, and diffusers'. Depths and widths are the file's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from diffusion.dit.reading import check_heads, counted, read
from diffusion.families.wan.names import published
from diffusion.weights import Weights

HEAD = 128  # channels of a head
PATCH = 2  # latent pixels along a side of a token
# Any two of them tell a Wan, so that a file that lacks the third is said to be incomplete.
MARKS = ("head.modulation", "text_embedding.0.weight", "time_projection.1.weight")
UNSERVED: Mapping[str, str] = {
    "casual_audio_encoder.encoder.final_linear.weight": "speech to video (S2V)",
    "audio_proj.audio_proj_glob_1.layer.bias": "HuMo",
    "face_adapter.fuser_blocks.0.k_norm.weight": "Animate",
}
WAN22_CHANNELS = 48  # of the latents of Wan 2.2's own autoencoder


@dataclass(frozen=True)
class WanShape:
    """A transformer of Wan 2.1 or 2.2. What a model does not have is 0."""

    in_channels: int
    out_channels: int
    width: int
    mlp: int
    depth: int
    context_dim: int
    time_dim: int
    image_dim: int = 0  # of an image encoder's states
    image_tokens: int = 0  # of the table of their positions
    vace_depth: int = 0
    vace_channels: int = 0
    reference_channels: int = 0
    camera_channels: int = 0
    camera_layers: int = 0

    @property
    def frames_have_times(self) -> bool:
        """Whether frames that are known are told so by their time (ComfyUI's WAN22)."""
        return self.out_channels == WAN22_CHANNELS

    @property
    def vace_places(self) -> Mapping[int, int]:
        """The block behind which each VACE block is heard."""
        step = self.depth // self.vace_depth if self.vace_depth else self.depth
        places = range(0, self.depth, step) if self.vace_depth else ()
        return {place: index for index, place in enumerate(places)}


def read_shape(weights: Weights) -> WanShape | None:
    """The shape of the transformer in `weights` (names without prefix); None where there is none.

    Raises:
        BadModelFile: a transformer that is damaged, or built as none is known to be.
    """
    weights = published(weights)
    if sum(mark in weights for mark in MARKS) < len(MARKS) - 1:
        return None
    for mark, title in UNSERVED.items():
        if mark in weights:
            raise weights.bad(problem=f"it is a Wan model of {title}, which is not served here")
    shape = read(weights, _shape)
    check_heads(weights, width=shape.width, head=HEAD, unit=HEAD)
    if shape.vace_depth and (
        shape.vace_depth > shape.depth or len(shape.vace_places) != shape.vace_depth
    ):
        problem = f"its transformer has {shape.depth} blocks and {shape.vace_depth} of VACE"
        raise weights.bad(problem=problem)
    return shape


def _shape(weights: Weights) -> WanShape:
    width, in_channels = weights.shape("patch_embedding.weight")[:2]
    return WanShape(
        in_channels=in_channels,
        out_channels=weights.shape("head.head.weight")[0] // PATCH**2,
        width=width,
        mlp=weights.shape("blocks.0.ffn.0.weight")[0],
        depth=counted(weights, "blocks.{}."),
        context_dim=weights.shape("text_embedding.0.weight")[1],
        time_dim=weights.shape("time_embedding.0.weight")[1],
        image_dim=_side(weights, "img_emb.", "img_emb.proj.1.weight", 1),
        image_tokens=_side(weights, "img_emb.emb_pos", "img_emb.emb_pos", 1),
        vace_depth=counted(weights, "vace_blocks.{}."),
        vace_channels=_side(weights, "vace_blocks.", "vace_patch_embedding.weight", 1),
        reference_channels=_side(weights, "ref_conv.", "ref_conv.weight", 1),
        camera_channels=_side(weights, "control_adapter.", "control_adapter.conv.weight", 1),
        camera_layers=counted(weights, "control_adapter.residual_blocks.{}."),
    )


def _side(weights: Weights, start: str, name: str, axis: int) -> int:
    """The size of a tensor, 0 where nothing in the file has such a start."""
    return weights.shape(name)[axis] if any(key.startswith(start) for key in weights) else 0
