"""No URL of a caller leads into somebody's network: not as an input, not as a webhook.

The sockets are real. A canary listens on this machine's loopback addresses and counts who connects;
names are resolved by a small DNS, literal addresses by the system. What goes to the one public
address is answered by a small web, so that redirects and rebinding can be tried.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from api.jobs.service import Limits
from storage.addresses import is_public, resolve
from storage.fetch import Fetcher
from tests.api.conftest import API, OpenSite, Site

PUBLIC = "93.184.216.34"
NAMES = {
    "public.example": [[PUBLIC]],
    "inside.example": [["127.0.0.1"]],
    "mixed.example": [[PUBLIC, "127.0.0.1"]],
    "rebinding.example": [[PUBLIC], ["127.0.0.1"]],  # another answer the second time
    "127.0.0.1.nip.example": [["127.0.0.1"]],
    "metadata.google.internal": [["169.254.169.254"]],
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
    *(name for name in NAMES if name not in {"public.example", "rebinding.example"}),
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


@pytest.fixture
async def canary() -> AsyncIterator[Canary]:
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


@pytest.fixture
def dns() -> Dns:
    return Dns()


@pytest.fixture
async def guarded(open_site: OpenSite, canary: Canary, dns: Dns) -> Site:
    """A service that fetches over the wire. Its public web redirects to `?to=`."""

    def page(request: httpx.Request) -> httpx.Response:
        target = request.url.params.get("to")
        if target:
            return httpx.Response(302, headers={"Location": target})
        return httpx.Response(200, headers={"Content-Type": "image/png"}, content=b"public")

    fetcher = Fetcher(resolve=dns, transport=Wire(page))
    limits = Limits(webhook_delays_s=())
    site: Site = await open_site(limits, fetcher=fetcher)
    return site


def _urls(port: int) -> list[str]:
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


async def _is_refused(site: Site, url: str) -> bool:
    """As an input: 4xx, and nothing was read."""
    response = await site.execute({"image": url})
    return response.is_client_error and not site.runner.read


async def test_the_public_web_is_read(guarded: Site, dns: Dns) -> None:
    url = "http://public.example/x.png"
    assert (await guarded.execute({"image": url})).status_code == 200
    assert (await guarded.execute({"image": f"{url}?to=/y.png"})).status_code == 200
    assert [file.content for file in guarded.runner.read] == [b"public"] * 2


async def test_no_input_reaches_inside(guarded: Site, canary: Canary) -> None:
    schemes = [url.format(port=canary.port) for url in OTHER_SCHEMES]
    urls = [*_urls(canary.port), *schemes]
    let_through = [url for url in urls if not await _is_refused(guarded, url)]
    assert (let_through, canary.heard) == ([], [])


async def test_no_redirect_leads_inside(guarded: Site, canary: Canary) -> None:
    targets = [httpx.QueryParams({"to": to.format(port=canary.port)}) for to in REDIRECTED]
    urls = [f"http://public.example/x.png?{target}" for target in targets]
    let_through = [url for url in urls if not await _is_refused(guarded, url)]
    assert (let_through, canary.heard) == ([], [])


async def test_a_name_that_changes_its_address_is_asked_for_once(
    guarded: Site, canary: Canary, dns: Dns
) -> None:
    url = f"http://rebinding.example:{canary.port}/x.png"
    assert (await guarded.execute({"image": url})).status_code == 200
    assert [file.content for file in guarded.runner.read] == [b"public"]  # of the checked address
    assert (dns.asked, canary.heard) == (["rebinding.example"], [])


async def test_a_redirect_to_a_name_that_changes_its_address_is_refused(
    guarded: Site, canary: Canary, dns: Dns
) -> None:
    url = f"http://rebinding.example:{canary.port}/x.png"
    assert await _is_refused(guarded, f"{url}?to={url}")
    assert (dns.asked, canary.heard) == (["rebinding.example"] * 2, [])


async def _attempts(site: Site, job_id: int) -> list[dict[str, Any]]:
    """The attempts to deliver a job's webhook, once there is one."""
    while True:
        listed = (await site.client.get(f"{API}/jobs/{job_id}/deliveries")).json()
        attempts: list[dict[str, Any]] = listed["events"][0]["attempts"]
        if attempts:
            return attempts
        await asyncio.sleep(0)


async def test_no_webhook_reaches_inside(guarded: Site, canary: Canary) -> None:
    refused, failed = 0, 0
    some = _urls(canary.port)[::5]  # of those that inputs were tried with
    for url in [*some, f"gopher://127.0.0.1:{canary.port}/", "file:///etc/passwd"]:
        response = await guarded.execute({}, webhook=url)
        if response.status_code == 422:
            refused += 1
            continue
        assert response.status_code == 200, response.text
        (attempt,) = await _attempts(guarded, response.json()["id"])
        assert attempt["status"] is None, (url, attempt)
        failed += 1
    assert canary.heard == []
    assert min(refused, failed) > 1


async def test_a_webhook_follows_no_redirect(guarded: Site, canary: Canary) -> None:
    url = f"http://public.example/?to=http://127.0.0.1:{canary.port}/"
    job = (await guarded.execute({}, webhook=url)).json()
    assert [attempt["status"] for attempt in await _attempts(guarded, job["id"])] == [302]
    assert canary.heard == []


async def test_the_canary_sings(canary: Canary) -> None:
    async with httpx.AsyncClient() as client:
        await client.get(f"http://127.0.0.1:{canary.port}/")
    assert len(canary.heard) == 1


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_public_addresses_stay_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("target", ["http://127.0.0.1/", "http://169.254.169.254/"])
async def test_a_private_address_is_told_as_such(guarded: Site, target: str) -> None:
    body = json.loads((await guarded.execute({"image": target})).content)
    assert body["errors"][0]["code"] == "url_refused"
    assert "not a public address" in body["message"]
