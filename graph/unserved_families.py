"""Families that are known and not served, so that their files are refused by their names.

Within each table, what shares a mark with others comes before these. Names of modules are those of
the public files, as ComfyUI comfy/model_detection.py and diffusers know them.
"""

from graph.family_marks import Family, LoraMark, has, sized

LLM = "layers.0.self_attn"
FLUX_BLOCK = "double_blocks.0.img_attn"
REFINED = ("cap_embedder.1", "noise_refiner.0.attention")

IMAGE = (
    Family(
        "flux2_dev",
        "Flux.2 dev",
        controls=(has("control_img_in", "control_transformer_blocks.0"),),
    ),
    Family("ovis_image", "Ovis-Image", networks=(has("double_blocks.0.img_mlp.gate_proj"),)),
    Family(
        "longcat_image", "LongCat-Image", networks=(sized("txt_in.weight", 1, 3584, FLUX_BLOCK),)
    ),
    Family("mage_flow", "Mage-Flow", networks=(sized("txt_norm.weight", 0, 2560, "proj_out"),)),
    Family(
        "lens",
        "Lens",
        networks=(
            has("transformer_blocks.0.attn.norm_added_q", "transformer_blocks.0.img_mlp.w1"),
        ),
    ),
    Family("boogu", "Boogu-Image", networks=(has("double_stream_layers.0.img_instruct_attn"),)),
    Family("newbie", "NewBie", networks=(has("clip_text_pooled_proj", *REFINED),)),
    Family(
        "lumina2_diffusers",
        "Lumina 2 in diffusers' layout",
        networks=(
            has(
                "time_caption_embed",
                "context_refiner.0.attn",
                "layers.0",
                lacks=("ref_image_refiner.0",),
            ),
        ),
    ),
    Family(
        "hidream",
        "HiDream",
        networks=(has("caption_projection.0.linear"), has("t_embedder1.mlp.0", "x_embedder.proj1")),
        loras=(LoraMark(r"(double|single)_stream_blocks_\d+_block"),),
        encoders=(
            has(
                LLM,
                "layers.0.mlp",
                lacks=(
                    f"{LLM}.q_norm",
                    f"{LLM}.k_proj.bias",
                    "layers.0.post_feedforward_layernorm",
                    "tekken_model",
                ),
                of="HiDream and HunyuanVideo (Llama 3)",
            ),
        ),
    ),
    Family("krea2", "Krea 2", networks=(has("txtfusion"),), loras=(LoraMark("txtfusion"),)),
    Family(
        "auraflow",
        "AuraFlow",
        networks=(has("double_layers.0.attn"), has("joint_transformer_blocks.0")),
        loras=(LoraMark(r"((double|single)_layers|joint_transformer_blocks)_\d+_"),),
    ),
    Family(
        "pixart",
        "PixArt",
        networks=(
            has("t_block.1", "blocks.0.cross_attn"),
            has("adaln_single.emb.timestep_embedder", "pos_embed.proj"),
        ),
        loras=(
            LoraMark(r"transformer_blocks_\d+_attn1_to_", width=1152),
            LoraMark(r"blocks_\d+_cross_attn_(q_linear|kv_linear|proj)"),
        ),
    ),
    Family("sana", "Sana", networks=(has("transformer_blocks.0.ff.conv_inverted"),)),
    Family(
        "hunyuan_dit",
        "Hunyuan-DiT",
        networks=(
            has("mlp_t5.0"),
            has("text_embedder.linear_1", "blocks.0.attn2", "time_extra_emb"),
        ),
        loras=(LoraMark(r"blocks_\d+_(attn1_Wqkv|attn2_kv_proj)"),),
        controls=(has("after_proj_list.18"),),
    ),
    Family(
        "kolors",
        "Kolors",
        networks=(
            sized("label_emb.0.0.weight", 1, 5632),
            sized("add_embedding.linear_1.weight", 1, 5632),
        ),
    ),
    Family("ideogram4", "Ideogram 4", networks=(has("embed_image_indicator"),)),
    Family("ernie_image", "Ernie-Image", networks=(has("layers.0.mlp.linear_fc2"),)),
    Family("joyimage", "JoyImage", networks=(has("double_blocks.0.attn.img_attn_qkv"),)),
    Family(
        "pixeldit", "PixelDiT", networks=(has("core.pixel_embedder"), has("lq_proj.latent_proj"))
    ),
    Family(
        "stable_cascade",
        "Stable Cascade",
        networks=(has("clf.1", "clip_txt_mapper"), has("clf.1", "clip_mapper"), has("clf.1")),
        vaes=(
            has("vquantizer.codebook"),
            has("backbone.1.0.block.0"),
            has("blocks.11.num_batches_tracked"),
        ),
    ),
)
VIDEO = (
    Family(
        "ltx2",
        "LTX-2",
        networks=(has("audio_adaln_single", "adaln_single.emb.timestep_embedder"),),
        loras=(
            LoraMark(r"transformer_blocks_\d+_(audio_|video_to_audio|audio_to_video)"),
            LoraMark(r"transformer_blocks_\d+_attn1_to_", width=4096),
        ),
        encoders=(
            has("layers.0.post_feedforward_layernorm", f"{LLM}.q_norm", of="LTX-2 (Gemma 3)"),
        ),
    ),
    Family(
        "hunyuan_video_15",
        "HunyuanVideo 1.5",
        networks=(has("txt_in.individual_token_refiner", "cond_type_embedding"),),
        vaes=(sized("decoder.conv_in.conv.weight", 1, 32),),
    ),
    Family(
        "hunyuan_image",
        "HunyuanImage 2.1",
        networks=(
            has("txt_in.individual_token_refiner", "byt5_in", lacks=("cond_type_embedding",)),
        ),
        vaes=(sized("decoder.conv_in.weight", 1, 64),),
        encoders=(sized("encoder.block.0.layer.0.SelfAttention.k.weight", 0, 384),),
    ),
    Family(
        "hunyuan_video",
        "HunyuanVideo",
        networks=(has("txt_in.individual_token_refiner"), has("context_embedder.token_refiner")),
        loras=(
            LoraMark(r"(txt_in_individual|context_embedder_token)_"),
            LoraMark(r"double_blocks_\d+_(img|txt)_mlp_fc[12]"),
            LoraMark(r"double_blocks_(19|[2-5]\d)_"),
        ),
        vaes=(
            has("decoder.conv_in.conv", "decoder.mid.block_1", lacks=("decoder.mid_block",)),
            has("decoder.conv_in.conv", "decoder.mid_block.resnets.0.norm1", "post_quant_conv"),
        ),
    ),
    Family(
        "cosmos",
        "Cosmos",
        networks=(has("blocks.block0.blocks.0.block.attn"),),
        vaes=(has("decoder.unpatcher3d"),),
        encoders=(has("encoder.block.23.layer.1.DenseReluDense.wi"),),
    ),
    Family(
        "cosmos_predict2",
        "Cosmos-Predict2",
        networks=(
            has("blocks.0.mlp.layer1", "x_embedder.proj.1", lacks=("llm_adapter.blocks.0",)),
        ),
        loras=(LoraMark(r"blocks_\d+_((self|cross)_attn_(q|k|v|output)_proj|mlp_layer[12])"),),
    ),
    Family(
        "mochi",
        "Mochi",
        networks=(has("t5_yproj"), has("transformer_blocks.0.attn1.add_k_proj")),
        loras=(LoraMark(r"blocks_\d+_attn_(qkv|proj)_[xy]"),),
        vaes=(
            has("decoder.blocks.2.blocks.3.stack.5"),
            has("blocks.2.blocks.3.stack.5"),
            has("encoder.layers.4.layers.1.attn_block"),
            has("layers.4.layers.1.attn_block"),
        ),
    ),
    Family(
        "cogvideox",
        "CogVideoX",
        networks=(has("patch_embed.text_proj"), has("blocks.0.norm1.linear")),
        vaes=(has("decoder.mid_block.resnets.0.norm1.norm_layer"),),
    ),
    Family(
        "kandinsky5",
        "Kandinsky 5",
        networks=(has("visual_transformer_blocks.0"),),
        loras=(LoraMark(r"(visual|text)_transformer_blocks_\d+_"),),
    ),
    Family(
        "minimax_h3",
        "MiniMax H3",
        networks=(has("video_patch_proj", "audio_patch_proj"),),
        loras=(LoraMark(r"(token_refiner_)?blocks_\d+_attn_(qkv|o|out)_proj"),),
        encoders=(has("visual.deepstack_merger_list.0", of="Krea 2 and MiniMax H3 (Qwen3-VL)"),),
    ),
    Family(
        "seedvr2",
        "SeedVR2",
        networks=(
            has("vid_in.proj", "txt_in"),
            has("blocks.0.mlp.vid"),
            has("blocks.31.mlp.all"),
        ),
        vaes=(has("decoder.up_blocks.2.upsamplers.0.upscale_conv"),),
    ),
)
OTHER = (
    Family(
        "hunyuan3d",
        "Hunyuan3D",
        networks=(
            has("latent_in", "cond_in"),
            has("t_embedder.mlp.2", "blocks.0.attn1.k_norm"),
        ),
        vaes=(has("geo_decoder"),),
    ),
    Family(
        "trellis2",
        "Trellis.2",
        networks=(
            has("img2shape.t_embedder"),
            has("shape2txt.t_embedder"),
        ),
        vaes=(has("shape_dec.blocks.1"), has("txt_dec.blocks.3")),
    ),
    Family("triposplat", "TripoSplat", networks=(has("cam_out_layer", "repo_layers.0"),)),
    Family(
        "stable_audio",
        "Stable Audio",
        networks=(
            has("to_timestep_embed.0", "transformer.layers.0.self_attn"),
            has("transformer.rotary_pos_emb"),
        ),
        vaes=(has("decoder.layers.1.layers.0.beta"),),
        encoders=(sized("encoder.block.0.layer.0.SelfAttention.k.weight", 0, 768),),
    ),
    Family(
        "ace_step",
        "ACE-Step",
        networks=(
            has("genre_embedder"),
            has("lyric_encoder.encoders.0"),
            has("encoder.lyric_encoder.layers.0"),
        ),
        loras=(LoraMark(r"(lyric_|speaker_embedder|genre_embedder)"),),
        vaes=(has("vocoder.backbone"), has("dcae.decoder")),
    ),
    Family(
        "minimax_music3",
        "MiniMax Music 3",
        networks=(has("cond_layer_logits", "latent_conditioners.0"),),
        vaes=(has("dec_in_proj", "decoder.model.0"),),
    ),
)
