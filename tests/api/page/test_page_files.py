"""The page's files: all of them ours, nothing from elsewhere, nothing that may be framed."""

import re
from html.parser import HTMLParser

import pytest

from api.page.routes import EXAMPLES, STATIC
from tests.api.conftest import Site

ELSEWHERE = re.compile(r"""(?:src|href|url|import|fetch)\W{1,4}(?:https?:)?//\w""")


async def test_the_bare_address_leads_to_the_page(site: Site) -> None:
    answer = await site.client.get("/", follow_redirects=True)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", sorted(path.name for path in STATIC.iterdir()))
async def test_no_file_of_the_page_names_another_host(site: Site, path: str) -> None:
    answer = await site.client.get(f"/app/{path}")
    assert answer.status_code == 200
    assert not ELSEWHERE.search(answer.text.replace("http://www.w3.org/2000/svg", ""))


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.inline = 0
        self.files: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.inline += tag == "style" or (tag == "script" and "src" not in values)
        self.inline += any(name.startswith("on") or name == "style" for name in values)
        self.files += [values[n] or "" for n in ("src", "href") if values.get(n)]


async def test_the_page_has_nothing_inline_and_its_files_are_there(site: Site) -> None:
    page = _Page()
    page.feed((await site.client.get("/app/")).text)
    assert page.inline == 0
    files = [name for name in page.files if not name.startswith(("#", ".."))]
    assert {(await site.client.get(f"/app/{name}")).status_code for name in files} == {200}


async def test_every_example_has_a_picture_and_its_files(site: Site) -> None:
    examples = (await site.client.get("/app/examples.json")).json()
    assert examples[0]["name"] == "text_to_image"
    assert len(examples) >= 9
    for example in examples:
        assert (await site.client.get(f"/app/gallery/{example['name']}.png")).status_code == 200
        assert (await site.client.get(f"/app/examples/{example['name']}.json")).status_code == 200
        for name in example["files"]:
            assert (await site.client.get(f"/app/examples/input/{name}")).status_code == 200
    assert {"demo_star.png"} <= {name for example in examples for name in example["files"]}


@pytest.mark.parametrize("path", ["../routes.py", "%2e%2e/routes.py", "examples/../../README.md"])
async def test_nothing_outside_the_folders_is_served(site: Site, path: str) -> None:
    assert (await site.client.get(f"/app/{path}")).status_code == 404
    assert EXAMPLES.exists()


async def test_the_documentation_needs_no_network(site: Site) -> None:
    text = (await site.client.get("/redoc", follow_redirects=True)).text
    files = re.findall(r'(?:src|href)="([^"#]+)"', text)
    assert not [name for name in files if "//" in name]
    for name in files:
        assert (await site.client.get(f"/{name}")).status_code == 200
