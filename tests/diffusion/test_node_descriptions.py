"""What nodes only describe, samplers, guiders and changes to models, against what carries it out.

The descriptions are made of names and options in graph/, which knows nothing of diffusion/.
"""

import inspect
from functools import partial
from typing import Any

import pytest
import torch

from diffusion.families.registry import FAMILIES
from diffusion.guidance.changes import GUIDANCE_CHANGES, start_changes
from diffusion.guidance.guiders import GUIDERS
from diffusion.guidance.model_changes import (
    MASK_CHANGES,
    check_changes,
    mask_function,
    model_sampling,
)
from diffusion.lora.merging import WEIGHT_CHANGES
from diffusion.parameterization import Parameterization
from diffusion.samplers import SAMPLERS
from diffusion.schedules.model_sampling import discrete
from graph.motion import CONTEXT_WINDOWS
from graph.node import NodeType
from graph.nodes import load_node_types
from graph.sampling import Guider, SamplerChoice
from graph.stages import Stage
from graph.values import Change, Condition, Model, ModelFile

MODEL = Model(ModelFile("checkpoints", "any.safetensors"))
GIVEN: dict[str, Any] = {
    "MODEL": MODEL,
    "CONDITIONING": (Condition(torch.zeros(1, 1, 1)),),
    "BOOLEAN": True,
    "LATENT_OPERATION": Change("tonemap_reinhard", (("multiplier", 1.0),)),
}
TYPES = load_node_types()
OPTIONS = frozenset({"x", "sigmas", "context"})


def values(node_type: NodeType, chosen: str = "") -> dict[str, Any]:
    """Every input of a node: its default, what is given here, or the choice `chosen`."""
    found = {}
    for declared in node_type.inputs.values():
        if declared.choices:
            has = chosen in declared.choices
            found[declared.name] = chosen if has else declared.choices[0]
        else:
            own = declared.default
            found[declared.name] = GIVEN[declared.type] if own is inspect.Parameter.empty else own
    return found


def of(output: str) -> list[str]:
    """The nodes of this service's that give just `output`, and describe it."""
    return sorted(
        name
        for name, found in TYPES.items()
        if [o.type for o in found.outputs] == [output]
        and (found.stage == Stage.INLINE or output == "GUIDER")
        and all(i.is_widget or i.type in GIVEN for i in found.inputs.values())
        and not any(i.files for i in found.inputs.values())
    )


def every_choice(names: list[str]) -> list[tuple[str, str]]:
    return [
        (name, choice)
        for name in names
        for declared in [TYPES[name].inputs.values()]
        for choice in {c for i in declared for c in i.choices or ()} or {""}
    ]


@pytest.mark.parametrize(("name", "choice"), sorted(every_choice(of("SAMPLER"))))
def test_a_sampler_node_names_a_sampler_and_options_that_it_has(name: str, choice: str) -> None:
    described = TYPES[name].function(**values(TYPES[name], choice))
    assert isinstance(described, SamplerChoice)
    function = SAMPLERS[described.name].function
    inner = function.func if isinstance(function, partial) else function
    parameters = inspect.signature(inner).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    assert takes_any or {option for option, _ in described.options} <= parameters.keys() - OPTIONS


@pytest.mark.parametrize(("name", "choice"), sorted(every_choice(of("GUIDER"))))
def test_a_guider_node_names_a_guider(name: str, choice: str) -> None:
    described = TYPES[name].function(None, **values(TYPES[name], choice))
    assert isinstance(described, Guider)
    assert described.kind in GUIDERS


@pytest.mark.parametrize(("name", "choice"), sorted(every_choice(of("MODEL"))))
def test_a_change_to_a_model_can_be_made_of_its_options(name: str, choice: str) -> None:
    changes = TYPES[name].function(**values(TYPES[name], choice)).changes
    check_changes(changes, FAMILIES.changes.union(WEIGHT_CHANGES, {CONTEXT_WINDOWS}))
    own = Parameterization("eps")
    model_sampling(own, changes)
    start_changes(changes)
    if any(change.kind in MASK_CHANGES for change in changes):
        assert mask_function(changes, discrete(), torch.tensor([10.0, 1.0, 0.0])) is not None


def test_no_change_of_guidance_is_without_a_node() -> None:
    models = [TYPES[name].function(**values(TYPES[name])) for name in of("MODEL")]
    with_prompt = TYPES["PerpNeg"]  # it runs on a stage, which has its prompt's tensors
    models.append(with_prompt.function(None, **values(with_prompt)))
    made = {change.kind for model in models for change in model.changes}
    assert made >= GUIDANCE_CHANGES
