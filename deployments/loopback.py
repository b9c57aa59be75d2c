"""Binds replicas to loopback where Ray itself is on loopback."""

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from ray.serve._private import replica
from ray.util import get_node_ip_address

EVERYWHERE = "[::]:"


def listen_where_ray_does() -> None:
    """Keep this replica's gRPC server on loopback, if that is this node's address in its cluster.

    Serve has every replica listen on all interfaces for the others' calls, and no option says
    otherwise (Ray 2.60, serve/_private/replica.py, `_on_initialized`, which comes after the
    deployment's own class is made: so this is called there). Other replicas ask for the node's
    address. On a cluster of several nodes nothing is changed.
    """
    address = get_node_ip_address()
    if not ip_address(address).is_loopback:
        return
    bind: Callable[[Any, str], int] = replica.add_port_to_grpc_server  # type: ignore[attr-defined]

    def bind_on_loopback(server: Any, wanted: str) -> int:
        return bind(server, wanted.replace(EVERYWHERE, f"{address}:"))

    setattr(replica, "add_port_to_grpc_server", bind_on_loopback)  # noqa: B010 - a function, to mypy
