"""Depth and normals by MiDaS 3.0, DPT-hybrid (the pack's MidasDetector)."""

from typing import Any

from torch import Tensor

from graph.annotators import MIDAS
from preprocessors.depth import DepthNetwork, dpt_processor, resized, stretched, surface
from preprocessors.detectors import AnnotatorFile, Detectors
from preprocessors.edges import as_levels
from preprocessors.pictures import Picture, at_resolution
from preprocessors.transformers_models import highest, pretrained, renamed, split_attention

HEAD = 64  # channels of one attention head
# From timm's and MiDaS's names to those of transformers' checkpoints.
RULES = [
    (r"^pretrained\.model\.patch_embed\.backbone\.stem\.conv\.", "BIT.embedder.convolution."),
    (r"^pretrained\.model\.patch_embed\.backbone\.stem\.norm\.", "BIT.embedder.norm."),
    (r"^pretrained\.model\.patch_embed\.backbone\.stages\.", "BIT.encoder.stages."),
    (r"(BIT\.encoder\.stages\.\d+)\.blocks\.", r"\1.layers."),
    (r"^BIT\.", "dpt.embeddings.backbone.bit."),
    (r"^pretrained\.model\.patch_embed\.proj\.", "dpt.embeddings.projection."),
    (r"^pretrained\.model\.cls_token", "dpt.embeddings.cls_token"),
    (r"^pretrained\.model\.pos_embed", "dpt.embeddings.position_embeddings"),
    (r"^pretrained\.model\.norm\.", "dpt.layernorm."),
    (r"^pretrained\.model\.blocks\.(\d+)\.norm1\.", r"dpt.encoder.layer.\1.layernorm_before."),
    (r"^pretrained\.model\.blocks\.(\d+)\.norm2\.", r"dpt.encoder.layer.\1.layernorm_after."),
    (r"^pretrained\.model\.blocks\.(\d+)\.mlp\.fc1\.", r"dpt.encoder.layer.\1.intermediate.dense."),
    (r"^pretrained\.model\.blocks\.(\d+)\.mlp\.fc2\.", r"dpt.encoder.layer.\1.output.dense."),
    (
        r"^pretrained\.model\.blocks\.(\d+)\.attn\.proj\.",
        r"dpt.encoder.layer.\1.attention.output.dense.",
    ),
    (
        r"^pretrained\.model\.blocks\.(\d+)\.attn\.attention\.",
        r"dpt.encoder.layer.\1.attention.attention.",
    ),
    (
        r"^pretrained\.act_postprocess3\.0\.project\.0\.",
        "neck.reassemble_stage.readout_projects.2.0.",
    ),
    (
        r"^pretrained\.act_postprocess4\.0\.project\.0\.",
        "neck.reassemble_stage.readout_projects.3.0.",
    ),
    (r"^pretrained\.act_postprocess3\.3\.", "neck.reassemble_stage.layers.2.projection."),
    (r"^pretrained\.act_postprocess4\.3\.", "neck.reassemble_stage.layers.3.projection."),
    (r"^pretrained\.act_postprocess4\.4\.", "neck.reassemble_stage.layers.3.resize."),
    (r"^scratch\.output_conv\.", "head.head."),
]
# What MiDaS and Depth Anything share: the fusion of four scales. The last is fused first.
FUSION = [
    *((rf"scratch\.layer{n}_rn\.", f"neck.convs.{n - 1}.") for n in range(1, 5)),
    *((rf"scratch\.refinenet{n}\.", f"neck.fusion_stage.layers.{4 - n}.") for n in range(1, 5)),
    (r"\.out_conv\.", ".projection."),
    (r"\.resConfUnit(\d)\.", r".residual_layer\1."),
    (r"(residual_layer\d)\.conv(\d)\.", r"\1.convolution\2."),
]


def build_midas(file: AnnotatorFile) -> DepthNetwork:
    """DPT-hybrid from MiDaS's file or transformers' checkpoint."""
    from transformers.models.dpt.configuration_dpt import DPTConfig  # noqa: PLC0415
    from transformers.models.dpt.modeling_dpt import DPTForDepthEstimation  # noqa: PLC0415

    tensors, config = file.tensors(), file.config()
    if "pretrained.model.cls_token" in tensors:
        tensors = renamed(split_attention(tensors), [*RULES, *FUSION])
    known = DPTConfig.from_dict(config or sizes(tensors))
    processor = dpt_processor(
        file.config("preprocessor_config.json"), image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    return DepthNetwork(pretrained(DPTForDepthEstimation, known, tensors), processor)


def sizes(tensors: dict[str, Tensor]) -> dict[str, Any]:
    """The configuration of a DPT-hybrid with these tensors."""
    width = tensors["dpt.embeddings.cls_token"].shape[-1]
    layers = 1 + highest(tensors, r"dpt\.encoder\.layer\.(\d+)\.")
    return {
        "is_hybrid": True,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // HEAD,
        "intermediate_size": tensors["dpt.encoder.layer.0.intermediate.dense.bias"].shape[0],
        "layer_norm_eps": 1e-6,
        "neck_hidden_sizes": [tensors[f"neck.convs.{n}.weight"].shape[1] for n in range(4)],
        "fusion_hidden_size": tensors["neck.convs.0.weight"].shape[0],
    }


def midas_depth(detectors: Detectors, image: Tensor, resolution_px: int) -> Tensor:
    """Depth maps, the nearer the brighter."""

    def draw(picture: Picture) -> Picture:
        return as_levels(stretched(_depth(network, picture)))

    with detectors.loaded(MIDAS, build_midas) as network:
        return at_resolution(image, resolution_px, draw)


def midas_normals(
    detectors: Detectors, image: Tensor, resolution_px: int, *, a: float, background: float
) -> Tensor:
    """Normal maps of the depth; see preprocessors.depth.surface."""

    def draw(picture: Picture) -> Picture:
        depth = _depth(network, picture)
        return surface(depth, stretched(depth), a, background)

    with detectors.loaded(MIDAS, build_midas) as network:
        return at_resolution(image, resolution_px, draw)


def _depth(network: DepthNetwork, picture: Picture) -> Picture:
    return resized(network(picture).predicted_depth, *picture.shape[:2])
