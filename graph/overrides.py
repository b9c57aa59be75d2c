"""Overrides: input values that a request sets by name."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from random import Random
from typing import Any

from graph.names import InputNames, Target
from graph.problems import Problem, near_miss
from graph.prompt import Workflow
from graph.shown import shown_text

RANDOM = "random"
MAX_SEED = 2**53 - 1  # what clients written in JavaScript can hold
MAX_DOTS = 20
MAX_HINT_LENGTH = 200
MAX_HINTS = 20  # problems that get a suggestion; looking for one is slow
MAX_HINT_NAMES = 1000  # names of nodes that one is looked for among


def apply(
    workflow: Workflow,
    inputs: object,
    node_types: Mapping[str, Any],
    random: Random,
) -> tuple[Workflow, dict[str, str]]:
    """`workflow` with `inputs` applied to it, and the node id each of them ("6.text") was found at.

    `inputs` is `{"6": {"text": ...}}`, `{"6.text": ...}` or `{"<App Mode name>": ...}`; nodes are
    named as `InputNames` says. A value replaces a link, too. "random" gives a seed a value drawn
    from `random`, below 2**53. `node_types` is in /object_info's format.

    Overrides that match no input, or more than one, become `problems` of the workflow.
    """
    if not isinstance(inputs, Mapping):
        message = "The inputs must be an object of overrides."
        problem = Problem("override_invalid", message, expected="an object", received=inputs)
        return replace(workflow, problems=(*workflow.problems, problem)), {}
    names = InputNames(workflow, node_types)
    changes: dict[Target, Any] = {}
    applied: dict[str, str] = {}
    problems: list[Problem] = []
    for key, meanings, value in _requested(workflow, names, inputs):
        if len(meanings) != 1:
            hint = _suggestion(key, workflow, names) if len(problems) < MAX_HINTS else None
            problems.append(_problem(key, meanings, hint))
            continue
        drawn = _drawn(value, meanings[0], names, random)
        changes |= dict.fromkeys(meanings[0], drawn)
        applied[key] = meanings[0][0][0]
    changed = _changed(workflow, changes)
    return replace(changed, problems=(*workflow.problems, *problems)), applied


Requested = tuple[str, list[tuple[Target, ...]], Any]


def _requested(
    workflow: Workflow, names: InputNames, inputs: Mapping[str, Any]
) -> Iterator[Requested]:
    """Each override as a key, what that may mean, and the value."""
    for raw_key, value in inputs.items():
        key = str(raw_key)
        if isinstance(value, Mapping) and "__value__" not in value and names.known(key):
            for name, each in value.items():
                yield f"{key}.{name}", names.targets(key, str(name)), _constant(each)
        elif key in workflow.named_inputs:
            targets = names.inputs(*workflow.named_inputs[key])
            yield key, [targets] if targets else [], _constant(value)
        else:
            yield key, _dotted(key, names), _constant(value)


def _dotted(key: str, names: InputNames) -> list[tuple[Target, ...]]:
    """What "<node>.<input>" may mean; titles and inputs may hold dots, so each may be the one."""
    parts = key.split(".")
    for cut in range(len(parts) - 1, max(0, len(parts) - MAX_DOTS), -1):
        if found := names.targets(".".join(parts[:cut]), ".".join(parts[cut:])):
            return found
    return []


def _constant(value: Any) -> Any:
    """A list that is meant as a value may come as in API format, {"__value__": [...]}."""
    is_wrapped = isinstance(value, Mapping) and "__value__" in value and "__type__" not in value
    return value["__value__"] if is_wrapped else value


def _drawn(value: Any, targets: tuple[Target, ...], names: InputNames, random: Random) -> Any:
    """`value`, or for "random" a seed that all `targets` take."""
    ranges = [names.seed_range(target) for target in targets]
    if value != RANDOM or None in ranges:
        return value
    known = [bounds for bounds in ranges if bounds]
    return random.randint(max(0, *(low for low, _ in known)), min(MAX_SEED, *(h for _, h in known)))


def _problem(key: str, meanings: list[tuple[Target, ...]], hint: str | None) -> Problem:
    if meanings:
        found = [f"{node_id}.{name}" for targets in meanings for node_id, name in targets[:1]]
        message = f"The override {shown_text(key)!r} may mean {' or '.join(found[:5])}."
        return Problem("override_ambiguous", message, expected=found[:20], received=key)
    message = f"The override {shown_text(key)!r} matches no input of the workflow."
    return Problem("override_not_found", message, received=key, suggestion=hint)


def _suggestion(key: str, workflow: Workflow, names: InputNames) -> str | None:
    """The override somebody probably meant: another input of the node, or another node."""
    if len(key) > MAX_HINT_LENGTH:
        return None
    node, _, name = key.rpartition(".")
    for level in names.nodes(node) if node else []:
        for node_id in level:
            if close := near_miss(name, names.input_names(node_id)):
                return f"{node}.{close}"
    others = (other for other in names.all_nodes() if node and len(other) <= MAX_HINT_LENGTH)
    having = [other for other in islice(others, MAX_HINT_NAMES) if names.targets(other, name)]
    if close := near_miss(node, having):
        return f"{close}.{name}"
    return near_miss(key, list(workflow.named_inputs))


def _changed(workflow: Workflow, changes: Mapping[Target, Any]) -> Workflow:
    of_node: dict[str, dict[str, Any]] = defaultdict(dict)
    for (node_id, name), value in changes.items():
        of_node[node_id][name] = value
    changed = {
        node_id: replace(workflow.nodes[node_id], inputs={**workflow.nodes[node_id].inputs, **own})
        for node_id, own in of_node.items()
    }
    return replace(workflow, nodes={**workflow.nodes, **changed})
