"""Preparing a workflow is work in proportion to its size, whatever its shape.

Work is counted, not timed: the lines of our code that run, those in loops each time.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest

from api.heavy_work import HeavyWork
from benchmarks.preparing import runner
from benchmarks.shapes import SHAPES
from deployments.runner import WorkflowRunner
from graph.errors import ServiceError
from tests.counted_lines import lines

SMALLER, LARGER = 300, 1200
MOST = 1.15 * LARGER / SMALLER  # what is done once for any size makes it less
P = ParamSpec("P")
T = TypeVar("T")


class Here(HeavyWork):
    """Does heavy work at once, where it is counted."""

    async def run(
        self, owner: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        del owner
        return function(*args, **kwargs)


@pytest.fixture(scope="module")
def prepare(tmp_path_factory: pytest.TempPathFactory) -> WorkflowRunner:
    folder: Path = tmp_path_factory.mktemp("models")
    return replace(runner(folder), heavy=Here())


@pytest.mark.parametrize("shape", SHAPES)
def test_the_work_is_linear(shape: str, prepare: WorkflowRunner) -> None:
    def work(size: int) -> int:
        body = SHAPES[shape](size)

        def once() -> None:
            with suppress(ServiceError):
                asyncio.run(prepare.prepare("a", body))

        once()  # what is cached
        return lines(once)

    assert work(LARGER) < MOST * work(SMALLER)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_largest_workflow_is_prepared(shape: str, prepare: WorkflowRunner) -> None:
    """However deep its chains are."""
    try:
        prepared = asyncio.run(prepare.prepare("a", SHAPES[shape](4990)))
    except ServiceError as error:
        assert error.status == 422  # noqa: PT017 - the shapes with problems
    else:
        assert prepared.quote["stages"]
