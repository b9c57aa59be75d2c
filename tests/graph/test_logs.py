"""Logs as JSON lines."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from graph.logs import JsonLines, about


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What the logger "graph.of_tests" writes."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger("graph.of_tests")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield stream
    logger.removeHandler(handler)


def _lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_object_with_its_extra_facts(written: io.StringIO) -> None:
    log = logging.getLogger("graph.of_tests")
    log.warning("two\nlines of %s", "text", extra={"status": "success"})
    (line,) = _lines(written)
    assert (line["message"], line["level"]) == ("two\nlines of text", "warning")
    assert (line["logger"], line["status"]) == ("graph.of_tests", "success")
    assert line["time"].endswith("Z")


def test_an_exception_is_in_its_line(written: io.StringIO) -> None:
    try:
        int("x")
    except ValueError:
        logging.getLogger("graph.of_tests").exception("it failed")
    (line,) = _lines(written)
    assert line["exception"].endswith("invalid literal for int() with base 10: 'x'")


async def test_lines_are_about_the_job_of_their_task(written: io.StringIO) -> None:
    log = logging.getLogger("graph.of_tests")

    async def work(job: int) -> None:
        with about(job=job):
            await asyncio.sleep(0)
            with about(owner="me"):
                log.info("at work")

    await asyncio.gather(work(1), work(2))
    log.info("outside")
    assert [(line.get("job"), line.get("owner")) for line in _lines(written)] == [
        (1, "me"),
        (2, "me"),
        (None, None),
    ]
