"""Models of a bucket on a node's disk."""

import json
from pathlib import Path

import pytest

from deployments.node_models import main
from graph.errors import ServiceError
from storage.local_files import LocalFiles
from storage.models.node_disk import INDEX, NodeDiskError, bring, index_of
from storage.s3 import S3Files
from tests.s3_server import S3Server

NAMES = ("checkpoints/a.safetensors", "checkpoints/sub/b.safetensors", "vae/c.safetensors")


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    """A folder with three models of ten bytes, and their index."""
    folder = tmp_path / "bucket"
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name[-13:-3].encode())
    (folder / INDEX).write_text(index_of(folder))
    return folder


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return tmp_path / "disk"


def on_disk(disk: Path) -> set[str]:
    paths = (path for path in disk.rglob("*") if path.is_file())
    return {str(path.relative_to(disk)) for path in paths if path.name[0] != "."}


def test_what_is_wanted_comes_once(bucket: Path, disk: Path) -> None:
    first = bring(LocalFiles(bucket), disk, ["checkpoints/*"], 100)
    assert set(first.came) == on_disk(disk) == set(NAMES[:2])
    assert (disk / NAMES[1]).read_bytes() == (bucket / NAMES[1]).read_bytes()
    assert bring(LocalFiles(bucket), disk, ["checkpoints/*"], 100).came == ()


def test_what_was_wanted_least_lately_goes(bucket: Path, disk: Path) -> None:
    files = LocalFiles(bucket)
    for name in NAMES[1], NAMES[0]:
        bring(files, disk, [name], 20)
    done = bring(files, disk, [NAMES[2]], 20)
    assert done.went == (NAMES[1],)
    assert on_disk(disk) == {NAMES[0], NAMES[2]}
    assert done.kept_bytes == 20


def test_more_than_may_be_kept_is_refused_and_nothing_goes(bucket: Path, disk: Path) -> None:
    bring(LocalFiles(bucket), disk, [NAMES[0]], 20)
    with pytest.raises(NodeDiskError, match="20 bytes, and 19 may be kept"):
        bring(LocalFiles(bucket), disk, ["checkpoints/*"], 19)
    assert on_disk(disk) == {NAMES[0]}


def test_a_file_that_is_not_what_the_index_says_never_gets_its_place(
    bucket: Path, disk: Path
) -> None:
    for wrong in b"0123456789", b"short", b"much longer than it may be":
        (bucket / NAMES[0]).write_bytes(wrong)
        with pytest.raises(NodeDiskError, match="not what the index says"):
            bring(LocalFiles(bucket), disk, ["*"], 100)
        assert on_disk(disk) == {NAMES[1], NAMES[2]}
    assert not list(disk.rglob("*.part"))


def test_a_newer_file_of_the_bucket_and_a_damaged_one_here_are_fetched_again(
    bucket: Path, disk: Path
) -> None:
    bring(LocalFiles(bucket), disk, ["*"], 100)
    (bucket / NAMES[0]).write_bytes(b"newer file")
    (bucket / INDEX).write_text(index_of(bucket))
    (disk / NAMES[2]).write_bytes(b"damaged")
    assert set(bring(LocalFiles(bucket), disk, ["*"], 100).came) == {NAMES[0], NAMES[2]}
    assert (disk / NAMES[0]).read_bytes() == b"newer file"


@pytest.mark.parametrize(
    "index",
    [
        "{",
        json.dumps({"files": {"../x": {"bytes": 1, "sha256": "0" * 64}}}),
        json.dumps({"files": {"/etc/x": {"bytes": 1, "sha256": "0" * 64}}}),
        json.dumps({"files": {"vae/.node_models.json": {"bytes": 1, "sha256": "0" * 64}}}),
        json.dumps({"files": {"vae/x": {"bytes": -1, "sha256": "0" * 64}}}),
        json.dumps({"files": {"vae/x": {"bytes": 1, "sha256": "?"}}}),
    ],
)
def test_an_index_that_is_none_is_refused(bucket: Path, disk: Path, index: str) -> None:
    (bucket / INDEX).write_text(index)
    with pytest.raises(ServiceError):
        bring(LocalFiles(bucket), disk, ["*"], 100)
    assert on_disk(disk) == set()


def test_the_command_fetches_from_a_bucket(
    s3_server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    bucket: Path,
    disk: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    place = s3_server.place()
    files = S3Files(place)
    for name in (*NAMES, INDEX):
        files.put(name, (bucket / name).read_bytes())
    where = ["--bucket", place.name, "--endpoint", s3_server.endpoint, "--region", "us-east-1"]
    asked = ["bring", str(disk), *where, "--prefix", place.prefix, "--max-gib", "1", "vae/*"]
    assert main(asked) == 0
    assert "fetched vae/c.safetensors" in capsys.readouterr().out
    assert on_disk(disk) == {NAMES[2]}
    assert main([*asked[:-1], "loras/*"]) == 1
    assert "no file matches 'loras/*'" in capsys.readouterr().err


def test_what_came_whole_is_kept_where_another_failed(bucket: Path, disk: Path) -> None:
    (bucket / NAMES[0]).write_bytes(b"something else")
    with pytest.raises(NodeDiskError, match="not what the index says"):
        bring(LocalFiles(bucket), disk, ["checkpoints/*"], 100)
    assert on_disk(disk) == {NAMES[1]}
    assert bring(LocalFiles(bucket), disk, [NAMES[1]], 100).came == ()


def test_what_was_never_finished_or_noted_goes_and_files_of_others_stay(
    bucket: Path, disk: Path
) -> None:
    unfinished, unnoted, foreign = disk / ".a.part", disk / NAMES[2], disk / "notes.txt"
    for path in unfinished, unnoted, foreign:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"some bytes")
    bring(LocalFiles(bucket), disk, [NAMES[0]], 20)
    assert not unfinished.exists()
    assert on_disk(disk) == {NAMES[0], "notes.txt"}
