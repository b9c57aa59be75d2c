"""Browser sessions: a signed cookie that stands for an API key without containing it.

A browser can send no header with a socket or a picture, so whoever opens the editor shows a key
once. The cookie names the key by its id, is signed, and holds only while the key does.
"""

import hashlib
import hmac
import time
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from graph.digits import whole_number
from storage.keys import ID

COOKIE = "comfyray_session"
VALID_S = 7 * 24 * 3600
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Sessions:
    """Signs and reads session tokens, "<key id>.<expires>.<signature>"."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def issue(self, key_id: str) -> str:
        """A token for the key of that id, good for VALID_S seconds."""
        expires = int(time.time()) + VALID_S
        return f"{key_id}.{expires}.{self._signature(key_id, expires)}"

    def key_id(self, token: str) -> str | None:
        """The id in a token that holds; None for any other text."""
        key_id, _, rest = token.partition(".")
        expires_text, _, signature = rest.partition(".")
        expires = whole_number(expires_text, 12)
        if expires is None or not ID.fullmatch(key_id) or expires < time.time():
            return None
        expected = self._signature(key_id, expires)
        return key_id if hmac.compare_digest(expected, signature) else None

    def _signature(self, key_id: str, expires: int) -> str:
        text = f"session\n{key_id}\n{expires}".encode()
        return hmac.new(self._secret, text, hashlib.sha256).hexdigest()


def cookie_counts(request: HTTPConnection) -> bool:
    """Whether a request's cookie may speak for its sender.

    A page of another site makes browsers send it too, so what changes something, or opens a
    socket, has to come from a page of this site.
    """
    changes = request.scope["type"] == "websocket" or request.scope["method"] not in SAFE
    if not changes:
        return request.headers.get("sec-fetch-site", "same-origin") in {"same-origin", "none"}
    if origin := request.headers.get("origin"):
        return is_own_origin(origin, request.headers)
    return request.headers.get("sec-fetch-site") == "same-origin"


def is_own_origin(origin: str, headers: Headers) -> bool:
    """Whether a page's origin is the host that the request was sent to."""
    try:
        netloc = urlsplit(origin).netloc
    except ValueError:
        return False
    return bool(netloc) and netloc.lower() == headers.get("host", "").lower()
