"""Image encoders against transformers' own classes."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

from diffusion.vision.clip_picture import preprocessed
from diffusion.vision.clip_vision import LoadedClipVision, load_clip_vision, read_config
from graph.errors import BadModelFile
from tests.diffusion.image_files import PATCH, SEEN, SIDE, WIDTH, image_encoder
from tests.diffusion.model_files import CPU, written
from tests.diffusion.narrow_stage import drawn

LAYER = "vision_model.encoder.layers."
OPEN_CLIP = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}


def open_clips(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same weights as OpenCLIP names and joins them."""
    found = {
        "visual.class_embedding": tensors["vision_model.embeddings.class_embedding"],
        "visual.conv1.weight": tensors["vision_model.embeddings.patch_embedding.weight"],
        "visual.positional_embedding": tensors["vision_model.embeddings.position_embedding.weight"],
        "visual.proj": tensors["visual_projection.weight"].T.contiguous(),
    }
    for kind in ("weight", "bias"):
        found[f"visual.ln_pre.{kind}"] = tensors[f"vision_model.pre_layrnorm.{kind}"]
        found[f"visual.ln_post.{kind}"] = tensors[f"vision_model.post_layernorm.{kind}"]
        for i in range(2):
            block = f"visual.transformer.resblocks.{i}."
            for ours, theirs in OPEN_CLIP.items():
                found[f"{block}{theirs}.{kind}"] = tensors[f"{LAYER}{i}.{ours}.{kind}"]
            thirds = [tensors[f"{LAYER}{i}.self_attn.{p}_proj.{kind}"] for p in "qkv"]
            found[f"{block}attn.in_proj_{kind}"] = torch.cat(thirds)
    return found


def loaded(tensors: dict[str, Tensor], folder: Path) -> LoadedClipVision:
    found = load_clip_vision(written(folder, tensors), dtype=torch.float32, device=CPU)
    assert isinstance(found, LoadedClipVision)
    return found


@pytest.mark.parametrize("layout", [dict, open_clips], ids=["transformers", "open_clip"])
def test_an_encoder_sees_what_transformers_does(
    layout: type[dict[str, Tensor]], tmp_path: Path
) -> None:
    config = CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        projection_dim=SEEN,
        num_hidden_layers=2,
        num_attention_heads=1,
        image_size=SIDE,
        patch_size=PATCH,
    )
    theirs = CLIPVisionModelWithProjection(config).train(mode=False)
    theirs.load_state_dict(image_encoder(), strict=False)
    image = drawn(1, 2, SIDE, SIDE, 3).clamp(0, 1)
    pixels = CLIPImageProcessor(do_resize=False, do_center_crop=False, do_rescale=False)(
        (image * 255).round() / 255, return_tensors="pt", input_data_format="channels_last"
    )["pixel_values"]
    with torch.inference_mode():
        expected = theirs(pixels, output_hidden_states=True)
    seen = loaded(layout(image_encoder()), tmp_path).see(image)
    torch.testing.assert_close(seen.image_embeds, expected.image_embeds, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        seen.last_hidden_state, expected.last_hidden_state, rtol=1e-4, atol=1e-4
    )
    torch.testing.assert_close(
        seen.penultimate_hidden_states, expected.hidden_states[-2], rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    ("width", "layers", "heads", "activation"),
    [
        (768, 12, 12, "quick_gelu"),
        (1024, 24, 16, "quick_gelu"),
        (1280, 32, 16, "gelu"),
        (1280, 4, 16, "gelu"),
        (1664, 48, 16, "gelu"),
    ],
)
def test_widths_and_depths_tell_whose_encoder_it_is(
    width: int, layers: int, heads: int, activation: str, tmp_path: Path
) -> None:
    shapes = {
        "vision_model.embeddings.patch_embedding.weight": (width, 3, 14, 14),
        "vision_model.embeddings.position_embedding.weight": (257, width),
        "visual_projection.weight": (SEEN, width),
        **{f"{LAYER}{i}.mlp.fc1.weight": (4 * width, width) for i in range(layers)},
    }
    part = written(tmp_path, {"a": torch.zeros(1)})
    config = read_config(part, shapes)
    assert (config["num_attention_heads"], config["hidden_act"]) == (heads, activation)
    assert (config["num_hidden_layers"], config["image_size"]) == (layers, 224)


def test_a_picture_is_cropped_in_the_middle_or_squeezed() -> None:
    left_to_right = torch.linspace(0, 1, 112).view(1, 1, 112, 1).expand(1, 56, 112, 4)
    cropped = preprocessed(left_to_right, 28, crop=True)
    squeezed = preprocessed(left_to_right, 28, crop=False)
    assert cropped.shape == squeezed.shape == (1, 3, 28, 28)
    spread = [(x[0, 0, 14, -1] - x[0, 0, 14, 0]) * 0.26862954 for x in (cropped, squeezed)]
    assert [round(float(s), 1) for s in spread] == [0.5, 1.0]


@pytest.mark.parametrize("missing", ["visual_projection.weight", f"{LAYER}1.mlp.fc1.bias"])
def test_an_incomplete_encoder_is_refused(missing: str, tmp_path: Path) -> None:
    tensors = image_encoder()
    del tensors[missing]
    with pytest.raises(BadModelFile, match=r"m\.safetensors"):
        loaded(tensors, tmp_path)


def test_a_file_without_an_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadModelFile, match="no image encoder in it"):
        loaded({"a": torch.zeros(1)}, tmp_path)
