"""Stores that are away for a while: what would be lost without them waits."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import sqlalchemy as sa
from botocore.config import Config  # type: ignore[import-untyped]

from api.jobs.ending import write_end
from storage.database import Database, DatabaseAwayError
from storage.files import FileStoreAwayError, FileStoreError
from storage.job_outputs import JobOutputs
from storage.jobs.records import JobRecord, JobRecords
from storage.local_files import LocalFiles
from storage.outputs import JobFolder
from storage.patience import patiently
from storage.s3 import CONFIG, Bucket, S3Files
from tests.ports import free_port

GREY = np.full((1, 4, 6, 3), 0.5, np.float32)
AT_ONCE = (0.0, 0.0)


@dataclass
class Coming:
    """Fails with these errors, one a time, and works after that."""

    errors: list[Exception]
    done: list[Any] = field(default_factory=list)

    def tell(self, what: Any) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.done.append(what)

    async def work(self) -> int:
        self.tell("work")
        return 7


async def test_work_is_done_again_until_the_store_answers() -> None:
    coming = Coming([DatabaseAwayError(5), FileStoreAwayError("EndpointConnectionError")])
    assert await patiently(coming.work, AT_ONCE) == 7


async def test_a_store_that_refuses_is_not_asked_again() -> None:
    coming = Coming([FileStoreError("AccessDenied")])
    with pytest.raises(FileStoreError):
        await patiently(coming.work, AT_ONCE)


async def test_a_store_that_stays_away_is_told_of() -> None:
    coming = Coming([DatabaseAwayError(5)] * 3)
    with pytest.raises(DatabaseAwayError):
        await patiently(coming.work, AT_ONCE)


async def test_a_database_server_that_does_not_answer_is_a_503() -> None:
    database = Database(f"postgresql://nobody@127.0.0.1:{free_port()}/nothing")
    for opened in (database.reading, database.writing):
        with pytest.raises(DatabaseAwayError) as told:
            async with opened() as connection:
                await connection.execute(sa.text("SELECT 1"))
        assert told.value.status == 503
    await database.close()


def test_an_s3_server_that_does_not_answer_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setattr("storage.s3.CONFIG", CONFIG.merge(Config(retries={"max_attempts": 0})))
    files = S3Files(Bucket("b", f"http://127.0.0.1:{free_port()}", "us-east-1"))
    with pytest.raises(FileStoreAwayError):
        files.put("outputs/x.png", b"x")


async def test_a_picture_is_kept_when_the_store_is_back(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path)
    coming = Coming([FileStoreAwayError("EndpointConnectionError")])

    class Away(LocalFiles):
        def put(self, key: str, content: bytes) -> None:
            coming.tell(key)
            super().put(key, content)

    outputs = JobOutputs(JobFolder(Away(tmp_path), "outputs/local/7/", 60.0))
    (saved,) = await outputs.save_images(GREY, "x", node_id="9")
    assert [file.key for file in files.list("outputs/")] == [f"outputs/local/7/{saved.location}"]


async def test_an_end_waits_for_the_database_and_is_no_failure() -> None:
    coming = Coming([DatabaseAwayError(5)])

    class Jobs:
        async def end(self, record: JobRecord, **_: Any) -> bool:
            coming.tell(record.status)
            return True

    ended = replace(JobRecord("local", status="running"), status="success")
    written = await write_end(cast(JobRecords, Jobs()), ended, 5.0)
    assert (written, coming.done) == (ended, ["success"])
