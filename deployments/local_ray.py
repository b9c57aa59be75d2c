"""Starts a private Ray with the application of a Serve config; the child process of launch.py.

Usage: python -m deployments.local_ray CONFIG HOST PORT OBJECT_STORE_MIB. Prints what it is doing,
a line each; ends, with Serve and Ray, on SIGINT. Ray listens on loopback only (launch.py's
environment sees to it).

`ray.init` takes no word on three things that matter here, so its parameters are told: the log
monitor and the autoscaler have nothing to do on one machine, and cost a tenth of the start-up and
100 MB; and the agents' ports (ray#65983).
"""

import logging
import shlex
import signal
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import ray
import yaml
from ray import serve
from ray._common.utils import import_attr
from ray._private import parameter
from ray.serve._private.api import call_user_app_builder_with_args_if_necessary as built_with
from ray.serve._private.build_app import BuiltApplication, build_app
from ray.serve.context import _get_global_client
from ray.serve.schema import ApplicationStatusOverview

from deployments.launch import end_with_parent
from deployments.settings import Settings

POLL_S = 0.3
FAILED = ("DEPLOY_FAILED", "UNHEALTHY")


class ApplicationFailedError(Exception):
    """Serve gave up on the application; the message is Serve's own."""


def start_ray(object_store_mib: int) -> None:
    """Start a Ray of our own, whatever others run on this machine or RAY_ADDRESS says."""
    options: Any = parameter.RayParams
    ports = agent_ports()
    metrics_port = ports.pop("metrics_export_port")  # this one `ray.init` passes itself
    ours = partial(options, include_log_monitor=False, no_monitor=True, **ports)
    setattr(parameter, "RayParams", ours)  # noqa: B010 - a class, to mypy
    ray.init(
        address="local",
        include_dashboard=False,
        object_store_memory=object_store_mib * 2**20,
        log_to_driver=False,
        logging_level=logging.WARNING,
        namespace="serve",
        _metrics_export_port=metrics_port,
    )


def device() -> str:
    """What the application computes on, as Ray counts it."""
    gpus = int(ray.cluster_resources().get("GPU", 0))
    if gpus:
        return f"{gpus} GPU{'s' if gpus > 1 else ''}"
    return "CPU, or MPS where torch has it" if sys.platform == "darwin" else "CPU"


def log_folder() -> Path:
    """Where Ray and the replicas log: beside the sockets of this node."""
    (node, *_) = ray.nodes()
    return Path(node["ObjectStoreSocketName"]).parent.parent / "logs"


def agent_ports() -> dict[str, int]:
    """Free ports for Ray's agents.

    Without, the node waits for its agents to choose, and on a busy machine gives up after 15 s
    (ray#65983).
    """
    names = ("metrics_agent", "metrics_export", "dashboard_agent_listen", "runtime_env_agent")
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in names]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        ports = [probe.getsockname()[1] for probe in probes]
    return {f"{name}_port": port for name, port in zip(names, ports, strict=True)}


def tell_address(folder: Path) -> None:
    """Write `ray.env`, which a shell reads to let another Ray job in."""
    facts = {
        "RAY_ADDRESS": ray.get_runtime_context().gcs_address,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(folder.resolve() / "ray_token"),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # looks for this node at 127.0.0.1
    }
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in facts.items()]
    (folder / "ray.env").write_text("".join(lines))


def sized(
    application: BuiltApplication, sizes: Mapping[str, Mapping[str, Any]]
) -> BuiltApplication:
    """The application with the config's options applied to its deployments, by name.

    Raises: ApplicationFailedError for a deployment that is not there.
    """
    names = {deployment.name for deployment in application.deployments}
    if unknown := sorted(sizes.keys() - names):
        raise ApplicationFailedError(f"no deployment {', '.join(unknown)}, only {sorted(names)}")
    deployments = [
        deployment.options(**sizes.get(deployment.name, {}))
        for deployment in application.deployments
    ]
    return replace(application, deployments=deployments)


def built(config: Mapping[str, Any]) -> BuiltApplication:
    """An entry of the Serve config's `applications:`, built here.

    Serve would do it in a task of its own (as for `serve run`), which costs five seconds more.
    """
    application = built_with(import_attr(config["import_path"]), config.get("args", {}))
    whole = build_app(
        application, name=config["name"], route_prefix=config.get("route_prefix", "/")
    )
    options = [dict(entry) for entry in config.get("deployments", [])]
    return sized(whole, {entry.pop("name"): entry for entry in options})


def deploy(config: Mapping[str, Any], host: str, port: int) -> None:
    """Have Serve start everything `config` names; does not wait for it."""
    http = {**config.get("http_options", {}), "host": host, "port": port}
    serve.start(proxy_location="HeadOnly", http_options=http)
    client = _get_global_client()
    assert client is not None
    client.deploy_applications(
        [built(entry) for entry in config["applications"]],
        wait_for_ingress_deployment_creation=False,
        wait_for_applications_running=False,
    )


def why(application: ApplicationStatusOverview) -> str:
    """What Serve says of an application that failed, and how the traces of its replicas end."""
    ends = [
        deployment.message.strip().splitlines()[-1]
        for deployment in application.deployments.values()
        if deployment.status in FAILED and deployment.message.strip()
    ]
    return "\n".join([application.message, *ends])


def say_how_far(seen: str) -> tuple[str, bool]:
    """Print the state of the deployments if it is not `seen`; gives it, and whether all run.

    Raises: ApplicationFailedError.
    """
    applications = serve.status().applications.values()
    for application in applications:
        if application.status in FAILED:
            raise ApplicationFailedError(why(application))
    states = [
        f"{name} {deployment.status.lower()}"
        for application in applications
        for name, deployment in application.deployments.items()
    ]
    text = f"starting deployments: {', '.join(states)}" if states else "starting deployments"
    if text != seen:
        print(text)
    running = [application.status == "RUNNING" for application in applications]
    return text, bool(running) and all(running)


def wait_until_running() -> None:
    seen, running = "", False
    while not running:
        seen, running = say_how_far(seen)
        time.sleep(POLL_S)


def stop(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)


def main(config: Path, host: str, port: int, object_store_mib: int) -> None:
    signal.signal(signal.SIGINT, stop)
    end_with_parent(signal.SIGINT)
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    try:
        print("starting Ray")
        start_ray(object_store_mib)
        tell_address(Settings().data_dir)
        print(f"device: {device()}")
        print(f"logs: {log_folder()}")
        print("starting Serve")
        deploy(yaml.safe_load(config.read_text()), host, port)
        wait_until_running()
        print("waiting for the first answer")
        signal.pause()
    except ApplicationFailedError as error:
        print(f"comfyray: {error}", file=sys.stderr)  # now: shutting down takes a while
        sys.exit(1)
    finally:
        if ray.is_initialized():  # serve.shutdown() would start one
            serve.shutdown()
        ray.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))
