"""What files are, by the names and shapes of real ones and of broken ones."""

import gzip
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from graph.model_files.header import Entry, Header
from storage.models.checks import Facts, facts_of

CONTRACT = Path(__file__).parent.parent / "contract"
Shapes = Mapping[str, tuple[int, ...]]
CROSS = "transformer_blocks.0.attn2.to_k"


def header(shapes: Shapes) -> Header:
    return Header({name: Entry(tuple(shape), "F16") for name, shape in shapes.items()}, {})


def recorded(name: str, model: str) -> Shapes:
    document = json.loads(gzip.decompress((CONTRACT / f"{name}.json.gz").read_bytes()))
    return dict(document[model])


@pytest.mark.parametrize(
    ("file", "model", "folder", "kind", "family"),
    [
        ("unet_shapes", "sd15", "checkpoints", "diffusion_model", "sd15"),
        ("unet_shapes", "sd20", "diffusion_models", "diffusion_model", "sd20"),
        ("unet_shapes", "sdxl", "checkpoints", "diffusion_model", "sdxl"),
        ("unet_shapes", "koala_1b", "checkpoints", "diffusion_model", "sdxl"),
        ("unet_shapes", "refiner", "checkpoints", "diffusion_model", "refiner"),
        ("controlnet_shapes", "controlnet", "controlnet", "controlnet", "sd15"),
        ("controlnet_shapes", "union", "controlnet", "controlnet", ""),
        ("controlnet_shapes", "full", "controlnet", "t2i_adapter", ""),
        ("controlnet_shapes", "light", "controlnet", "t2i_adapter", ""),
        ("vae_shapes", "vae4", "vae", "vae", ""),
        ("text_encoder_shapes", "sdxl", "text_encoders", "text_encoder", ""),
    ],
)
def test_files_of_public_models_are_what_they_are(
    file: str, model: str, folder: str, kind: str, family: str
) -> None:
    models = json.loads(gzip.decompress((CONTRACT / f"{file}.json.gz").read_bytes()))
    assert facts_of(header(models[model]), folder) == Facts(kind, family, None)


MOTION = "down_blocks.0.motion_modules.0.temporal_transformer"
MOTION_KEY = f"{MOTION}.transformer_blocks.0.attention_blocks.0"


@pytest.mark.parametrize(
    ("name", "folder", "kind"),
    [
        (f"{MOTION}.norm.weight", "animatediff_models", "motion_module"),
        (f"module.{MOTION_KEY}.to_q.weight", "animatediff_models", "motion_module"),
        (
            "down_blocks.0.temporal_attentions.0.norm.weight",
            "animatediff_models",
            "motion_module",
        ),
        (
            f"{MOTION_KEY}.processor.to_q_lora.down.weight",
            "animatediff_motion_lora",
            "motion_lora",
        ),
        ("middle_block.1.transformer_blocks.0.fuser.alpha_attn", "gligen", "gligen"),
        ("id_encoder.fuse_module.mlp1.fc1.weight", "photomaker", "photomaker"),
    ],
)
def test_what_belongs_to_models_has_folders_of_its_own(name: str, folder: str, kind: str) -> None:
    file = header({name: (320, 320), name.replace(".down.", ".up."): (320, 320)})
    assert facts_of(file, folder) == Facts(kind, "", None)
    assert facts_of(file, "checkpoints").problem is not None


@pytest.mark.parametrize(
    ("shapes", "folder", "kind", "family"),
    [
        (
            {f"lora_unet_{CROSS.replace('.', '_')}.lora_{end}.weight": shape for end, shape in
             (("down", (4, 2048)), ("up", (640, 4)))},
            "loras", "lora", "sdxl",
        ),
        ({f"unet.{CROSS}.lora_A.weight": (4, 768), f"unet.{CROSS}.lora_B.weight": (320, 4)},
         "loras", "lora", "sd15"),
        ({f"unet.{CROSS}_lora.down.weight": (4, 1024), f"unet.{CROSS}_lora.up.weight": (320, 4)},
         "loras", "lora", "sd20"),
        ({"lora_te_text_model_encoder_layers_0_mlp_fc1.hada_w1_a": (8, 8)}, "loras", "lora", ""),
        ({"lycoris_x.lokr_w1": (8, 8), "lycoris_x.lokr_w2": (4, 4)}, "loras", "lora", ""),
        ({"lora_unet_x.a1.weight": (8, 8)}, "loras", "lora", ""),
        ({"body.0.a1.weight": (8, 8, 3, 3)}, "upscale_models", "unknown", ""),
        ({"lora_controlnet": (0,), f"input_blocks.1.1.{CROSS}.down": (8, 2048)},
         "controlnet", "control_lora", "sdxl"),
        ({"ip_adapter.1.to_k_ip.weight": (320, 768), "ip_adapter.1.to_v_ip.weight": (320, 768),
          "image_proj.proj.weight": (3072, 1024)},
         "ipadapter", "ip_adapter", "sd15"),
        ({"vision_model.embeddings.patch_embedding.weight": (1280, 3, 14, 14)},
         "clip_vision", "clip_vision", ""),
        ({"visual.conv1.weight": (1280, 3, 14, 14)}, "clip_vision", "clip_vision", ""),
        ({"style_embedding": (1, 8, 1024)}, "style_models", "style_model", ""),
        ({"emb_params": (2, 768)}, "embeddings", "embedding", ""),
        ({"taesd_decoder.1.weight": (64, 4, 3, 3)}, "vae", "vae", ""),
        ({"conv_first.weight": (64, 3, 3, 3)}, "upscale_models", "upscaler", ""),
        ({"layers.0.attn.qkv.weight": (180, 60), "last.weight": (3, 60, 3, 3)},
         "upscale_models", "unknown", ""),
    ],
)  # fmt: skip
def test_what_a_name_tells(shapes: Shapes, folder: str, kind: str, family: str) -> None:
    assert facts_of(header(shapes), folder) == Facts(kind, family, None)


def test_a_diffusion_model_with_its_autoencoder_is_a_checkpoint_and_a_file_for_an_autoencoder() -> (
    None
):
    unet = recorded("unet_shapes", "sd15_slim_inpaint")
    whole = {f"model.diffusion_model.{name}": shape for name, shape in unet.items()}
    whole["first_stage_model.decoder.conv_in.weight"] = (512, 4, 3, 3)
    for folder in ("checkpoints", "vae"):
        assert facts_of(header(whole), folder) == Facts("checkpoint", "sd15", None)


@pytest.mark.parametrize(
    ("shapes", "folder", "problem"),
    [
        ({"conv_first.weight": (64, 3, 3, 3)}, "loras", "it is an upscaler, not a LoRA"),
        ({"x.lora_up.weight": (4, 4)}, "checkpoints", "it is a lora, not a diffusion model"),
        ({"vision_model.embeddings.x": (4,)}, "ipadapter", "a clip vision, not an IP-Adapter"),
        ({"a": (1,), "b": (2,)}, "controlnet", "no ControlNet or T2I-Adapter in it; found 2"),
        (
            {"x.lora_up.weight": (9, 4), "x.lora_down.weight": (8, 9)},
            "loras",
            "'x.lora_up' is of rank 4, its other half of rank 8",
        ),
        ({"x.lora_B.weight": (9,), "x.lora_A.weight": (8, 9)}, "loras", "its other half"),
        (
            {"zero_convs.0.0.weight": (320, 64, 1, 1)},
            "controlnet",
            "not a square convolution",
        ),
        (
            {"conv_first.weight": (64, 3, 3, 3), "conv_first.bias": (32,)},
            "upscale_models",
            "'conv_first.bias' has 32 numbers, its weight is (64, 3, 3, 3)",
        ),
        ({"weight": (64, 3)}, "upscale_models", "no upscaling model in it; found 1 tensors"),
        ({"step": ()}, "embeddings", "no embedding in it; found 1 tensors such as step"),
        ({"image_proj.norm.weight": (4,)}, "ipadapter", "only a part of an IP-Adapter"),
        (
            {"image_proj.x": (4,), "ip_adapter.1.to_k_ip.weight": (320, 768),
             "ip_adapter.1.to_v_ip.weight": (320, 640)},
            "ipadapter", "are (320, 768) and (320, 640)",
        ),
        (
            {"vision_model.embeddings.class_embedding": (1280,),
             "vision_model.embeddings.patch_embedding.weight": (1024, 3, 14, 14),
             "vision_model.embeddings.position_ids": (1, 257)},
            "clip_vision", "embeddings are of different widths",
        ),
    ],
)  # fmt: skip
def test_a_broken_or_misplaced_file_says_why(shapes: Shapes, folder: str, problem: str) -> None:
    found = facts_of(header(shapes), folder).problem
    assert found is not None
    assert problem in found


@pytest.mark.parametrize(
    ("shapes", "folder", "layers"),
    [
        (
            {"model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3),
             f"model.diffusion_model.input_blocks.1.1.{CROSS}.weight": (320, 768),
             f"model.diffusion_model.input_blocks.4.1.{CROSS}.weight": (640, 768),
             "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_out.0.weight":
                 (320, 320)},
            "checkpoints",
            {"attn2.to_k": {(320, 768), (640, 768)}, "attn1.to_out": {(320, 320)}},
        ),
        (
            {"lora_unet_down_blocks_0_ff_net_0_proj.lora_up.weight":
                 (2560, 4),
             "lora_unet_down_blocks_0_ff_net_0_proj.lora_down.weight":
                 (4, 320)},
            "loras", {"ff.net.0.proj": {(2560, 320)}},
        ),
        (
            {"unet.mid_block.0.attn1.processor.to_q_lora.up.weight":
                 (1280, 4),
             "unet.mid_block.0.attn1.processor.to_q_lora.down.weight":
                 (4, 1280)},
            "loras", {"attn1.to_q": {(1280, 1280)}},
        ),
        (
            {"image_proj.x": (1,), "ip_adapter.1.to_k_ip.weight": (320, 768),
             "ip_adapter.1.to_v_ip.weight": (320, 768)},
            "ipadapter", {"attn2.to_k": {(320, 768)}, "attn2.to_v": {(320, 768)}},
        ),
        ({"conv_first.weight": (64, 3, 3, 3)}, "upscale_models", {}),
    ],
    ids=["base", "kohya", "diffusers", "pictures", "none"],
)  # fmt: skip
def test_layers_have_one_name_in_all_files(
    shapes: Shapes, folder: str, layers: dict[str, set[tuple[int, int]]]
) -> None:
    assert facts_of(header(shapes), folder).layers == layers
