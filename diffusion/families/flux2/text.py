"""What Flux.2 reads of its text encoder: states of three of its layers, side by side.

Klein's is Qwen3, dev's is Mistral 3. (ComfyUI text_encoders/flux.py, KleinTokenizer,
Mistral3Tokenizer and Flux2TEModel)
"""

from diffusion.families.flux2.conditions import TOKENS
from diffusion.text.encodings import TextEncoding, only
from diffusion.text.llm_part import LlmReading
from diffusion.text.networks import MISTRAL3, QWEN3, mistral3, qwen3

TEMPLATE = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
LAYERS = (8, 17, 26)  # counted from 0: what the tenth, nineteenth and twenty-eighth layers read
PAD = 151643

# What Mistral 3 is asked to be, as published with the model.
OF_DEV = (
    "[SYSTEM_PROMPT]You are an AI that reasons about image descriptions. You give structured "
    "responses focusing on object relationships, object\nattribution and actions without "
    "speculation.[/SYSTEM_PROMPT][INST]{}[/INST]"
)
LAYERS_OF_DEV = (9, 19, 29)
START_OF_DEV = 1
NOT_SEEN = 0  # no text has this token

TEXT = TextEncoding(
    {
        QWEN3: qwen3(LlmReading(TEMPLATE, LAYERS, PAD, shortest=TOKENS)),
        MISTRAL3: mistral3(LlmReading(OF_DEV, LAYERS_OF_DEV, NOT_SEEN, start=START_OF_DEV)),
    },
    only,
    kinds=frozenset({"flux2"}),
    needs_all=False,
)
