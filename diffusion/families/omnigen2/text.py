"""What OmniGen2 reads of Qwen2.5-VL 3B: what it says in the end, weighted.

(ComfyUI text_encoders/omnigen2.py)
"""

from diffusion.text.encodings import TextEncoding, only
from diffusion.text.llm_part import LlmReading
from diffusion.text.networks import QWEN25, qwen25
from diffusion.text.qwen_tokenizer import PAD

TEMPLATE = (
    "<|im_start|>system\nYou are a helpful assistant that generates high-quality images based on "
    "user instructions.<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n"
)
READING = LlmReading(TEMPLATE, layers=(None,), pad=PAD, weighted=True)

TEXT = TextEncoding({QWEN25: qwen25(READING, sees=False)}, only, kinds=frozenset({"omnigen2"}))
