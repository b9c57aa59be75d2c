"""Nothing that `make run` starts listens where other machines reach it."""

from ipaddress import ip_address
from pathlib import Path

import psutil

from tests.conftest import served


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
    assert [address for address in listening if not ip_address(address.ip).is_loopback] == []
