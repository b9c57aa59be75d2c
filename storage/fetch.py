"""Fetches and posts to callers' URLs, to allowed addresses only.

A URL may lead anywhere, so on every hop the host is resolved once, all its addresses must be
public, and the connection goes to the address that was checked (no second look-up that DNS could
answer differently). Scheme, size, time, redirects and content type are limited.
"""

import asyncio
import binascii
import ssl
from base64 import b64decode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes, urlsplit

import httpx

from graph.errors import ServiceError
from storage.addresses import Resolve, UnresolvedError, public_address, resolve

PICTURES = ("image/", "application/octet-stream", "binary/octet-stream")
FILES = ("application/", "binary/")
REDIRECTS = frozenset({301, 302, 303, 307, 308})
USER_AGENT = "comfyray"
CONNECT_S = 10.0
CHECK_S = 3.0  # for a name to resolve while somebody waits


@dataclass(eq=False)
class FetchError(ServiceError):
    """A URL that could not be read. Query strings may hold secrets and are not repeated."""

    status = 422
    code = "url_unreadable"
    template = "{url} could not be read: {problem}."
    url: str
    problem: str


@dataclass(eq=False)
class FetchTooLargeError(ServiceError):
    """An input over the size limit; the rest of it was not read."""

    status = 413
    code = "input_too_large"
    template = "{url} is over the limit of {limit_bytes} bytes."
    url: str
    limit_bytes: int


@dataclass(frozen=True)
class FetchLimits:
    """How much a URL may cost.

    `allow_private` is for a machine whose callers are all trusted; `allowed_hosts` ("host" or
    "host:port") may be reached whatever their addresses.
    """

    most_bytes: int = 50 * 2**20
    most_redirects: int = 4
    total_s: float = 30.0
    allow_private: bool = False
    allowed_hosts: frozenset[str] = frozenset()


class Fetcher:
    """Reads http(s) and data: URLs, and posts JSON."""

    def __init__(
        self,
        limits: FetchLimits | None = None,
        *,
        resolve: Resolve = resolve,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._limits = limits or FetchLimits()
        self._resolve = resolve
        # No connection is used twice: one to an address was verified for one host name alone.
        self._transport = transport or httpx.AsyncHTTPTransport(
            verify=ssl.create_default_context(),
            limits=httpx.Limits(max_keepalive_connections=0),
            trust_env=False,
        )

    async def close(self) -> None:
        await self._transport.aclose()

    async def read(self, url: str, accept: Sequence[str] = PICTURES) -> bytes:
        """The content behind an http(s) URL; its type must start with one of `accept`.

        Raises:
            AddressError: the URL leads to an address that is not public.
            FetchTooLargeError: the content is over the limit.
            FetchError: anything else.
        """
        try:
            async with asyncio.timeout(self._limits.total_s), self._follow(url) as response:
                self._check(response, url, accept)
                return await self._body(response, url)
        except TimeoutError as error:
            raise FetchError(shown(url), f"it took over {self._limits.total_s:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise FetchError(shown(url), "the connection failed") from error

    @asynccontextmanager
    async def opened(
        self, url: str, accept: Sequence[str] = FILES
    ) -> AsyncIterator[tuple[int | None, AsyncIterator[bytes]]]:
        """The content of a large file as it comes, and its size where the server says one.

        Whoever reads bounds what comes of a server that does not.

        Raises:
            AddressError, FetchTooLargeError, FetchError: as of `read`.
        """
        try:
            async with asyncio.timeout(self._limits.total_s), self._follow(url) as response:
                self._check(response, url, accept)
                size = _declared(response.headers.get("content-length", ""))
                yield size, response.aiter_bytes()
        except TimeoutError as error:
            raise FetchError(shown(url), f"it took over {self._limits.total_s:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise FetchError(shown(url), "the connection failed") from error

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """POST JSON, following nothing; the status of the answer.

        Raises:
            AddressError: the URL leads to an address that is not public.
            FetchError: there was no answer.
        """
        try:
            async with asyncio.timeout(self._limits.total_s):
                request = await self._pinned("POST", checked_url(url), body, headers)
                response = await self._transport.handle_async_request(request)
                await response.aclose()
                return response.status_code
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL) as error:
            raise FetchError(shown(url), "it did not answer") from error

    def decode(self, uri: str) -> bytes:
        """The content of a data: URI.

        Raises:
            FetchTooLargeError: it is over the limit.
            FetchError: it is not a data: URI.
        """
        head, comma, payload = uri.partition(",")
        if not comma:
            raise FetchError(shown(uri), "it has no comma before its content")
        if len(payload) > self._limits.most_bytes * 4 // 3 + 4:
            raise FetchTooLargeError(shown(uri), self._limits.most_bytes)
        try:
            raw = unquote_to_bytes(payload)
        except UnicodeEncodeError as error:  # half a surrogate pair
            raise FetchError(shown(uri), "its content is no text") from error
        if not head.lower().endswith(";base64"):
            return raw
        text = b"".join(raw.split()).translate(bytes.maketrans(b"-_", b"+/"))
        try:
            return b64decode(text + b"=" * (-len(text) % 4), validate=True)
        except binascii.Error as error:
            raise FetchError(shown(uri), "its content is not base64") from error

    @asynccontextmanager
    async def _follow(self, url: str) -> AsyncIterator[httpx.Response]:
        """The answer at the end of the redirects, its body not read yet."""
        target = checked_url(url)
        for _ in range(self._limits.most_redirects + 1):
            request = await self._pinned("GET", target)
            response = await self._transport.handle_async_request(request)
            try:
                location = response.headers.get("location")
                if response.status_code not in REDIRECTS or not location:
                    yield response
                    return
                target = _joined(target, location)
            finally:
                await response.aclose()
        raise FetchError(shown(url), f"it redirects over {self._limits.most_redirects} times")

    async def check(self, url: str) -> None:
        """See that a URL may be asked later on. A name that does not resolve now may then.

        Raises:
            FetchError: it is no http(s) URL.
            AddressError: it leads to an address that is not public.
        """
        with suppress(TimeoutError, UnresolvedError):
            async with asyncio.timeout(CHECK_S):
                await self._address(checked_url(url))

    async def _address(self, url: httpx.URL) -> str:
        """The address to connect to. Raises: AddressError."""
        port = url.port or (443 if url.scheme == "https" else 80)
        host = url.host.lower()
        if self._limits.allow_private or {host, f"{host}:{port}"} & self._limits.allowed_hosts:
            return (await self._resolve(url.host, port))[0]
        return await public_address(url.host, port, self._resolve)

    async def _pinned(
        self,
        method: str,
        url: httpx.URL,
        body: bytes = b"",
        more_headers: Mapping[str, str] | None = None,
    ) -> httpx.Request:
        """A request to the checked address of the URL's host, under the host's own name."""
        address = await self._address(url)
        headers = {
            "Host": url.netloc.decode(),
            "User-Agent": USER_AGENT,
            "Connection": "close",
            "Accept-Encoding": "identity",  # a small compressed body could be a huge one
        }
        if body:
            headers["Content-Type"] = "application/json"
        headers |= more_headers or {}
        timeout = httpx.Timeout(CONNECT_S, read=self._limits.total_s)
        return httpx.Request(
            method,
            url.copy_with(host=address.partition("%")[0]),
            headers=headers,
            content=body,
            extensions={"sni_hostname": url.host, "timeout": timeout.as_dict()},
        )

    def _check(self, response: httpx.Response, url: str, accept: Sequence[str]) -> None:
        if response.status_code != httpx.codes.OK:
            raise FetchError(shown(url), f"it answered {response.status_code}")
        kind = response.headers.get("content-type", "application/octet-stream").strip().lower()
        if not kind.startswith(tuple(accept)):
            raise FetchError(shown(url), f"it is {kind.partition(';')[0]}, not {accept[0]}*")
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise FetchError(shown(url), "it is compressed, which was not asked for")
        size = _declared(response.headers.get("content-length", ""))
        if size is not None and size > self._limits.most_bytes:
            raise FetchTooLargeError(shown(url), self._limits.most_bytes)

    async def _body(self, response: httpx.Response, url: str) -> bytes:
        content = bytearray()
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > self._limits.most_bytes:
                raise FetchTooLargeError(shown(url), self._limits.most_bytes)
        return bytes(content)


def checked_url(url: str) -> httpx.URL:
    """An http(s) URL with a host and without a password.

    Raises:
        FetchError: it is something else.
    """
    try:
        parsed = httpx.URL(url.strip())
        host = parsed.host  # decoded here, which may fail too
        urlsplit(url)  # which is stricter with brackets
    except (httpx.InvalidURL, ValueError) as error:  # UnicodeError is one
        raise FetchError(shown(url), "it is not a URL") from error
    if parsed.scheme not in {"http", "https"} or not host:
        raise FetchError(shown(url), "it is not an http or https URL")
    if parsed.userinfo:
        raise FetchError(shown(url), "URLs with a user name or password are not taken")
    return parsed


def _joined(base: httpx.URL, location: str) -> httpx.URL:
    """Where a redirect leads.

    Raises:
        FetchError: nowhere.
    """
    try:
        target = str(base.join(location))
    except (httpx.InvalidURL, ValueError) as error:
        raise FetchError(shown(location), "it is not a URL") from error
    return checked_url(target)


def _declared(size: str) -> int | None:
    """The bytes that a Content-Length says; None where it says none."""
    return int(size) if size.isascii() and size.isdecimal() and len(size) < 20 else None


def shown(url: str) -> str:
    """As much of a URL as may be repeated in a message."""
    return (url.partition(",")[0] if url.startswith("data:") else url.partition("?")[0])[:200]
