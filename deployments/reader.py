"""Reads, checks and plans workflows: the language and an owner's files together. No Ray."""

import random
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from api.errors import one_field
from api.heavy_work import HeavyWork, RequestWork, is_small
from api.jobs.runner import Prepared
from api.schemas import ExecuteRequest
from deployments.owners_files import OwnersFiles
from deployments.quotes import quote
from deployments.request_inputs import (
    MOST_BYTES,
    AnyFiles,
    is_api_format,
    may_name_uploads,
    read_kinds,
)
from deployments.used_seeds import used_seeds
from graph.batches import expected_outputs
from graph.checked import CheckedWorkflow
from graph.dependencies import needed_by, requested_outputs, sources
from graph.errors import MissingModelFile
from graph.folding import MOST_EXPANDED, fold
from graph.hooks import Answers, ask
from graph.missing import missing_models, missing_nodes
from graph.model_fit import misfits
from graph.node import Input, NodeType
from graph.object_info import ObjectInfo
from graph.overrides import apply
from graph.parameters import parameters
from graph.plan import ExecutionGraph
from graph.private_embeddings import PrivateEmbeddings
from graph.problems import WorkflowIncompleteError, WorkflowInvalidError
from graph.prompt import NoLink, Source, Workflow
from graph.saved_names import prefix_problems
from graph.shown import fitting
from graph.skipped import bodies, sentences
from graph.validation import Uploads, validate, without
from graph.values import ModelFile
from graph.workflow import read_workflow
from storage.models.annotators import AnnotatorFolder
from storage.models.checks import ModelChecks
from storage.models.library import ModelLibrary

MOST_MISSING = 256_000  # characters of JSON that missing nodes, or models, are listed in
Constant: TypeAlias = tuple[str, Input, Any]  # what is written, not linked: node id, input, value


@dataclass(frozen=True)
class PreparedWorkflow(Prepared):
    """A workflow that can run, as the steps that are left to run."""

    folded: ExecutionGraph | None = None


@dataclass(frozen=True)
class Given:
    """A workflow with what its owner has for it. With `strict` every output must be able to run."""

    workflow: Workflow
    files: OwnersFiles
    uploads: Uploads
    strict: bool


class OwnersInputs(AnyFiles, Protocol):
    """The files that an owner may name."""

    async def list(self, owner: str, /) -> tuple[str, ...]: ...


class Embeddings(Protocol):
    """The embeddings that an owner uploaded."""

    async def of(self, owner: str, /) -> PrivateEmbeddings: ...


@dataclass(frozen=True, kw_only=True)
class WorkflowReader:
    """Everything that is needed to say what a workflow is and whether it can run."""

    node_types: Mapping[str, NodeType]
    comfyui_nodes: Mapping[str, Any]  # ComfyUI's own node types, to read files that use others
    folders: ModelLibrary
    checks: ModelChecks
    annotators: AnnotatorFolder
    inputs: OwnersInputs
    own_embeddings: Embeddings | None = None
    most_expanded: int = MOST_EXPANDED
    most_input_bytes: int = MOST_BYTES
    heavy: HeavyWork = field(default_factory=HeavyWork)

    async def prepare(self, owner: str, body: Mapping[str, Any]) -> PreparedWorkflow:
        """Read, override and validate the workflow of an execute body. Raises ServiceError."""
        listed = may_name_uploads(body.get("workflow"), self.node_types)
        files = await self._files(owner, listed=listed)
        work = self._work(owner, body)
        workflow, applied = await work.run(self._overridden, body, files)
        constants = await work.run(list, self._constants(workflow))
        uploads = await self._uploads(owner, constants)
        await self._read_headers(await work.run(self._named, files, constants))
        given = Given(workflow, files, uploads, ExecuteRequest.read(body).strict)
        answers = await self._asked(given, work) if self._has_hooks(workflow) else Answers()
        return await work.run(self._prepared, given, applied, answers)

    def _overridden(
        self, body: Mapping[str, Any], files: OwnersFiles
    ) -> tuple[Workflow, dict[str, str]]:
        known = self._known_nodes(files)
        workflow = read_workflow(body.get("workflow"), known).only(body.get("targets"))
        return apply(workflow, body.get("inputs") or {}, known, random.Random())

    def _has_hooks(self, workflow: Workflow) -> bool:
        """Whether a node wants to be asked before the workflow runs."""
        types = (self.node_types.get(node.class_type) for node in workflow.nodes.values())
        return any(known and (known.hooks.changed or known.hooks.validate) for known in types)

    async def _asked(self, given: Given, work: RequestWork) -> Answers:
        """What the hooks of nodes say, of a workflow that is valid but for them."""
        with suppress(WorkflowInvalidError):  # it is told when the workflow is prepared
            return await ask(await work.run(self._checked, given))
        return Answers()

    def _prepared(
        self, given: Given, applied: dict[str, str], answers: Answers
    ) -> PreparedWorkflow:
        workflow = given.workflow
        missing = self._missing(workflow, given.files)
        try:
            checked, folded = self._planned(given, answers)
        except WorkflowInvalidError as error:
            raise WorkflowIncompleteError(error.problems, **missing) from error
        meta = {"seed": used_seeds(checked, folded), "overrides": applied}
        warnings = [*workflow.warnings, *sentences(checked.skipped)]
        return PreparedWorkflow(
            prompt=workflow.to_api(),
            workflow=workflow.ui,
            meta=meta | ({"warnings": warnings} if warnings else {}),
            skipped=tuple(bodies(checked.skipped)),
            outputs=expected_outputs(folded, self.node_types),
            output_ids=checked.output_ids,
            quote=quote(folded) | missing,
            folded=folded,
        )

    def _checked(self, given: Given) -> CheckedWorkflow:
        return validate(
            given.workflow,
            self.node_types,
            given.files,
            given.uploads,
            elsewhere=self.comfyui_nodes,
            strict=given.strict,
        )

    def _planned(self, given: Given, answers: Answers) -> tuple[CheckedWorkflow, ExecutionGraph]:
        """What can run of a workflow, and its steps.

        Raises:
            WorkflowInvalidError: nothing can, or with `strict` not all can.
        """
        checked, problems = self._checked(given), answers.problems
        while True:  # each time without the outputs that cannot run; there is one at least
            if problems:
                checked = without(checked, problems, given.workflow, strict=given.strict)
            try:
                return checked, self._folded(checked, given.files, answers.fingerprints)
            except WorkflowInvalidError as error:
                problems = error.problems

    def _folded(
        self, checked: CheckedWorkflow, files: OwnersFiles, fingerprints: Mapping[str, Any]
    ) -> ExecutionGraph:
        folded = fold(
            checked,
            files.private_embeddings,
            self.node_types,
            fingerprints,
            most_expanded=self.most_expanded,
        )
        checks = self.checks
        unfit = misfits(checked, folded, checks.family, checks.layers, checks.names)
        if problems := (*unfit, *prefix_problems(folded)):
            raise WorkflowInvalidError(problems)
        return folded

    def _missing(self, workflow: Workflow, files: OwnersFiles) -> dict[str, Any]:
        """All that the workflow has and that is not here."""
        nodes = missing_nodes(workflow, self.node_types, self.comfyui_nodes)
        models = missing_models(workflow, self.node_types, files)
        return {
            "missing_nodes": fitting(nodes, MOST_MISSING)[0],
            "missing_models": fitting(models, MOST_MISSING)[0],
        }

    async def object_info(self, owner: str) -> Mapping[str, Any]:
        """All node types in ComfyUI's format, with the names of the files there are."""
        return ObjectInfo(self.node_types, await self._files(owner))

    async def family(self, owner: str, folder: str, name: str) -> str:
        """The family that a model file is of, or is for; "" where it is not there or says none."""
        try:
            file = self.folders.find_for(owner, folder, name)
        except MissingModelFile:
            return ""
        await self.checks.learn(file)
        return self.checks.family(file)

    async def schema(self, owner: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The parameters of a workflow as JSON Schema."""
        files = await self._files(owner)
        known = self._known_nodes(files)

        def described() -> Mapping[str, Any]:
            workflow = _sound(read_workflow(body.get("workflow"), known))
            return parameters(workflow, known) | self._missing(workflow, files)

        return await self._work(owner, body).run(described)

    async def convert(self, owner: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """A UI workflow in API format; `object_info` says the node types of another server."""
        theirs = body.get("object_info")
        if theirs is not None and not isinstance(theirs, Mapping):
            raise one_field("object_info", "an object, as GET /object_info gives it", theirs)
        ours = self._known_nodes(await self._files(owner))
        known = ours if theirs is None else theirs

        def converted() -> Mapping[str, Any]:
            workflow = _sound(read_workflow(body.get("workflow"), known))
            return {"workflow": workflow.to_api(), "warnings": list(workflow.warnings)}

        return await self._work(owner, body).run(converted)

    def _work(self, owner: str, body: Mapping[str, Any]) -> RequestWork:
        """Where a request is read. Only API format is as large as it looks: subgraphs unfold."""
        plain = is_api_format(body.get("workflow"))
        return self.heavy.for_request(owner, small=plain and is_small(body))

    async def _files(self, owner: str, *, listed: bool = True) -> OwnersFiles:
        names = await self.inputs.list(owner) if listed else ()
        private = await self.own_embeddings.of(owner) if self.own_embeddings else {}
        return OwnersFiles(self.folders, owner, names, self.checks, self.annotators, private)

    def _known_nodes(self, files: OwnersFiles) -> Mapping[str, Any]:
        """Our node types, and ComfyUI's for what does not run here."""
        ours = ObjectInfo(self.node_types, files)
        return ChainMap(ours, self.comfyui_nodes)  # type: ignore[arg-type]

    async def _uploads(self, owner: str, constants: Sequence[Constant]) -> Uploads:
        """The files that inputs of needed nodes name, each read once, or why it cannot be had."""
        wanted = {
            (node_id, declared.name): (
                declared.upload.kind == "image",
                declared.upload.file_name(value),
            )
            for node_id, declared, value in constants
            if declared.upload
        }
        named = set(wanted.values())
        files = await read_kinds(self.inputs, owner, named, self.most_input_bytes)
        return Uploads({place: files[one] for place, one in wanted.items()})

    async def _read_headers(self, files: Sequence[ModelFile]) -> None:
        """Get to know the model files that are named for the first time, off the event loop."""
        for file in files:
            await self.checks.learn(file)

    def _named(self, files: OwnersFiles, constants: Sequence[Constant]) -> tuple[ModelFile, ...]:
        """The model files that constants name, each once."""
        named = (file for _, declared, value in constants for file in files.named(declared, value))
        return tuple(dict.fromkeys(named))

    def _constants(self, workflow: Workflow) -> Iterator[Constant]:
        """What is written, not linked, in the nodes that outputs need: id, input, value."""
        outputs = requested_outputs(workflow, self.node_types, self.comfyui_nodes)
        links = sources(workflow, self.node_types)
        for node_id in sorted(needed_by(outputs, links.__getitem__)):
            node_type = self.node_types.get(workflow.nodes[node_id].class_type)
            inputs = node_type.inputs if node_type else {}
            for name, value in workflow.nodes[node_id].inputs.items():
                if name in inputs and not isinstance(value, Source | NoLink):
                    yield node_id, inputs[name], value


def _sound(workflow: Workflow) -> Workflow:
    """A workflow whose document has nothing wrong with it.

    Raises:
        WorkflowInvalidError: it has.
    """
    if found := (*workflow.problems, *workflow.broken_links):
        raise WorkflowInvalidError(found)
    return workflow
