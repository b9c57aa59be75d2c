"""Errors for callers: facts as fields, a sentence as template."""

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self

PROBLEM_CHARS = 200


def shortened(text: str, most: int = PROBLEM_CHARS) -> str:
    """The text, cut to so many characters: what a file says may be of any length."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


@dataclass(eq=False)
class ServiceError(Exception):
    """Something a caller can be told about. Fields carry the facts, `template` says them."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    template: ClassVar[str] = "The service failed."

    def __str__(self) -> str:
        facts = asdict(self)
        said = self.template.format(**facts)
        if not self.place or "node_id" in facts:
            return said
        return f"Node {self.place['node_id']} ({self.place['class_type']}): {said}"

    def __reduce__(self) -> tuple[type[Self], tuple[Any, ...], dict[str, Any]]:
        """It arrives intact from a replica."""
        given = tuple(getattr(self, field.name) for field in fields(self))
        return type(self), given, {"_place": dict(self.place)}

    def at(self, node_id: str, class_type: str) -> Self:
        """The same, said of the node that met it. A new one: several jobs may meet one error."""
        said = copy(self)
        vars(said)["_place"] = {"node_id": node_id, "class_type": class_type}
        return said

    @property
    def place(self) -> Mapping[str, str]:
        """`node_id` and `class_type` of the node that met it; empty where none did."""
        place: Mapping[str, str] = vars(self).get("_place", {})
        return place

    def body(self) -> dict[str, Any]:
        """The facts, for a caller."""
        return {"code": self.code, "message": str(self), **self.place, **asdict(self)}

    def beside(self) -> Mapping[str, Iterable[Any]]:
        """Lists of more facts, that an answer has beside its list of errors."""
        return {}


@dataclass(eq=False)
class NodeFailed(ServiceError):
    """A node whose inputs were of the right types and yet could not be computed with."""

    status = 422
    code = "execution_error"
    template = "Node {node_id} ({class_type}) failed: {problem}"
    node_id: str
    class_type: str
    problem: str


@dataclass(eq=False)
class ColorsNotServedError(ServiceError):
    """Colours of a video that this service does not write."""

    status = 422
    code = "media_not_writable"
    template = "Video is written in sRGB alone, not in {received!r}."
    received: str


@dataclass(eq=False)
class BadModelFile(ServiceError):
    """A file in the models folder that cannot be what it is asked to be."""

    status = 422
    code = "bad_model_file"
    template = "Model file {folder}/{name}: {problem}."
    folder: str
    name: str
    problem: str

    def __post_init__(self) -> None:
        self.problem = shortened(self.problem)


@dataclass(eq=False)
class MissingModelFile(ServiceError):
    """A model that was described, and whose file is gone when its weights are needed."""

    status = 422
    code = "missing_model"
    template = "Model file {folder}/{name} is not there."
    folder: str
    name: str


@dataclass(eq=False)
class FileNameError(ServiceError):
    """A name under which nothing can be saved."""

    status = 422
    code = "invalid_file_name"
    template = "No file can be saved as {name!r}: {problem}."
    name: str
    problem: str


@dataclass(eq=False)
class NotAvailableError(ServiceError):
    """A node that is known, and that nothing here can do."""

    status = 422
    code = "not_available"
    template = "{class_type} is not available here: it needs {needs}."
    class_type: str
    needs: str
