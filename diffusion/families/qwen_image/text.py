"""Text conditioning of Qwen-Image: Qwen2.5-VL. (ComfyUI text_encoders/qwen_image.py)"""

from collections.abc import Sequence

from torch import Tensor

from diffusion.text.encodings import States, TextEncoding
from diffusion.text.llm_part import LlmReading
from diffusion.text.networks import QWEN25, qwen25
from diffusion.text.prompt import Token
from diffusion.text.qwen_tokenizer import PAD

SYSTEM = (
    "Describe the image by detailing the color, shape, size, texture, quantity, text, spatial "
    "relationships of the objects and background:"
)
TEMPLATE = (
    f"<|im_start|>system\n{SYSTEM}<|im_end|>\n"
    "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
)
START = 151644  # <|im_start|>
USER = (872, 198)  # the word and the end of its line
SEEN = 151655  # <|image_pad|>
STARTS = "<|im_start|>"  # a prompt that starts so brings a template of its own


def instructions(tokens: Sequence[Token]) -> int:
    """How many of the first tokens are not of the prompt: all until the user's turn begins."""
    starts = [place for place, token in enumerate(tokens) if _is(token, START)][:2]
    if not starts:
        return 0
    turn = starts[-1]
    after = tokens[turn + 1 : turn + 3]
    is_user = len(tokens) > turn + 3 and all(map(_is, after, USER))
    return turn + 3 if is_user else turn


def _is(token: Token, number: int) -> bool:
    return isinstance(token, int) and token == number


def joined(states: States) -> tuple[Tensor, None]:
    """Its tokens behind the instructions."""
    return states[QWEN25.name].tokens, None


TEXT = TextEncoding(
    {
        QWEN25: qwen25(
            LlmReading(
                TEMPLATE,
                layers=(None,),
                pad=PAD,
                own_template=STARTS,
                dropped=instructions,
                picture=SEEN,
            )
        )
    },
    joined,
    kinds=frozenset({"qwen_image"}),
    recognised_by_networks=True,
)
