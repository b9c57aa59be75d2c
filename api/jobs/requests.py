"""Stored job requests: JSON, encrypted and bound to their job."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from api.heavy_work import is_small
from api.jobs.runner import Prepared
from api.json_reading import json_value
from api.large_requests import Asked, LargeRequests
from storage.encryption import Cipher
from storage.jobs.records import JobRecord

INLINE_BYTES = 64 * 1024  # a larger one is opened in a thread


class JobRequests:
    """Seals the bodies of execute requests until their jobs end."""

    def __init__(self, cipher: Cipher, large: LargeRequests | None = None) -> None:
        self._cipher = cipher
        self._large = large

    async def sealed(self, job_id: int, body: Mapping[str, Any] | bytes) -> bytes:
        """A body, or the JSON of a large one."""
        if isinstance(body, bytes):
            return await asyncio.to_thread(self._cipher.encrypt, body, _context(job_id))
        if is_small(body):
            return self._cipher.encrypt(json.dumps(body).encode(), _context(job_id))
        return await asyncio.to_thread(self._seal_large, job_id, body)

    def _seal_large(self, job_id: int, body: Mapping[str, Any]) -> bytes:
        """In pieces, between which other threads go on."""
        text = "".join(json.JSONEncoder().iterencode(body))
        return self._cipher.encrypt(text.encode(), _context(job_id))

    async def opened(self, job_id: int, sealed: bytes) -> dict[str, Any]:
        """The body of an execute request.

        Raises:
            UndecryptableError: it was sealed with another key.
        """
        if len(sealed) < INLINE_BYTES:
            return self._open(job_id, sealed)
        return await asyncio.to_thread(self._open, job_id, sealed)

    def is_large(self, sealed: bytes) -> bool:
        """Whether it is read in another process when its job runs."""
        return self._large is not None and len(sealed) >= self._large.least_bytes

    async def prepared(self, record: JobRecord, sealed: bytes) -> tuple[dict[str, Any], Prepared]:
        """The body of a large request, and its workflow, ready to run.

        Raises:
            ServiceError: it cannot run any more, or as `opened`.
        """
        assert self._large is not None
        raw = await asyncio.to_thread(self._cipher.decrypt, sealed, _context(record.id))
        return await self._large.opened(Asked(record.owner, raw))

    def _open(self, job_id: int, sealed: bytes) -> dict[str, Any]:
        body: dict[str, Any] = json_value(self._cipher.decrypt(sealed, _context(job_id)))
        return body


def _context(job_id: int) -> str:
    return f"job {job_id}"
