"""Text conditioning of Wan: UMT5. (ComfyUI comfy/text_encoders/wan.py)"""

from torch import Tensor

from diffusion.text.encodings import States, TextEncoding
from diffusion.text.networks import UMT5, umt5


def joined(states: States) -> tuple[Tensor, None]:
    """Its tokens, with zeros for padding."""
    return states[UMT5.name].tokens, None


TEXT = TextEncoding({UMT5: umt5(shortest=512)}, joined, kinds=frozenset({"wan"}))
