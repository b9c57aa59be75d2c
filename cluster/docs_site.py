"""Makes the documents a site: `properdocs` calls it while it builds (properdocs.yml).

The documents link to each other and to files of the repository as they lie there. On the site
README.md is the first page, docs/ is beside it, and whatever else is linked to is in repository/.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

from properdocs.config.defaults import ProperDocsConfig
from properdocs.structure.files import File, Files
from properdocs.structure.pages import Page

FIRST = "README.md"
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")


def on_files(files: Files, config: ProperDocsConfig) -> Files:
    """Add what the documents link to."""
    root = Path(config.docs_dir).parent
    known = {f"docs/{file.src_uri}" for file in files}
    left = [FIRST, *sorted(name for name in known if name.endswith(".md"))]
    while left:
        name = left.pop()
        if name not in known:
            known.add(name)
            files.append(File.generated(config, site_path(name), abs_src_path=str(root / name)))
        if name.endswith(".md"):
            text = (root / name).read_text()
            found = {target for target in links(name, text) if (root / target).is_file()}
            left += sorted(found - known)
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Have a page's links lead to where their files are on the site."""
    here = page.file.src_uri
    name = repository_path(here)

    def moved(link: re.Match[str]) -> str:
        target = site_path(normpath(PurePosixPath(name).parent / link[1]))
        return relpath(target, PurePosixPath(here).parent)

    return LINK.sub(moved, markdown)


def links(name: str, text: str) -> Iterator[str]:
    """The files that a document links to, by their paths in the repository."""
    for target in LINK.findall(text):
        yield normpath(PurePosixPath(name).parent / target)


def site_path(name: str) -> str:
    """Where a file of the repository is on the site."""
    if name == FIRST:
        return "index.md"
    return name.removeprefix("docs/") if name.startswith("docs/") else f"repository/{name}"


def repository_path(uri: str) -> str:
    """What file of the repository a page of the site is."""
    if uri == "index.md":
        return FIRST
    inside = uri.startswith("repository/")
    return uri.removeprefix("repository/") if inside else f"docs/{uri}"
