"""What `make run` prints: progress, the banner, a line for each job, and clear refusals."""

import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pytest

from api.jobs.ended_log import LOG, log_end, model_names, write_job_lines
from deployments import launch
from deployments.start_checks import StartError, check_config, read_settings
from storage.jobs.records import JobRecord
from tests.ports import free_port

Ran: TypeAlias = "subprocess.CompletedProcess[str]"

# Says what local_ray.py says, serves /healthz, and has a job end.
CHILD = """
import http.server, sys, threading, time
class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"{}")
    def log_message(self, *_): pass
print("starting Ray", flush=True)
print("device: CPU\\nlogs: /tmp/ray/session_1/logs", flush=True)
print("starting Serve\\nstarting deployments: Router running", flush=True)
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Healthy)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("waiting for the first answer", flush=True)
time.sleep(4)
with open(sys.argv[2], "a") as log:
    log.write("12:00:00  job 7  local  9 nodes  2.3 s  success  a.safetensors\\n")
time.sleep(2)
"""
GOLDEN = """\
[T] starting Ray ...
[T] starting Serve ...
[T] starting deployments: Router running ...
[T] waiting for the first answer ...
[T] ready

  page    http://127.0.0.1:PORT/
  API     http://127.0.0.1:PORT/docs
  device  CPU
  models  MODELS: 1 checkpoints, 2 loras
  keys    off
  logs    LOG (jobs), /tmp/ray/session_1/logs (all)

Try it:
curl -s http://127.0.0.1:PORT/api/v7/comfyui/execute -H 'Content-Type: application/json' -d @B
12:00:00  job 7  local  9 nodes  2.3 s  success  a.safetensors
"""


# In a process of its own, for the launcher ends all that the process started.
WATCHER = """
import os, pathlib, sys
from deployments import launch
from deployments.banner import banner
from deployments.settings import Settings
child, url = sys.argv[1:3]
log, folder = map(pathlib.Path, sys.argv[3:5])
settings = Settings(models_dir=folder, data_dir=log.parent, auth="off")
command = launch.first_request(url, pathlib.Path("B"), settings.auth)
def shown(started):
    return banner(url, settings, started, log, command)
child = [sys.executable, "-c", child, url.split(":")[-1], str(log)]
sys.exit(launch.serve(launch.Launch(child, os.environ, url, shown, log, float(sys.argv[5]))))
"""


def _watched(child: str, port: int, log: Path, models: Path, ray_within_s: float) -> Ran:
    url = f"http://127.0.0.1:{port}"
    options = [child, url, str(log), str(models), str(ray_within_s)]
    return subprocess.run(
        [sys.executable, "-c", WATCHER, *options],
        cwd=launch.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_is_printed_from_start_to_first_job(tmp_path: Path) -> None:
    models, log, port = tmp_path / "models", tmp_path / "jobs.log", free_port()
    for name in ("checkpoints/a.safetensors", "loras/b.safetensors", "loras/c.safetensors"):
        (models / name).parent.mkdir(parents=True, exist_ok=True)
        (models / name).write_bytes(b"")
    ran = _watched(CHILD, port, log, models, 60)
    shown = re.sub(r"\[ *[\d.]+ s\]", "[T]", ran.stdout)
    for found, name in ((str(port), "PORT"), (str(models), "MODELS"), (str(log), "LOG")):
        shown = shown.replace(found, name)
    assert shown == GOLDEN
    assert ran.stderr == "comfyray: Ray ended by itself (exit status 0)\n"
    assert ran.returncode == 1


def test_a_ray_that_does_not_come_up_is_tried_twice_and_told(tmp_path: Path) -> None:
    child = "print('starting Ray', flush=True); import time; time.sleep(600)"
    ran = _watched(child, free_port(), tmp_path / "log", tmp_path, 0.5)
    assert ran.returncode == 1
    assert ran.stdout.count("Ray did not start within 0.5 s; its log ends:") == 2
    assert ran.stdout.count("starting Ray once more") == 1
    assert "comfyray: Ray does not start on this machine" in ran.stderr


def test_the_last_lines_of_rays_log_are_found(tmp_path: Path) -> None:
    logs = tmp_path / "session_latest" / "logs"
    logs.mkdir(parents=True)
    (logs / "raylet.err").write_text("old\n" * 2000 + "no memory left\n")
    assert "raylet.err: no memory left" in launch.ray_log_end(tmp_path)
    assert launch.ray_log_end(tmp_path / "nothing") == ""


@pytest.fixture
def job_lines(tmp_path: Path) -> Iterator[Path]:
    write_job_lines(tmp_path / "logs" / "jobs.log")
    yield tmp_path / "logs" / "jobs.log"
    for handler in LOG.handlers:
        handler.close()
    LOG.handlers.clear()
    LOG.setLevel(logging.NOTSET)


def test_a_job_that_ended_is_one_line_without_its_prompt(job_lines: Path) -> None:
    prompt = {
        "1": {"class_type": "X", "inputs": {"ckpt_name": "sub/a.safetensors"}},
        "2": {"class_type": "Y", "inputs": {"text": "a secret.safetensors", "clip": ["1", 1]}},
        "3": {"class_type": "Z", "inputs": {"lora_name": "b.pt", "other_name": "sub/plain"}},
    }
    assert model_names(prompt) == ["sub/a.safetensors", "b.pt"]
    answer = {"models": model_names(prompt), "node_count": 3}
    record = JobRecord("acme", 7, status="success", created_s=1.0, answer=answer)
    log_end(replace(record, started_s=1.5, ended_s=3.75))
    log_end(replace(record, status="cancelled", answer=None, ended_s=1.0))
    first, second = job_lines.read_text().splitlines()
    expected = (
        "job 7  acme  3 nodes  2.2 s after 0.5 s in the queue  success  sub/a.safetensors, b.pt"
    )
    assert first[10:] == expected
    assert second[10:] == "job 7  acme  not started  0.0 s  cancelled"


def _config(tmp_path: Path, args: str) -> Path:
    file = tmp_path / "serve_config.yaml"
    file.write_text(
        "applications:\n  - name: comfyray\n    import_path: deployments.app:build\n"
        f"    args: {args}\n"
    )
    return file


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ("{router: {max_runing_jobs: 3}}", "args.router.max_runing_jobs is unknown; did you mean "),
        ("{sampler: {memory_bytes: much}}", "args.sampler.memory_bytes: .*, got 'much'"),
        ("{profile: small}", "args.profile: .*, got 'small'"),
        ("{unknown: 1}", "args.unknown is unknown"),
    ],
)
def test_a_wrong_config_is_one_line(tmp_path: Path, args: str, reason: str) -> None:
    with pytest.raises(StartError, match=reason) as refused:
        check_config(_config(tmp_path, args))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["applications: [", "", "applications: 3", "applications: [{}]"])
def test_a_config_that_is_none_is_one_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(StartError) as refused:
        check_config(file)
    assert "\n" not in str(refused.value)
    with pytest.raises(StartError, match="No such file"):
        check_config(tmp_path / "none.yaml")


def test_the_config_of_the_repository_is_right() -> None:
    check_config(launch.ROOT / "serve_config.yaml")


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("COMFYRAY_MODELS_DIR", "/nowhere", "there is no folder /nowhere"),
        ("COMFYRAY_EXTRA_MODEL_PATHS", "/nowhere.yaml", "/nowhere.yaml: No such file"),
        ("COMFYRAY_AUTH", "maybe", "COMFYRAY_AUTH: .*got 'maybe'"),
    ],
)
def test_a_wrong_setting_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    monkeypatch.setenv("COMFYRAY_MODELS_DIR", str(tmp_path))
    monkeypatch.setenv(name, value)
    with pytest.raises(StartError, match=reason) as refused:
        read_settings()
    assert "\n" not in str(refused.value)


def test_the_command_says_what_is_wrong_and_nothing_else(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "deployments.launch", "--port", "0"],
        cwd=launch.ROOT,
        env={**os.environ, "COMFYRAY_MODELS_DIR": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    error = "comfyray: COMFYRAY_MODELS_DIR: there is no folder /nowhere\n"
    assert (ran.returncode, ran.stdout, ran.stderr) == (1, "", error)
