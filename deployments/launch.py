"""`make run`: runs Ray and the application of serve_config.yaml on this machine until Ctrl-C.

This process only watches, so that it can always answer a signal: a child (local_ray.py) starts Ray
and the application, and here we report how far it has come, and at the end see to it that nothing
of what it started is left, and nothing else is touched. It imports neither ray nor torch.
"""

import argparse
import ctypes
import json
import os
import secrets
import selectors
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from deployments.banner import Started, banner
from deployments.start_checks import StartError, check_config, read_settings
from storage.private_folder import private_folder

ROOT = Path(__file__).resolve().parent.parent
DEMO_CHECKPOINT = Path("checkpoints", "comfyray-demo.safetensors")
DEMO_WORKFLOW = ROOT / "examples" / "text_to_image.json"
FIRST_WORKFLOW = {  # needs no model
    "1": {
        "class_type": "EmptyImage",
        "inputs": {"width": 256, "height": 256, "batch_size": 1, "color": 3368601},
    },
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "hello"}},
}
SHUTDOWN_S = 30.0  # Serve drains for about five; then Ray
STARTS = 2  # a Ray that does not come up is started once more
RAY_TEMP = Path("/tmp/ray")
RAY_LOG_LINES = 12
JOBS_SHOWN_EVERY_S = 0.3
JOB_LOG_BYTES = 10 * 2**20
FACTS = {"device": "device", "logs": "ray_logs"}  # lines of the child that are no stages
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


class RayStuckError(Exception):
    """Ray was started and did not come up in time."""

    def __init__(self, within_s: float) -> None:
        super().__init__(within_s)
        self.within_s = within_s


class Interrupted(BaseException):
    """Somebody wants this to end: Ctrl-C, SIGTERM or a closed terminal."""


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def check_address(host: str, port: int, auth: str) -> None:
    """Raises: StartError when `host`:`port` is taken, or open to others without keys."""
    if auth == "off" and not is_loopback(host):
        raise StartError(f"COMFYRAY_AUTH=off serves loopback addresses only, not {host}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = error.strerror or "not possible"
            raise StartError(f"cannot listen on {host}:{port}: {reason} (PORT= another)") from error


def ray_token(folder: Path) -> Path:
    """The file of the token that lets a process into this Ray; only its owner can read it."""
    path = folder / "ray_token"
    private_folder(folder)
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
    return path.resolve()


def ray_environment(
    inherited: Mapping[str, str], token: Path, trusted_proxies: str = "127.0.0.1"
) -> dict[str, str]:
    """What Ray reads when it is imported. Set here because a runtime_env costs five seconds."""
    path = [str(ROOT), *filter(None, [inherited.get("PYTHONPATH")])]
    return {
        **inherited,
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONUNBUFFERED": "1",
        "FORWARDED_ALLOW_IPS": trusted_proxies,  # uvicorn's, which Serve's proxy is
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_agent_register_timeout_ms": "240000",  # half a minute is short on a busy machine
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # the node's address is 127.0.0.1
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_memory_monitor_refresh_ms": "0",  # it would kill by age, the controller first
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "deployments.paced_bodies:pace_proxy",
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
        "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "2",
        # One event loop in a replica: what would block it runs in threads, and each call saves two
        # changes of thread.
        "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
        "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
    }


def adopt_orphans() -> None:
    """Keep descendants ours when their parents die first, so that they can be found (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_with_parent(number: signal.Signals) -> None:
    """Get signal `number` when the process that started this one dies, however it does (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)


def started_processes() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def end(child: subprocess.Popen[bytes]) -> None:
    """Ask the child to shut down, wait, then end whatever it left behind."""
    try:
        child.send_signal(signal.SIGINT)  # Ray answers SIGTERM with a stack trace
        child.wait(SHUTDOWN_S)
    except subprocess.TimeoutExpired:
        say(f"not down after {SHUTDOWN_S:.0f} s: killing")
    finally:
        kill_everything_started()


def kill_everything_started() -> None:
    """SIGKILL to all descendants, repeated until those that were just being born are gone too."""
    while processes := started_processes():
        for process in processes:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(processes, timeout=5)


def is_served(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def stages(child: subprocess.Popen[bytes]) -> Iterator[str]:
    """What the child says it is doing, and an empty line every second in between; ends with it."""
    assert child.stdout is not None
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(timeout=1):
                yield ""
                continue
            if not (read := os.read(child.stdout.fileno(), 4096)):
                return
            *lines, pending = (pending + read).split(b"\n")
            yield from (line.decode() for line in lines)


def say(text: str) -> None:
    print(text, flush=True)


def wait_until_served(child: subprocess.Popen[bytes], url: str, ray_within_s: float) -> Started:
    """Show progress until /healthz answers; gives what the child said of device and logs.

    Raises:
        RayStuckError: Ray itself did not start in time.
        StartError: the child ended before.
    """
    began, shown, stage, started = time.monotonic(), 0.0, "starting", Started()
    for line in stages(child):
        elapsed = time.monotonic() - began
        name, _, value = line.partition(": ")
        if name in FACTS:
            started = replace(started, **{FACTS[name]: value})
            continue
        if line or elapsed - shown > 5:
            stage, shown = line or stage, elapsed
            say(f"[{elapsed:5.1f} s] {stage} ...")
        if stage == "starting Ray" and elapsed > ray_within_s:
            raise RayStuckError(ray_within_s)
        if stage == "waiting for the first answer" and is_served(url):
            say(f"[{time.monotonic() - began:5.1f} s] ready")
            return started
    raise StartError(f"the application did not come up (exit status {child.wait()})")


def ray_log_end(folder: Path = RAY_TEMP) -> str:
    """The last lines that Ray's own processes logged, "" where there are none."""
    logs = (folder / "session_latest" / "logs").glob("*")
    written = [path for path in logs if path.suffix in {".out", ".err", ".log"} and path.is_file()]
    ends = []
    for path in sorted(written, key=lambda path: path.stat().st_mtime)[-3:]:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4096))
            lines = file.read().decode(errors="replace").splitlines()[-RAY_LOG_LINES // 3 :]
        ends += [f"  {path.name}: {line}" for line in lines if line.strip()]
    return "\n".join(ends)


def first_workflow(models: Path) -> Mapping[str, Any]:
    """One that draws with the model that comes along, or without any where it is not there."""
    if (models / DEMO_CHECKPOINT).is_file() and DEMO_WORKFLOW.is_file():
        return dict(json.loads(DEMO_WORKFLOW.read_text()))
    return FIRST_WORKFLOW


def first_request(url: str, body: Path, auth: str = "off") -> str:
    """The command to try; `body` is the file that it posts."""
    key = ' -H "X-API-Key: $COMFYRAY_KEY"' if auth == "on" else ""
    kind = "-H 'Content-Type: application/json'"
    return f"curl -s {url}/api/v7/comfyui/execute{key} {kind} -d {shlex.quote(f'@{body}')}"


def write_first_body(folder: Path, workflow: Mapping[str, Any]) -> Path:
    """The file that the command to try posts, relative to the working folder where it is in it."""
    file = folder.resolve() / "first_request.json"
    file.write_text(json.dumps({"workflow": workflow}, indent=1) + "\n")
    here = Path.cwd()
    return file.relative_to(here) if file.is_relative_to(here) else file


def set_aside(job_log: Path) -> None:
    """Begin a new file of jobs where the old one is large; one old file is kept."""
    if job_log.exists() and job_log.stat().st_size > JOB_LOG_BYTES:
        job_log.replace(job_log.with_suffix(".old.log"))


@dataclass(frozen=True)
class Launch:
    """What is run, and what is shown once it serves."""

    command: list[str]
    environment: Mapping[str, str]
    url: str
    shown: Callable[[Started], str]
    job_log: Path
    ray_within_s: float = 180.0


def serve(launch: Launch) -> int:
    """Run the child until it ends or somebody wants it to; gives the exit status."""
    adopt_orphans()
    for start in range(1, STARTS + 1):
        try:
            return serve_once(launch)
        except RayStuckError as error:
            say(f"Ray did not start within {error.within_s:g} s; its log ends:\n{ray_log_end()}")
            if start < STARTS:
                say("starting Ray once more")
    print("comfyray: Ray does not start on this machine (is there memory?)", file=sys.stderr)
    return 1


def show_jobs(child: subprocess.Popen[bytes], job_log: Path) -> None:
    """Print the lines of jobs that end, until the child does."""
    position = job_log.stat().st_size if job_log.exists() else 0
    while child.poll() is None:
        time.sleep(JOBS_SHOWN_EVERY_S)
        if job_log.exists() and job_log.stat().st_size > position:
            with job_log.open("rb") as file:
                file.seek(position)
                *whole, _ = file.read().split(b"\n")
            position += sum(len(line) + 1 for line in whole)
            for line in whole:
                say(line.decode(errors="replace"))


def serve_once(launch: Launch) -> int:
    """Start the child, wait until it serves, and show its jobs until it ends."""
    child = subprocess.Popen(  # its own session: a terminal's Ctrl-C reaches this process alone
        launch.command, env=launch.environment, stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        started = wait_until_served(child, launch.url, launch.ray_within_s)
        say(launch.shown(started))
        show_jobs(child, launch.job_log)
    except Interrupted:
        say("shutting down (once more: at once) ...")
        return 0
    finally:
        end_despite_impatience(child)
        if child.stdout:
            child.stdout.close()
    print(f"comfyray: Ray ended by itself (exit status {child.returncode})", file=sys.stderr)
    return 1


def end_despite_impatience(child: subprocess.Popen[bytes]) -> None:
    """As end(); a second signal while it waits ends everything at once."""
    try:
        end(child)
    except Interrupted:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        kill_everything_started()


def interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise Interrupted


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deployments.launch", description=__doc__)
    parser.add_argument("--config", type=Path, default=ROOT / "serve_config.yaml")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--object-store-mib", type=int, default=512, help="Ray's shared memory")
    parser.add_argument("--ray-within-s", type=float, default=180.0, help="then Ray is restarted")
    parser.add_argument("--end-with-parent", action="store_true", help="for make")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    if given.end_with_parent:
        end_with_parent(signal.SIGTERM)
    address = [given.host, str(given.port)]
    options = [str(given.config.resolve()), *address, str(given.object_store_mib)]
    host = f"[{given.host}]" if ":" in given.host else given.host
    url = f"http://{host}:{given.port}"
    try:
        settings = read_settings()
        check_config(given.config)
        check_address(given.host, given.port, settings.auth)
        token = ray_token(settings.data_dir)
        job_log = settings.job_log or settings.data_dir.resolve() / "logs" / "jobs.log"
        set_aside(job_log)
        with_job_log = {**os.environ, "COMFYRAY_JOB_LOG": str(job_log)}
        body = write_first_body(settings.data_dir, first_workflow(settings.models_dir))
        command = first_request(url, body, settings.auth)
        return serve(
            Launch(
                [sys.executable, "-m", "deployments.local_ray", *options],
                ray_environment(with_job_log, token, settings.trusted_proxies),
                url,
                lambda started: banner(url, settings, started, job_log, command),
                job_log,
                given.ray_within_s,
            )
        )
    except StartError as error:
        print(f"comfyray: {error}", file=sys.stderr)
        return 1
    except Interrupted:
        return 0
    finally:
        kill_everything_started()


if __name__ == "__main__":
    sys.exit(main())
