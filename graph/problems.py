"""All problems of a workflow at once, in ComfyUI's error types."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

from graph.errors import ServiceError
from graph.shown import shown_text

NEAR = 0.7  # of difflib's ratio: "eulr" and "euler" have 0.89, "uni" and "euler" 0.25
MOST_HINTS = 100  # different questions for near misses, of one request
MOST_COMPARED = 5_000  # names that one is looked for among
LONGEST_HINT = 200  # characters of a name that is looked for, or among
MODEL_SUFFIXES = frozenset({".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".sft", ".gguf"})
MOST_DEPENDENTS = 20  # outputs that a problem, and problems that an output, names


@dataclass(frozen=True)
class Problem:
    """One thing that keeps a node from running. `code` is the type ComfyUI gives it."""

    code: str
    message: str
    node_id: str | None = None
    class_type: str | None = None
    input: str | None = None
    expected: Any = None
    received: Any = None
    suggestion: str | None = None
    dependent_outputs: tuple[str, ...] = ()
    model: Mapping[str, str] | None = None  # a missing file: folder, name; url and hash if known
    pack: str | None = None  # that has a missing node type

    def __str__(self) -> str:
        named = "" if self.input is None else f"input {shown_text(self.input)!r}"
        node = "" if self.node_id is None else f"Node {shown_text(self.node_id)}"
        place = ", ".join(filter(None, (node, named)))
        place = place[:1].upper() + place[1:]
        hint = f" Did you mean {self.suggestion!r}?" if self.suggestion else ""
        return (f"{place}: " if place else "") + self.message + hint

    def body(self) -> dict[str, Any]:
        """The facts, for a caller."""
        own = {"model": self.model, "pack": self.pack}  # of some problems only
        facts = {name: value for name, value in vars(self).items() if name not in own}
        return facts | {name: value for name, value in own.items() if value}


@dataclass(eq=False)
class WorkflowInvalidError(ServiceError):
    """The workflow cannot run; `problems` says every reason."""

    status = 422
    code = "prompt_outputs_failed_validation"
    problems: tuple[Problem, ...]

    def __str__(self) -> str:
        more = len(self.problems) - 1
        return str(self.problems[0]) + (f" ({more} more below.)" if more else "")


@dataclass(eq=False)
class WorkflowIncompleteError(WorkflowInvalidError):
    """As WorkflowInvalidError, with all that the workflow has and this service has not."""

    missing_nodes: Sequence[Mapping[str, Any]]
    missing_models: Sequence[Mapping[str, Any]]

    def beside(self) -> Mapping[str, Iterable[Any]]:
        return {"missing_nodes": self.missing_nodes, "missing_models": self.missing_models}


def near_miss(received: Any, among: Iterable[Any]) -> str | None:
    """The name somebody probably meant, if one is near enough to be worth a question.

    Files are compared without what all their names end in, and without their folders where the
    name that was received has none.
    """
    if not isinstance(received, str) or len(received) > LONGEST_HINT:
        return None
    stem = _stem(received)
    names: dict[str, str] = {}
    for name in map(str, islice(among, MOST_COMPARED)):
        its_stem = _stem(name)
        if "/" not in stem:
            its_stem = its_stem.rpartition("/")[2]
        names.setdefault(its_stem, name)
    close = get_close_matches(stem, names, n=1, cutoff=NEAR)
    return names[close[0]] if close else None


def _stem(name: str) -> str:
    """A name in small letters, with "/" in paths, without the ending of a model file."""
    lower = name.lower().replace("\\", "/")
    suffix = PurePosixPath(lower[-LONGEST_HINT:]).suffix
    return lower.removesuffix(suffix) if suffix in MODEL_SUFFIXES else lower


@dataclass
class Hints:
    """Near misses for the problems of one request; looking for one is slow, so for the first."""

    left: int = MOST_HINTS
    _asked: dict[tuple[str, int], tuple[object, str | None]] = field(default_factory=dict)

    def near_miss(self, received: Any, among: Iterable[Any]) -> str | None:
        """As near_miss; None after `left` different questions. `among` is told by its identity."""
        key = str(received), id(among)
        if key not in self._asked and self.left:
            self.left -= 1
            self._asked[key] = among, near_miss(received, among)  # kept, so that its id stays its
        return self._asked.get(key, (None, None))[1]
