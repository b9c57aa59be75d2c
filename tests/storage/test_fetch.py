import asyncio
import base64
from collections.abc import AsyncIterator, Sequence

import httpx
import pytest

from storage.addresses import AddressError, is_public, public_address
from storage.fetch import Fetcher, FetchError, FetchLimits, FetchTooLargeError, checked_url

PUBLIC = "93.184.216.34"
PNG = {"Content-Type": "image/png"}


class Web:
    """Hosts and pages of a small internet, and what was asked of it."""

    def __init__(self, hosts: dict[str, list[str]], pages: dict[str, httpx.Response]) -> None:
        self.hosts = hosts
        self.pages = pages
        self.requests: list[httpx.Request] = []

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        return self.hosts.get(host, [])

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.pages[f"{request.headers['Host']}{request.url.path}"]

    def fetcher(self, limits: FetchLimits | None = None) -> Fetcher:
        transport = httpx.MockTransport(self.answer)
        return Fetcher(limits, resolve=self.resolve, transport=transport)


def _web(**pages: httpx.Response) -> Web:
    named = {f"a.example/{name}": page for name, page in pages.items()}
    return Web({"a.example": [PUBLIC], "inside.example": ["10.0.0.1"]}, named)


def _moved(url: str) -> httpx.Response:
    return httpx.Response(302, headers={"Location": url})


async def test_a_picture_is_read_from_the_address_that_was_checked() -> None:
    web = _web(x=httpx.Response(200, headers=PNG, content=b"png"))
    assert await web.fetcher().read("https://a.example/x") == b"png"
    (request,) = web.requests
    assert request.url.host == PUBLIC
    assert request.headers["Host"] == "a.example"
    assert request.extensions["sni_hostname"] == "a.example"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "0",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fe80::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[ff02::1]",
    ],
)
async def test_no_form_of_a_private_address_is_read(host: str) -> None:
    fetcher = Fetcher(transport=httpx.MockTransport(lambda _: httpx.Response(200, headers=PNG)))
    with pytest.raises((AddressError, FetchError)):  # httpx itself refuses some of them
        await fetcher.read(f"http://{host}/x")


@pytest.mark.parametrize("address", [PUBLIC, "2606:2800:220:1:248:1893:25c8:1946"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("addresses", [["10.0.0.1"], [PUBLIC, "10.0.0.1"], [], ["nonsense"]])
async def test_every_address_of_a_name_must_be_public(addresses: list[str]) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    with pytest.raises(AddressError):
        await public_address("a.example", 80, resolve)


async def test_a_redirect_is_checked_like_the_first_url() -> None:
    web = _web(x=_moved("http://inside.example/y"))
    with pytest.raises(AddressError):
        await web.fetcher().read("http://a.example/x")


@pytest.mark.parametrize("target", ["file:///etc/passwd", "gopher://a.example/", "http://u:p@b/"])
async def test_a_redirect_leads_to_http_only(target: str) -> None:
    with pytest.raises(FetchError):
        await _web(x=_moved(target)).fetcher().read("http://a.example/x")


async def test_redirects_are_followed_up_to_a_number() -> None:
    web = _web(x=_moved("/y"), y=httpx.Response(200, headers=PNG, content=b"png"))
    assert await web.fetcher().read("http://a.example/x") == b"png"
    with pytest.raises(FetchError, match="redirects"):
        await web.fetcher(FetchLimits(most_redirects=0)).read("http://a.example/x")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example/x",
        "file:///etc/passwd",
        "http://",
        "http://user:pw@a.example/x",
        "nonsense",
    ],
)
async def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(FetchError):
        await _web().fetcher().read(url)


@pytest.mark.parametrize(
    ("response", "says"),
    [
        (httpx.Response(404), "404"),
        (httpx.Response(200, headers={"Content-Type": "text/html"}), "text/html"),
        (httpx.Response(200, headers=PNG | {"Content-Encoding": "br"}), "compressed"),
    ],
)
async def test_what_is_no_plain_picture_is_refused(response: httpx.Response, says: str) -> None:
    with pytest.raises(FetchError, match=says):
        await _web(x=response).fetcher().read("http://a.example/x")


async def _endless() -> AsyncIterator[bytes]:
    while True:
        await asyncio.sleep(0)
        yield b"x" * 10


@pytest.mark.parametrize("declared", [True, False])
async def test_size_is_limited_whatever_is_declared(*, declared: bool) -> None:
    headers = PNG | ({"Content-Length": "1000"} if declared else {})
    web = _web(x=httpx.Response(200, headers=headers, content=_endless()))
    with pytest.raises(FetchTooLargeError):
        await web.fetcher(FetchLimits(most_bytes=100)).read("http://a.example/x")


async def test_time_is_limited() -> None:
    web = _web(x=httpx.Response(200, headers=PNG, content=_endless()))
    with pytest.raises(FetchError):
        await web.fetcher(FetchLimits(total_s=0)).read("http://a.example/x")


async def test_private_addresses_are_read_where_all_callers_are_trusted() -> None:
    web = _web()
    web.pages["inside.example/x"] = httpx.Response(200, headers=PNG, content=b"png")
    fetcher = web.fetcher(FetchLimits(allow_private=True))
    assert await fetcher.read("http://inside.example/x") == b"png"


async def test_a_query_is_not_repeated_in_messages() -> None:
    with pytest.raises(FetchError) as error:
        await _web(x=httpx.Response(500)).fetcher().read("http://a.example/x?token=secret")
    assert "secret" not in str(error.value)


async def test_posting_follows_nothing_and_gives_the_status() -> None:
    web = _web(hook=_moved("http://inside.example/y"))
    assert await web.fetcher().post("http://a.example/hook", b"{}", {"webhook-id": "1"}) == 302
    assert web.requests[0].content == b"{}"
    assert web.requests[0].headers["webhook-id"] == "1"


async def test_a_host_that_the_installation_allows_is_reached_wherever_it_is() -> None:
    page = {"inside.example:81/hook": httpx.Response(200)}
    limits = FetchLimits(allowed_hosts=frozenset({"inside.example:81"}))
    fetcher = Web({"inside.example": ["10.0.0.1"]}, page).fetcher(limits)
    assert await fetcher.post("http://inside.example:81/hook", b"{}", {}) == 200
    with pytest.raises(AddressError):
        await fetcher.post("http://inside.example/hook", b"{}", {})


async def test_posting_inside_is_refused() -> None:
    with pytest.raises(AddressError):
        await _web().fetcher().post("http://inside.example/", b"{}", {})


@pytest.mark.parametrize(
    "uri",
    [
        "data:image/png;base64," + base64.b64encode(b"\xff\xfe\xfdx").decode(),
        "data:image/png;base64," + base64.urlsafe_b64encode(b"\xff\xfe\xfdx").decode().rstrip("="),
        "data:;BASE64,//79\neA==",
        "data:image/png,%FF%FE%FDx",
    ],
)
def test_a_data_uri_is_decoded(uri: str) -> None:
    assert _web().fetcher().decode(uri) == b"\xff\xfe\xfdx"


def test_a_wrong_data_uri_is_refused() -> None:
    fetcher = _web().fetcher(FetchLimits(most_bytes=10))
    for uri in ("data:image/png", "data:;base64,$$$$", "data:;base64,A"):
        with pytest.raises(FetchError):
            fetcher.decode(uri)
    with pytest.raises(FetchTooLargeError):
        fetcher.decode("data:;base64," + "A" * 100)


@pytest.mark.parametrize("url", ["http://[x/", "http://[127.0.0.1]/", "http://xn--/", "http://a]/"])
def test_a_host_that_cannot_be_one_is_no_url(url: str) -> None:
    with pytest.raises(FetchError, match="not a URL"):
        checked_url(url)
