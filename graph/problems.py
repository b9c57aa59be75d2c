"""What is wrong with a workflow, in ComfyUI's own error types, all of it at once."""

from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any

from graph.errors import ServiceError


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


def near_miss(received: Any, among: list[Any]) -> str | None:
    """The name somebody probably meant."""
    names = {str(name).lower(): str(name) for name in among}
    close = get_close_matches(str(received).lower(), names, n=1)
    return names[close[0]] if close else None
