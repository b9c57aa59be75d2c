"""A cluster on one machine: a head, two workers, PostgreSQL, Redis and an S3 server.

The head only directs. What the cluster logged stays in its folder where a test failed.
"""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.cluster_faults.config import cluster_config
from tests.cluster_faults.load import PINNED, POOLED, Clients, make_keys
from tests.cluster_faults.ray_nodes import RayCluster, ray_cluster
from tests.cluster_faults.services import S3, Postgres, Redis
from tests.conftest import ROOT
from tests.faults.service import Receiver
from tests.s3_server import BUCKET

DEMO = ROOT / "models" / "checkpoints" / "comfyray-demo.safetensors"
GPUS = {"a": 2, "b": 1}  # of the workers, which are on no device


@dataclass
class Installation:
    """Everything that can fail, and the clients who should not notice."""

    cluster: RayCluster
    postgres: Postgres
    redis: Redis
    s3: S3
    bucket: Path
    clients: Clients
    served: Mapping[str, Any] = field(default_factory=dict)

    def serve(self, **sizes: Any) -> None:
        """Bring the application to these sizes, and wait until it is there."""
        config = cluster_config(self.cluster.port, **sizes)
        if config != self.served:
            self.cluster.apply(config)
            self.served = config
        self.cluster.wait_until_healthy()

    def start_workers(self) -> None:
        """Those that are not there."""
        for name in GPUS.keys() - self.cluster.workers.keys():
            self.cluster.start_worker(name, GPUS[name])
        self.cluster.wait_for_nodes(1 + len(GPUS))


@pytest.fixture(scope="session")
def installation(request: pytest.FixtureRequest) -> Iterator[Installation]:
    folder = Path(tempfile.mkdtemp(prefix="crc-", dir="/tmp"))  # sockets have short paths
    folder.chmod(0o755)
    for name in ("pg", "redis", "s3", "data", "models/checkpoints"):
        (folder / name).mkdir(parents=True)
    for name in (POOLED, PINNED):
        shutil.copy(DEMO, folder / "models" / "checkpoints" / name)
    with ExitStack() as stack:
        yield _started(folder, stack)
    if not request.session.testsfailed:
        shutil.rmtree(folder)


def _started(folder: Path, stack: ExitStack) -> Installation:
    postgres, redis, s3 = Postgres(folder / "pg"), Redis(folder / "redis"), S3(folder / "s3")
    for server in (postgres, redis, s3):
        stack.callback(server.stop)
        server.start()
    receiver = stack.enter_context(Receiver().listening())
    files = s3.server.settings()
    settings = {
        **files,
        "COMFYRAY_AUTH": "on",
        "COMFYRAY_DATABASE_URL": postgres.url,
        "COMFYRAY_REDIS_URL": redis.url,
        "COMFYRAY_DATA_DIR": str(folder / "data"),
        "COMFYRAY_MODELS_DIR": str(folder / "models"),
        "COMFYRAY_ALLOWED_HOSTS": f"127.0.0.1:{receiver.port}",
    }
    keys = make_keys(postgres)
    cluster = stack.enter_context(ray_cluster(folder, f"127.0.0.1:{redis.port}", settings))
    cluster.start_head()
    clients = Clients(cluster.url, keys, receiver)
    bucket = folder / "s3" / BUCKET / files["COMFYRAY_S3_PREFIX"]
    started = Installation(cluster, postgres, redis, s3, bucket, clients)
    started.start_workers()
    return started
