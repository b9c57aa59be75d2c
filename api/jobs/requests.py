"""Stored job requests: JSON, encrypted and bound to their job."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from api.heavy_work import is_small
from api.json_reading import json_value
from storage.encryption import Cipher

INLINE_BYTES = 64 * 1024  # a larger one is opened in a thread


class JobRequests:
    """Seals the bodies of execute requests until their jobs end."""

    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher

    async def sealed(self, job_id: int, body: Mapping[str, Any]) -> bytes:
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

    def _open(self, job_id: int, sealed: bytes) -> dict[str, Any]:
        body: dict[str, Any] = json_value(self._cipher.decrypt(sealed, _context(job_id)))
        return body


def _context(job_id: int) -> str:
    return f"job {job_id}"
