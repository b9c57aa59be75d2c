"""Requests as they are stored: JSON, encrypted, bound to their job."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from storage.encryption import Cipher

INLINE_BYTES = 256 * 1024  # a larger one is encrypted in a thread


class JobRequests:
    """Seals the bodies of execute requests until their jobs end."""

    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher

    async def sealed(self, job_id: int, body: Mapping[str, Any]) -> bytes:
        text = json.dumps(body).encode()
        if len(text) < INLINE_BYTES:
            return self._cipher.encrypt(text, _context(job_id))
        return await asyncio.to_thread(self._cipher.encrypt, text, _context(job_id))

    async def opened(self, job_id: int, sealed: bytes) -> dict[str, Any]:
        """The body of an execute request.

        Raises:
            UndecryptableError: it was sealed with another key.
        """
        if len(sealed) < INLINE_BYTES:
            text = self._cipher.decrypt(sealed, _context(job_id))
        else:
            text = await asyncio.to_thread(self._cipher.decrypt, sealed, _context(job_id))
        body: dict[str, Any] = json.loads(text)
        return body


def _context(job_id: int) -> str:
    return f"job {job_id}"
