"""Nothing that `make run` starts listens where other machines reach it."""

from ipaddress import IPv6Address, ip_address
from pathlib import Path

import psutil

from tests.conftest import served


def is_loopback(text: str) -> bool:
    address = ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def test_every_port_is_on_loopback(tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    with served(tmp_path / "data", models, {}) as url:
        listening = [
            connection.laddr
            for process in psutil.Process().children(recursive=True)
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        ]
    ports = {address.port for address in listening}
    assert int(url.rpartition(":")[2]) in ports
    assert len(ports) > 5  # Ray's, Serve's, and the replicas' own
    assert [address for address in listening if not is_loopback(address.ip)] == []
