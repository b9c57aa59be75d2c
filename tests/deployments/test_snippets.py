"""What README.md tells to type, typed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.demo_files import place_demo_files

ROOT = Path(__file__).resolve().parents[2]
SHOWN_AT = "http://127.0.0.1:8000"
PNG = b"\x89PNG"
pytestmark = pytest.mark.cluster


def snippets(language: str, server: str) -> list[str]:
    """The README's code in a language, for the server of the tests."""
    found = re.findall(
        rf"^```{language}\n(.*?)^```$", (ROOT / "README.md").read_text(), re.S | re.M
    )
    return [code.replace(SHOWN_AT, server) for code in found]


def with_word(language: str, server: str, word: str) -> str:
    """The one that `word` is in."""
    (code,) = [code for code in snippets(language, server) if word in code]
    return code


def said(*command: str, **environment: str) -> str:
    """What a command prints, run in the repository."""
    ran = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def first_picture(printed: str) -> bytes:
    """What lies at the first of the URLs, here or in a bucket."""
    (url, *_) = re.findall(r"http://[^']+", printed)
    return httpx.get(url).raise_for_status().content


@pytest.fixture(autouse=True)
def demo_files(parity_models: Path) -> None:
    place_demo_files(parity_models)


def test_the_curl_line(server: str) -> None:
    assert '"status":"success"' in said("sh", "-c", with_word("sh", server, "text_to_image"))


def test_the_python_lines(server: str) -> None:
    code = with_word("python", server, "urllib.request")
    assert first_picture(said(sys.executable, "-c", code)).startswith(PNG)


def test_the_javascript_lines(server: str) -> None:
    code = with_word("javascript", server, "await fetch")
    assert first_picture(said("node", "--input-type=module", "-e", code)).startswith(PNG)


def test_the_lines_of_the_hosted_api(server: str) -> None:
    code = with_word("python", server, "modelslab_py")
    assert first_picture(said(sys.executable, "-c", code)).startswith(PNG)


def test_every_program_of_the_readme_is_run_here() -> None:
    words = ("urllib.request", "modelslab_py", "get_app_handle", "await fetch")
    programs = [*snippets("python", ""), *snippets("javascript", "")]
    assert [sum(word in code for word in words) for code in programs] == [1] * len(words)


def test_the_lines_for_another_ray_job(server: str, data_dir: Path, tmp_path: Path) -> None:
    job = tmp_path / "your_job.py"
    job.write_text(with_word("python", server, "get_app_handle"))
    lines = with_word("sh", server, "your_job.py").replace("data/ray.env", f"{data_dir}/ray.env")
    lines = lines.replace(".venv/bin/python", sys.executable).replace("your_job.py", str(job))
    assert ".png" in said("sh", "-c", lines)
