"""The set-up: what `make` installs from, and that nothing in it names a place on some machine."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from deployments.config import AppConfig

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ["requirements.lock", "requirements-dev.lock", "requirements-cuda.lock"]
ENTRY = re.compile(r"([a-z0-9._-]+)==([^ ]+)(?: ;[^\\\n]*)? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")


def normal(requirement: str) -> str:
    """The package a requirement names, as locks spell it."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found
    return re.sub(r"[-_.]+", "-", found.group()).lower()


def locked(lock: str) -> set[str]:
    return {found[1] for line in lines(lock) if (found := ENTRY.match(line))}


def lines(lock: str) -> list[str]:
    text = (ROOT / lock).read_text().splitlines()
    return [line for line in text if not line.startswith("#")]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_pinned_packages_and_hashes_and_nothing_else(lock: str) -> None:
    strange = [line for line in lines(lock) if not (ENTRY.fullmatch(line) or HASH.fullmatch(line))]
    assert strange == []


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_a_hash(lock: str) -> None:
    text = lines(lock)
    bare = [
        line
        for line, following in zip(text, [*text[1:], ""], strict=True)
        if ENTRY.fullmatch(line) and not HASH.fullmatch(following)
    ]
    assert bare == []


def test_the_lock_of_the_javascript_client_has_hashes_and_no_addresses() -> None:
    text = (ROOT / "clients/javascript/package-lock.json").read_text()
    assert "://" not in text  # npm writes whom to fund again: take "funding" and "resolved" out
    packages = {name: it for name, it in json.loads(text)["packages"].items() if name}
    assert packages
    assert [
        name for name, it in packages.items() if not it["integrity"].startswith("sha512-")
    ] == []


def test_the_locks_have_everything_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    running, developing = locked("requirements.lock"), locked("requirements-dev.lock")
    assert {normal(asked) for asked in project["dependencies"]} <= running
    tools = {normal(asked) for asked in project["optional-dependencies"]["dev"]}
    assert tools <= running | developing
    assert not running & developing


def test_the_service_runs_without_tools_for_developing() -> None:
    assert not {"pytest", "mypy", "ruff", "hypothesis"} & locked("requirements.lock")


def test_nobody_downloads_cuda_for_a_cpu() -> None:
    assert [package for package in locked("requirements.lock") if "nvidia" in package] == []


@pytest.mark.parametrize("target", ["run", "setup", "lint", "test", "lock"])
def test_make_knows_the_target(target: str) -> None:
    answer = subprocess.run(
        ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr


def test_make_run_serves_the_port_that_was_asked_for() -> None:
    answer = subprocess.run(
        ["make", "--dry-run", "run", "PORT=8321"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--port 8321" in answer.stdout


def test_the_serve_config_is_one_the_application_understands() -> None:
    config = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    AppConfig.model_validate(config["applications"][0]["args"])
