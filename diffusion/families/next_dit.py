"""What Lumina 2, Z-Image and OmniGen2 share, whose network is a NextDiT (dit/next_dit.py)."""

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
    """The text encoder's states, and pictures where the condition has some."""
    return embedding(condition, frame, context=batched(condition.tokens, frame))
