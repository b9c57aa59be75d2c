"""What is wrong with a workflow, in ComfyUI's own error types, all of it at once."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from itertools import islice
from typing import Any

from graph.errors import ServiceError

MOST_HINTS = 100  # different questions for near misses, of one request
MOST_COMPARED = 5_000  # names that one is looked for among
LONGEST_HINT = 200  # characters of a name that is looked for, or among


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
    model: dict[str, str] | None = None  # a missing file: folder, name, and url and hash if known

    def __str__(self) -> str:
        place = "" if self.node_id is None else f"Node {self.node_id}"
        place += "" if self.input is None else f", input {self.input!r}"
        hint = f" Did you mean {self.suggestion!r}?" if self.suggestion else ""
        return (f"{place}: " if place else "") + self.message + hint

    def body(self) -> dict[str, Any]:
        facts = asdict(self) | {"dependent_outputs": list(self.dependent_outputs)}
        return facts if self.model else {k: v for k, v in facts.items() if k != "model"}


@dataclass(eq=False)
class WorkflowInvalidError(ServiceError):
    """The workflow cannot run; `problems` says every reason."""

    status = 422
    code = "prompt_outputs_failed_validation"
    problems: tuple[Problem, ...]

    def __str__(self) -> str:
        more = len(self.problems) - 1
        return str(self.problems[0]) + (f" ({more} more below.)" if more else "")


def near_miss(received: Any, among: Iterable[Any]) -> str | None:
    """The name somebody probably meant. Neither very long names nor very many are compared."""
    wanted = str(received).lower()
    if len(wanted) > LONGEST_HINT:
        return None
    texts = (str(name) for name in islice(among, MOST_COMPARED))
    names = {text.lower(): text for text in texts if len(text) <= LONGEST_HINT}
    close = get_close_matches(wanted, names, n=1)
    return names[close[0]] if close else None


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
