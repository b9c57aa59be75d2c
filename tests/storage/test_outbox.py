"""How often a webhook is attempted where no attempt can be written down."""

from dataclasses import replace

from storage.database import Database
from storage.jobs.outbox import Outbox
from storage.jobs.records import JobRecord, JobRecords


async def test_attempts_that_are_not_written_down_are_bounded(database_url: str) -> None:
    database = Database(database_url)
    await database.open()
    outbox = Outbox(database, sending_s=0.0)
    jobs = JobRecords(database, [outbox])
    record = await jobs.add(JobRecord("local", webhook="https://you.example/hook"))
    await jobs.end(replace(record, status="success", ended_s=1.0))
    taken = [await outbox.take_due(1, most_attempts=3) for _ in range(5)]
    assert list(map(len, taken)) == [1, 1, 1, 0, 0]
    assert await outbox.next_s() is None
    await database.close()
