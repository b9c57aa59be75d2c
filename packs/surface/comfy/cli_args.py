"""comfy.cli_args: the options of the command line, as they are where none is given."""

import argparse
import enum


class LatentPreviewMethod(enum.Enum):
    """How previews are made."""

    NoPreviews = "none"
    Auto = "auto"
    Latent2RGB = "latent2rgb"
    TAESD = "taesd"


class PerformanceFeature(enum.Enum):
    """Options that make it faster."""

    Fp16Accumulation = "fp16_accumulation"
    Fp8MatrixMultiplication = "fp8_matrix_mult"
    CublasOps = "cublas_ops"


args = argparse.Namespace(
    listen="127.0.0.1", port=8188, tls_keyfile=None, tls_certfile=None, enable_cors_header=None,
    max_upload_size=100, base_directory=None, extra_model_paths_config=None, output_directory=None,
    temp_directory=None, input_directory=None, user_directory=None, auto_launch=False,
    cuda_device=None, cuda_malloc=False, disable_cuda_malloc=True, force_fp32=False,
    force_fp16=False, fp32_unet=False, fp16_unet=False, bf16_unet=False, fp8_e4m3fn_unet=False,
    fp8_e5m2_unet=False, fp16_vae=False, fp32_vae=False, bf16_vae=False, cpu_vae=False,
    force_channels_last=False, directml=None, disable_ipex_optimize=False,
    preview_method=LatentPreviewMethod.NoPreviews, preview_size=512, cache_classic=False,
    cache_lru=0, cache_none=False, use_split_cross_attention=False,
    use_quad_cross_attention=False, use_pytorch_cross_attention=False, use_sage_attention=False,
    use_flash_attention=False, disable_xformers=True, gpu_only=False, highvram=False,
    normalvram=False, lowvram=False, novram=False, cpu=True, reserve_vram=None,
    default_hashing_function="sha256", disable_smart_memory=False, deterministic=False, fast=set(),
    dont_print_server=False, disable_metadata=False, disable_all_custom_nodes=False,
    whitelist_custom_nodes=[], disable_api_nodes=True, multi_user=False, verbose="INFO",
    log_stdout=False, front_end_root=None, database_url="", disable_assets_autoscan=True,
)  # fmt: skip
