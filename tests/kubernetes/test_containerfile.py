"""The Containerfile, as far as it can be judged without building it."""

import re
from pathlib import Path

from cluster.image_steps import Step, read_steps

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "cluster" / "Containerfile"


def steps(name: str) -> list[Step]:
    return [step for step in read_steps(FILE.read_text()) if step.name == name]


def test_it_starts_from_a_python_that_the_project_runs_on() -> None:
    (base,) = steps("FROM")
    assert re.fullmatch(r"python:3\.(1[1-4])-slim", base.text)


def test_packages_are_installed_without_extras_and_lists_removed() -> None:
    for step in steps("RUN"):
        if "apt-get install" in step.text:
            assert "apt-get update" in step.text
            assert "--yes --no-install-recommends" in step.text
            assert "rm -rf /var/lib/apt/lists/*" in step.text


def test_what_it_copies_is_there() -> None:
    for step in steps("COPY"):
        *sources, _ = step.words()
        assert sources
        for source in sources:
            assert (ROOT / source).exists(), source


def test_it_serves_as_a_user_without_rights() -> None:
    everything = [step.name for step in read_steps(FILE.read_text())]
    (user,) = steps("USER")
    assert user.text.isdigit()  # a node cannot tell of a name that it is not root
    assert user.text != "0"
    assert f"--uid {user.text} ray" in steps("RUN")[0].text
    assert everything.index("USER") < everything.index("COPY")
    assert all("--chown=ray" in step.text for step in steps("COPY"))


def test_an_exec_form_command_gets_the_signal() -> None:
    (command,) = steps("CMD")
    assert command.text.startswith("[")
    assert steps("STOPSIGNAL")[0].text == "SIGINT"


def test_what_is_ignored_is_not_what_runs() -> None:
    ignored = (ROOT / "cluster" / "Containerfile.dockerignore").read_text().split()
    assert {".git", "**/.venv", "build", "data", "models", "out"} <= set(ignored)
    assert not {"deployments", "api", "graph", "cluster", "clients"} & set(ignored)
