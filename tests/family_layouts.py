"""Names of tensors as the public files of families have them, with few of the layers.

A side is written after the name where a family is told by it; other tensors are 4 x 4.
"""

from collections.abc import Mapping

Shapes = Mapping[str, tuple[int, ...]]

NETWORKS: Mapping[str, tuple[str, ...]] = {
    "hunyuan3d": (
        "latent_in.weight cond_in.weight time_in.in_layer.weight "
        "double_blocks.0.img_attn.qkv.weight "
        "double_blocks.0.img_attn.norm.key_norm.scale single_blocks.0.linear1.weight "
        "final_layer.linear.weight",
        "x_embedder.weight t_embedder.mlp.0.weight t_embedder.mlp.2.weight "
        "blocks.0.attn1.k_norm.weight blocks.0.attn1.to_q.weight blocks.0.attn2.to_k.weight",
    ),
    "trellis2": ("img2shape.t_embedder.mlp.0.weight img2shape.blocks.0.cross_attn.to_q.weight",),
    "triposplat": ("cam_out_layer.weight repo_layers.0.final_map.weight blocks.0.attn.qkv.weight",),
    "stable_audio": (
        "to_timestep_embed.0.weight to_cond_embed.0.weight to_global_embed.0.weight "
        "transformer.rotary_pos_emb.inv_freq transformer.project_in.weight "
        "transformer.layers.0.self_attn.to_qkv.weight postprocess_conv.weight",
    ),
    "ace_step": (
        "genre_embedder.weight speaker_embedder.weight lyric_embs.weight t_block.1.weight "
        "lyric_encoder.encoders.0.self_attn.linear_q.weight transformer_blocks.0.attn.to_q.weight",
        "encoder.lyric_encoder.layers.0.input_layernorm.weight "
        "decoder.layers.0.self_attn.q_proj.weight",
    ),
    "minimax_music3": (
        "cond_layer_logits latent_conditioners.0.weight "
        "diffusion_transformer.transformer.layers.0.self_attn.to_qkv.weight",
    ),
    "ltx2": (
        "adaln_single.emb.timestep_embedder.linear_1.bias audio_adaln_single.linear.weight "
        "patchify_proj.weight transformer_blocks.0.attn2.to_k.weight "
        "transformer_blocks.0.audio_attn1.to_q.weight",
    ),
    "ltxv": (
        "time_embed.emb.timestep_embedder.linear_1.weight caption_projection.linear_1.weight "
        "scale_shift_table proj_in.weight transformer_blocks.0.attn1.to_q.weight "
        "transformer_blocks.0.attn2.to_k.weight",
    ),
    "wan": (
        "condition_embedder.text_embedder.linear_1.weight patch_embedding.weight "
        "blocks.0.attn1.to_q.weight blocks.0.attn2.to_k.weight blocks.0.attn2.add_k_proj.weight",
    ),
    "hunyuan_video": (
        "img_in.proj.weight txt_in.individual_token_refiner.blocks.0.norm1.weight "
        "txt_in.input_embedder.weight vector_in.in_layer.weight guidance_in.mlp.0.weight "
        "double_blocks.0.img_attn.qkv.weight double_blocks.0.img_attn.norm.key_norm.scale "
        "single_blocks.0.linear1.weight final_layer.linear.weight",
        "img_in.proj.weight txt_in.individual_token_refiner.blocks.0.norm1.weight "
        "double_blocks.0.img_attn_qkv.weight double_blocks.0.img_mlp.fc1.weight "
        "single_blocks.0.linear1.weight",
        "context_embedder.token_refiner.refiner_blocks.0.attn.to_q.weight x_embedder.proj.weight "
        "transformer_blocks.0.attn.add_q_proj.weight single_transformer_blocks.0.attn.to_q.weight",
    ),
    "hunyuan_video_15": (
        "img_in.proj.weight txt_in.individual_token_refiner.blocks.0.norm1.weight "
        "cond_type_embedding.weight byt5_in.fc1.weight vision_in.proj.0.weight "
        "double_blocks.0.img_attn.qkv.weight final_layer.linear.weight",
    ),
    "hunyuan_image": (
        "img_in.proj.weight txt_in.individual_token_refiner.blocks.0.norm1.weight "
        "byt5_in.fc1.weight double_blocks.0.img_attn.qkv.weight final_layer.linear.weight",
    ),
    "cosmos": (
        "blocks.block0.blocks.0.block.attn.to_q.0.weight x_embedder.proj.1.weight "
        "t_embedder.1.linear_1.weight",
    ),
    "cosmos_predict2": (
        "blocks.0.mlp.layer1.weight blocks.0.self_attn.q_proj.weight x_embedder.proj.1.weight "
        "blocks.0.cross_attn.k_proj.weight t_embedder.1.linear_1.weight",
    ),
    "anima": (
        "blocks.0.mlp.layer1.weight x_embedder.proj.1.weight "
        "llm_adapter.blocks.0.cross_attn.q_proj.weight blocks.0.self_attn.q_proj.weight",
    ),
    "mochi": (
        "t5_yproj.weight t5_y_embedder.to_kv.weight x_embedder.proj.weight "
        "blocks.0.attn.qkv_x.weight blocks.0.attn.qkv_y.weight",
    ),
    "cogvideox": (
        "patch_embed.proj.weight patch_embed.text_proj.weight "
        "transformer_blocks.0.norm1.linear.weight transformer_blocks.0.attn1.to_q.weight",
    ),
    "kandinsky5": (
        "visual_transformer_blocks.0.cross_attention.key_norm.weight "
        "text_transformer_blocks.0.self_attention.to_query.weight "
        "visual_embeddings.in_layer.weight",
    ),
    "minimax_h3": (
        "video_patch_proj.weight audio_patch_proj.weight blocks.0.attn.qkv_proj.weight "
        "blocks.0.attn.q_norm.weight condition_proj.weight final_layer.video_out.weight "
        "token_refiner.blocks.0.attn.qkv_proj.weight",
    ),
    "seedvr2": (
        "vid_in.proj.weight txt_in.weight emb_in.proj_in.weight blocks.0.attn.proj_qkv.vid.weight "
        "blocks.0.mlp.vid.proj_in.weight blocks.35.mlp.vid.proj_out.weight",
        "blocks.31.mlp.all.proj_in_gate.weight blocks.0.attn.norm_q.all.weight",
    ),
    "sv3d": (
        "input_blocks.0.0.weight:4,8,1,1 input_blocks.1.0.time_stack.in_layers.0.weight "
        "input_blocks.1.1.time_stack.0.attn1.to_q.weight label_emb.0.0.weight:4,1280 "
        "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight:4,1024",
    ),
    "flux2": (
        "x_embedder.weight context_embedder.weight double_stream_modulation_img.linear.weight "
        "transformer_blocks.0.attn.add_q_proj.weight "
        "single_transformer_blocks.0.attn.to_qkv_mlp_proj.weight",
    ),
    "chroma_radiance": (
        "distilled_guidance_layer.norms.0.scale nerf_blocks.0.norm.scale img_in_patch.weight "
        "double_blocks.0.img_attn.qkv.weight double_blocks.0.img_attn.norm.key_norm.scale",
    ),
    "chroma": (
        "distilled_guidance_layer.norms.0.weight x_embedder.weight "
        "transformer_blocks.0.attn.add_q_proj.weight single_transformer_blocks.0.attn.to_q.weight",
    ),
    "lumina2_diffusers": (
        "time_caption_embed.caption_embedder.1.weight context_refiner.0.attn.to_q.weight "
        "layers.0.attn.to_q.weight x_embedder.weight",
    ),
    "ovis_image": (
        "img_in.weight txt_norm.weight double_blocks.0.img_mlp.gate_proj.weight "
        "double_blocks.0.img_attn.qkv.weight double_blocks.0.img_attn.norm.key_norm.scale",
    ),
    "longcat_image": (
        "img_in.weight txt_in.weight:4,3584 double_blocks.0.img_attn.qkv.weight "
        "double_blocks.0.img_attn.norm.key_norm.scale single_blocks.0.linear1.weight",
    ),
    "mage_flow": (
        "txt_norm.weight:2560 proj_out.weight:128,4 transformer_blocks.0.img_mod.1.weight "
        "transformer_blocks.0.attn.add_q_proj.weight",
    ),
    "lens": (
        "txt_norm.weight transformer_blocks.0.attn.norm_added_q.weight "
        "transformer_blocks.0.img_mlp.w1.weight transformer_blocks.0.img_mod.1.weight",
    ),
    "z_image": (
        "all_x_embedder.2-1.weight cap_embedder.1.weight:3840,4 layers.0.attention.to_q.weight "
        "noise_refiner.0.attention.to_q.weight",
    ),
    "newbie": (
        "cap_embedder.1.weight:2304,4 noise_refiner.0.attention.k_norm.weight "
        "clip_text_pooled_proj.0.weight layers.0.attention.qkv.weight",
    ),
    "omnigen2": (
        "time_caption_embed.timestep_embedder.linear_1.bias ref_image_refiner.0.attn.to_q.weight "
        "context_refiner.0.attn.to_q.weight layers.0.attn.to_q.weight x_embedder.weight",
    ),
    "boogu": (
        "time_caption_embed.timestep_embedder.linear_1.bias ref_image_refiner.0.attn.to_q.weight "
        "double_stream_layers.0.img_instruct_attn.processor.img_to_q.weight",
    ),
    "hidream": (
        "caption_projection.0.linear.weight x_embedder.proj.weight "
        "double_stream_blocks.0.block.attn1.to_q.weight "
        "single_stream_blocks.0.block.attn1.to_q.weight",
        "t_embedder1.mlp.0.weight x_embedder.proj1.weight",
    ),
    "krea2": (
        "txtfusion.projector.weight blocks.0.attn.qkv.weight first.weight last.linear.weight",
    ),
    "auraflow": (
        "positional_encoding cond_seq_linear.weight double_layers.0.attn.w1q.weight "
        "single_layers.0.attn.w1q.weight",
        "context_embedder.weight joint_transformer_blocks.0.attn.add_q_proj.weight "
        "single_transformer_blocks.0.attn.to_q.weight pos_embed.proj.weight",
    ),
    "pixart": (
        "t_block.1.weight y_embedder.y_proj.fc1.weight x_embedder.proj.weight "
        "blocks.0.cross_attn.q_linear.weight blocks.0.attn.qkv.weight",
        "adaln_single.emb.timestep_embedder.linear_1.bias pos_embed.proj.bias "
        "caption_projection.linear_1.weight transformer_blocks.0.attn2.to_k.weight:1152,1152",
    ),
    "sana": (
        "patch_embed.proj.weight caption_norm.weight transformer_blocks.0.attn2.to_k.weight "
        "transformer_blocks.0.ff.conv_inverted.weight",
    ),
    "hunyuan_dit": (
        "mlp_t5.0.weight x_embedder.proj.weight extra_embedder.0.weight blocks.0.attn1.Wqkv.weight "
        "blocks.0.attn2.kv_proj.weight",
    ),
    "kolors": (
        "input_blocks.0.0.weight label_emb.0.0.weight:4,5632 "
        "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight:4,2048",
        "conv_in.weight add_embedding.linear_1.weight:4,5632 encoder_hid_proj.weight "
        "down_blocks.0.resnets.0.norm1.weight "
        "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight:4,2048",
    ),
    "ideogram4": ("embed_image_indicator.weight layers.0.attention.qkv.weight",),
    "ernie_image": ("layers.0.mlp.linear_fc2.weight layers.0.self_attention.to_q.weight",),
    "joyimage": (
        "img_in.weight double_blocks.0.attn.img_attn_qkv.weight "
        "double_blocks.0.attn.img_attn_q_norm.weight "
        "condition_embedder.time_embedder.linear_1.weight",
    ),
    "pixeldit": ("core.pixel_embedder.proj.weight core.patch_blocks.0.attn.qkv.weight",),
    "stable_cascade": (
        "clf.1.weight clip_txt_mapper.weight down_blocks.0.0.channelwise.0.weight",
        "clf.1.weight clip_mapper.weight down_blocks.1.0.channelwise.0.weight",
    ),
    "sd_x4_upscaler": (
        "input_blocks.0.0.weight:4,7,1,1 label_emb.weight "
        "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight:4,1024",
    ),
    "flux": (
        "x_embedder.weight transformer_blocks.0.attn.add_q_proj.weight "
        "single_transformer_blocks.0.attn.to_q.weight",
    ),
    "sd3": (
        "pos_embed.proj.weight transformer_blocks.0.attn.add_q_proj.weight context_embedder.weight",
    ),
}
OTHERS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("qwen_image", "controlnet"): (
        "controlnet_blocks.0.weight transformer_blocks.0.img_mlp.net.0.proj.weight",
        "control_blocks.0.after_proj.weight control_img_in.weight",
    ),
    ("hunyuan_dit", "controlnet"): ("after_proj_list.18.bias blocks.0.attn1.Wqkv.weight",),
    ("z_image", "controlnet"): (
        "control_layers.0.attention.qkv.weight control_all_x_embedder.2-1.weight",
    ),
    ("flux", "controlnet"): (
        "controlnet_blocks.0.weight controlnet_x_embedder.weight "
        "transformer_blocks.0.attn.add_q_proj.weight",
        "controlnet_blocks.0.weight double_blocks.0.img_attn.norm.key_norm.scale",
    ),
    ("sd3", "controlnet"): (
        "controlnet_blocks.0.weight pos_embed_input.proj.weight "
        "transformer_blocks.0.attn.to_q.weight",
    ),
    ("hunyuan_video", "vae"): (
        "decoder.conv_in.conv.weight decoder.mid.block_1.conv1.conv.weight "
        "encoder.conv_in.conv.weight",
    ),
    ("hunyuan_video_15", "vae"): ("decoder.conv_in.conv.weight:4,32 encoder.conv_in.conv.weight",),
    ("hunyuan_image", "vae"): ("decoder.conv_in.weight:4,64,1,1 encoder.conv_in.weight",),
    ("cosmos", "vae"): ("decoder.unpatcher3d.wavelets encoder.conv_in.0.conv3d.weight",),
    ("cogvideox", "vae"): (
        "decoder.conv_in.conv.weight decoder.mid_block.resnets.0.norm1.norm_layer.weight",
    ),
    ("mochi", "vae"): ("decoder.blocks.2.blocks.3.stack.5.weight",),
    ("stable_audio", "vae"): ("decoder.layers.1.layers.0.beta encoder.layers.0.weight_v",),
    ("stable_cascade", "vae"): ("vquantizer.codebook.weight up_blocks.0.0.weight",),
    ("ace_step", "vae"): ("vocoder.backbone.channel_layers.0.0.bias dcae.decoder.conv_in.weight",),
    ("seedvr2", "vae"): (
        "decoder.up_blocks.2.upsamplers.0.upscale_conv.weight decoder.conv_in.weight",
    ),
    ("flux2", "text_encoder"): (
        "model.layers.0.self_attn.k_proj.weight model.layers.0.mlp.up_proj.weight "
        "model.layers.0.post_attention_layernorm.weight:5120 model.embed_tokens.weight "
        "tekken_model",
    ),
    ("hidream", "text_encoder"): (
        "model.layers.0.self_attn.k_proj.weight model.layers.0.mlp.up_proj.weight "
        "model.layers.0.post_attention_layernorm.weight:4096 model.embed_tokens.weight",
    ),
    ("ltx2", "text_encoder"): (
        "model.layers.0.post_feedforward_layernorm.weight model.layers.0.self_attn.q_norm.weight "
        "model.layers.0.self_attn.k_proj.weight model.embed_tokens.weight",
    ),
    ("minimax_h3", "text_encoder"): (
        "visual.deepstack_merger_list.0.norm.weight model.layers.0.self_attn.q_norm.weight "
        "model.layers.49.self_attn.q_proj.weight model.embed_tokens.weight",
    ),
    ("cosmos", "text_encoder"): (
        "encoder.block.23.layer.1.DenseReluDense.wi.weight shared.weight "
        "encoder.block.0.layer.0.SelfAttention.k.weight",
    ),
    ("stable_audio", "text_encoder"): (
        "encoder.block.0.layer.0.SelfAttention.k.weight:768,4 shared.weight",
    ),
}
# What a LoRA changes, in the names of trainers: reads -> gives.
LORAS: Mapping[str, tuple[tuple[str, int, int], ...]] = {
    "wan": (
        ("diffusion_model.blocks.0.self_attn.q", 5120, 5120),
        ("lora_unet_blocks_39_cross_attn_k", 5120, 5120),
        ("transformer.blocks.0.attn1.to_q", 1536, 1536),
        ("diffusion_model.blocks.3.ffn.0", 5120, 13824),
        ("diffusion_model.vace_blocks.0.self_attn.o", 1536, 1536),
    ),
    "qwen_image": (
        ("transformer_blocks.0.img_mlp.net.2", 12288, 3072),
        ("lora_unet_transformer_blocks_59_attn_to_q", 3072, 3072),
        ("diffusion_model.transformer_blocks.0.txt_mod.1", 3072, 18432),
    ),
    "z_image": (
        ("diffusion_model.layers.0.attention.to_q", 3840, 3840),
        ("lora_unet_noise_refiner_1_attention_qkv", 3840, 11520),
    ),
    "lumina2": (("diffusion_model.layers.0.attention.qkv", 2304, 3840),),
    "flux2": (
        ("diffusion_model.single_blocks.0.linear1", 3072, 27648),
        ("diffusion_model.double_blocks.0.img_mlp.0", 6144, 36864),
        ("transformer.single_transformer_blocks.0.attn.to_qkv_mlp_proj", 6144, 55296),
    ),
    "chroma": (("lora_unet_distilled_guidance_layer_layers_0_in_layer", 5120, 5120),),
    "hunyuan_video": (
        ("lora_unet_double_blocks_0_img_mlp_fc1", 3072, 12288),
        ("diffusion_model.txt_in.individual_token_refiner.blocks.0.self_attn_qkv", 3072, 9216),
    ),
    "ltxv": (("diffusion_model.transformer_blocks.0.attn1.to_q", 2048, 2048),),
    "ltx2": (
        ("diffusion_model.transformer_blocks.0.attn1.to_q", 4096, 4096),
        ("diffusion_model.transformer_blocks.0.audio_attn1.to_q", 2048, 2048),
    ),
    "cosmos_predict2": (("diffusion_model.blocks.0.self_attn.q_proj", 2048, 2048),),
    "anima": (("diffusion_model.llm_adapter.blocks.0.cross_attn.q_proj", 1024, 1024),),
    "hidream": (("diffusion_model.double_stream_blocks.0.block.attn1.to_q", 2560, 2560),),
    "auraflow": (("lora_unet_double_layers_0_attn_w1q", 3072, 3072),),
    "pixart": (("lora_transformer_transformer_blocks_0_attn1_to_q", 1152, 1152),),
    "hunyuan_dit": (("lora_unet_blocks_0_attn1_Wqkv", 1408, 4224),),
    "omnigen2": (("transformer.layers.0.attn.to_q", 2520, 2520),),
    "krea2": (("diffusion_model.txtfusion.projector", 64, 64),),
    "kandinsky5": (("visual_transformer_blocks.0.self_attention.to_query", 1792, 1792),),
    "mochi": (("diffusion_model.blocks.0.attn.qkv_x", 3072, 9216),),
    "minimax_h3": (("diffusion_model.blocks.0.attn.qkv_proj", 4096, 12288),),
    "flux": (
        ("lora_unet_double_blocks_0_img_attn_qkv", 3072, 9216),
        ("lora_unet_single_blocks_37_linear1", 3072, 21504),
        ("transformer.single_transformer_blocks.0.attn.to_q", 3072, 3072),
        ("transformer.transformer_blocks.0.attn.to_q", 3072, 3072),
    ),
    "sd3": (
        ("lora_unet_joint_blocks_0_x_block_attn_qkv", 1536, 4608),
        ("transformer.transformer_blocks.0.attn.add_q_proj", 2432, 2432),
    ),
    "sdxl": (("lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k", 2048, 640),),
    "sd15": (("unet.up_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k", 768, 1280),),
}


def shapes_of(layout: str) -> Shapes:
    """Tensors of a layout by name."""
    named = (name.partition(":") for name in layout.split())
    return {name: tuple(map(int, said.split(","))) if said else (4, 4) for name, _, said in named}


def lora_shapes(layer: str, reads: int, gives: int) -> Shapes:
    """A LoRA of rank 1 on one layer, in the naming that goes with it."""
    if layer.startswith("lora_"):
        return {f"{layer}.lora_down.weight": (1, reads), f"{layer}.lora_up.weight": (gives, 1)}
    return {f"{layer}.lora_A.weight": (1, reads), f"{layer}.lora_B.weight": (gives, 1)}
