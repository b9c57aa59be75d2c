"""Reads the tensors of a pickled network: a tree of modules, of which no class is imported.

YOLO files are such, and TorchScript's. Their classes are notes of a name, and what a module holds
is plain data; the code in a TorchScript file is not read at all.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graph.model_files.limits import BadHeaderError, HeaderLimits
from graph.model_files.pickle_program import Named, PickleProgram, StoredTensor
from graph.model_files.pickled_header import PickledTensor, read_values, state_tensors

MOST_NESTED = 40  # modules within each other
WRAPPERS = ("ema", "model")  # of two networks in a file, the averaged one is for use
NOT_ITS_OWN = ("criterion",)
SCRIPTED = re.compile(r"(__torch__|torch\.jit\._pickle)\.")


@dataclass(eq=False)
class Made:
    """Something that a pickle would have made: its class's name, and what it was told."""

    name: str
    state: dict[Any, Any] = field(default_factory=dict)


@dataclass(eq=False)
class ModulesProgram(PickleProgram):
    """Takes any name, and calls nothing: what would be made is a note."""

    def named(self, module: Any, name: Any) -> Named:
        if not isinstance(module, str) or not isinstance(name, str):
            problem = "it names what is no name"
            raise BadHeaderError(problem)
        return Named(f"{module}.{name}"[:200])

    def unknown(self, name: str) -> Any:
        return Made(name)

    def state_set(self, built: Any, state: Any) -> None:
        if isinstance(built, Made) and isinstance(state, dict):
            self.spend(len(state))
            built.state.update(state)


@dataclass(eq=False)
class ScriptProgram(ModulesProgram):
    """Takes the names of TorchScript's classes, and of others what a checkpoint may name."""

    def named(self, module: Any, name: Any) -> Named:
        scripted = isinstance(module, str) and SCRIPTED.match(f"{module}.")
        return super().named(module, name) if scripted else PickleProgram.named(self, module, name)


@dataclass(frozen=True)
class PickledNetwork:
    """The tensors of a network by name, and plain facts that stand beside them."""

    tensors: Mapping[str, PickledTensor]
    facts: Mapping[str, Any]


def read_network(path: Path, limits: HeaderLimits) -> PickledNetwork:
    """The network of a file that a trainer wrote whole.

    Raises:
        BadHeaderError: there is none, the file is damaged, or over the limits.
    """
    program = ModulesProgram(limits)
    found: dict[str, Any] = {}

    def pick(value: Any) -> Iterator[tuple[str, StoredTensor]]:
        network = _network(value)
        found.update(network.state)
        return _tensors(network, "", program, MOST_NESTED)

    tensors = read_values(path, limits, program, pick)
    return PickledNetwork(tensors, _plain(found))


def read_script(path: Path, limits: HeaderLimits) -> dict[str, PickledTensor]:
    """The tensors of a TorchScript file, or of a plain checkpoint. Raises: BadHeaderError."""
    program = ScriptProgram(limits)

    def pick(value: Any) -> Iterator[tuple[str, StoredTensor]]:
        if isinstance(value, Made):
            return _script_tensors(value, "", program, MOST_NESTED)
        return state_tensors(value, limits)

    return read_values(path, limits, program, pick)


def _script_tensors(
    module: Made, prefix: str, program: ModulesProgram, depth: int
) -> Iterator[tuple[str, StoredTensor]]:
    """All in a module, whose parts are its attributes."""
    if depth == 0:
        problem = "its modules are nested too deep"
        raise BadHeaderError(problem)
    program.limits.check_name(prefix)
    program.spend(1 + len(module.state))
    for name, part in module.state.items():
        if isinstance(part, StoredTensor):
            yield f"{prefix}{name}", part
        elif isinstance(part, Made):
            yield from _script_tensors(part, f"{prefix}{name}.", program, depth - 1)


def _network(value: Any) -> Made:
    wrapped = value if isinstance(value, dict) else {"model": value}
    for name in WRAPPERS:
        network = wrapped.get(name)
        if isinstance(network, Made) and isinstance(network.state.get("_modules"), dict):
            return network
    problem = "it holds no network"
    raise BadHeaderError(problem)


def _tensors(
    module: Made, prefix: str, program: ModulesProgram, depth: int
) -> Iterator[tuple[str, StoredTensor]]:
    """All in a module. One that stands in several places is counted in each."""
    if depth == 0:
        problem = "its modules are nested too deep"
        raise BadHeaderError(problem)
    program.limits.check_name(prefix)
    parameters, buffers, below = (
        own if isinstance(own := module.state.get(part), dict) else {}
        for part in ("_parameters", "_buffers", "_modules")
    )
    program.spend(1 + len(parameters) + len(buffers) + len(below))
    for name, tensor in (*parameters.items(), *buffers.items()):
        if isinstance(tensor, StoredTensor):
            yield f"{prefix}{name}", tensor
    for name, child in below.items():
        if isinstance(child, Made) and name not in NOT_ITS_OWN:
            yield from _tensors(child, f"{prefix}{name}.", program, depth - 1)


def _plain(state: Mapping[Any, Any]) -> dict[str, Any]:
    """What is said of a network: the names of its classes, and how it was trained."""
    names, arguments = state.get("names"), state.get("args")
    args = arguments.state if isinstance(arguments, Made) else arguments
    size = args.get("imgsz") if isinstance(args, dict) else None
    listed = dict(enumerate(names)) if isinstance(names, list) else names
    classes = {
        int(index): str(name)[:100]
        for index, name in (listed.items() if isinstance(listed, dict) else ())
        if isinstance(index, int) and isinstance(name, str)
    }
    return {"names": classes, "imgsz": size if isinstance(size, int) else None}
