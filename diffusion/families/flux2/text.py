"""Text conditioning of Flux.2 Klein: hidden states of three Qwen3 layers, concatenated.

(ComfyUI text_encoders/flux.py, KleinTokenizer and Flux2TEModel)
"""

from diffusion.families.flux2.conditions import TOKENS
from diffusion.text.encodings import TextEncoding, only
from diffusion.text.llm_part import LlmReading
from diffusion.text.networks import QWEN3, qwen3

TEMPLATE = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
LAYERS = (8, 17, 26)  # counted from 0: what the tenth, nineteenth and twenty-eighth layers read
PAD = 151643

TEXT = TextEncoding(
    {QWEN3: qwen3(LlmReading(TEMPLATE, LAYERS, PAD, shortest=TOKENS))},
    only,
    kinds=frozenset({"flux2"}),
)
