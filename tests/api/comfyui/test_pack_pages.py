"""Routes of custom node packs: with a key, after our own, and told nothing of who asks."""

from collections.abc import AsyncIterator, Sequence

import pytest

from api.comfyui.pack_pages import add_pack_pages
from packs.pages import PageAnswer, PageRequest
from tests.api.conftest import Site
from tests.api.keyed import KeyedSite, keyed_site


class Pages:
    """A pack with two routes, one of which our own goes before."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, PageRequest]] = []

    def takes(self, method: str, path: str) -> bool:
        return path in {"/toy/words", "/extensions/toy/toy.js", "/queue"} and method != "DELETE"

    def scripts(self) -> Sequence[str]:
        return ["/extensions/toy/toy.js"]

    async def answer(self, owner: str, request: PageRequest) -> PageAnswer:
        self.asked.append((owner, request))
        kind = "text/javascript" if request.path.endswith(".js") else "text/html"
        return PageAnswer(201, {"content-type": kind}, b"<p>")


@pytest.fixture
def pages() -> Pages:
    return Pages()


@pytest.fixture
async def keyed(site: Site, pages: Pages) -> AsyncIterator[KeyedSite]:
    async with keyed_site(site) as opened:
        add_pack_pages(opened.app, pages)
        yield opened


async def test_a_route_of_a_pack_needs_a_key_and_is_its_owners(
    keyed: KeyedSite, pages: Pages
) -> None:
    nobody = await keyed.client()
    assert (await nobody.get("/toy/words")).status_code == 401
    reader = await keyed.client(await keyed.key("acme", scopes=("read",)))
    assert (await reader.post("/toy/words", content=b"x")).status_code == 403
    assert not pages.asked
    key = await keyed.key("acme")
    whole = await keyed.client(key)
    answer = await whole.post(f"/toy/words?a=b%20c&key={key}", content=b"x", headers={"Cookie": ""})
    assert (answer.status_code, answer.content) == (201, b"<p>")
    assert answer.headers["Content-Security-Policy"].startswith("sandbox")
    ((owner, request),) = pages.asked
    assert (owner, request.target, request.body) == ("acme", "/toy/words?a=b+c", b"x")
    assert not {"authorization", "cookie", "host"} & set(request.said()["headers"])


async def test_our_own_routes_go_first_and_others_are_not_there(
    keyed: KeyedSite, pages: Pages
) -> None:
    client = await keyed.client(await keyed.key("acme"))
    assert "queue_running" in (await client.get("/queue")).json()
    assert (await client.get("/toy/others")).status_code == 404
    assert (await client.get("/extensions")).json()[-1] == "/extensions/toy/toy.js"
    script = await client.get("/extensions/toy/toy.js")
    assert "Content-Security-Policy" not in script.headers
    assert [request.path for _, request in pages.asked] == ["/extensions/toy/toy.js"]
