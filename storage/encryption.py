"""Encryption at rest: AES-256-GCM with a key of the installation."""

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from graph.errors import ServiceError

KEY_BYTES = 32
NONCE_BYTES = 12
VERSION = b"\x01"


class BadEncryptionKeyError(ValueError):
    """COMFYRAY_ENCRYPTION_KEY holds something that is no key."""

    def __str__(self) -> str:
        return (
            f"an encryption key is {KEY_BYTES} random bytes in base64 (`openssl rand -base64 32`); "
            "several, parted by commas: the first encrypts, all of them decrypt"
        )


@dataclass(eq=False)
class UndecryptableError(ServiceError):
    """What was encrypted with a key that is not here, or was changed since."""

    status = 500
    code = "undecryptable"
    template = "What is stored of {context} cannot be decrypted with the keys of this service."
    context: str


def parse_keys(text: str) -> tuple[bytes, ...]:
    """The keys in a setting, the newest first.

    Raises:
        BadEncryptionKeyError: one of them is none.
    """
    try:
        keys = tuple(
            base64.b64decode(part.strip().replace("-", "+").replace("_", "/"), validate=True)
            for part in text.split(",")
        )
    except ValueError as error:
        raise BadEncryptionKeyError from error
    if any(len(key) != KEY_BYTES for key in keys):
        raise BadEncryptionKeyError
    return keys


class Cipher:
    """Encrypts for one purpose. `keys`: the first encrypts, any may decrypt."""

    def __init__(self, keys: Sequence[bytes], purpose: str) -> None:
        self._ciphers = [AESGCM(_derived(key, purpose)) for key in keys]

    def encrypt(self, plain: bytes, context: str) -> bytes:
        """`plain`, to be read with the same `context` alone: what it is stored as."""
        nonce = os.urandom(NONCE_BYTES)
        return VERSION + nonce + self._ciphers[0].encrypt(nonce, plain, context.encode())

    def decrypt(self, sealed: bytes, context: str) -> bytes:
        """What `encrypt` was given.

        Raises:
            UndecryptableError: the key or the context is another, or the bytes were changed.
        """
        start = len(VERSION) + NONCE_BYTES
        nonce, body = sealed[len(VERSION) : start], sealed[start:]
        for cipher in self._ciphers if sealed.startswith(VERSION) else ():
            try:
                return cipher.decrypt(nonce, body, context.encode())
            except (InvalidTag, ValueError):  # ValueError: too short for a nonce
                continue
        raise UndecryptableError(context)


def _derived(key: bytes, purpose: str) -> bytes:
    """A key of its own for each purpose, so that no ciphertext fits where another belongs."""
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=purpose.encode()).derive(key)
