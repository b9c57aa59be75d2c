"""Everything the document says is tried, and much that it does not: no 5xx, no answer unsaid."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.openapi.conftest import Served

HERE = Path(__file__).parent
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")


async def _found(served: Served, *options: str) -> str:
    """What schemathesis finds wrong; "" where that is nothing."""
    process = await asyncio.create_subprocess_exec(
        SCHEMATHESIS,
        "run",
        f"{served.url}/openapi.json",
        "--header",
        f"Authorization: Bearer {served.key}",
        *options,
        cwd=HERE,  # where its settings are
        env={**os.environ, "COMFYRAY_KEY": served.key, "COMFYRAY_JOB": str(served.job_id)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return said.decode() if process.returncode else ""


@pytest.mark.slow
async def test_the_examples_of_all_operations_are_answered_as_the_document_says(
    served: Served,
) -> None:
    options = ("--phases", "examples,fuzzing", "--max-examples", "2", "--generation-deterministic")
    found = await _found(served, *options, "--exclude-deprecated")
    assert not found, found


@pytest.mark.openapi
@pytest.mark.parametrize("phase", ["examples,coverage", "fuzzing", "stateful"])
async def test_all_operations_answer_as_the_document_says(served: Served, phase: str) -> None:
    """Deprecated ones are older names of the same functions, and left out."""
    options = ("--exclude-deprecated", "--max-examples", "50")
    found = await _found(served, "--phases", phase, *options)
    assert not found, found
