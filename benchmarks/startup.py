"""How long the service takes to come up, and what it holds in memory when idle.

Usage: python -m benchmarks.startup [RUNS]. Starts the launcher as `make run` does, on a free port
and with an empty data folder, waits for /healthz, lets it rest, sums the proportional set sizes
(PSS: shared pages counted once) and processor seconds of every process it started, and ends it. The
first run warms the page cache and Python's bytecode; the later ones are what a second `make run`
meets.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
REST_S = 5.0
GIVE_UP_S = 300.0


@dataclass(frozen=True)
class Run:
    """One start, idle and end."""

    ready_s: float
    ended_s: float
    pss_mib: dict[str, float]  # of each process, by what it is
    processor_s: float
    foreign_cores: float  # what the rest of the machine was busy with meanwhile


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_served(process: psutil.Popen, url: str) -> None:
    deadline = time.monotonic() + GIVE_UP_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/healthz", timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    sys.exit("it did not come up")


def machine_processor_s() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)


def family(process: psutil.Popen) -> list[psutil.Process]:
    return [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]


def kind(process: psutil.Process) -> str:
    """What a process is called in the list."""
    command = process.cmdline()
    if command[0].startswith("ray::"):
        return command[0]
    scripts = (word for word in command[1:] if word.endswith(".py") or "." in word)
    program = Path(command[0]).name
    return Path(next(scripts, program)).name if program.startswith("python") else program


def processor_s(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:4]) for process in processes)


def measured() -> Run:
    port = free_port()
    with tempfile.TemporaryDirectory() as data:
        environment = {**os.environ, "COMFYRAY_DATA_DIR": data, "COMFYRAY_AUTH": "off"}
        command = [sys.executable, "-m", "deployments.launch", "--port", str(port)]
        began, busy = time.monotonic(), machine_processor_s()
        process = psutil.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        try:
            wait_until_served(process, f"http://127.0.0.1:{port}")
            ready_s = time.monotonic() - began
            processes = family(process)
            ours_s = processor_s(processes)
            foreign = (machine_processor_s() - busy - ours_s) / ready_s
            time.sleep(REST_S)
            processes = family(process)
            pss = {
                f"{process.pid} {kind(process)}": process.memory_full_info().pss / 2**20
                for process in processes
            }
        finally:
            ending = time.monotonic()
            with suppress(psutil.NoSuchProcess):
                process.terminate()
            process.wait()
    ended_s = time.monotonic() - ending
    return Run(ready_s, ended_s, pss, ours_s, max(foreign, 0.0))


def main(runs: int) -> None:
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}")
    for number in range(1, runs + 1):
        run = measured()
        print(
            f"run {number}: ready {run.ready_s:.1f} s, idle {sum(run.pss_mib.values()):.0f} MiB in"
            f" {len(run.pss_mib)} processes, {run.processor_s:.1f} processor-s until ready,"
            f" others used {run.foreign_cores:.2f} cores, ended in {run.ended_s:.1f} s"
        )
        for name, mib in sorted(run.pss_mib.items(), key=itemgetter(1), reverse=True):
            print(f"  {mib:5.0f} MiB {name.partition(' ')[2]}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
