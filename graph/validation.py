"""Whether a workflow can run: every input of every node that the outputs need.

Checks, coercions and error types are those of ComfyUI's execution.py, validate_inputs. Where
ComfyUI refuses a prompt for a node nobody needs, or only notices while running, this does better.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from typing import Any, Protocol

from graph.annotators import Annotator, MissingAnnotatorError
from graph.coercion import Refused, coerced, in_range
from graph.dependencies import dependent_outputs, needed_by
from graph.embeddings import embedding_file, named_in
from graph.errors import NotAvailableError, ServiceError
from graph.node import REQUIRED, Files, Input, NodeType
from graph.object_info import FileLists, choices_of
from graph.presets import PresetFiles, Presets
from graph.problems import Hints, Problem, WorkflowInvalidError
from graph.prompt import Node, RequiredModel, Source, Workflow
from graph.values import InputFile, ModelFile

LISTED = 100  # choices of a combo that an error names; ComfyUI stops at 20, below its own samplers
MOST_DEPENDENTS = 20  # outputs that an error says depend on its node
MOST_OF_A_CYCLE = 100  # nodes of a cycle that an error names


class Library(FileLists, Protocol):
    """The files there are: their names for combos, and descriptions for loaders."""

    def find(self, folder: str, name: str) -> ModelFile: ...

    def word(self, name: str) -> ModelFile | None:
        """The file whose vectors `embedding:name` stands for in a prompt, where there is one."""
        return embedding_file(name, self.find)

    def problem(self, _file: ModelFile) -> str | None:
        """Why a file cannot be what its folder says, where its header tells."""
        return None

    def annotator(self, annotator: Annotator) -> ModelFile:
        """The weights of a preprocessor. Raises MissingAnnotatorError; here always."""
        raise MissingAnnotatorError.of(annotator)


@dataclass(frozen=True)
class CheckedNode:
    """A node whose inputs are complete: constants of the right type, and links.

    `weights` are the files of its networks, as far as its constants tell them.
    """

    node_type: NodeType
    constants: Mapping[str, Any]
    links: Mapping[str, Source]
    weights: tuple[ModelFile, ...] = ()


@dataclass(frozen=True)
class CheckedWorkflow:
    """The nodes that the outputs need, in an order in which they can run."""

    nodes: Mapping[str, CheckedNode]
    output_ids: tuple[str, ...]


@dataclass(frozen=True)
class Uploads:
    """What was given for inputs that take a file, by (node id, input): the file, or why not."""

    files: Mapping[tuple[str, str], InputFile | ServiceError] = field(default_factory=dict)


def requested_outputs(workflow: Workflow, node_types: Mapping[str, NodeType]) -> tuple[str, ...]:
    """The output nodes, those the author chose first."""
    outputs = [
        node_id
        for node_id, node in workflow.nodes.items()
        if (known := node_types.get(node.class_type)) and known.output_node
    ]
    there = set(outputs)
    chosen = (node_id for node_id in workflow.output_ids if node_id in there)
    return tuple(dict.fromkeys((*chosen, *outputs)))


def needed_nodes(workflow: Workflow, outputs: Iterable[str]) -> set[str]:
    """The outputs and everything upstream of them that is there."""
    return needed_by(outputs, lambda node_id: _sources(workflow, node_id))


def _sources(workflow: Workflow, node_id: str) -> list[str]:
    """The nodes that a node is linked to, of those that are there."""
    links = (source.node_id for _, source in workflow.nodes[node_id].sources())
    return [origin for origin in links if origin in workflow.nodes]


def validate(
    workflow: Workflow, node_types: Mapping[str, NodeType], library: Library, uploads: Uploads
) -> CheckedWorkflow:
    """The runnable part of a workflow.

    Raises:
        WorkflowInvalidError: with every problem of every node that an output needs.
    """
    outputs = requested_outputs(workflow, node_types)
    if not outputs:
        raise WorkflowInvalidError(_no_outputs(workflow, node_types))
    found = needed_nodes(workflow, outputs)
    needed = [node_id for node_id in workflow.nodes if node_id in found]
    check = _Check(workflow, node_types, library, uploads)
    problems: list[Problem] = []
    nodes: dict[str, CheckedNode] = {}
    for node_id in needed:
        checked, refused = check.node(node_id)
        problems += refused
        if checked:
            nodes[node_id] = checked
    if problems:
        problems = _with_dependents(problems, workflow, outputs)
    problems += _cycles(workflow, needed)
    if problems:
        raise WorkflowInvalidError(tuple(problems))
    order = TopologicalSorter(
        {name: [link.node_id for link in node.links.values()] for name, node in nodes.items()}
    ).static_order()
    return CheckedWorkflow({name: nodes[name] for name in order}, outputs)


def _with_dependents(
    problems: Iterable[Problem], workflow: Workflow, outputs: Sequence[str]
) -> list[Problem]:
    """`problems` with the outputs that each keeps from running, the first of them."""
    found = dependent_outputs(outputs, lambda it: _sources(workflow, it), MOST_DEPENDENTS)
    return [
        replace(problem, dependent_outputs=tuple(found.get(problem.node_id or "", ())))
        for problem in problems
    ]


def _no_outputs(workflow: Workflow, node_types: Mapping[str, NodeType]) -> tuple[Problem, ...]:
    hints = Hints()
    unknown = [
        _unknown(node_id, node, node_types, hints)
        for node_id, node in workflow.nodes.items()
        if node.class_type not in node_types
    ]
    none = Problem("prompt_no_outputs", "The workflow has no output node, such as SaveImage.")
    return (none, *unknown)


def _unknown(node_id: str, node: Node, node_types: Mapping[str, NodeType], hints: Hints) -> Problem:
    class_type, origin = node.class_type, f" (pack {node.pack})" if node.pack else ""
    return Problem(
        "missing_node_type",
        f"There is no node type {class_type!r}{origin} here.",
        node_id,
        class_type,
        received=class_type,
        suggestion=hints.near_miss(class_type, node_types),
    )


def _missing(node_id: str, node_type: NodeType, declared: Input) -> Problem:
    return Problem(
        "required_input_missing",
        "A required input is missing.",
        node_id,
        node_type.name,
        declared.name,
        expected=declared.type,
    )


def _cycles(workflow: Workflow, needed: Iterable[str]) -> list[Problem]:
    links = {
        node_id: [source.node_id for _, source in workflow.nodes[node_id].sources()]
        for node_id in needed
    }
    try:
        TopologicalSorter(links).prepare()
    except CycleError as error:
        cycle = list(reversed(error.args[1]))[:MOST_OF_A_CYCLE]
        said = f"These nodes need each other: {' -> '.join(cycle)}."
        class_type = workflow.nodes[cycle[0]].class_type
        return [Problem("dependency_cycle", said, cycle[0], class_type, received=cycle)]
    return []


@dataclass(frozen=True)
class _Check:
    workflow: Workflow
    node_types: Mapping[str, NodeType]
    library: Library
    uploads: Uploads
    hints: Hints = field(default_factory=Hints)
    listed: dict[Files, list[Any]] = field(default_factory=dict)

    def node(self, node_id: str) -> tuple[CheckedNode | None, list[Problem]]:
        node = self.workflow.nodes[node_id]
        node_type = self.node_types.get(node.class_type)
        if node_type is None:
            return None, [_unknown(node_id, node, self.node_types, self.hints)]
        constants: dict[str, Any] = {}
        links: dict[str, Source] = {}
        problems: list[Problem] = []
        for name, declared in node_type.inputs.items():
            if name not in node.inputs:
                if declared.required:
                    problems.append(_missing(node_id, node_type, declared))
                continue
            value = node.inputs[name]
            try:
                if isinstance(value, Source):
                    links[name] = self.link(declared, value)
                else:
                    constants[name] = self.constant(node_id, declared, value)
            except Refused as refused:
                problems.append(
                    replace(
                        refused.problem, node_id=node_id, class_type=node.class_type, input=name
                    )
                )
        checked = CheckedNode(node_type, constants, links)
        if problems:
            return checked, problems
        try:
            needed = node_type.weights(with_defaults(checked))
            return replace(checked, weights=tuple(map(self.library.annotator, needed))), []
        except MissingAnnotatorError as missing:
            return checked, [missing.problem(node_id, node_type.name)]
        except NotAvailableError as error:
            return checked, [Problem(error.code, str(error), node_id, node_type.name)]

    def link(self, declared: Input, source: Source) -> Source:
        received = [source.node_id, source.slot]
        origin = self.workflow.nodes.get(source.node_id)
        if origin is None:
            said = f"It is linked to node {source.node_id!r}, which is not in the workflow."
            raise Refused("bad_linked_input", said, expected=declared.type, received=received)
        origin_type = self.node_types.get(origin.class_type)
        if origin_type is None:  # a problem of its own, said at that node
            return source
        if not 0 <= source.slot < len(origin_type.outputs):
            count = len(origin_type.outputs)
            said = (
                f"It is linked to output {source.slot} of {origin.class_type}, which has {count}."
            )
            raise Refused("bad_linked_input", said, expected=declared.type, received=received)
        given = origin_type.outputs[source.slot].type
        if not compatible(given, declared.type):
            said = (
                f"It takes {declared.type}, and is linked to output {source.slot} of "
                f"node {source.node_id} ({origin.class_type}), which gives {given}."
            )
            raise Refused("return_type_mismatch", said, expected=declared.type, received=given)
        return source

    def constant(self, node_id: str, declared: Input, value: Any) -> Any:
        if declared.upload:
            return self.upload(node_id, declared, value)
        if declared.type == "COMBO":
            return self.choice(declared, value)
        if not declared.is_widget:
            if declared.type == "*":
                return value
            said = f"It must be a link to an output of type {declared.type}."
            raise Refused("bad_linked_input", said, expected=declared.type, received=value)
        value = in_range(declared, coerced(declared.type, value))
        if declared.widget.dynamicPrompts:
            self.embeddings(value)
        return value

    def embeddings(self, text: str) -> None:
        """Refuse a prompt that asks for a file which cannot be what it should be."""
        for name in named_in(text):
            file = self.library.word(name)
            if file is not None:
                self.file(file)

    def upload(self, node_id: str, declared: Input, value: Any) -> InputFile:
        given = self.uploads.files.get((node_id, declared.name))
        if isinstance(given, InputFile):
            return given
        said = str(given) if given else f"There is no upload {value!r}."
        raise Refused("custom_validation_failed", said, received=value)

    def choice(self, declared: Input, value: Any) -> Any:
        choices = self.choices(declared)
        found = next((choice for choice in choices if choice == value), None)
        if found is None and isinstance(value, str):  # Windows paths, True for "true"
            same = value.replace("\\", "/")
            found = next((choice for choice in choices if str(choice) == same), None)
        if found is None:
            raise Refused(**self.not_in_list(declared, value, choices))
        if declared.files and found not in declared.files.also:
            return self.file(self.library.find(declared.files.folder, found))
        if declared.presets:
            return self.preset(declared.presets, found)
        return found

    def choices(self, declared: Input) -> list[Any]:
        """What a combo offers. A folder's list is made once for all nodes."""
        if declared.files is None:
            return choices_of(declared, self.library) or []
        if declared.files not in self.listed:
            self.listed[declared.files] = choices_of(declared, self.library) or []
        return self.listed[declared.files]

    def file(self, file: ModelFile) -> ModelFile:
        problem = self.library.problem(file)
        if problem is None:
            return file
        said = f"Model file {file.folder}/{file.name}: {problem}."
        model = {"folder": file.folder, "name": file.name}
        raise Refused("bad_model_file", said, received=file.name, model=model)

    def preset(self, presets: Presets, name: str) -> PresetFiles:
        """The files of a preset; each folder that it needs has one."""
        files: list[tuple[str, ModelFile]] = []
        missing: dict[str, list[str]] = {}
        for wanted in presets.wanted(name):
            found = wanted.among(self.library.models(wanted.folder))
            if found is None:
                missing.setdefault(wanted.folder, []).append(wanted.usual)
            else:
                files.append((wanted.use, self.file(self.library.find(wanted.folder, found))))
        for folder, usual in missing.items():
            if not any(file.folder == folder for _, file in files):
                said = f"Preset {name!r} needs a file such as {usual[0]!r} in models/{folder}."
                model = {"folder": folder, "name": usual[0]}
                raise Refused("missing_model", said, expected=usual, received=name, model=model)
        return PresetFiles(name, tuple(files))

    def not_in_list(self, declared: Input, value: Any, choices: list[Any]) -> dict[str, Any]:
        many = len(choices) > LISTED
        facts = {
            "code": "value_not_in_list",
            "message": f"{json.dumps(value, default=str)} is not one of its choices.",
            "expected": f"(list of length {len(choices)})" if many else choices,
            "received": value,
            "suggestion": self.hints.near_miss(value, choices),
        }
        if declared.files:
            folder = declared.files.folder
            facts["message"] = f"There is no file {value!r} in models/{folder}."
            facts["model"] = _where_from(self.workflow.models, folder, str(value))
        return facts


def _where_from(models: Iterable[RequiredModel], folder: str, name: str) -> dict[str, str]:
    named = [model for model in models if model.name == name.rpartition("/")[2]]
    known = min(named, key=lambda model: model.directory != folder, default=None)
    said = {"url": known.url, "hash": known.hash, "hash_type": known.hash_type} if known else {}
    return {"folder": folder, "name": name} | {key: value for key, value in said.items() if value}


def compatible(given: str, wanted: str) -> bool:
    """Whether an output of type `given` may be linked to an input of type `wanted`."""
    gives, wants = ({part.strip() for part in kind.split(",")} for kind in (given, wanted))
    return "*" in gives | wants or not gives.isdisjoint(wants)


def with_defaults(node: CheckedNode) -> dict[str, Any]:
    """The constants of a node and the defaults of what was left out."""
    given = node.node_type.inputs.items()
    defaults = {name: i.default for name, i in given if i.default is not REQUIRED}
    linked = node.links.keys()
    return {k: v for k, v in defaults.items() if k not in linked} | dict(node.constants)
