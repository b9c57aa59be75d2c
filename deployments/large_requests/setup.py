"""Messages to a large-request process: at its start, and with each request."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.json_reading import BodyLimits
from deployments.more_families import marks_with
from deployments.pack_types import Described
from deployments.reader import WorkflowReader
from graph.comfyui_nodes import load_comfyui_nodes
from graph.model_files.limits import HeaderLimits
from graph.node import NodeType
from graph.values import ModelFile
from storage.models.annotators import AnnotatorFolder
from storage.models.checks import ModelChecks
from storage.models.extra_paths import read_extra_paths
from storage.models.header_reader import HeaderReader
from storage.models.library import ModelLibrary


@dataclass(frozen=True)
class Setup:
    """Where models are, and how much a request may hold."""

    models_dir: Path
    private_models_dir: Path
    extra_model_paths: str
    families: tuple[str, ...]  # packages of further ones
    header_limits: HeaderLimits
    body_limits: BodyLimits
    most_expanded: int
    asks_hub: bool  # for the networks of preprocessors


@dataclass(frozen=True)
class Costs:
    """What one request may take."""

    cpu_s: int = 30
    memory_bytes: int = 2**30


@dataclass(frozen=True)
class Task:
    """One request. `packs`: the node types of packs, where they changed since the last one."""

    name: str
    owner: str
    raw: bytes
    how: Mapping[str, Any]
    uploads: tuple[str, ...]
    embeddings: Mapping[str, ModelFile]
    costs: Costs
    packs: Mapping[str, tuple[Described, float]] | None = None


@dataclass(frozen=True)
class Call:
    """The process asks the router for something."""

    number: int
    name: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Reply:
    """What the router says: a value, or what it raised."""

    number: int
    value: Any = None
    error: BaseException | None = None


@dataclass(frozen=True)
class Done:
    """The end of a task: what it gives, or what it raised; and whether the process ends too."""

    value: Any = None
    error: BaseException | None = None
    last: bool = False


def reader_of(setup: Setup, node_types: Mapping[str, NodeType], inputs: Any) -> WorkflowReader:
    """What reads workflows, as the router has it."""
    extra = read_extra_paths(setup.extra_model_paths)
    folders = ModelLibrary(setup.models_dir, setup.private_models_dir, extra)
    reader = HeaderReader(setup.header_limits)
    return WorkflowReader(
        node_types=node_types,
        comfyui_nodes=load_comfyui_nodes(),
        folders=folders,
        checks=ModelChecks(folders, reader, marks_with(setup.families)),
        annotators=AnnotatorFolder.of(setup.models_dir, hub=setup.asks_hub),
        inputs=inputs,
        most_expanded=setup.most_expanded,
    )
