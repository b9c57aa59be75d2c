"""Errors a caller can be told about: facts as fields, one sentence as template."""

from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self


@dataclass(eq=False)
class ServiceError(Exception):
    """Something a caller can be told about. Fields carry the facts, `template` says them."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    template: ClassVar[str] = "The service failed."

    def __str__(self) -> str:
        return self.template.format(**asdict(self))

    def __reduce__(self) -> tuple[type[Self], tuple[Any, ...]]:  # arrives intact from a replica
        return type(self), tuple(getattr(self, field.name) for field in fields(self))


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
class BadModelFile(ServiceError):
    """A file in the models folder that cannot be what it is asked to be."""

    status = 422
    code = "bad_model_file"
    template = "Model file {folder}/{name}: {problem}."
    folder: str
    name: str
    problem: str


@dataclass(eq=False)
class MissingModelFile(ServiceError):
    """A model that was described, and whose file is gone when its weights are needed."""

    status = 422
    code = "missing_model"
    template = "Model file {folder}/{name} is not there."
    folder: str
    name: str


@dataclass(eq=False)
class NotAvailableError(ServiceError):
    """A node that is known, and that nothing here can do."""

    status = 422
    code = "not_available"
    template = "{class_type} is not available here: it needs {needs}."
    class_type: str
    needs: str
