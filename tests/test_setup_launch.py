"""The launcher: what it refuses to start, what Ray is told, what is left at the end."""

import shlex
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from deployments import launch
from deployments.start_checks import StartError


def test_a_taken_port_is_said_in_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=f"127.0.0.1:{port}.*in use"):
            launch.check_address("127.0.0.1", port, auth="on")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_without_keys_only_loopback_is_served(host: str) -> None:
    with pytest.raises(StartError, match="loopback"):
        launch.check_address(host, 0, auth="off")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "localhost", "::1"])
def test_loopback_is_known_by_all_its_names(host: str) -> None:
    assert launch.is_loopback(host)


def test_only_its_owner_can_read_the_token_of_ray(tmp_path: Path) -> None:
    token = launch.ray_token(tmp_path / "data")
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert len(token.read_text()) == 64


def test_the_token_stays_the_same_from_start_to_start(tmp_path: Path) -> None:
    first = launch.ray_token(tmp_path).read_text()
    assert launch.ray_token(tmp_path).read_text() == first


def test_ray_hears_about_loopback_token_and_modules(tmp_path: Path) -> None:
    told = launch.ray_environment({"PYTHONPATH": "theirs", "HOME": "home"}, tmp_path / "token")
    assert told["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    assert told["RAY_AUTH_TOKEN_PATH"] == str(tmp_path / "token")
    assert told["PYTHONPATH"].split(":") == [str(launch.ROOT), "theirs"]
    assert told["HOME"] == "home"


def test_the_watcher_imports_neither_ray_nor_torch() -> None:
    program = "import sys, deployments.launch; print({'ray', 'torch'} & sys.modules.keys())"
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=launch.ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "set()"


# A child whose own child has left its session and hears no SIGTERM.
GRANDCHILD = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
time.sleep(600)
"""
CHILD = f"""
import subprocess, sys, time
grandchild = subprocess.Popen(
    [sys.executable, "-c", {GRANDCHILD!r}], stdout=subprocess.PIPE, start_new_session=True
)
grandchild.stdout.readline()
print("grandchild", grandchild.pid, flush=True)
time.sleep(600)
"""
WATCHER = """
import os, pathlib, signal, sys
from deployments import launch
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, launch.interrupt)
command = [sys.executable, "-c", sys.argv[1]]
url, log = "http://127.0.0.1:9", pathlib.Path("none")
sys.exit(launch.serve(launch.Launch(command, os.environ, url, str, log)))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_that_was_started_and_nothing_else(number: signal.Signals) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    watcher = subprocess.Popen(
        [sys.executable, "-c", WATCHER, CHILD], cwd=launch.ROOT, stdout=subprocess.PIPE, text=True
    )
    assert watcher.stdout is not None
    said = next(line for line in watcher.stdout if "grandchild" in line)
    grandchild = psutil.Process(int(said.split()[-2]))
    watcher.send_signal(number)
    watcher.communicate(timeout=60)
    alive = grandchild.is_running(), stranger.poll() is None
    stranger.kill()
    stranger.wait()
    assert alive == (False, True)
    assert watcher.returncode == 0


@pytest.mark.cluster
def test_the_line_that_is_printed_when_ready_draws_a_picture(
    server: str, parity_models: Path, tmp_path: Path
) -> None:
    workflow = launch.first_workflow(parity_models)
    line = launch.first_request(server, launch.write_first_body(tmp_path, workflow))
    url, *_, data = shlex.split(line)[2:]
    body = Path(data.removeprefix("@")).read_text()
    answer = httpx.post(url, content=body, headers={"Content-Type": "application/json"}, timeout=90)
    while answer.json()["status"] == "processing":
        answer = httpx.get(answer.json()["fetch_result"], timeout=90)
    assert answer.json()["status"] == "success"
    saving = [name for name, node in workflow.items() if node["class_type"] == "SaveImage"]
    assert [output["node_id"] for output in answer.json()["outputs"]] == saving
