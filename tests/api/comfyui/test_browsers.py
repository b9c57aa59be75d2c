"""What a browser may do: log in once, and nothing for pages of other sites."""

from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from api.browsers import OtherSites
from api.comfyui.editor import Editor
from api.keys.sessions import COOKIE, Sessions
from tests.api.conftest import API, OpenSite, Site
from tests.api.keyed import KeyedSite, keyed_site

HERE = "http://here:8000"
THERE = "https://evil.example"


@pytest.fixture
def editor(tmp_path: Path) -> Editor:
    """Files in place of the editor's."""
    (tmp_path / "index.html").write_text("<title>editor</title>")
    return Editor(tmp_path, "1.27.10")


async def logged_in(keyed: KeyedSite, owner: str) -> httpx.AsyncClient:
    """A browser that showed a key once."""
    browser = await keyed.client()
    answer = await browser.get("/", params={"key": await keyed.key(owner)})
    assert (answer.status_code, answer.headers["location"]) == (303, f"{HERE}/")
    assert "crk_" not in answer.headers["set-cookie"]
    for word in ("HttpOnly", "SameSite=strict"):
        assert word in answer.headers["set-cookie"]
    return browser


async def test_a_session_reads_and_changes_what_the_editor_shows(site: Site) -> None:
    async with keyed_site(site) as keyed:
        browser = await logged_in(keyed, "acme")
        assert (await browser.get("/settings")).status_code == 200
        own = {"Origin": HERE}
        assert (await browser.post("/settings", json={"A": 1}, headers=own)).status_code == 200
        same = {"Sec-Fetch-Site": "same-origin"}
        assert (await browser.post("/settings", json={"A": 1}, headers=same)).status_code == 200


async def test_a_session_counts_for_the_editor_alone(site: Site) -> None:
    async with keyed_site(site) as keyed:
        browser = await logged_in(keyed, "acme")
        own = {"Origin": HERE}
        assert (await browser.get(f"{API}/jobs")).status_code == 401
        body: dict[str, object] = {"workflow": {}}
        assert (await browser.post(f"{API}/execute", json=body, headers=own)).status_code == 401


async def test_a_session_without_a_page_of_ours_behind_it_changes_nothing(site: Site) -> None:
    async with keyed_site(site) as keyed:
        browser = await logged_in(keyed, "acme")
        assert (await browser.post("/settings", json={"A": 1})).status_code == 401


async def test_a_session_ends_with_its_key(site: Site) -> None:
    async with keyed_site(site) as keyed:
        browser = await logged_in(keyed, "acme")
        (record,) = await keyed.keys.list("acme")
        await keyed.keys.revoke(record.id)
        assert (await browser.get("/settings")).status_code == 401


@pytest.mark.parametrize("cookie", ["", "x", "0123456789abcdef.99999999999.00", "a.b.c.d", "²"])
async def test_a_cookie_of_ones_own_is_none(site: Site, cookie: str) -> None:
    assert Sessions(b"a secret of tests").key_id(cookie) is None
    other = Sessions(b"another secret").issue("0123456789abcdef")
    assert Sessions(b"a secret of tests").key_id(other) is None
    if cookie.isascii():
        async with keyed_site(site) as keyed:
            browser = await keyed.client()
            browser.cookies.set(COOKIE, cookie)
            assert (await browser.get("/settings")).status_code == 401


async def test_the_form_logs_in_and_out(site: Site, editor: Editor) -> None:
    async with keyed_site(site) as keyed:
        keyed.app.state.editor = editor
        browser = await keyed.client()
        page = await browser.get("/")
        assert "Log in" in page.text
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
        wrong = await browser.post("/login", data={"key": "crk_wrong"}, headers={"Origin": HERE})
        assert (wrong.status_code, "Log in" in wrong.text) == (401, True)
        assert "The API key is unknown." in wrong.text
        form = {"key": await keyed.key("acme")}
        right = await browser.post("/login", data=form, headers={"Origin": HERE})
        assert right.status_code == 303
        assert "editor" in (await browser.get("/", follow_redirects=True)).text
        await browser.post("/logout", headers={"Origin": HERE})
        assert "Log in" in (await browser.get("/")).text


async def test_a_first_visit_leads_to_a_template_and_later_ones_do_not(
    site: Site, editor: Editor
) -> None:
    site.app.state.editor = editor
    first = await site.client.get("/")
    assert (first.status_code, first.headers["location"]) == (
        303,
        f"{HERE}/?template=text_to_image",
    )
    assert "editor" in (await site.client.get(first.headers["location"])).text
    assert "editor" in (await site.client.get("/")).text


@pytest.mark.parametrize(("version", "needs_it"), [("1.27.10", True), ("1.58.1", False)])
async def test_editors_that_open_no_templates_get_a_script_that_does(
    site: Site, editor: Editor, version: str, needs_it: bool
) -> None:
    site.app.state.editor = replace(editor, version=version)
    listed = (await site.client.get("/extensions")).json()
    assert listed == (["/extensions/comfyray/template.js"] if needs_it else [])
    for script in listed:
        assert "javascript" in (await site.client.get(script)).headers["content-type"]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/settings", f"{API}/execute", "/upload/image"])
@pytest.mark.parametrize(
    "headers", [{"Origin": THERE}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
async def test_pages_of_other_sites_are_refused(
    site: Site, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = await site.client.request(method, path, headers=headers)
    assert answer.status_code == 403
    assert answer.json()["errors"][0]["code"] == "foreign_origin"


async def test_a_link_on_another_site_may_lead_here(site: Site) -> None:
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert (await site.client.get("/app/", headers=followed)).status_code == 200


async def test_other_sites_may_show_what_was_signed_for_them(site: Site) -> None:
    url = (await site.execute({})).json()["output"][0]
    answer = await site.client.get(url, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 200


async def test_named_origins_may_call(open_site: OpenSite) -> None:
    site: Site = await open_site(cors_origins=frozenset({"https://app.example"}))
    origin = {"Origin": "https://app.example"}
    asked = origin | {"Access-Control-Request-Method": "POST"}
    preflight = await site.client.options(f"{API}/execute", headers=asked)
    assert preflight.headers["access-control-allow-origin"] == "https://app.example"
    answer = await site.client.post(f"{API}/execute", json={"workflow": {}}, headers=origin)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert (await site.client.get("/settings", headers={"Origin": THERE})).status_code == 403


async def test_nothing_is_framed_or_sniffed(site: Site) -> None:
    for path in ("/settings", "/nowhere", "/app/", "/docs"):
        answer = await site.client.get(path)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"


def test_a_socket_of_another_site_is_refused_before_it_opens() -> None:
    async def app(scope: object, receive: object, send: object) -> None:
        raise AssertionError

    with (
        pytest.raises(WebSocketDisconnect),
        TestClient(OtherSites(app)).websocket_connect("/ws", headers={"Origin": THERE}),
    ):
        pass
