"""The data folder is nobody else's to read, whatever the umask."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.config import RouterConfig
from deployments.settings import Settings
from deployments.stores import open_stores
from storage.private_folder import private_folder, write_privately


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.fixture(params=[0o000, 0o022])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_a_new_folder_and_what_is_written_there_is_private(tmp_path: Path) -> None:
    folder = private_folder(tmp_path / "a" / "data")
    assert mode(folder) == 0o700
    write_privately()
    (folder / "x").write_text("x")
    (folder / "sub").mkdir()
    assert (mode(folder / "x"), mode(folder / "sub")) == (0o600, 0o700)


@pytest.mark.usefixtures("umask")
def test_a_folder_that_is_there_is_tightened_at_start(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "outputs").mkdir(parents=True)
    (data / "comfyray.sqlite").touch()
    (data / "elsewhere").symlink_to(tmp_path)
    data.chmod(0o755)
    before = mode(tmp_path)
    stores = open_stores(Settings(data_dir=data, models_dir=tmp_path), RouterConfig())
    stores.uploads.pictures.close()
    assert mode(data) == mode(data / "outputs") == 0o700
    assert mode(data / "comfyray.sqlite") == mode(data / "url_key") == 0o600
    assert mode(tmp_path) == before
