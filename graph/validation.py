"""Validates workflows: every input of every node that the outputs need.

Checks, coercions and error types are those of ComfyUI's execution.py, validate_inputs. Where
ComfyUI refuses a prompt for a node nobody needs, or only notices while running, this does better.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter
from types import MappingProxyType
from typing import Any, Protocol

from graph import file_prefix
from graph.annotators import Annotator, FixedFile, MissingAnnotatorError, MissingFixedFileError
from graph.checked import CheckedNode, CheckedWorkflow, with_defaults
from graph.coercion import Refused, coerced, in_range, takes
from graph.dependencies import (
    cycles,
    inputs_of,
    needed_by,
    reached_from,
    requested_outputs,
    sources,
)
from graph.embeddings import MOST_NAMED, embedding_file, named_in
from graph.errors import MissingModelFile, NotAvailableError, ServiceError
from graph.input_hints import FileInside
from graph.missing import AskedModels
from graph.node import Files, Input, NodeType
from graph.node_packs import COMFYUI, pack_of
from graph.object_info import FileLists, choices_of
from graph.presets import PresetFiles, Presets
from graph.problems import MOST_DEPENDENTS, Hints, Problem, WorkflowInvalidError
from graph.prompt import Node, NoLink, Source, Workflow
from graph.shown import quoted, shown_text
from graph.skipped import REFUSED, parted
from graph.values import InputFile, ModelFile

NO_OUTPUTS = "The workflow has no output node, such as SaveImage."
LISTED = 100  # choices of a combo that an error names; ComfyUI stops at 20, below its own samplers


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
class Uploads:
    """What was given for inputs that take a file, by (node id, input): the file, or why not."""

    files: Mapping[tuple[str, str], InputFile | ServiceError] = field(default_factory=dict)


def validate(
    workflow: Workflow,
    node_types: Mapping[str, NodeType],
    library: Library,
    uploads: Uploads,
    *,
    elsewhere: Mapping[str, Any] = MappingProxyType({}),
    strict: bool = False,
) -> CheckedWorkflow:
    """The runnable part of a workflow: the outputs that can run, and what they need.

    `elsewhere` has node types that are not here, in /object_info's format: it tells which of them
    are outputs. With `strict` every output must be able to run.

    Raises:
        WorkflowInvalidError: with every problem of every node that an output needs.
    """
    outputs = requested_outputs(workflow, node_types, elsewhere)
    links = sources(workflow, node_types)
    dependents = reached_from(outputs, links.__getitem__, MOST_DEPENDENTS)
    check = _Check(workflow, node_types, library, uploads, elsewhere, AskedModels(workflow.models))
    problems = list(workflow.problems)
    problems += [broken for broken in workflow.broken_links if broken.node_id in dependents]
    reported = {(problem.node_id, problem.input) for problem in problems}
    nodes: dict[str, CheckedNode] = {}
    for node_id in [node_id for node_id in workflow.nodes if node_id in dependents]:
        checked, found = check.node(node_id)
        problems += [one for one in found if (node_id, one.input) not in reported]
        if checked:
            nodes[node_id] = checked
    if not outputs:
        problems = [Problem("prompt_no_outputs", NO_OUTPUTS), *problems, *check.unknown()]
    problems += [_cycle(workflow, way) for way in cycles(dependents, links)]
    problems = [_with_dependents(problem, dependents) for problem in problems]
    running, skipped = parted(workflow, outputs, links, problems, strict=strict)
    needs = needed_by(running, links.__getitem__)
    needs_of = {node_id: links[node_id] for node_id in workflow.nodes if node_id in needs}
    order = TopologicalSorter(needs_of).static_order()
    return CheckedWorkflow({node_id: nodes[node_id] for node_id in order}, running, skipped)


def without(
    checked: CheckedWorkflow, problems: Sequence[Problem], workflow: Workflow, *, strict: bool
) -> CheckedWorkflow:
    """What is left of `checked` without the outputs that need a node of `problems`.

    Raises:
        WorkflowInvalidError: with these problems and the earlier ones, if nothing is left, or
            `strict` wants all.
    """
    links = {
        node_id: tuple(link.node_id for link in node.links.values())
        for node_id, node in checked.nodes.items()
    }
    dependents = reached_from(checked.output_ids, links.__getitem__, MOST_DEPENDENTS)
    found = [_with_dependents(problem, dependents) for problem in problems]
    earlier = [problem for one in checked.skipped for problem in one.problems]
    try:
        running, skipped = parted(workflow, checked.output_ids, links, found, strict=strict)
    except WorkflowInvalidError as error:
        raise WorkflowInvalidError((*dict.fromkeys(earlier), *error.problems)) from error
    needs = needed_by(running, links.__getitem__)
    nodes = {node_id: node for node_id, node in checked.nodes.items() if node_id in needs}
    return CheckedWorkflow(nodes, running, (*checked.skipped, *skipped))


def _with_dependents(problem: Problem, dependents: Mapping[str, Sequence[str]]) -> Problem:
    found = dependents.get(problem.node_id or "", ())
    return replace(problem, dependent_outputs=tuple(found))


def _missing(node_id: str, node_type: NodeType, declared: Input) -> Problem:
    return Problem(
        "required_input_missing",
        "A required input is missing.",
        node_id,
        node_type.name,
        declared.name,
        expected=declared.type,
    )


def _cycle(workflow: Workflow, way: Sequence[str]) -> Problem:
    shown = [*way[:MOST_DEPENDENTS], "..."] if len(way) > MOST_DEPENDENTS else way
    said = f"These nodes need each other: {' -> '.join(map(shown_text, shown))}."
    class_type = workflow.nodes[way[0]].class_type
    return Problem("dependency_cycle", said, way[0], class_type, received=list(way))


@dataclass(frozen=True)
class _Check:
    workflow: Workflow
    node_types: Mapping[str, NodeType]
    library: Library
    uploads: Uploads
    elsewhere: Mapping[str, Any]
    asked: AskedModels
    hints: Hints = field(default_factory=Hints)
    listed: dict[Files, list[Any]] = field(default_factory=dict)
    words: set[str] = field(default_factory=set)  # embeddings that prompts name

    def unknown(self) -> list[Problem]:
        """The nodes of types that are not here, whoever needs them."""
        nodes = self.workflow.nodes.items()
        missing = [node_id for node_id, node in nodes if node.class_type not in self.node_types]
        return [problem for node_id in missing for problem in self.node(node_id)[1]]

    def node(self, node_id: str) -> tuple[CheckedNode | None, list[Problem]]:
        node = self.workflow.nodes[node_id]
        node_type = self.node_types.get(node.class_type)
        if node_type is None or node_type.internal:  # no class at all: the document's problem
            return None, [self.unknown_type(node_id, node)] if node.class_type else []
        constants: dict[str, Any] = {}
        links: dict[str, Source] = {}
        problems: list[Problem] = []
        raw: set[str] = set()
        for name, declared in inputs_of(node_type, node).items():
            if name not in node.inputs:
                if declared.required and not declared.may_be_left_out:
                    problems.append(_missing(node_id, node_type, declared))
                continue
            value = node.inputs[name]
            try:
                if isinstance(value, Source):
                    links[name] = self.link(node_type, declared, value)
                    if declared.raw_link:
                        raw.add(name)
                elif isinstance(value, NoLink):
                    said = f"A link must be [node id, output slot], got {quoted(value.value)}."
                    raise Refused(  # noqa: TRY301 - told at its node and input, below
                        "bad_linked_input", said, expected=declared.type, received=value.value
                    )
                else:
                    own = name in node_type.hooks.validates
                    constants[name] = self.constant(node_id, declared, value, own=own)
            except Refused as refused:
                problems.append(
                    replace(
                        refused.problem, node_id=node_id, class_type=node.class_type, input=name
                    )
                )
        checked = CheckedNode(node_type, constants, links, raw_links=frozenset(raw))
        if problems:
            return checked, problems
        try:
            needed = node_type.weights(with_defaults(checked))
            return replace(checked, weights=tuple(map(self.needed, needed))), []
        except (MissingAnnotatorError, MissingFixedFileError) as missing:
            return checked, [missing.problem(node_id, node_type.name)]
        except NotAvailableError as error:
            return checked, [Problem(error.code, str(error), node_id, node_type.name)]

    def needed(self, file: Annotator | FixedFile) -> ModelFile:
        """What a node needs without naming it.

        Raises:
            MissingAnnotatorError, MissingFixedFileError: it is not there.
        """
        if not isinstance(file, FixedFile):
            return self.library.annotator(file)
        try:
            return self.library.find(file.folder, file.name)
        except MissingModelFile as error:
            raise MissingFixedFileError.of(file) from error

    def unknown_type(self, node_id: str, node: Node) -> Problem:
        pack = pack_of(node.class_type, node.pack, self.elsewhere)
        origin = f" It is a custom node of {shown_text(pack)}." if pack else ""
        if pack.startswith(COMFYUI):
            origin = " It is a node of ComfyUI's own that is not served."
        return Problem(
            "missing_node_type",
            f"There is no node type {shown_text(node.class_type)!r} here.{origin}",
            node_id,
            node.class_type,
            received=node.class_type,
            suggestion=None if pack else self.hints.near_miss(node.class_type, self.node_types),
            pack=pack or None,
        )

    def link(self, node_type: NodeType, declared: Input, source: Source) -> Source:
        received = [source.node_id, source.slot]
        origin = self.workflow.nodes.get(source.node_id)
        if origin is None:
            node_id = shown_text(source.node_id)
            said = f"It is linked to node {node_id!r}, which is not in the workflow."
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
        own = "input_types" in node_type.hooks.validates
        if not own and not compatible(given, declared.type):
            said = (
                f"It takes {declared.type}, and is linked to output {source.slot} of "
                f"node {source.node_id} ({origin.class_type}), which gives {given}."
            )
            raise Refused("return_type_mismatch", said, expected=declared.type, received=given)
        return source

    def constant(self, node_id: str, declared: Input, value: Any, *, own: bool) -> Any:
        """A constant as the node takes it; its range and choice may be its `own` to check."""
        if declared.upload:
            return self.upload(node_id, declared, value)
        if declared.file_inside and isinstance(value, Mapping):
            return self.with_file(declared.file_inside, value)
        if declared.type == "COMBO":
            return value if own else self.choice(declared, value)
        if not declared.is_widget:
            if declared.takes_constants or takes(declared.type, value):
                return value
            said = f"It must be a link to an output of type {declared.type}."
            raise Refused("bad_linked_input", said, expected=declared.type, received=value)
        value = coerced(declared.type, value)
        value = value if own else in_range(declared, value)
        if declared.widget.dynamicPrompts:
            self.embeddings(value)
        if declared.name == file_prefix.INPUT and (problem := file_prefix.prefix_problem(value)):
            said = f"No file can be saved under this prefix: {problem}."
            raise Refused("invalid_file_name", said, received=value)
        return value

    def embeddings(self, text: str) -> None:
        """Refuse a prompt that asks for a file which cannot be what it should be."""
        for name in named_in(text):
            self.words.add(name)
            if len(self.words) > MOST_NAMED:
                said = f"The prompts of a workflow may name at most {MOST_NAMED} embeddings."
                raise Refused("custom_validation_failed", said, expected=MOST_NAMED)
            file = self.library.word(name)
            if file is not None:
                self.file(file)

    def upload(self, node_id: str, declared: Input, value: Any) -> InputFile:
        given = self.uploads.files.get((node_id, declared.name))
        if isinstance(given, InputFile):
            return given
        said = str(given) if given else f"There is no upload {quoted(value)}."
        code = given.code if given and given.code in REFUSED else "custom_validation_failed"
        raise Refused(code, said, received=value)

    def with_file(self, inside: FileInside, value: Mapping[str, Any]) -> Mapping[str, Any]:
        """A mapping with its file, where it says that it needs one."""
        if not value.get(inside.when) or inside.key not in value:
            return value
        files = Files(inside.folder, also=("None",))
        combo = Input(inside.key, "COMBO", files=files)
        return {**value, inside.key: self.choice(combo, value[inside.key])}

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
            if found is None and wanted.needed:
                said = f"{name!r} needs {wanted.usual!r} in models/{wanted.folder}. {wanted.note}"
                model = {"folder": wanted.folder, "name": wanted.usual, "licence": wanted.note}
                usual = [wanted.usual]
                raise Refused("missing_model", said, expected=usual, received=name, model=model)
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
            "message": f"{quoted(value)} is not one of its choices.",
            "expected": f"(list of length {len(choices)})" if many else choices,
            "received": value,
            "suggestion": self.hints.near_miss(value, choices),
        }
        if declared.files:
            folder = declared.files.lies_in or declared.files.folder
            note = declared.files.note and f" {declared.files.note}"
            facts["message"] = f"There is no file {quoted(value)} in models/{folder}.{note}"
            facts["model"] = self.asked.facts(folder, shown_text(str(value)))
        return facts


def compatible(given: str, wanted: str) -> bool:
    """Whether an output of type `given` may be linked to an input of type `wanted`."""
    gives, wants = ({part.strip() for part in kind.split(",")} for kind in (given, wanted))
    return "*" in gives | wants or not gives.isdisjoint(wants)
