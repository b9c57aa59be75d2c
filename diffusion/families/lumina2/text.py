"""What Lumina 2 reads of Gemma 2: what its last layer but one says, weighted.

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
