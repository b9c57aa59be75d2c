"""Text conditioning of Stable Diffusion 1.x and 2.x, SDXL and its refiner: CLIPs.

(ComfyUI sd1_clip.py, text_encoders/sd2_clip.py and sdxl_clip.py)
"""

from diffusion.text.clip_part import Reading
from diffusion.text.encodings import TextEncoding, side_by_side
from diffusion.text.networks import CLIP_G, CLIP_H, CLIP_L, clip

LAST = Reading(layer=None, norm=True, project=False)
SECOND_LAST_NORMED = Reading(layer=-2, norm=True, project=True)
SECOND_LAST = Reading(layer=-2, norm=False, project=True)
SD15_TEXT = TextEncoding({CLIP_L: clip(CLIP_L, LAST)}, side_by_side)
SD20_TEXT = TextEncoding({CLIP_H: clip(CLIP_H, SECOND_LAST_NORMED)}, side_by_side)
REFINER_TEXT = TextEncoding({CLIP_G: clip(CLIP_G, SECOND_LAST)}, side_by_side)
SDXL_TEXT = TextEncoding(
    {CLIP_L: clip(CLIP_L, SECOND_LAST), CLIP_G: clip(CLIP_G, SECOND_LAST)}, side_by_side
)
