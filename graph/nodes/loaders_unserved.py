"""Loaders that ComfyUI's editor needs but that are not served: declared, and refused.

Its list of models names ten loaders (editor 1.27.10, modelToNodeStore); one that is missing keeps
every other from being made.
"""

# ruff: noqa: ARG001 - nothing is done with inputs of what is refused

from collections.abc import Sequence
from typing import Annotated, Any

from graph.annotators import Annotator, Needs
from graph.errors import NotAvailableError
from graph.node import Files, node
from graph.stages import Stage
from graph.values import Link, ModelFile

GLIGEN = "GLIGENLoader"
NEEDED = {
    GLIGEN: "GLIGEN, which is not served",
}


def _refused(class_type: str) -> Needs:
    """What a workflow is told before it begins."""

    def needs(_: Any) -> Sequence[Annotator]:
        raise NotAvailableError(class_type, NEEDED[class_type])

    return needs


@node(
    GLIGEN,
    runs_on=Stage.INLINE,
    display_name="GLIGENLoader",
    category="model/loaders",
    weights=_refused(GLIGEN),
)
def load_gligen(
    *, gligen_name: Annotated[ModelFile, Files("gligen")]
) -> Annotated[Any, Link("GLIGEN")]:
    """Not available."""
    raise NotAvailableError(GLIGEN, NEEDED[GLIGEN])
