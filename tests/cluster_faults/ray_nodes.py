"""Ray nodes on one machine: a head that only directs, and workers with GPUs that are not there.

Each is a `ray start --block` with an object store and a temporary folder of its own; killing it
kills all that is below it, as when a machine goes. Their proxies share one port, so the kernel is
the load balancer.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from deployments.launch import ray_environment
from tests.conftest import ROOT
from tests.ports import free_port

STORE_BYTES = 128 * 2**20  # of each node
HEAD = "127.0.0.2"
LABEL = "comfyray.io/role=worker"
READY_WITHIN_S = 480.0
RESTART_S = 1.0  # how often it is looked whether a node has ended


@dataclass
class Node:
    """One `ray start`, each time in an empty folder at the same place, as a new pod has it."""

    command: list[str]
    environment: Mapping[str, str]
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    def start(self) -> None:
        self.starts += 1
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        log = self.folder.with_name(f"{self.folder.name}{self.starts}.log")
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                self.command, env=self.environment, cwd=ROOT, stdout=output, stderr=output
            )

    def kill(self) -> None:
        """All of its processes, at once."""
        assert self.process
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self.process.pid)
            while family := [parent, *parent.children(recursive=True)]:
                for one in family:
                    with suppress(psutil.NoSuchProcess):
                        one.kill()
                if len(family) == 1:
                    break
        self.process.wait(30)

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None


@dataclass
class RayCluster:
    """A head and named workers. What ends by itself is started again, as KubeRay does."""

    folder: Path  # a short path: it has sockets in it
    redis: str  # host:port, where the head keeps what it knows
    settings: Mapping[str, str]
    port: int = field(default_factory=free_port)  # of the application
    gcs_port: int = field(default_factory=free_port)
    dashboard_port: int = field(default_factory=free_port)
    workers: dict[str, Node] = field(default_factory=dict)

    def __post_init__(self) -> None:
        token = self.folder / "token"
        token.write_text(secrets.token_hex(32))
        token.chmod(0o600)
        self._headers = {"Authorization": f"Bearer {token.read_text()}"}
        self._environment = {
            **ray_environment(os.environ, token),
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",  # addresses of nodes are taken as given
            "RAY_gcs_rpc_server_reconnect_timeout_s": "600",  # KubeRay's: a head may be late
            "RAY_external_storage_namespace": self.folder.name,
            "RAY_REDIS_ADDRESS": self.redis,
            **self.settings,
        }
        self._addresses = (f"127.0.0.{number}" for number in range(3, 255))
        self._ending = threading.Event()
        self._head = self._node("head", HEAD, "--head", "--num-cpus=0", *self._head_ports())
        self._keeper = threading.Thread(target=self._keep)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def heads(self) -> int:
        """How often the head was started."""
        return self._head.starts

    def _head_ports(self) -> list[str]:
        dashboard = ["--include-dashboard=true", f"--dashboard-port={self.dashboard_port}"]
        return [f"--port={self.gcs_port}", *dashboard]

    def _node(self, name: str, address: str, *options: str) -> Node:
        ports = ("metrics-export-port", "dashboard-agent-listen-port", "runtime-env-agent-port")
        command = [str(Path(sys.executable).with_name("ray")), "start", "--block"]
        command += [f"--{port}={free_port()}" for port in ports]
        command += [f"--temp-dir={self.folder / name}", f"--object-store-memory={STORE_BYTES}"]
        command += [f"--node-ip-address={address}"]
        command += ["--include-log-monitor=false", "--disable-usage-stats", *options]
        return Node(command, self._environment, self.folder / name)

    def _keep(self) -> None:
        while not self._ending.wait(RESTART_S):
            for node in (self._head, *list(self.workers.values())):
                if not node.running:
                    node.start()

    def start_head(self) -> None:
        self._keeper.start()
        self._wait(self.directs, "the head does not answer")

    def kill_head(self) -> None:
        self._head.kill()

    def start_worker(self, name: str, gpus: int) -> None:
        options = (f"--num-gpus={gpus}", "--num-cpus=1", f"--labels={LABEL}")
        address = next(self._addresses)
        node = self._node(name, address, f"--address={HEAD}:{self.gcs_port}", *options)
        node.start()
        self.workers[name] = node

    def kill_worker(self, name: str) -> None:
        self.workers.pop(name).kill()

    def stop(self) -> None:
        self._ending.set()
        if self._keeper.is_alive():
            self._keeper.join()
        for node in (*self.workers.values(), self._head):
            if node.process:
                node.kill()

    def directs(self) -> bool:
        """Whether the head answers."""
        try:
            return self._asked("GET").is_success
        except httpx.HTTPError:
            return False

    def apply(self, config: Mapping[str, Any]) -> None:
        """Have Serve bring the application to a config, as KubeRay does; does not wait for it."""
        answer = self._asked("PUT", json=dict(config))
        assert answer.is_success, answer.text

    def deployments(self) -> dict[str, dict[str, Any]]:
        """What Serve says of each deployment; nothing while the head does not answer."""
        try:
            told = self._asked("GET")
        except httpx.HTTPError:
            return {}
        if not told.is_success:
            return {}
        applications = told.json()["applications"].values()
        return {name: it for one in applications for name, it in one["deployments"].items()}

    def running(self, deployment: str) -> int:
        """How many replicas of it run."""
        replicas = self.deployments().get(deployment, {}).get("replicas", ())
        return sum(replica["state"] == "RUNNING" for replica in replicas)

    def wanted(self, deployment: str) -> int:
        """How many replicas Serve means it to have."""
        return int(self.deployments().get(deployment, {}).get("target_num_replicas", 0))

    def nodes_of(self, deployment: str) -> Counter[str]:
        """Running replicas by the id of their node."""
        replicas = self.deployments().get(deployment, {}).get("replicas", ())
        return Counter(one["node_id"] for one in replicas if one["state"] == "RUNNING")

    def wait_for_nodes(self, count: int) -> None:
        """Until so many nodes are alive, the head among them."""

        def there() -> bool:
            with suppress(httpx.HTTPError, KeyError, ValueError):
                url = f"http://127.0.0.1:{self.dashboard_port}/nodes?view=summary"
                nodes = httpx.get(url, headers=self._headers, timeout=30).json()["data"]["summary"]
                return [one["raylet"]["state"] for one in nodes].count("ALIVE") == count
            return False

        self._wait(there, f"there are no {count} nodes")

    def wait_until_healthy(self) -> None:
        """Until Serve has what it was told, and a router answers."""
        self._wait(self._is_healthy, "the application does not get healthy")

    def _is_healthy(self) -> bool:
        states = [it["status"] for it in self.deployments().values()]
        if not states or any(state != "HEALTHY" for state in states):
            return False
        with suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/healthz", timeout=5).is_success
        return False

    def _wait(self, done: Any, problem: str) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while not done():
            states = json.dumps(self.deployments(), indent=1)[-3000:]
            assert time.monotonic() < deadline, f"{problem}: {self.folder}\n{states}"
            time.sleep(0.5)

    def _asked(self, method: str, **more: Any) -> httpx.Response:
        url = f"http://127.0.0.1:{self.dashboard_port}/api/serve/applications/"
        return httpx.request(method, url, headers=self._headers, timeout=120, **more)


@contextmanager
def ray_cluster(folder: Path, redis: str, settings: Mapping[str, str]) -> Iterator[RayCluster]:
    cluster = RayCluster(folder, redis, settings)
    try:
        yield cluster
    finally:
        cluster.stop()
