"""Lists the jobs of an owner, page by page."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import replace
from math import isfinite
from typing import Any

from api.errors import InvalidFieldsError, one_field
from api.jobs.answers import Answers
from storage.jobs.records import SAFE_INTEGERS, JobFilter, JobRecord, JobRecords


async def job_page(
    jobs: JobRecords,
    answers: Answers,
    owner: str,
    which: JobFilter,
    *,
    cursor: str,
    base_url: str,
) -> dict[str, Any]:
    """A page, newest first; `cursor` is `next_cursor` of the page before, or "".

    Raises:
        InvalidFieldsError: the cursor is none.
    """
    one_more = replace(which, before=read_cursor(cursor), limit=which.limit + 1)
    found = await jobs.page(owner, one_more)
    shown = found[: which.limit]
    return {
        "status": "success",
        "jobs": [answers.summary(record, base_url) for record in shown],
        "next_cursor": write_cursor(shown[-1]) if len(found) > len(shown) else None,
    }


def write_cursor(record: JobRecord) -> str:
    """What a page ends with, for the next one."""
    return urlsafe_b64encode(f"{record.created_s!r}:{record.id}".encode()).decode()


def read_cursor(cursor: str) -> tuple[float, int] | None:
    """Where the next page begins; None for the first.

    Raises:
        InvalidFieldsError: it is none.
    """
    if not cursor:
        return None
    try:
        created_s, _, job_id = urlsafe_b64decode(cursor).decode().partition(":")
        before = float(created_s), int(job_id)
    except ValueError as error:
        raise _no_cursor(cursor) from error
    if not (isfinite(before[0]) and 0 <= before[1] < SAFE_INTEGERS):
        raise _no_cursor(cursor)
    return before


def _no_cursor(cursor: str) -> InvalidFieldsError:
    return one_field("cursor", "it is not a next_cursor of an earlier page", cursor)
