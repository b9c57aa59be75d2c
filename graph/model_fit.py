"""Whether the models of a workflow belong together: a LoRA or ControlNet and what it changes."""

from collections.abc import Callable, Iterator, Mapping, Set
from types import MappingProxyType
from typing import TypeAlias

from graph.plan import Folded, Step
from graph.presets import PresetFiles
from graph.problems import Problem
from graph.validation import CheckedWorkflow
from graph.values import ControlNet, IpAdapter, Model, ModelFile

FamilyOf: TypeAlias = Callable[[ModelFile], str]  # "" where a file does not say
# The shapes of a file's layers, or of its changes to these, by what the layers are called.
LayersOf: TypeAlias = Callable[[ModelFile], Mapping[str, Set[tuple[int, int]]]]
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


def misfits(
    checked: CheckedWorkflow,
    folded: Folded,
    family_of: FamilyOf,
    layers_of: LayersOf = lambda _: {},
) -> tuple[Problem, ...]:
    """One problem for every file that is used with a base model that it is not made for."""
    problems: dict[ModelFile, Problem] = {}
    for model, file in _together(checked, folded, family_of):
        reason = _of_another_family(model, file, family_of) or _of_other_layers(
            model, file, layers_of
        )
        if reason and file not in problems:
            problems[file] = _problem(checked, file, reason, family_of(model.file))
    return tuple(problems.values())


def _together(
    checked: CheckedWorkflow, folded: Folded, family_of: FamilyOf
) -> Iterator[tuple[Model, ModelFile]]:
    """Every model that is used, with every file that is laid on it or controls it."""
    for step in folded.steps.values():
        for model in _models(step, folded):
            beside = (*_laid_on(model, step), *_adapting(step, family_of(model.file)))
            for file in (*beside, *_controlling(step, checked, folded)):
                yield model, file


def _models(step: Step, folded: Folded) -> Iterator[Model]:
    """The models that a step is given, or the one that the model it is handed began as."""
    given = [value for value in step.constants.values() if isinstance(value, Model)]
    yield from given
    link = step.links.get("model")
    if link and not given:
        yield from _models(folded.steps[link.node_id], folded)


def _of_another_family(model: Model, file: ModelFile, family_of: FamilyOf) -> str | None:
    base, family = family_of(model.file), family_of(file)
    if not base or not family or base == family:
        return None
    made_for, is_for = NAMES.get(family, family), NAMES.get(base, base)
    return f"it is made for {made_for}, and {model.file.folder}/{model.file.name} is {is_for}"


def _of_other_layers(model: Model, file: ModelFile, layers_of: LayersOf) -> str | None:
    base = layers_of(model.file)
    for name, shapes in layers_of(file).items():
        strange = shapes - base.get(name, shapes)
        if strange:
            there = ", ".join(map(str, sorted(base[name])))
            return (
                f"it has a layer {name!r} of shape {min(strange)}, and those of "
                f"{model.file.folder}/{model.file.name} are {there}"
            )
    return None


def _laid_on(model: Model, step: Step) -> Iterator[ModelFile]:
    """The files that are laid on a model, and those that a step will lay on it."""
    for change in model.changes:
        yield from (value for _, value in change.options if isinstance(value, ModelFile))
    yield from (value for value in step.constants.values() if isinstance(value, ModelFile))


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


def _problem(checked: CheckedWorkflow, file: ModelFile, reason: str, base: str) -> Problem:
    node_id, name = next(
        (node_id, name)
        for node_id, node in checked.nodes.items()
        for name, value in node.constants.items()
        if value == file or (isinstance(value, PresetFiles) and file in dict(value.files).values())
    )
    return Problem(
        "bad_model_file",
        f"Model file {file.folder}/{file.name}: {reason}.",
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
