"""A plugin of pytest for ComfyUI's own tests of its executor: they start another server.

Those tests start `python main.py --port N ...`, one for each class and size of its cache. This
starts SERVER_COMMAND instead, a shell command in which {port} is filled in, in a process group of
its own, and waits until it knows the nodes that they use.
"""

import os
import signal
import subprocess
import time
import urllib.request
from typing import Any

READY_WITHIN_S = 480
STOP_S = 30
NODE = "StubImage"  # of the tests' pack
REAL = subprocess.Popen


class Server:
    """What the tests do with the process that they started."""

    def __init__(self, port: str) -> None:
        command = os.environ["SERVER_COMMAND"].format(port=port)
        self._process = REAL(command, shell=True, start_new_session=True)
        self._wait_until_ready(f"http://127.0.0.1:{port}/object_info/{NODE}")

    def kill(self) -> None:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, sign)
                self._process.wait(STOP_S)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue

    def poll(self) -> int | None:
        return self._process.poll()

    def _wait_until_ready(self, url: str) -> None:
        end = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < end and self.poll() is None:
            try:
                with urllib.request.urlopen(url, timeout=5) as answer:
                    if NODE in answer.read().decode():
                        return
            except OSError:
                pass
            time.sleep(0.5)
        self.kill()
        raise RuntimeError(f"no server at {url}")


def popen(args: Any, *rest: Any, **options: Any) -> Any:
    """A process; where ComfyUI is to be started, the server that is tested."""
    if isinstance(args, list) and args[:2] == ["python", "main.py"]:
        return Server(args[args.index("--port") + 1])
    return REAL(args, *rest, **options)


subprocess.Popen = popen  # type: ignore[misc, assignment]
