"""Text conditioning of Z-Image: Qwen3. (ComfyUI text_encoders/z_image.py)"""

from torch import Tensor

from diffusion.text.encodings import States, TextEncoding
from diffusion.text.llm_part import LlmReading
from diffusion.text.networks import QWEN3, qwen3
from diffusion.text.qwen_tokenizer import PAD

TEMPLATE = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"


def joined(states: States) -> tuple[Tensor, None]:
    """All of its tokens, the template's too."""
    return states[QWEN3.name].tokens, None


TEXT = TextEncoding(
    {QWEN3: qwen3(LlmReading(TEMPLATE, layers=(-2,), pad=PAD))},
    joined,
    kinds=frozenset({"lumina2"}),
    recognised_by_networks=True,
)
