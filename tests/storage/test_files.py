"""Every place where files may go does the same; and what is special about each."""

import logging
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import boto3  # type: ignore[import-untyped]
import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from storage.encryption import UndecryptableError
from storage.files import Files, FileStoreError, MissingFileError, read
from storage.local_files import LocalFiles
from storage.paths import UnsafePathError
from storage.s3 import PART_BYTES, Bucket, S3Files
from storage.sealing import CHUNK_BYTES, HEADER_BYTES, SEALED_CHUNK_BYTES, Sealer
from tests.s3_server import S3Server

KEY = b"k" * 32
SIZES = (0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 3_000_000)


@pytest.mark.parametrize("size", SIZES)
def test_what_was_put_comes_back(any_files: Files, size: int) -> None:
    content = os.urandom(size)
    any_files.put("outputs/me/1/ä b%20.png", content)
    assert read(any_files, "outputs/me/1/ä b%20.png") == content
    found = any_files.find("outputs/me/1/ä b%20.png")
    assert found is not None
    assert found.size == size


@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, 1), (5, 5), (CHUNK_BYTES - 1, CHUNK_BYTES + 1), (100_000, None), (199_999, 200_000)],
)
def test_a_part_comes_alone(any_files: Files, start: int, stop: int | None) -> None:
    content = os.urandom(200_000)
    any_files.put("a.bin", content)
    assert b"".join(any_files.stream("a.bin", start, stop)) == content[start:stop]


def test_putting_again_replaces_and_changes_the_version(any_files: Files) -> None:
    any_files.put("a.png", b"one")
    first = any_files.find("a.png")
    any_files.put("a.png", b"two!")
    second = any_files.find("a.png")
    assert read(any_files, "a.png") == b"two!"
    assert first is not None
    assert second is not None
    assert first.version != second.version


def test_what_is_not_there_is_missing(any_files: Files) -> None:
    any_files.put("folder/a.png", b"x")
    for key in ("b.png", "folder", "folder/a.png/b.png"):
        assert any_files.find(key) is None
        with pytest.raises(MissingFileError):
            any_files.stream(key)


def test_a_prefix_lists_and_deletes_what_is_under_it(any_files: Files) -> None:
    keys = [f"outputs/me/{i}/output/x.png" for i in range(12)]
    for key in (*keys, "uploads/me/input/a.png"):
        any_files.put(key, b"x")
    assert sorted(file.key for file in any_files.list("outputs/me/1/")) == [keys[1]]
    assert sorted(file.key for file in any_files.list("outputs/")) == sorted(keys)
    any_files.delete([*keys[1:], "outputs/none.png"])
    assert [file.key for file in any_files.list("outputs/")] == keys[:1]
    assert [file.key for file in any_files.list("nowhere/")] == []


def test_empty_folders_go_with_their_last_file(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path / "root")
    files.put("a/b/c.png", b"x")
    files.delete(["a/b/c.png"])
    assert list(tmp_path.iterdir()) == [tmp_path / "root"]
    assert list((tmp_path / "root").iterdir()) == []


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path)
    files.put("a/b", b"x")
    for key in ("a", "a/b/c"):
        with pytest.raises(UnsafePathError):
            files.put(key, b"x")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["b"]


def test_nothing_readable_lies_on_the_disk(tmp_path: Path) -> None:
    content = b"a secret " * 20_000
    LocalFiles(tmp_path, Sealer([KEY])).put("x.png", content)
    stored = (tmp_path / "x.png").read_bytes()
    assert b"secret" not in stored
    assert len(stored) == HEADER_BYTES + len(content) + 3 * 16


def test_plain_files_from_before_the_key_stay_readable(tmp_path: Path) -> None:
    LocalFiles(tmp_path).put("old.png", b"old")
    assert read(LocalFiles(tmp_path, Sealer([KEY])), "old.png") == b"old"


def test_an_older_key_still_opens(tmp_path: Path) -> None:
    LocalFiles(tmp_path, Sealer([KEY])).put("x.png", b"x")
    assert read(LocalFiles(tmp_path, Sealer([b"n" * 32, KEY])), "x.png") == b"x"


@pytest.mark.parametrize("sealer", [None, Sealer([b"o" * 32])])
def test_without_the_right_key_a_file_is_not_decrypted(
    tmp_path: Path, sealer: Sealer | None
) -> None:
    LocalFiles(tmp_path, Sealer([KEY])).put("x.png", b"x")
    with pytest.raises(UndecryptableError, match="cannot be decrypted with the keys"):
        read(LocalFiles(tmp_path, sealer), "x.png")


def _flipped(stored: bytes) -> bytes:
    return stored[:-1] + bytes([stored[-1] ^ 1])


def _cut(stored: bytes) -> bytes:
    return stored[: HEADER_BYTES + SEALED_CHUNK_BYTES]


def _swapped(stored: bytes) -> bytes:
    body = stored[HEADER_BYTES:]
    first, second = body[:SEALED_CHUNK_BYTES], body[SEALED_CHUNK_BYTES : 2 * SEALED_CHUNK_BYTES]
    return stored[:HEADER_BYTES] + second + first + body[2 * SEALED_CHUNK_BYTES :]


@pytest.mark.parametrize("change", [_flipped, _cut, _swapped])
def test_a_changed_file_is_not_read(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    files = LocalFiles(tmp_path, Sealer([KEY]))
    files.put("x.png", os.urandom(3 * CHUNK_BYTES))
    path = tmp_path / "x.png"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(UndecryptableError):
        read(files, "x.png")


def test_a_sealed_file_is_of_no_use_in_another_place(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path, Sealer([KEY]))
    files.put("outputs/you/1/x.png", b"x")
    (tmp_path / "outputs/you").rename(tmp_path / "outputs/me")
    with pytest.raises(UndecryptableError):
        read(files, "outputs/me/1/x.png")


def test_a_presigned_url_gives_the_file_to_anybody_for_a_while(s3_files: S3Files) -> None:
    s3_files.put("outputs/me/1/output/ä b.png", b"x")
    url = s3_files.link("outputs/me/1/output/ä b.png")
    assert url is not None
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"x"
        assert answer.headers["Content-Type"] == "image/png"
    for wrong in (url.partition("?")[0], url.replace("b.png", "c.png")):
        with pytest.raises(urllib.error.HTTPError, match=r"400|403"):
            urllib.request.urlopen(wrong)
    assert s3_files.key_of(url) == "outputs/me/1/output/ä b.png"
    assert s3_files.key_of("https://elsewhere.example/outputs/me/1/output/x.png") is None


def test_an_expired_presigned_url_gives_nothing(s3_server: S3Server, s3_files: S3Files) -> None:
    url = str(s3_files.link("x.png"))
    expired = url.replace("X-Amz-Date=2", "X-Amz-Date=1")  # a thousand years ago
    with pytest.raises(urllib.error.HTTPError, match=r"400|403"):
        urllib.request.urlopen(expired)


def _sent(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The S3 operations that were asked for, by name."""
    asked = re.compile(r"Making request for OperationModel\(name=(\w+)\)")
    return [found[1] for one in caplog.messages if (found := asked.match(one))]


def test_a_large_file_goes_in_parts(
    s3_server: S3Server, s3_files: S3Files, caplog: pytest.LogCaptureFixture
) -> None:
    content = os.urandom(2 * PART_BYTES + 1)
    files = S3Files(s3_server.place())
    with caplog.at_level(logging.DEBUG, "botocore.endpoint"):
        files.put("big.mp4", content)
    assert sorted(_sent(caplog)) == [
        "CompleteMultipartUpload",
        "CreateMultipartUpload",
        "UploadPart",
        "UploadPart",
        "UploadPart",
    ]
    assert read(files, "big.mp4") == content
    found = files.find("big.mp4")
    assert found is not None
    assert found.size == len(content)


def test_a_small_file_goes_whole(s3_files: S3Files, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "botocore.endpoint"):
        s3_files.put("small.png", b"x" * 100_000)
    assert _sent(caplog) == ["PutObject"]


def test_a_sweep_takes_what_is_old_and_what_was_never_whole(
    s3_server: S3Server, s3_files: S3Files
) -> None:
    place = s3_server.place()
    client = boto3.client("s3", endpoint_url=place.endpoint, region_name=place.region)
    key = f"{place.prefix}/uploads/me/input/half.mp4"
    begun = client.create_multipart_upload(Bucket=place.name, Key=key)
    part = {"Bucket": place.name, "Key": key, "UploadId": begun["UploadId"], "PartNumber": 1}
    client.upload_part(**part, Body=b"half of it")
    files = S3Files(place)
    files.put("uploads/me/input/a.png", b"x")
    files.put("outputs/me/1/output/a.png", b"x")
    assert files.sweep("uploads/", time.time() - 60) == 0
    client.upload_part(**part, Body=b"half of it")  # still there

    assert files.sweep("uploads/", time.time() + 60) == 1
    assert [file.key for file in files.list("")] == ["outputs/me/1/output/a.png"]
    with pytest.raises(ClientError, match="NoSuchUpload"):
        client.upload_part(**part, Body=b"half of it")


def test_a_wrong_bucket_or_key_is_told_without_secrets(
    s3_server: S3Server, s3_files: S3Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileStoreError):
        S3Files(Bucket("nothing-here", s3_server.endpoint, "us-east-1")).check()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret-key")
    with pytest.raises(FileStoreError) as error:
        S3Files(s3_server.place()).put("x", b"x")
    assert "secret" not in str(error.value)


class Recorder(BaseHTTPRequestHandler):
    """Takes any object and remembers the headers it came with."""

    seen: list[dict[str, str]]

    def do_PUT(self) -> None:
        self.seen.append({name.lower(): value for name, value in self.headers.items()})
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def recorder(s3_files: S3Files) -> Iterator[tuple[str, list[dict[str, str]]]]:
    seen: list[dict[str, str]] = []
    server = HTTPServer(("127.0.0.1", 0), type("One", (Recorder,), {"seen": seen}))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    server.server_close()


def test_the_server_is_asked_to_encrypt(recorder: tuple[str, list[dict[str, str]]]) -> None:
    endpoint, seen = recorder
    S3Files(Bucket("b", endpoint, "us-east-1", encryption="AES256")).put("x.html", b"x")
    kms = Bucket("b", endpoint, "us-east-1", encryption="aws:kms", kms_key="alias/ours")
    S3Files(kms).put("x.png", b"x")
    first, second = seen
    assert first["x-amz-server-side-encryption"] == "AES256"
    assert first["content-disposition"].startswith("attachment")
    assert second["x-amz-server-side-encryption"] == "aws:kms"
    assert second["x-amz-server-side-encryption-aws-kms-key-id"] == "alias/ours"


@pytest.mark.parametrize("start", [b"comfyray sealed\x01", b"comfyray plain\x01"])
def test_a_file_that_looks_encrypted_is_read_as_it_is(any_files: Files, start: bytes) -> None:
    content = start + b"and more"
    any_files.put("a/x", content)
    found = any_files.find("a/x")
    assert found is not None
    assert found.size == len(content)
    assert read(any_files, "a/x") == content
    assert b"".join(any_files.stream("a/x", 3, 20)) == content[3:20]
    assert b"".join(any_files.stream("a/x", 4)) == content[4:]
