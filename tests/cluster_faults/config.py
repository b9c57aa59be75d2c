"""What the cluster of these tests serves: the cluster profile, with small numbers."""

from typing import Any

from tests.cluster_faults.load import PINNED

WORKER = {"comfyray.io/role": "worker"}
MIB = 2**20
# As in serve_config.yaml, but for scaling down, which tests wait for.
SOON = {"downscale_delay_s": 20, "downscale_to_zero_delay_s": 20}


def cluster_config(
    port: int,
    *,
    samplers: tuple[int, int],
    pinned: int,
    routers: int = 2,
    torch_threads: int = 1,
) -> dict[str, Any]:
    """Routers, from and to how many pooled samplers, and the least of a base that has its own."""
    small = {"num_gpus": 0.1, "memory_bytes": 512 * MIB}
    args = {
        "profile": "cluster",
        "node_labels": WORKER,
        "torch_threads": torch_threads,
        "router": {
            "min_replicas": routers,
            "max_replicas": routers,
            "max_replicas_per_node": 1,
            "max_running_jobs": 12,
        },
        "encoder": small,
        "preprocessor": {**small, "min_replicas": 0},
        "sampler": {
            "num_gpus": 0.7,  # so that none shares a GPU with another
            "memory_bytes": 512 * MIB,
            "min_replicas": samplers[0],
            "max_replicas": samplers[1],
            "max_ongoing_requests": 64,
            **SOON,
        },
        "upscaler": {**small, "min_replicas": 0},
        "output": {},
        "pinned": {PINNED: {**small, "min_replicas": pinned, "max_replicas": 1, **SOON}},
    }
    application = {
        "name": "comfyray",
        "route_prefix": "/",
        "import_path": "deployments.app:build",
        "args": args,
    }
    return {
        "proxy_location": "EveryNode",
        "http_options": {"host": "127.0.0.1", "port": port},
        "applications": [application],
    }
