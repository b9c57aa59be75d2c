"""Text conditioning of Lumina 2: Gemma 2's last hidden state but one, weighted.

(ComfyUI text_encoders/lumina2.py)
"""

from diffusion.text.encodings import TextEncoding, only
from diffusion.text.llm_part import LlmReading
from diffusion.text.networks import GEMMA2, gemma2

START, PAD = 2, 0

TEXT = TextEncoding(
    {GEMMA2: gemma2(LlmReading("{}", layers=(-2,), pad=PAD, start=START, weighted=True))},
    only,
    kinds=frozenset({"lumina2"}),
)
