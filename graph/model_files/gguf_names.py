"""How llama.cpp names the tensors of text encoders, and what their own files call them.

Files of diffusion models keep the names of their own files in GGUF, too.
"""

import re
from collections.abc import Callable, Mapping

T5: Mapping[str, str] = {
    "attn_norm": "layer.0.layer_norm",
    "attn_q": "layer.0.SelfAttention.q",
    "attn_k": "layer.0.SelfAttention.k",
    "attn_v": "layer.0.SelfAttention.v",
    "attn_o": "layer.0.SelfAttention.o",
    "attn_rel_b": "layer.0.SelfAttention.relative_attention_bias",
    "ffn_norm": "layer.1.layer_norm",
    "ffn_gate": "layer.1.DenseReluDense.wi_0",
    "ffn_up": "layer.1.DenseReluDense.wi_1",
    "ffn_down": "layer.1.DenseReluDense.wo",
}
T5_AROUND: Mapping[str, str] = {
    "token_embd.weight": "shared.weight",
    "enc.output_norm.weight": "encoder.final_layer_norm.weight",
}
LLM: Mapping[str, str] = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
LLM_AROUND: Mapping[str, str] = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
BLOCK = re.compile(r"(?:enc\.)?blk\.(\d+)\.([a-z_]+)\.(weight|bias)")


def _t5(name: str) -> str:
    return _renamed(name, T5_AROUND, "encoder.block.", T5)


def _llm(name: str) -> str:
    return _renamed(name, LLM_AROUND, "model.layers.", LLM)


def _renamed(name: str, around: Mapping[str, str], start: str, inside: Mapping[str, str]) -> str:
    found = BLOCK.fullmatch(name)
    if found is None or found[2] not in inside:
        return around.get(name, name)
    return f"{start}{found[1]}.{inside[found[2]]}.{found[3]}"


# By the architecture that a file says it is of.
RENAMED: Mapping[str, Callable[[str], str]] = {
    "t5": _t5,
    "t5encoder": _t5,
    "qwen2vl": _llm,
    "qwen3": _llm,
}
# Those whose queries and keys lie in another order of rows there, and which no family here reads.
OTHER_ORDER = frozenset({"llama"})
