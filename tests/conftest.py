"""What several test files stand on: the parity models, and the whole application on a real Ray."""

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from storage.files import Files
from storage.local_files import LocalFiles
from storage.sealing import Sealer
from tests.ports import free_port

if TYPE_CHECKING:
    from tests.s3_server import S3Server

ROOT = Path(__file__).resolve().parent.parent
KIT = ROOT / "tests" / "parity"
MIGRATE = """
import asyncio, sys
from storage.database import Database

async def main():
    database = Database(sys.argv[1])
    await database.open()
    await database.close()

asyncio.run(main())
"""
READY_WITHIN_S = 480  # thirty seconds on a quiet machine with two cores


@pytest.fixture(scope="session")
def parity_models(pytestconfig: pytest.Config) -> Path:
    """A models folder with the small parity models (2 GB), made once and kept in pytest's cache."""
    folder = Path(pytestconfig.cache.mkdir("parity_models"))
    subprocess.run([sys.executable, KIT / "make_models.py", folder], check=True)
    return folder


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--postgres", help="URL of a PostgreSQL server to use instead of SQLite")
    parser.addoption("--redis", help="URL of a Redis server to count requests in")
    parser.addoption("--s3", action="store_true", help="keep files in an S3 server, not a folder")


def _psql(server_url: str, statement: str) -> None:
    subprocess.run(["psql", "-q", server_url, "-c", statement], check=True)


def _new_database(server_url: str, template: str = "") -> str:
    """The URL of an empty database on a PostgreSQL server, or of a copy of another."""
    name = f"test_{secrets.token_hex(8)}"
    like = f" TEMPLATE {template.rpartition('/')[2]}" if template else ""
    _psql(server_url, f"CREATE DATABASE {name}{like}")
    return f"{server_url.rpartition('/')[0]}/{name}"


@contextmanager
def _lent_database(server_url: str, template: str = "") -> Iterator[str]:
    """A new database that goes again: a thousand of them would fill a small disk."""
    url = _new_database(server_url, template)
    yield url
    _psql(server_url, f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")


@pytest.fixture(scope="session")
def migrated(pytestconfig: pytest.Config) -> str:
    """A PostgreSQL database with all tables, which are made once and copied after that."""
    url = _new_database(pytestconfig.getoption("postgres"))
    subprocess.run([sys.executable, "-c", MIGRATE, url], cwd=ROOT, check=True)
    return url


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database with all tables, which are made once and copied after that."""
    import sqlalchemy as sa  # noqa: PLC0415 - many tests need no database

    from storage.database import migrate  # noqa: PLC0415

    file = tmp_path_factory.mktemp("migrated") / "database.sqlite"
    engine = sa.create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        migrate(connection)
    engine.dispose()
    return file


@pytest.fixture
def new_database_url(pytestconfig: pytest.Config, tmp_path: Path) -> Iterator[str]:
    """A database without any table."""
    if postgres := pytestconfig.getoption("postgres"):
        with _lent_database(postgres) as url:
            yield url
    else:
        yield f"sqlite+aiosqlite:///{tmp_path}/database.sqlite"


@pytest.fixture
def database_url(
    request: pytest.FixtureRequest, pytestconfig: pytest.Config, tmp_path: Path
) -> Iterator[str]:
    """A database that nobody has used."""
    if postgres := pytestconfig.getoption("postgres"):
        with _lent_database(postgres, request.getfixturevalue("migrated")) as url:
            yield url
    else:
        file = shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path)
        yield f"sqlite+aiosqlite:///{file}"


def wait_until_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    """Until the launcher prints the line to try, its last word."""
    deadline = time.monotonic() + READY_WITHIN_S
    while "\ncurl " not in log.read_text():
        assert process.poll() is None, f"the server ended:\n{log.read_text()}"
        assert time.monotonic() < deadline, f"the server is not ready:\n{log.read_text()}"
        time.sleep(0.2)


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `server` keeps."""
    return tmp_path_factory.mktemp("server") / "data"


def _services(config: pytest.Config) -> dict[str, str]:
    """The settings of the application where real servers are given."""
    settings = {}
    if postgres := config.getoption("postgres"):
        settings["COMFYRAY_DATABASE_URL"] = _new_database(postgres)
    if redis := config.getoption("redis"):
        settings["COMFYRAY_REDIS_URL"] = redis
    return settings


@pytest.fixture(scope="session")
def server(
    request: pytest.FixtureRequest,
    pytestconfig: pytest.Config,
    parity_models: Path,
    data_dir: Path,
) -> Iterator[str]:
    """The real application on a free port, over the parity models; its base URL."""
    settings = _services(pytestconfig)
    if pytestconfig.getoption("s3"):
        settings |= request.getfixturevalue("s3_server").settings()
    with served(data_dir, parity_models, settings) as url:
        yield url


@contextmanager
def served(
    data_dir: Path, models: Path, settings: Mapping[str, str], *options: str
) -> Iterator[str]:
    """The real application on a free port, launched with `options`; its base URL."""
    port = free_port()
    settings = {
        "COMFYRAY_AUTH": "off",
        "COMFYRAY_DATA_DIR": str(data_dir),
        "COMFYRAY_MODELS_DIR": str(models),
        **settings,
    }
    log = data_dir.parent / "log.txt"
    command = [sys.executable, "-m", "deployments.launch", "--port", str(port), *options]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **settings}, stdout=output, stderr=output
        )
    try:
        wait_until_ready(process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator["S3Server"]:
    from tests.s3_server import serve_s3  # noqa: PLC0415 - few tests need boto3

    with serve_s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def s3_files(s3_server: "S3Server", monkeypatch: pytest.MonkeyPatch) -> Files:
    """An empty part of a bucket."""
    from storage.s3 import S3Files  # noqa: PLC0415 - few tests need boto3

    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return S3Files(s3_server.place())


@pytest.fixture
def files(request: pytest.FixtureRequest, pytestconfig: pytest.Config, tmp_path: Path) -> Files:
    """Where a test's files go."""
    in_folder = request.node.get_closest_marker("folder") is not None
    if pytestconfig.getoption("s3") and not in_folder:
        return cast(Files, request.getfixturevalue("s3_files"))
    return LocalFiles(tmp_path / "files")


@pytest.fixture(params=["folder", "sealed", "s3"])
def any_files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    """Each place where files may go."""
    if request.param == "s3":
        return cast(Files, request.getfixturevalue("s3_files"))
    return LocalFiles(
        tmp_path / "files", Sealer([b"k" * 32]) if request.param == "sealed" else None
    )
