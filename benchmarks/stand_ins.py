"""Puts small files under the names that templates use, for a server that templates are posted to.

Usage: python -m benchmarks.stand_ins TEMPLATES MODELS SMALL [SMALL ...]

SMALL are folders that tests/parity/make_models.py or `benchmarks.small_models` filled. Those of
their files that the templates of a release need are linked into MODELS; names that no file stands
in for are printed.
"""

import argparse
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

from benchmarks.templates import RUNS, judged, needed, open_templates, read

# Folder and name, in small letters; what stands in for it. The first that fits counts.
STAND_INS: tuple[tuple[str, str], ...] = (
    ("checkpoints/512-inpainting*", "checkpoints/parity_sd15_inpaint"),
    ("checkpoints/svd*", "checkpoints/parity_svd"),
    ("checkpoints/ltx-video*", "checkpoints/parity_ltxv"),
    ("checkpoints/sd_xl*", "checkpoints/parity_sdxl"),
    ("checkpoints/sd3.5*", "checkpoints/parity_sd3"),
    ("checkpoints/flux1*", "diffusion_models/parity_flux_dev"),
    ("checkpoints/netayume*", "checkpoints/parity_netayume"),
    ("checkpoints/*", "checkpoints/parity_sd15"),
    ("controlnet/control_v11*", "controlnet/parity_control"),
    ("controlnet/qwen-image-instantx-controlnet-inpainting*", "controlnet/parity_qwen_inpaint"),
    ("controlnet/qwen-image-instantx*", "controlnet/parity_qwen_instantx"),
    ("controlnet/qwen-image-2512-fun*", "controlnet/parity_qwen_fun"),
    ("upscale_models/*", "upscale_models/parity_esrgan_x4"),
    ("clip_vision/*", "clip_vision/parity_clip_vision_h"),
    ("model_patches/qwen*", "model_patches/parity_qwen_diffsynth_control"),
    ("text_encoders/clip_l*", "text_encoders/parity_clip_l"),
    ("text_encoders/mistral_3*", "text_encoders/small_mistral_3"),
    ("text_encoders/qwen_2.5_vl_fp16*", "text_encoders/small_qwen_2.5_vl_3b"),
    ("text_encoders/qwen_2.5_vl*", "text_encoders/parity_qwen_2.5_vl_7b_fp8_scaled"),
    ("text_encoders/qwen_3_06b*", "text_encoders/small_qwen_3_06b"),
    ("text_encoders/qwen_3_*", "text_encoders/parity_qwen_3_4b"),
    ("text_encoders/t5xxl*", "text_encoders/parity_t5xxl_cut_fp8_e4m3fn"),
    ("text_encoders/umt5*", "text_encoders/parity_umt5_xxl_fp8_e4m3fn_scaled"),
    ("vae/ae.*", "vae/parity_ae"),
    ("vae/flux2-vae*", "vae/parity_flux2_vae"),
    ("vae/full_encoder_small_decoder*", "vae/parity_flux2_vae"),
    ("vae/qwen_image_layered*", "vae/parity_qwen_image_layered_vae"),
    ("vae/qwen_image*", "vae/parity_qwen_image_vae"),
    ("vae/wan2.2*", "vae/parity_wan2.2_vae"),
    ("vae/wan*", "vae/parity_wan_2.1_vae"),
    ("vae/*", "vae/parity_vae"),
    ("diffusion_models/chroma1*", "diffusion_models/parity_chroma_fp8_e4m3fn"),
    ("diffusion_models/flux2_dev*", "diffusion_models/small_flux2_dev"),
    ("diffusion_models/anima*", "diffusion_models/small_anima"),
    ("diffusion_models/omnigen2*", "diffusion_models/small_omnigen2"),
    ("diffusion_models/flux-2-klein-base*", "diffusion_models/parity_flux2_klein"),
    ("diffusion_models/flux-2*", "diffusion_models/parity_flux2_klein"),
    ("diffusion_models/flux*", "diffusion_models/parity_flux_dev"),
    ("diffusion_models/lotus*", "diffusion_models/parity_lotus"),
    ("diffusion_models/qwen_image_layered*", "diffusion_models/parity_qwen_image_layered"),
    ("diffusion_models/qwen*", "diffusion_models/parity_qwen_image_fp8_e4m3fn"),
    ("diffusion_models/firered*", "diffusion_models/parity_qwen_image_fp8_e4m3fn"),
    ("diffusion_models/z_image*", "diffusion_models/parity_z_image_turbo_fp8_e4m3fn"),
    ("diffusion_models/*5b*", "diffusion_models/parity_wan22_ti2v_5b"),
    ("diffusion_models/*flf2v*", "diffusion_models/parity_wan_flf2v"),
    ("diffusion_models/*vace*", "diffusion_models/parity_wan_vace"),
    ("diffusion_models/wan2.1_fun_control*", "diffusion_models/parity_wan_fun_control"),
    ("diffusion_models/wan2.2_i2v_high*", "diffusion_models/parity_wan22_i2v_high"),
    ("diffusion_models/wan2.2_i2v_low*", "diffusion_models/parity_wan22_i2v_low"),
    ("diffusion_models/*t2v*", "diffusion_models/parity_wan_t2v"),
    ("diffusion_models/wan*", "diffusion_models/parity_wan_i2v"),
    ("loras/*z_image*", "loras/parity_z_image_lora"),
    ("loras/wan*", "loras/parity_wan_lora_kohya"),
    ("loras/lightx2v*", "loras/parity_wan_lora_kohya"),
    ("loras/flux_2*", "loras/parity_flux2_lora"),
    ("loras/flux2*", "loras/parity_flux2_lora"),
    ("loras/blindbox*", "loras/parity_lora_a"),
    ("loras/moxin*", "loras/parity_lora_b"),
    ("loras/*", "loras/parity_qwen_lora_lightning"),
)


def stand_in(folder: str, name: str, small: Iterable[Path]) -> Path | None:
    """The small file for a name; None where there is none."""
    wanted = f"{folder}/{name}".lower()
    found = next((file for pattern, file in STAND_INS if fnmatch(wanted, pattern)), None)
    paths = (place / f"{found}.safetensors" for place in small)
    return next((path for path in paths if found and path.exists()), None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("templates", type=Path)
    parser.add_argument("models", type=Path)
    parser.add_argument("small", type=Path, nargs="+")
    given = parser.parse_args()
    running = (
        document
        for name, document in open_templates(given.templates)
        if judged(name, document).status == RUNS
    )
    files = {one for document in running for one in needed(read(document)).files.items()}
    for name, folder in sorted(files):
        path = given.models / folder / name
        source = stand_in(folder, name, given.small)
        if source is None:
            print(f"nothing stands in for {folder}/{name}")
        elif not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(source.resolve())


if __name__ == "__main__":
    main()
