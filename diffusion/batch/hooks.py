"""Weights that come and go with prompts, as prompts use them in one job."""

from typing import Protocol

from graph.values import Change


class PromptHooks(Protocol):
    """The hooks of one prompt."""

    def at(self, sigma: float) -> tuple[Change, ...]:
        """What they lay on the model at a noise level; sigmas never rise."""
