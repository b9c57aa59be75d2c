"""Model files of one or two tensors, enough to be taken for what their folders hold."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from tests.preprocessors.face_files import write_faces

TO_TEXT = "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
Shapes = Mapping[str, tuple[int, ...]]
SD15, SDXL = 768, 2048  # width of the text that cross attention reads
CHECKPOINT: Shapes = {
    "model.diffusion_model.input_blocks.0.0.weight": (8, 4, 3, 3),
    "first_stage_model.decoder.conv_in.weight": (8, 4, 3, 3),
}
LORA = "lora_unet_input_blocks_1_1_transformer_blocks_0_attn2_to_k"
UPSCALER: Shapes = {"conv_first.weight": (8, 3, 3, 3), "conv_first.bias": (8,)}
MOTION: Shapes = {
    f"{part}_blocks.{level}.motion_modules.0.temporal_transformer.norm.weight": (8,)
    for part in ("down", "up")
    for level in range(4)
}
VISION: Shapes = {"vision_model.embeddings.class_embedding": (8,)}


def checkpoint(width: int) -> Shapes:
    return {**CHECKPOINT, f"model.diffusion_model.{TO_TEXT}": (8, width)}


def control_net(width: int) -> Shapes:
    return {
        "control_model.zero_convs.0.0.weight": (8, 8, 1, 1),
        f"control_model.{TO_TEXT}": (8, width),
    }


def lora(width: int) -> Shapes:
    return {f"{LORA}.lora_down.weight": (2, width), f"{LORA}.lora_up.weight": (8, 2)}


def ip_adapter(width: int) -> Shapes:
    return {"ip_adapter.1.to_k_ip.weight": (8, width), "image_proj.proj.weight": (8, 8)}


FILES: Mapping[str, Shapes] = {
    "animatediff_models/mm_sd_v15_v2.safetensors": MOTION,
    "checkpoints/v1-5-pruned.safetensors": checkpoint(SD15),
    "checkpoints/v1-5-inpainting.safetensors": checkpoint(SD15),
    "checkpoints/photo/dream_XL.safetensors": checkpoint(SDXL),
    "checkpoints/video/svd_xt.safetensors": {
        **CHECKPOINT,
        "model.diffusion_model.input_blocks.1.0.time_stack.in_layers.0.weight": (8,),
    },
    "clip_vision/CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors": VISION,
    "clip_vision/CLIP-ViT-bigG-14-laion2B-39B-b160k.safetensors": VISION,
    "controlnet/control_v11p_sd15_canny.safetensors": control_net(SD15),
    "controlnet/control_v11p_sd15_scribble.safetensors": control_net(SD15),
    "controlnet/control_v11f1e_sd15_tile.safetensors": control_net(SD15),
    "controlnet/control_v11p_sd15_inpaint.safetensors": control_net(SD15),
    "controlnet/diffusers_xl_canny_full.safetensors": control_net(SDXL),
    "ipadapter/ip-adapter_sd15.safetensors": ip_adapter(SD15),
    "ipadapter/ip-adapter_sdxl.safetensors": ip_adapter(SDXL),
    "loras/ink.safetensors": lora(SD15),
    "loras/styles/fog.safetensors": lora(SD15),
    "upscale_models/RealESRGAN_x4plus.safetensors": UPSCALER,
    "vae/vae-ft-mse.safetensors": {"decoder.conv_in.weight": (8, 4, 3, 3)},
}


def write_models(folder: Path) -> Path:
    """The files, in a models folder."""
    for name, shapes in FILES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file({key: np.zeros(shape, np.float16) for key, shape in shapes.items()}, file)
    write_faces(folder)
    return folder
