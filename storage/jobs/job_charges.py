"""Writes a job and its charge in one transaction."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from storage.jobs.charges import Charge, Prices, Taken, reserve, settle
from storage.jobs.records import JobRecord, Ledger

SENT = "sent"  # in a job's answer: so many pictures went to its client and are not kept
LENT = "lent"  # in a job's answer: others went on from its results


class JobCharges(Ledger):
    """Reserves what a job may cost where it is recorded, and settles it where its end is."""

    def __init__(self, prices: Prices) -> None:
        self.prices = prices

    def quote(self, estimate_s: float, outputs: int = 1) -> int:
        """What a job may cost, in millionths: its estimated seconds, and the outputs it may save.

        Where there are prices it is never nothing, so that a spent budget lets no job through.
        """
        price = self.prices.of(outputs=outputs, seconds=estimate_s)
        return price if self.prices.free else max(price, 1)

    async def accepted(self, connection: AsyncConnection, record: JobRecord) -> None:
        """Reserve.

        Raises:
            BudgetSpentError, ConcurrencyLimitError: 402, 429.
        """
        quoted = self.quote(record.estimate_s, record.expected_outputs)
        charge = Charge(record.id, record.owner, record.key_id, quoted, record.created_s)
        await reserve(connection, charge)

    async def ended(self, connection: AsyncConnection, record: JobRecord) -> None:
        """Settle: a job costs what it took, however it ended; one that failed with nothing is free.

        Previews are outputs too: they are the whole pictures. So is what other jobs went on from,
        and what was sent.
        """
        answer = record.answer or {}
        outputs = len(answer.get("outputs", ())) + answer.get(SENT, 0)
        seconds = 0.0
        if record.started_s is not None and record.ended_s is not None:
            seconds = max(record.ended_s - record.started_s, 0.0)
        price = self.prices.of(outputs=outputs, seconds=seconds)
        used = outputs or answer.get(LENT)
        amount = 0 if record.status == "failed" and not used else price
        await settle(connection, [record.id], Taken(outputs, seconds, amount))

    async def deleted(self, connection: AsyncConnection, job_ids: Sequence[int]) -> None:
        """Charge jobs that went before their end was written: what they took is not known."""
        await settle(connection, job_ids, None)
