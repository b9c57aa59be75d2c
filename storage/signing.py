"""Signed URLs: whoever holds one may read its file until it expires."""

import hashlib
import hmac
import math
import os
from pathlib import Path

KEY_BYTES = 32


def load_key(path: Path) -> bytes:
    """The secret in `path`, made at first use and readable by its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    own = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(os.urandom(KEY_BYTES))
    try:
        path.hardlink_to(own)  # of several first starts at once, one wins and all read its key
    except FileExistsError:
        pass
    finally:
        own.unlink()
    return path.read_bytes()


class UrlSigner:
    """Signs a path up to a time, which is rounded up so that a URL stays the same for a while."""

    def __init__(self, key: bytes, *, valid_s: float = 3600, round_s: float = 600) -> None:
        self._key = key
        self._valid_s = valid_s
        self._round_s = round_s

    def query(self, path: str, now_s: float) -> str:
        """The query string that makes `path` readable for at least `valid_s` from now."""
        expires = math.ceil((now_s + self._valid_s) / self._round_s) * int(self._round_s)
        return f"expires={expires}&signature={self._signature(path, expires)}"

    def holds(self, path: str, expires: int, signature: str, now_s: float) -> bool:
        expected = self._signature(path, expires)
        return hmac.compare_digest(expected.encode(), signature.encode()) and now_s <= expires

    def _signature(self, path: str, expires: int) -> str:
        return hmac.new(self._key, f"{expires}\n{path}".encode(), hashlib.sha256).hexdigest()
