"""Text conditioning of LTX-Video: T5 without padding.

(ComfyUI text_encoders/lt.py and genmo.py)
"""

from diffusion.text.encodings import TextEncoding, only
from diffusion.text.networks import T5, t5

TEXT = TextEncoding({T5: t5(shortest=128, padding_counts=False)}, only, kinds=frozenset({"ltxv"}))
