"""What the documents tell to type, typed as it is printed."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.demo_files import place_demo_files

ROOT = Path(__file__).resolve().parents[2]
JAVASCRIPT = ROOT / "clients" / "javascript"
PAGES = ("*.md", "docs/*.md", "cluster/*.md", "clients/*/*.md")
SHOWN_AT = "http://127.0.0.1:8000"
BLOCK = re.compile(
    r"(?:^<!-- not run(?P<why>[^>]*)-->\n)?"
    r"^```(?P<language>sh|bash|python|javascript)\n(?P<code>.*?)^```$",
    re.S | re.M,
)
FILE_URL = re.compile(r"http://[^\s'\"]+/view[^\s'\"]+")
REFUSED = re.compile(r'"status": ?"(error|failed)"|"node_errors": ?\{"')
pytestmark = pytest.mark.cluster


@dataclass(frozen=True)
class Snippet:
    """A piece of code of a document, and why it is not run, if it is not."""

    page: str
    line: int
    language: str
    code: str
    why_not: str | None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def snippets() -> list[Snippet]:
    """All that the documents print in a language that can be run."""
    found = []
    for path in sorted(path for pattern in PAGES for path in ROOT.glob(pattern)):
        text, page = path.read_text(), str(path.relative_to(ROOT))
        for block in BLOCK.finditer(text):
            line = text.count("\n", 0, block.start("code")) + 1
            found.append(Snippet(page, line, block["language"], block["code"], block["why"]))
    return found


RUN = [snippet for snippet in snippets() if snippet.why_not is None]
NOT_RUN = [snippet for snippet in snippets() if snippet.why_not is not None]


@pytest.fixture(autouse=True)
def demo_files(parity_models: Path) -> None:
    place_demo_files(parity_models)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with all of the repository in it, where files that are made do no harm."""
    for entry in ROOT.iterdir():
        if entry.name not in {"out", "data", "build"}:
            (tmp_path / entry.name).symlink_to(entry)
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "comfyray-client").symlink_to(JAVASCRIPT)
    return tmp_path


@pytest.fixture(scope="module")
def javascript_client() -> None:
    """Its modules, made where they are older than their sources."""
    made = JAVASCRIPT / "dist" / "index.js"
    newest = max(path.stat().st_mtime for path in (JAVASCRIPT / "src").iterdir())
    if not made.is_file() or made.stat().st_mtime < newest:
        subprocess.run(["npm", "run", "build"], cwd=JAVASCRIPT, check=True, timeout=300)


def command(snippet: Snippet, code: str) -> list[str]:
    """How a shell, Python or Node is told to run it."""
    if snippet.language == "python":
        return [sys.executable, "-c", code]
    if snippet.language != "javascript":
        return ["sh", "-c", f"set -e\n{code}"]
    return ["node", "--input-type=module", "-e", code]


def said(ran: list[str], folder: Path, **environment: str) -> str:
    """What a command prints."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ran,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.usefixtures("javascript_client")
@pytest.mark.parametrize("snippet", RUN, ids=str)
def test_it_does_what_it_says(snippet: Snippet, server: str, clone: Path) -> None:
    code = snippet.code.replace(SHOWN_AT, server)
    printed = said(command(snippet, code), clone, COMFYRAY_URL=server)
    assert printed.strip()
    assert not REFUSED.search(printed), printed
    for url in FILE_URL.findall(printed):
        assert httpx.get(url).raise_for_status().content


def test_the_lines_for_another_ray_job(server: str, data_dir: Path, clone: Path) -> None:
    (job,) = (snippet for snippet in NOT_RUN if "get_app_handle" in snippet.code)
    (lines,) = (snippet for snippet in NOT_RUN if "your_job.py" in snippet.code)
    (clone / "your_job.py").write_text(job.code)
    (clone / "data").symlink_to(data_dir)
    assert ".png" in said(["sh", "-c", lines.code], clone)


def test_what_is_not_run_says_why() -> None:
    assert [str(snippet) for snippet in NOT_RUN if not (snippet.why_not or "").strip(": ")] == []
    assert {snippet.page for snippet in RUN} >= {"README.md", "clients/python/README.md"}
