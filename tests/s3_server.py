"""A real S3 server on loopback, for tests: rclone, over a folder whose sub-folders are buckets."""

import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.s3 import Bucket
from tests.ports import free_port

BUCKET = "a-bucket"
READY_WITHIN_S = 30


@dataclass(frozen=True)
class S3Server:
    """Where it answers, and who may ask."""

    endpoint: str
    access_key: str = "comfyray-test-access"
    secret_key: str = "comfyray-test-secret-key"

    @property
    def environment(self) -> dict[str, str]:
        """What boto3 finds its credentials in."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def settings(self) -> dict[str, str]:
        """An application's, whose files go to a part of the bucket that nobody has used."""
        place = self.place()
        return {
            **self.environment,
            "COMFYRAY_S3_BUCKET": place.name,
            "COMFYRAY_S3_ENDPOINT": self.endpoint,
            "COMFYRAY_S3_REGION": "us-east-1",
            "COMFYRAY_S3_PREFIX": place.prefix,
        }

    def place(self, **options: Any) -> Bucket:
        """A part of the bucket that nobody has used."""
        prefix = f"tests/{secrets.token_hex(6)}"
        return Bucket(BUCKET, self.endpoint, "us-east-1", prefix=prefix, **options)


@contextmanager
def serve_s3(folder: Path) -> Iterator[S3Server]:
    """The server, for as long as the block runs."""
    address = f"127.0.0.1:{free_port()}"
    server = S3Server(f"http://{address}")
    rclone = Path(sys.executable).with_name("rclone")
    keys = f"{server.access_key},{server.secret_key}"
    command = f"{rclone} --config= serve s3 --addr {address} --auth-key {keys} {folder}"
    (folder / BUCKET).mkdir()
    log = folder.parent / f"{folder.name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command.split(), stdout=output, stderr=output)
    try:
        _wait_until_ready(process, server.endpoint, log)
        yield server
    finally:
        process.terminate()
        process.wait(30)


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        assert process.poll() is None, f"rclone ended:\n{log.read_text()}"
        assert time.monotonic() < deadline, f"rclone does not answer:\n{log.read_text()}"
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except urllib.error.HTTPError:  # 403: it asks for a signature
            return
        except OSError:
            time.sleep(0.05)
        else:
            return
