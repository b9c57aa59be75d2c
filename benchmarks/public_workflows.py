"""Which workflows that node packs publish run here, and what the others lack.

Usage: python -m benchmarks.public_workflows MIRRORS [--page] [--url BASE [--only PATTERN]]

MIRRORS has a git directory of each repository, `<owner>+<name>/repo`, with the commit that is named
here. Nothing of them is kept: a workflow is read, converted and checked as if all files that it
names were there; with `--url` those that run so are posted, as benchmarks.templates does it.
`--page` writes the table into docs/compatibility.md.
"""

import argparse
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.posted_templates import post_all
from benchmarks.templates import DOCS, RUNS, Verdict, judged, read

BEGIN, END = "<!-- public workflows: begin -->", "<!-- public workflows: end -->"


@dataclass(frozen=True)
class Published:
    """Workflows of a repository, at a commit."""

    repository: str
    commit: str
    paths: tuple[str, ...]

    def read(self, mirrors: Path, path: str) -> dict[str, Any]:
        """The document at a path."""
        where = mirrors / self.repository.replace("/", "+") / "repo"
        command = ["git", f"--git-dir={where}", "show", f"{self.commit}:{path}"]
        shown = subprocess.run(command, capture_output=True, check=True)
        document: dict[str, Any] = json.loads(shown.stdout)
        return document


PUBLISHED = (
    Published(
        "cubiq/ComfyUI_IPAdapter_plus",
        "9d076a3df0d2763cef5510ec5ab807f6632c39f5",
        tuple(
            f"examples/ipadapter_{name}.json"
            for name in (
                "advanced",
                "clipvision_enhancer",
                "combine_embeds",
                "cosxl_edit",
                "faceid",
                "faceid_batch",
                "ideal_faceid_config",
                "kolors",
                "negative_image",
                "noise_injection",
                "portrait",
                "precise_composition",
                "precise_weight_type",
                "regional_conditioning",
                "simple",
                "style_composition",
                "tiled",
                "weight_types",
                "weighted_embeds",
                "weights",
            )
        ),
    ),
    Published(
        "cubiq/ComfyUI_InstantID",
        "1ef34ef573581bd9727c1e0ac05aa956b356a510",
        tuple(
            f"examples/InstantID_{name}.json"
            for name in ("IPAdapter", "basic", "depth", "multi_id", "posed")
        ),
    ),
    Published(
        "ltdrdata/ComfyUI-Impact-Pack",
        "727295b52e5f7b5429e81ca2179172865aa83b99",
        tuple(
            f"test/{name}.json"
            for name in ("detailer-pipe-test", "loop-test", "masks", "regional_prompt")
        ),
    ),
)


def table(verdicts: list[tuple[Published, Verdict]]) -> str:
    """A row for each workflow."""
    lines = ["| repository | workflow | here |", "| --- | --- | --- |"]
    for published, verdict in verdicts:
        said = str(verdict).replace("|", "\\|")
        lines.append(f"| {published.repository} | `{verdict.name}` | {said[:160]} |")
    return "\n".join(lines)


def write_page(text: str) -> None:
    """Write the table into its page."""
    page = DOCS / "compatibility.md"
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mirrors", type=Path)
    parser.add_argument("--page", action="store_true", help="write docs/compatibility.md")
    parser.add_argument("--url", help="a server that has stand-in files")
    parser.add_argument("--only", default="*", help="names of those to post: a shell pattern")
    given = parser.parse_args()
    documents = {
        path: (one, one.read(given.mirrors, path)) for one in PUBLISHED for path in one.paths
    }
    verdicts = [(one, judged(path, document)) for path, (one, document) in documents.items()]
    print(table(verdicts))
    if given.page:
        write_page(table(verdicts))
    if given.url:
        running = [verdict.name for _, verdict in verdicts if verdict.status == RUNS]
        to_post = {name: (documents[name][1], read(documents[name][1])) for name in running}
        post_all(given.url, to_post, given.only)


if __name__ == "__main__":
    main()
