"""Documents: links lead somewhere, and what is generated is current."""

import re
from pathlib import Path

import pytest

from deployments.settings_reference import reference

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path.relative_to(ROOT)
    for pattern in ("*.md", "docs/*.md", "cluster/*.md", "demo/*.md", "clients/*/*.md")
    for path in ROOT.glob(pattern)
)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(), flags=re.S | re.M)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, heading = target.partition("#")
        file = ROOT / page.parent / name if name else ROOT / page
        assert file.exists(), f"{page} links to {target}"
        assert not heading or heading in _headings(file), f"{page} links to {target}"


def _headings(file: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", file.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_settings_reference_is_current() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == reference()


def test_every_page_of_docs_is_linked_from_the_readme_or_a_page_that_is() -> None:
    reached, left = set(), {Path("README.md")}
    while left:
        page = left.pop()
        reached.add(page)
        text = (ROOT / page).read_text()
        found = (ROOT / page.parent / name for name in re.findall(r"\]\(([^)#\s]+\.md)", text))
        inside = (path.resolve() for path in found)
        left |= {path.relative_to(ROOT) for path in inside if path.is_relative_to(ROOT)} - reached
    assert {page for page in PAGES if page.parts[0] == "docs"} <= reached
