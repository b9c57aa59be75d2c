"""What the families with a NextDiT (diffusion/dit/next_dit.py) share: Lumina 2 and Z-Image."""

from functools import partial

from diffusion.batch.calls import Limits
from diffusion.batch.frame import Frame
from diffusion.batch.preparation import batched
from diffusion.dit.conditions import DitEmbedding, embedding
from diffusion.dit.denoiser import DitDenoiser
from diffusion.dit.next_dit import next_dit
from diffusion.families.family import LoadedModel
from graph.values import Condition


def denoiser(model: LoadedModel, limits: Limits) -> DitDenoiser:
    return DitDenoiser(partial(next_dit, model.module), model.shape, limits)


def embed(_model: LoadedModel, condition: Condition, _name: str, frame: Frame) -> DitEmbedding:
    """All that such a network hears is the text encoder's states."""
    return embedding(condition, frame, context=batched(condition.tokens, frame))
