"""Every model family that is known: its name, its title, and the marks of its files.

Marks are data (`graph.family_marks`); `graph.recognition` compares a file's header with them.
Uploads, validation and loaders all call it, so they name a family alike. To serve a family, move
its entry here.
"""

from collections.abc import Mapping
from types import MappingProxyType

from graph.family_marks import Family, LoraMark, has, sized
from graph.unserved_families import FLUX_BLOCK, IMAGE, LLM, OTHER, REFINED, VIDEO

ADDED = "transformer_blocks.0.attn.add_q_proj"

SD = "stable_diffusion"
FLUX_LAYERS = (
    r"((single_)?transformer|double|single)_blocks_\d+_|(img|txt|time|vector|guidance)_in"
    r"|(x|context)_embedder|time_text_embed|final_layer|(norm|proj)_out"
)

SERVED = (
    Family(
        "flux2",
        "Flux.2",
        networks=(has("double_stream_modulation_img"),),
        loras=(
            LoraMark(r"single_transformer_blocks_\d+_attn_to_qkv_mlp_proj"),
            LoraMark(r"(double|single)_stream_modulation"),
            LoraMark(r"transformer_blocks_\d+_ff(_context)?_linear_in"),
            LoraMark(r"single_blocks_\d+_linear1", ratio=9),
            LoraMark(r"double_blocks_\d+_(img|txt)_mlp_0", ratio=6),
        ),
        vaes=(has("bn.running_mean", "decoder.conv_in"),),
        encoders=(has("tekken_model", LLM, of="Flux.2 dev (Mistral 3)"),),
        layers=r"(double|single)(_stream_modulation|_blocks_\d+_)|(single_)?transformer_blocks_\d+_"
        r"|(img|txt|time|guidance)_in|(x|context)_embedder|time_guidance_embed|final_layer"
        r"|(norm|proj)_out",
        served=True,
        text_type="flux2",
        native_px=1024,
    ),
    Family(
        "sv3d",
        "Stable Video 3D",
        networks=(
            sized("label_emb.0.0.weight", 1, 256, "input_blocks.1.0.time_stack"),
            sized("label_emb.0.0.weight", 1, 1280, "input_blocks.1.0.time_stack"),
        ),
        served=True,
    ),
    Family(
        "svd",
        "Stable Video Diffusion",
        networks=(
            has("input_blocks.1.0.time_stack"),
            has("down_blocks.0.resnets.0.temporal_res_block"),
        ),
        vaes=(
            has("decoder.mid.block_1.mix_factor"),
            has("decoder.mid_block.resnets.0.temporal_res_block"),
        ),
        served=True,
    ),
    Family(
        "sd_x4_upscaler",
        "the Stable Diffusion x4 upscaler",
        networks=(
            sized("input_blocks.0.0.weight", 1, 7),
            sized("conv_in.weight", 1, 7),
        ),
        served=True,
    ),
    Family("sd15", "Stable Diffusion 1.x", text_width=768, served=True, text_type=SD),
    Family("sd20", "Stable Diffusion 2.x", text_width=1024, served=True, text_type=SD),
    Family(
        "sdxl",
        "SDXL",
        text_width=2048,
        served=True,
        text_type="sdxl",
        native_px=1024,
        ip_adapter="ip-adapter_sdxl",
        ip_adapter_sees="bigg",
    ),
    Family("refiner", "the SDXL refiner", text_width=1280, served=True, text_type=SD),
    Family(
        "chroma_radiance",
        "Chroma Radiance",
        networks=(has("nerf_blocks.0"),),
        layers=f"{FLUX_LAYERS}|distilled_guidance_layer|nerf_",
        takes_loras_of=("flux", "chroma"),
        served=True,
        text_type="chroma",
        native_px=1024,
    ),
    Family(
        "chroma",
        "Chroma",
        networks=(has("distilled_guidance_layer"),),
        loras=(LoraMark("distilled_guidance_layer"),),
        layers=f"{FLUX_LAYERS}|distilled_guidance_layer",
        takes_loras_of=("flux",),
        served=True,
        text_type="chroma",
        native_px=1024,
    ),
    Family(
        "ltxv",
        "LTX-Video",
        networks=(
            has("adaln_single.emb.timestep_embedder", "patchify_proj"),
            has("time_embed.emb.timestep_embedder", "caption_projection", "scale_shift_table"),
        ),
        loras=(LoraMark(r"transformer_blocks_\d+_attn1_to_", width=2048),),
        vaes=(has("decoder.up_blocks.0.res_blocks.0.conv1.conv"), has("decoder.conv_in_x_t")),
        layers=r"transformer_blocks_\d+_|(patchify_proj|proj_(in|out)|caption_projection"
        r"|adaln_single|time_embed)",
        served=True,
        text_type="ltxv",
        native_px=768,
    ),
    Family(
        "qwen_image",
        "Qwen-Image",
        networks=(has("txt_norm", "transformer_blocks.0.img_mod"),),
        loras=(
            LoraMark(r"transformer_blocks_\d+_(img|txt)_(mlp|mod)"),
            LoraMark(r"transformer_blocks_(19|[2-5]\d)_attn_", width=3072),
        ),
        controls=(
            has("controlnet_blocks.0", "transformer_blocks.0.img_mlp"),
            has("controlnet_blocks.0.y_rms"),
            has("control_blocks.0.after_proj", "control_img_in"),
        ),
        encoders=(has(f"{LLM}.k_proj.bias", of="Qwen-Image and others (Qwen2.5-VL)"),),
        layers=r"transformer_blocks_\d+_|(img|txt)_(in|norm)|time_text_embed|(norm|proj)_out",
        takes_loras_of=("flux",),
        served=True,
        text_type="qwen_image",
        native_px=1024,
    ),
    Family(
        "lumina2",
        "Lumina 2",
        networks=(has("layers.0.adaLN_modulation.1", *REFINED),),
        loras=(LoraMark(r"(layers|noise_refiner|context_refiner)_\d+_attention_", width=2304),),
        encoders=(
            has(
                "layers.0.post_feedforward_layernorm",
                lacks=(f"{LLM}.q_norm",),
                of="Lumina 2 (Gemma 2)",
            ),
        ),
        layers=r"(layers|noise_refiner|context_refiner)_\d+_|(x|t|cap)_embedder|final_layer",
        served=True,
        text_type="lumina2",
        native_px=1024,
    ),
    Family(
        "omnigen2",
        "OmniGen2",
        networks=(has("time_caption_embed", "ref_image_refiner.0"),),
        loras=(LoraMark(r"ref_image_refiner_\d+_"), LoraMark(r"layers_\d+_attn_to_", width=2520)),
        layers=r"(layers|(noise|context|ref_image)_refiner)_\d+_|x_embedder|time_caption_embed"
        r"|ref_image_patch_embedder|norm_out",
        served=True,
        text_type="omnigen2",
        native_px=1024,
    ),
    Family(
        "anima",
        "Anima",
        networks=(has("llm_adapter.blocks.0"),),
        loras=(LoraMark("llm_adapter_blocks_"),),
        layers=r"(llm_adapter_)?blocks_\d+_|(x|t)_embedder|final_layer",
        takes_loras_of=("cosmos_predict2",),
        served=True,
        text_type=SD,
        native_px=1024,
    ),
    Family(
        "flux",
        "Flux",
        networks=(has(FLUX_BLOCK), has(ADDED, "single_transformer_blocks.0.attn.to_q")),
        loras=(
            LoraMark(r"(double_blocks_\d+_(img|txt)|single_blocks_\d+_(linear|modulation))"),
            LoraMark(r"single_transformer_blocks_\d+_(attn_to|proj_|norm_)"),
            LoraMark(r"transformer_blocks_\d+_attn_(to_|add_)", width=3072),
        ),
        controls=(
            has("controlnet_blocks.0", "controlnet_x_embedder"),
            has("controlnet_blocks.0", FLUX_BLOCK),
        ),
        layers=FLUX_LAYERS,
        served=True,
        text_type="flux",
    ),
    Family(
        "sd3",
        "Stable Diffusion 3",
        networks=(has("joint_blocks.0"), has(ADDED, "pos_embed.proj")),
        loras=(
            LoraMark(r"joint_blocks_\d+_"),
            LoraMark(r"transformer_blocks_\d+_attn_(to_|add_)", width=1536),
            LoraMark(r"transformer_blocks_\d+_attn_(to_|add_)", width=2432),
        ),
        controls=(has("controlnet_blocks.0", "pos_embed_input.proj"),),
        layers=r"(joint|transformer)_blocks_\d+_|(x|t|y|context)_embedder|pos_embed|time_text_embed"
        r"|final_layer|(norm|proj)_out",
        served=True,
        text_type="sd3",
    ),
    Family(
        "wan",
        "Wan 2.1/2.2",
        networks=(
            has("head.modulation", "patch_embedding"),
            has("condition_embedder.text_embedder", "patch_embedding", "blocks.0.attn2"),
            has("vace_blocks.0"),
        ),
        loras=(
            LoraMark(r"(vace_)?blocks_\d+_(self|cross)_attn_(q|k|v|o|[kv]_img|norm_[qk])$"),
            LoraMark(r"blocks_\d+_attn[12]_(to_|add_)"),
            LoraMark(r"blocks_\d+_ffn_[02]$"),
        ),
        vaes=(
            has("decoder.middle.0.residual.0.gamma", of="Wan 2.1/2.2 and Qwen-Image"),
            has("decoder.mid_block.resnets.0.norm1.gamma", of="Wan 2.1/2.2 and Qwen-Image"),
        ),
        encoders=(
            has(
                "encoder.block.1.layer.0.SelfAttention.relative_attention_bias",
                of="Wan 2.1/2.2 (UMT5)",
            ),
        ),
        layers=r"(vace_)?blocks_\d+_|(patch|text|time)_embedding|time_projection|img_emb|head_"
        r"|condition_embedder|proj_out",
        served=True,
        text_type="wan",
    ),
    Family(
        "z_image",
        "Z-Image",
        networks=(
            sized("cap_embedder.1.weight", 0, 3840, *REFINED),
            has("layers.0.adaLN_modulation.0", *REFINED),
            has("all_x_embedder", "noise_refiner.0.attention"),
        ),
        loras=(
            LoraMark(r"(layers|noise_refiner|context_refiner)_\d+_attention_", width=3840),
            LoraMark(r"(layers|noise_refiner|context_refiner)_\d+_feed_forward_w[13]", width=3840),
        ),
        controls=(
            has("control_layers.0", "control_all_x_embedder"),
            has("control_noise_refiner.0"),
        ),
        encoders=(
            has(
                f"{LLM}.q_norm",
                lacks=("layers.0.post_feedforward_layernorm",),
                of="Z-Image and others (Qwen3)",
            ),
        ),
        layers=r"(layers|noise_refiner|context_refiner)_\d+_|(all_)?(x_embedder|final_layer)"
        r"|(t|cap)_embedder",
        served=True,
        text_type="lumina2",
        native_px=1024,
    ),
)

# In the order in which they are tried: what shares a mark with others comes before these.
FAMILIES: tuple[Family, ...] = (*OTHER, *VIDEO, *IMAGE, *SERVED)
BY_NAME: Mapping[str, Family] = MappingProxyType({family.name: family for family in FAMILIES})


def title_of(name: str) -> str:
    """What people call a family; the name itself where it is none of these."""
    return BY_NAME[name].title if name in BY_NAME else name
