"""Whether the models of a workflow belong together: a LoRA or ControlNet and what it changes."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TypeAlias

from graph.plan import Folded, Step
from graph.presets import PresetFiles
from graph.problems import Problem
from graph.validation import CheckedWorkflow
from graph.values import ControlNet, IpAdapter, Model, ModelFile

FamilyOf: TypeAlias = Callable[[ModelFile], str]  # "" where a file does not say
CARRIES_CONTROL = frozenset({"CONDITIONING", "GUIDER"})
NAMES: Mapping[str, str] = MappingProxyType(
    {
        "sd15": "Stable Diffusion 1.x",
        "sd20": "Stable Diffusion 2.x",
        "sdxl": "SDXL",
        "refiner": "the SDXL refiner",
        "sd3": "Stable Diffusion 3",
        "flux": "Flux",
    }
)


def misfits(checked: CheckedWorkflow, folded: Folded, family_of: FamilyOf) -> tuple[Problem, ...]:
    """One problem for every file that is used with a base model of another family."""
    problems: dict[ModelFile, Problem] = {}
    for step in folded.steps.values():
        for model in (v for v in step.constants.values() if isinstance(v, Model)):
            base = family_of(model.file)
            beside = (*_laid_on(model), *_adapting(step, base))
            for file in (*beside, *_controlling(step, checked, folded)):
                family = family_of(file)
                if base and family and base != family and file not in problems:
                    problems[file] = _problem(checked, file, family, model, base)
    return tuple(problems.values())


def _laid_on(model: Model) -> Iterator[ModelFile]:
    for change in model.changes:
        yield from (value for _, value in change.options if isinstance(value, ModelFile))


def _adapting(step: Step, base: str) -> Iterator[ModelFile]:
    """The IP-Adapter that a step lays on a model, in the file that is nearest to it."""
    for adapter in (v for v in step.constants.values() if isinstance(v, IpAdapter)):
        files = dict(adapter.files)
        yield files.get("") or files.get(base) or next(iter(files.values()))


def _controlling(step: Step, checked: CheckedWorkflow, folded: Folded) -> Iterator[ModelFile]:
    """The ControlNets of the prompts that a step is linked to."""
    waiting, seen = [step.node_id], set[str]()
    while waiting:
        here = waiting.pop()
        if here in seen or here not in folded.steps:
            continue
        seen.add(here)
        constants = folded.steps[here].constants.values()
        yield from (value.file for value in constants if isinstance(value, ControlNet))
        inputs = checked.nodes[here].node_type.inputs
        links = folded.steps[here].links.items()
        waiting += [link.node_id for name, link in links if inputs[name].type in CARRIES_CONTROL]


def _problem(
    checked: CheckedWorkflow, file: ModelFile, family: str, model: Model, base: str
) -> Problem:
    node_id, name = next(
        (node_id, name)
        for node_id, node in checked.nodes.items()
        for name, value in node.constants.items()
        if value == file or (isinstance(value, PresetFiles) and file in dict(value.files).values())
    )
    made_for, is_for = NAMES.get(family, family), NAMES.get(base, base)
    return Problem(
        "bad_model_file",
        f"Model file {file.folder}/{file.name}: it is made for {made_for}, "
        f"and {model.file.folder}/{model.file.name} is {is_for}.",
        node_id,
        checked.nodes[node_id].node_type.name,
        name,
        expected=base,
        received=file.name,
        dependent_outputs=_dependents(checked, node_id),
        model={"folder": file.folder, "name": file.name},
    )


def _dependents(checked: CheckedWorkflow, node_id: str) -> tuple[str, ...]:
    """The outputs that need a node. Nodes are in an order in which they can run."""
    reached = {node_id}
    for name, node in checked.nodes.items():
        if any(link.node_id in reached for link in node.links.values()):
            reached.add(name)
    return tuple(output for output in checked.output_ids if output in reached)
