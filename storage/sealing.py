"""Chunked file encryption with random access.

    MAGIC, id of the key, salt, then chunks of CHUNK_BYTES (the last may be shorter, or empty)

Each file has a key of its own, derived from the installation's and the salt. Chunk i is AES-256-GCM
under nonce i, with a mark on the last, and the file's key (its path) as associated data: chunks
cannot be changed, moved, dropped or put into another file (STREAM; Hoang, Reyhanitabar, Rogaway
and Vizár 2015).
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from storage.encryption import KEY_BYTES, UndecryptableError

MAGIC = b"comfyray sealed\x01"
PLAIN = b"comfyray plain\x01"  # before a file that is not sealed and begins like one that is
KEY_ID_BYTES = 8
SALT_BYTES = 16
HEADER_BYTES = len(MAGIC) + KEY_ID_BYTES + SALT_BYTES
CHUNK_BYTES = 64 * 1024
TAG_BYTES = 16
SEALED_CHUNK_BYTES = CHUNK_BYTES + TAG_BYTES


@dataclass(frozen=True)
class Chunks:
    """How a sealed file of some size is divided."""

    count: int
    plain_bytes: int

    @classmethod
    def of(cls, stored_bytes: int) -> "Chunks":
        body = max(stored_bytes - HEADER_BYTES, TAG_BYTES)
        count = -(-body // SEALED_CHUNK_BYTES)
        return cls(count, max(body - count * TAG_BYTES, 0))


def is_sealed(head: bytes) -> bool:
    return head.startswith(MAGIC)


class Sealer:
    """Seals files with the first of `keys`, and opens those that any of them sealed."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {_derived(key, b"", "id of a file key")[:KEY_ID_BYTES]: key for key in keys}
        self._newest = next(iter(self._keys))

    def seal(self, content: bytes, context: str) -> Iterator[bytes]:
        """What to store of `content`, piece by piece; opened with the same `context` alone."""
        salt = os.urandom(SALT_BYTES)
        cipher = _file_cipher(self._keys[self._newest], salt)
        yield MAGIC + self._newest + salt
        view = memoryview(content)
        starts = range(0, len(content) or 1, CHUNK_BYTES)
        for i, start in enumerate(starts):
            nonce = _nonce(i, last=i == len(starts) - 1)
            yield cipher.encrypt(nonce, bytes(view[start : start + CHUNK_BYTES]), context.encode())

    def open(self, file: BinaryIO, context: str, start: int, stop: int) -> Iterator[bytes]:
        """Bytes `start` to `stop` of what was sealed in `file`.

        Raises:
            UndecryptableError: the key or the context is another, or the file was changed.
        """
        chunks = Chunks.of(os.fstat(file.fileno()).st_size)
        head = file.read(HEADER_BYTES)
        key_id, salt = head[len(MAGIC) : -SALT_BYTES], head[-SALT_BYTES:]
        if key_id not in self._keys:
            raise UndecryptableError(context)
        cipher = _file_cipher(self._keys[key_id], salt)
        first = start // CHUNK_BYTES
        file.seek(HEADER_BYTES + first * SEALED_CHUNK_BYTES)
        for i in range(first, -(-stop // CHUNK_BYTES)):
            sealed = file.read(SEALED_CHUNK_BYTES)
            try:
                plain = cipher.decrypt(
                    _nonce(i, last=i == chunks.count - 1), sealed, context.encode()
                )
            except (InvalidTag, ValueError) as error:
                raise UndecryptableError(context) from error
            begin = i * CHUNK_BYTES
            yield plain[max(start - begin, 0) : stop - begin]


def _file_cipher(key: bytes, salt: bytes) -> AESGCM:
    return AESGCM(_derived(key, salt, "files"))


def _derived(key: bytes, salt: bytes, purpose: str) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt=salt or None, info=purpose.encode()).derive(key)


def _nonce(i: int, *, last: bool) -> bytes:
    return i.to_bytes(11, "big") + bytes([last])
