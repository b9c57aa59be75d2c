"""PostgreSQL, Redis and an S3 server on loopback, each of which can be away for a while."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tests.ports import free_port
from tests.s3_server import BUCKET, S3Server

READY_WITHIN_S = 60
POSTGRES_USER = "postgres"  # PostgreSQL refuses to be root


class Away(Protocol):
    """A server that can be stopped, and started over the same files and on the same port."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


@dataclass
class Process:
    """A program on a port of loopback."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> None:
        log = (self.folder.parent / f"{self.folder.name}.log").open("ab")
        with log:
            self.process = subprocess.Popen(
                self.command(), stdout=log, stderr=log, cwd=self.folder, **self.user()
            )
        deadline = time.monotonic() + READY_WITHIN_S
        while not self.answers():
            assert self.process.poll() is None, f"{self.command()[0]} ended: {self.folder}.log"
            assert time.monotonic() < deadline, f"{self.command()[0]} does not answer"
            time.sleep(0.05)

    def stop(self) -> None:
        """At once, with all connections."""
        if self.process is not None:
            self.process.send_signal(self.ended_by)
            self.process.wait(30)

    ended_by = signal.SIGKILL

    def user(self) -> dict[str, Any]:
        """Who runs it, as Popen takes it; whoever starts it where there is nothing."""
        return {}

    def answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Postgres(Process):
    """A database server over a new folder."""

    ended_by = signal.SIGQUIT  # an immediate shutdown: nobody is told

    @property
    def url(self) -> str:
        return f"postgresql://comfyray@127.0.0.1:{self.port}/postgres"

    def user(self) -> dict[str, Any]:
        if os.getuid() != 0:
            return {}
        return {"user": POSTGRES_USER, "group": POSTGRES_USER, "extra_groups": []}

    def command(self) -> list[str]:
        data, binaries = self.folder / "data", _postgres_binaries()
        if not data.exists():
            if os.getuid() == 0:
                shutil.chown(self.folder, POSTGRES_USER, POSTGRES_USER)
            made = [str(binaries / "initdb"), "-D", str(data), "-U", "comfyray"]
            made += ["--auth=trust", "--no-sync"]
            subprocess.run(
                made, check=True, cwd=self.folder, stdout=subprocess.DEVNULL, **self.user()
            )
        options = {"listen_addresses": "127.0.0.1", "fsync": "off", "max_connections": "200"}
        more = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        where = ["-D", str(data), "-k", str(self.folder), "-p", str(self.port)]
        return [str(binaries / "postgres"), *where, *more]

    def answers(self) -> bool:
        asked = ["psql", "-q", self.url, "-c", "SELECT 1"]
        return subprocess.run(asked, capture_output=True, check=False).returncode == 0

    def query(self, statement: str) -> list[list[str]]:
        """The rows of a statement, as text."""
        asked = ["psql", "-qAt", "-F", "\t", self.url, "-c", statement]
        told = subprocess.run(asked, capture_output=True, check=True, text=True).stdout
        return [line.split("\t") for line in told.splitlines()]


class Redis(Process):
    """Keeps what it is told in a file, as one must in which Ray's head keeps what it knows."""

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        where = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)]
        return ["redis-server", *where, "--appendonly", "yes", "--save", ""]

    def answers(self) -> bool:
        asked = ["redis-cli", "-p", str(self.port), "ping"]
        return b"PONG" in subprocess.run(asked, capture_output=True, check=False).stdout


class S3(Process):
    """rclone, over a folder whose sub-folders are buckets."""

    @property
    def server(self) -> S3Server:
        return S3Server(f"http://127.0.0.1:{self.port}")

    def command(self) -> list[str]:
        (self.folder / BUCKET).mkdir(exist_ok=True)
        rclone = str(Path(sys.executable).with_name("rclone"))
        keys = f"{self.server.access_key},{self.server.secret_key}"
        where = ["--addr", f"127.0.0.1:{self.port}", "--auth-key", keys]
        return [rclone, "--config=", "serve", "s3", *where, str(self.folder)]


def _postgres_binaries() -> Path:
    """The folder of `postgres`, the newest version's."""
    if found := shutil.which("postgres"):
        return Path(found).parent
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    return max(versions, key=lambda folder: float(folder.parent.name))
