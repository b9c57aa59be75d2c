"""Small language models of random weights, in the layouts of published files."""

from dataclasses import replace

from torch import Tensor

from diffusion.text.llm_network import LlmShape
from tests.diffusion.model_files import seeded

QWEN3 = LlmShape(
    vocabulary=48,
    width=32,
    mlp=48,
    layers=3,
    heads=4,
    kv_heads=2,
    head=16,
    biased=False,
    normed=True,
)
QWEN25 = replace(QWEN3, heads=2, kv_heads=1, head=128, biased=True, normed=False)


def letters(text: str) -> list[int]:
    """A tokenizer of one token a letter."""
    return [1 + ord(letter) % (QWEN3.vocabulary - 1) for letter in text]


def llm_tensors(shape: LlmShape, prefix: str = "model.") -> dict[str, Tensor]:
    """The tensors of a language model."""
    width, inner, shared = shape.width, shape.heads * shape.head, shape.kv_heads * shape.head
    sizes: dict[str, tuple[int, ...]] = {
        "embed_tokens.weight": (shape.vocabulary, width),
        "norm.weight": (width,),
    }
    for i in range(shape.layers):
        attention, perceptron = f"layers.{i}.self_attn.", f"layers.{i}.mlp."
        for name, rows in {"q": inner, "k": shared, "v": shared}.items():
            sizes[f"{attention}{name}_proj.weight"] = (rows, width)
            if shape.biased:
                sizes[f"{attention}{name}_proj.bias"] = (rows,)
        sizes[f"{attention}o_proj.weight"] = (width, inner)
        if shape.normed:
            sizes |= {f"{attention}{name}_norm.weight": (shape.head,) for name in "qk"}
        sizes |= {f"{perceptron}{name}_proj.weight": (shape.mlp, width) for name in ("gate", "up")}
        sizes[f"{perceptron}down_proj.weight"] = (width, shape.mlp)
        for name in ("input_layernorm", "post_attention_layernorm"):
            sizes[f"layers.{i}.{name}.weight"] = (width,)
    return {prefix + key: seeded(key, size) for key, size in sizes.items()}
