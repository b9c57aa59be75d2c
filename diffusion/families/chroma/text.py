"""Text conditioning of Chroma: T5 without padding. (ComfyUI text_encoders/pixart_t5.py)"""

from diffusion.text.encodings import TextEncoding, only
from diffusion.text.networks import T5, t5

TEXT = TextEncoding({T5: t5(shortest=1, empty_ends=False)}, only, kinds=frozenset({"chroma"}))
