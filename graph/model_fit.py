"""Checks that the models of a workflow fit together: a LoRA or ControlNet and its base model."""

import re
from collections.abc import Callable, Iterator, Mapping, Set
from itertools import chain
from typing import TypeAlias

from graph.checked import CheckedWorkflow
from graph.families import BY_NAME, title_of
from graph.node import NodeType
from graph.plan import ExecutionGraph, Step
from graph.presets import PresetFiles
from graph.problems import Problem
from graph.values import ControlNet, IpAdapter, Model, ModelFile

FamilyOf: TypeAlias = Callable[[ModelFile], str]  # "" where a file does not say
# The shapes of a file's layers, or of its changes to these, by what the layers are called.
LayersOf: TypeAlias = Callable[[ModelFile], Mapping[str, Set[tuple[int, int]]]]
# The names of a U-Net's layers, or those that a LoRA gives to what it changes; empty: not known.
NamesOf: TypeAlias = Callable[[ModelFile], Set[str]]
CARRIES_CONTROL = frozenset({"CONDITIONING", "GUIDER", "*"})  # any: a switch may pass them on


def misfits(
    checked: CheckedWorkflow,
    folded: ExecutionGraph,
    family_of: FamilyOf,
    layers_of: LayersOf = lambda _: {},
    names_of: NamesOf = lambda _: frozenset(),
) -> tuple[Problem, ...]:
    """One problem for every file that is used with a base model that it is not made for."""
    found: dict[ModelFile, tuple[str, str]] = {}  # the reason, and the family it is used with
    for base, file in _together(checked, folded, family_of):
        reason = (
            _of_another_family(base, file, family_of)
            or _of_other_layers(base, file, layers_of)
            or _of_no_layer(base, file, family_of, names_of)
        )
        if reason and file not in found:
            found[file] = reason, family_of(base)
    return _problems(checked, found) if found else ()


def _together(
    checked: CheckedWorkflow, folded: ExecutionGraph, family_of: FamilyOf
) -> Iterator[tuple[ModelFile, ModelFile]]:
    """The file of every model that is used, with every file applied to it or controlling it; once.

    What is upstream of a step is gathered on the way down, so that no step walks back to it.
    """
    models: dict[str, tuple[Model, ...]] = {}
    controls: dict[str, tuple[ModelFile, ...]] = {}
    changed: dict[int, Model] = {}  # models whose changes were looked at; kept, so ids stay theirs
    seen: set[tuple[ModelFile, ModelFile]] = set()
    types = _types(checked, folded)
    for node_id, step in folded.steps.items():
        models[node_id] = _models(step, models)
        controls[node_id] = _controls(step, types, controls)
        for model in models[node_id]:
            of_model = () if id(model) in changed else _in_changes(model)
            changed[id(model)] = model
            of_step = (*_in_step(step), *_adapting(step, family_of(model.file)))
            for file in (*of_model, *of_step, *controls[node_id]):
                if (pair := (model.file, file)) not in seen:
                    seen.add(pair)
                    yield pair


def _models(step: Step, above: Mapping[str, tuple[Model, ...]]) -> tuple[Model, ...]:
    """The models that a step is given, or those that the model it is handed began as."""
    given = tuple(value for value in step.constants.values() if isinstance(value, Model))
    link = step.links.get("model")
    return above[link.node_id] if link and not given else given


def _controls(
    step: Step,
    types: Mapping[str, NodeType],
    above: Mapping[str, tuple[ModelFile, ...]],
) -> tuple[ModelFile, ...]:
    """The ControlNets of a step and of the prompts that it is linked to, the last link first."""
    own = (value.file for value in step.constants.values() if isinstance(value, ControlNet))
    carrying = [
        above[link.node_id]
        for link in step.links.values()
        if types[link.node_id].outputs[link.slot].type in CARRIES_CONTROL
    ]
    return tuple(dict.fromkeys(chain(own, *reversed(carrying))))


def _types(checked: CheckedWorkflow, folded: ExecutionGraph) -> dict[str, NodeType]:
    """The node type of each step; those of expansions are in no checked workflow."""
    more = folded.folding.node_types if folded.folding else {}
    return {
        node_id: checked.nodes[node_id].node_type
        if node_id in checked.nodes
        else more[step.class_type]
        for node_id, step in folded.steps.items()
    }


def _of_another_family(model: ModelFile, file: ModelFile, family_of: FamilyOf) -> str | None:
    base, family = family_of(model), family_of(file)
    if not base or not family or base == family:
        return None
    if file.folder == "loras" and base in BY_NAME and family in BY_NAME[base].takes_loras_of:
        return None
    made_for, is_for = title_of(family), title_of(base)
    return f"it is made for {made_for}, and {model.folder}/{model.name} is {is_for}"


def _of_other_layers(model: ModelFile, file: ModelFile, layers_of: LayersOf) -> str | None:
    base = layers_of(model)
    for name, shapes in layers_of(file).items():
        strange = shapes - base.get(name, shapes)
        if strange:
            there = ", ".join(map(str, sorted(base[name])))
            return (
                f"it has a layer {name!r} of shape {min(strange)}, and those of "
                f"{model.folder}/{model.name} are {there}"
            )
    return None


def _of_no_layer(
    base: ModelFile, file: ModelFile, family_of: FamilyOf, names_of: NamesOf
) -> str | None:
    changed, there = names_of(file), names_of(base)
    if file.folder != "loras" or not changed or changed & there:
        return None
    family = BY_NAME.get(family_of(base))
    starts = family.layers if family else ""
    if not there and (not starts or any(re.match(starts, layer) for layer in changed)):
        return None
    listed = f"{len(changed)} layers that it changes, such as {min(changed)!r},"
    return f"none of the {listed} is in {base.folder}/{base.name}"


def _in_changes(model: Model) -> Iterator[ModelFile]:
    """The files that are applied to a model."""
    for change in model.changes:
        yield from (value for _, value in change.options if isinstance(value, ModelFile))


def _in_step(step: Step) -> Iterator[ModelFile]:
    """The files that a step will apply to its model."""
    yield from (value for value in step.constants.values() if isinstance(value, ModelFile))


def _adapting(step: Step, base: str) -> Iterator[ModelFile]:
    """The IP-Adapter that a step applies to a model, in the file that is nearest to it."""
    for adapter in (v for v in step.constants.values() if isinstance(v, IpAdapter)):
        files = dict(adapter.files)
        yield files.get("") or files.get(base) or next(iter(files.values()))


def _problems(
    checked: CheckedWorkflow, found: Mapping[ModelFile, tuple[str, str]]
) -> tuple[Problem, ...]:
    places: dict[ModelFile, tuple[str, str]] = {}
    for node_id, node in checked.nodes.items():
        for name, value in node.constants.items():
            files = dict(value.files).values() if isinstance(value, PresetFiles) else (value,)
            for file in (one for one in files if isinstance(one, ModelFile)):
                places.setdefault(file, (node_id, name))
    return tuple(
        Problem(
            "bad_model_file",
            f"Model file {file.folder}/{file.name}: {reason}.",
            node_id,
            checked.nodes[node_id].node_type.name,
            name,
            expected=base,
            received=file.name,
            model={"folder": file.folder, "name": file.name},
        )
        for file, (reason, base) in found.items()
        for node_id, name in (places[file],)
    )
