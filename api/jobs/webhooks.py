"""Delivers webhooks when jobs end: signed, at least once, with retries."""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from standardwebhooks import Webhook

from api.errors import unexpected
from api.jobs.webhook_delays import DELAYS_S
from api.keys.access import LOCAL
from graph.errors import ServiceError
from storage.fetch import Fetcher
from storage.jobs.outbox import Delivery, Outbox, WebhookEvent
from storage.jobs.records import MissingJobError

LOG = logging.getLogger(__name__)
JITTER = 0.2  # of a delay, up or down, so that receivers are not met by all at once
AT_ONCE = 32
UNRECORDED = 5  # attempts that are made once more because they could not be written down
CLOSE_S = 5.0
GONE = 410  # a receiver's word that it wants no more
PREFIX = "whsec_"
FEWEST_BYTES = 24

Payload = Callable[[WebhookEvent], Awaitable[Mapping[str, Any]]]


class BadWebhookSecretError(ValueError):
    """COMFYRAY_WEBHOOK_SECRET holds something that is no secret."""

    def __str__(self) -> str:
        return f"a webhook secret is {PREFIX} and at least {FEWEST_BYTES} random bytes in base64"


@dataclass(frozen=True)
class Signer:
    """Signs as Standard Webhooks. Each owner has a secret of its own; nobody can sign to others."""

    secret: bytes

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Of a secret as Standard Webhooks writes it.

        Raises:
            ValueError: it is none.
        """
        secret = base64.b64decode(text.removeprefix(PREFIX) + "==")
        if len(secret) < FEWEST_BYTES:
            raise BadWebhookSecretError
        return cls(secret)

    def secret_of(self, owner: str) -> str:
        """What the owner checks signatures with. Without keys there is one."""
        own = hmac.new(self.secret, owner.encode(), hashlib.sha256).digest()
        return PREFIX + base64.b64encode(self.secret if owner == LOCAL else own).decode()

    def headers(self, event: WebhookEvent, body: str) -> dict[str, str]:
        now = datetime.now(UTC)
        signature = Webhook(self.secret_of(event.owner)).sign(event.event_id, now, body)
        return {
            "webhook-id": event.event_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signature,
        }


class Webhooks:
    """Sends what is in the outbox. `payload` is what to tell; it is written anew for each try,
    so that the URLs in it are fresh. Belongs to one event loop.
    """

    def __init__(
        self,
        outbox: Outbox,
        fetcher: Fetcher,
        signer: Signer,
        payload: Payload,
        delays_s: Sequence[float] = DELAYS_S,
        *,
        look_s: float = 5.0,
    ) -> None:
        self._outbox = outbox
        self._fetcher = fetcher
        self._signer = signer
        self._payload = payload
        self._delays_s = delays_s
        self._look_s = look_s
        self._wake = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """There may be something to send."""
        self._wake.set()

    async def work(self) -> None:
        """Send what is due, as it gets due; runs until it is cancelled."""
        while True:
            self._wake.clear()
            try:
                await self._send_due()
                pause_s = await self._pause_s()
            except Exception:  # most often a database that does not answer
                LOG.exception("the webhook outbox could not be read; retrying")
                pause_s = self._look_s
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()

    async def close(self) -> None:
        """Wait a little for what is on its way; the rest is sent once more by the next."""
        if self._sending:
            _, late = await asyncio.wait(self._sending, timeout=CLOSE_S)
            for task in late:
                task.cancel()

    async def send(self, event: WebhookEvent) -> Delivery:
        """Make one attempt.

        Raises:
            MissingJobError: the job was deleted meanwhile.
        """
        began, at_s = time.monotonic(), time.time()
        status, problem = None, None
        try:
            body = json.dumps(await self._payload(event))
            headers = self._signer.headers(event, body)
            status = await self._fetcher.post(event.url, body.encode(), headers)
        except MissingJobError:
            raise
        except ServiceError as error:
            problem = str(error)
        except Exception as error:  # noqa: BLE001 - one event must not stop the others
            problem = str(unexpected(error))
        took_s = round(time.monotonic() - began, 3)
        return Delivery(event.event_id, event.job_id, at_s, took_s, status, problem)

    async def _send_due(self) -> None:
        while free := AT_ONCE - len(self._sending):
            events = await self._outbox.take_due(free, len(self._delays_s) + 1 + UNRECORDED)
            for event in events:
                task = asyncio.get_running_loop().create_task(self._attempt(event))
                self._sending.add(task)
                task.add_done_callback(self._sent)
            if len(events) < free:
                return

    def _sent(self, task: "asyncio.Task[None]") -> None:
        self._sending.discard(task)
        self.wake()

    async def _attempt(self, event: WebhookEvent) -> None:
        try:
            delivery = await self.send(event)
            taken = delivery.status is not None and 200 <= delivery.status < 300
            again_s = None if taken or delivery.status == GONE else self._again_s(event)
            if not taken:
                LOG.warning("webhook %s of job %d was not accepted", event.event_id, event.job_id)
            await self._outbox.record(delivery, taken=taken, next_attempt_s=again_s)
        except MissingJobError:
            return  # deleted while its webhook was on its way
        except Exception:  # it is made again, so often at most as `take_due` counts
            LOG.exception("webhook %s: the attempt could not be recorded", event.event_id)

    def _again_s(self, event: WebhookEvent) -> float | None:
        if event.attempts > len(self._delays_s):
            return None
        delay_s = self._delays_s[event.attempts - 1]
        return time.time() + delay_s * random.uniform(1 - JITTER, 1 + JITTER)

    async def _pause_s(self) -> float:
        next_s = await self._outbox.next_s()
        if next_s is None:
            return self._look_s
        return min(max(next_s - time.time(), 0.05), self._look_s)
