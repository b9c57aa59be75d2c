"""Ways into somebody's network, and what notices whether one was taken.

The sockets are real. A canary listens on this machine's loopback addresses and counts who connects;
names are resolved by a small DNS, literal addresses by the system. What goes to the one public
address is answered by a small web, so that redirects and rebinding can be tried.
"""

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import httpx
from PIL import Image

from storage.addresses import resolve
from storage.fetch import Fetcher

PUBLIC = "93.184.216.34"
NAMES = {
    "public.example": [[PUBLIC]],
    "inside.example": [["127.0.0.1"]],
    "mixed.example": [[PUBLIC, "127.0.0.1"]],
    "rebinding.example": [[PUBLIC], ["127.0.0.1"]],  # another answer the second time
    "later.example": [[PUBLIC], [PUBLIC], ["127.0.0.1"]],  # another the third time
    "127.0.0.1.nip.example": [["127.0.0.1"]],
    "metadata.google.internal": [["169.254.169.254"]],
    "models.example": [[PUBLIC]],
    "inside.models.example": [["10.0.0.1"]],
    "rebinding.models.example": [[PUBLIC], ["127.0.0.1"]],
    "v6.example": [["::1"]],
    "mapped.example": [["::ffff:127.0.0.1"]],
}
HOSTS = (
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "127.127.127.127",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0x7f.0x0.0x0.0x1",
    "0177.0.0.1",
    "0177.0.0.01",
    "00000177.0.0.1",
    "017700000001",
    "0",
    "0.0.0.0",
    "%31%32%37.0.0.1",
    "127%2e0.0.1",
    "127。0。0。1",
    "\uff11\uff12\uff17.0.0.1",
    "①②⑦.⓪.⓪.①",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "loca\u00adlhost",
    "localhost.localdomain",
    "ip6-localhost",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::1%25lo]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b:1::127.0.0.1]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::1]",
    "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
    "[fe80::1%25eth0]",
    "[fec0::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "169.254.169.254",
    "169.254.170.2",
    "0xa9fea9fe",
    "192.0.0.192",
    "168.63.129.16",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    *(name for name, answers in NAMES.items() if answers[0] != [PUBLIC]),
)


@dataclass
class Canary:
    """A server that nobody may reach."""

    port: int = 0
    heard: list[bytes] = field(default_factory=list)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard.append(await reader.read(1000))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 1\r\n\r\nx")
        writer.close()


@dataclass
class Dns:
    """Answers for names, in turn, the last one for good; counts the questions."""

    asked: list[str] = field(default_factory=list)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        name = host.lower()
        self.asked.append(name)
        if name not in NAMES:
            return await resolve(host, port)
        answers = NAMES[name]
        return answers[min(self.asked.count(name), len(answers)) - 1]


class Wire(httpx.AsyncBaseTransport):
    """Connects for real, but to the public address, where `pages` are."""

    def __init__(self, pages: Callable[[httpx.Request], httpx.Response]) -> None:
        self._public = httpx.MockTransport(pages)
        self._real = httpx.AsyncHTTPTransport(trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        public = request.url.host == PUBLIC
        return await (self._public if public else self._real).handle_async_request(request)

    async def aclose(self) -> None:
        await self._real.aclose()


@asynccontextmanager
async def listening() -> AsyncIterator[Canary]:
    """A canary, while the context is open."""
    bird = Canary()
    async with AsyncExitStack() as stack:
        for host in ("127.0.0.1", "::1"):
            try:
                server = await asyncio.start_server(bird.answer, host, bird.port)
            except OSError:  # a machine without IPv6
                continue
            bird.port = server.sockets[0].getsockname()[1]
            await stack.enter_async_context(server)
        yield bird


def picture() -> bytes:
    """What the public web has at every address."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "white").save(buffer, "PNG")
    return buffer.getvalue()


def fetcher_of(dns: Dns) -> Fetcher:
    """Fetches over the wire. The public web redirects to `?to=`, and takes what is posted."""

    def page(request: httpx.Request) -> httpx.Response:
        if target := request.url.params.get("to"):
            return httpx.Response(302, headers={"Location": target})
        kind = "application/octet-stream" if "models" in request.headers["host"] else "image/png"
        return httpx.Response(200, headers={"Content-Type": kind}, content=picture())

    return Fetcher(resolve=dns, transport=Wire(page))


def urls_inside(port: int) -> list[str]:
    """Every form of every address, on the canary's port."""
    inside = f"127.0.0.1:{port}"
    return [
        *(f"http://{host}:{port}/x.png" for host in HOSTS),
        f"HTTP://{inside}/x.png",
        f" http://{inside}/x.png",
        f"http://public.example@{inside}/x.png",
        f"http://public.example:80@{inside}/x.png",
        f"http://public.example\\@{inside}/x.png",
        f"http://{inside}#@public.example/x.png",
        f"http://{inside}\\@public.example/x.png",
        f"http:{inside}/x.png",
        f"http:///{inside}/x.png",
        f"http://{inside}\r\nHost: public.example/x.png",
        f"https://{inside}/x.png",
    ]


REDIRECTED = (
    "http://127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "http://[::1]:{port}/",
    "http://2130706433:{port}/",
    "http://inside.example:{port}/",
    "http://user@127.0.0.1:{port}/",
    "http://public.example/?to=http%3A%2F%2F127.0.0.1%3A{port}%2F",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/_x",
    "ftp://127.0.0.1:{port}/",
    "data:image/png;base64,eA==",
)
OTHER_SCHEMES = (
    "file:///etc/passwd",
    "FILE:///etc/passwd",
    "gopher://127.0.0.1:{port}/_x",
    "ftp://127.0.0.1:{port}/x",
    "dict://127.0.0.1:{port}/x",
    "jar:http://127.0.0.1:{port}!/x",
    "//127.0.0.1:{port}/x.png",
    "/outputs/../../../etc/passwd",
    "unix:/tmp/x.sock",
)


def redirects_inside(port: int, public: str = "http://public.example/x.png") -> list[str]:
    """URLs of a public site that lead on to the canary."""
    targets = [httpx.QueryParams({"to": to.format(port=port)}) for to in REDIRECTED]
    absolute = [url for url in urls_inside(port)[::7] if "//" in url]  # others stay on the site
    through = [httpx.QueryParams({"to": url}) for url in absolute]
    return [f"{public}?{target}" for target in (*targets, *through)]


def schemes_inside(port: int) -> list[str]:
    """URLs of schemes that are not fetched."""
    return [url.format(port=port) for url in OTHER_SCHEMES]
