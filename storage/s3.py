"""File storage in an S3-compatible bucket."""

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote

import boto3  # type: ignore[import-untyped]
from boto3.s3.transfer import TransferConfig  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

from storage.files import (
    PIECE_BYTES,
    FileStoreAwayError,
    FileStoreError,
    ListedFile,
    MissingFileError,
    StoredFile,
)
from storage.media_types import disposition, media_type

MOST_PER_DELETE = 1000  # S3's own limit
MISSING = {"404", "NoSuchKey", "NoSuchUpload", "NotFound"}
SERVER_ERROR = 500  # and above: its own, which may pass
PART_BYTES = 16 * 2**20
CONNECTIONS = 32
# Checksums that newer SDKs add by themselves are not understood by every S3-compatible server.
CONFIG = Config(
    signature_version="s3v4",
    connect_timeout=5,
    read_timeout=60,
    retries={"mode": "standard", "max_attempts": 4},
    max_pool_connections=CONNECTIONS,
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)


@dataclass(frozen=True)
class Bucket:
    """Where files go. Who may is found as AWS's tools find it: environment, profile, role."""

    name: str
    endpoint: str | None = None  # None: Amazon's
    region: str | None = None
    prefix: str = ""
    encryption: Literal["AES256", "aws:kms"] | None = None  # by the server, at rest
    kms_key: str | None = None  # None: the account's own
    link_s: int = 3600  # how long a presigned URL leads to its file
    multipart_bytes: int = PART_BYTES  # larger files are sent in parts


class S3Files:
    """The files under the prefix of a bucket. The client is shared by threads, as boto3 allows."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._root = f"{bucket.prefix.strip('/')}/" if bucket.prefix.strip("/") else ""
        self._client = boto3.session.Session().client(
            "s3", endpoint_url=bucket.endpoint, region_name=bucket.region, config=CONFIG
        )
        self._transfer = TransferConfig(
            multipart_threshold=bucket.multipart_bytes, multipart_chunksize=PART_BYTES
        )
        with _errors_translated():
            any_file = self._presigned(f"{self._root}x").partition("?")[0]
        self._links = unquote(any_file).removesuffix("x")

    def check(self) -> None:
        """Whether the bucket is there and may be used.

        Raises:
            FileStoreError: it is not.
        """
        with _errors_translated():
            self._client.head_bucket(Bucket=self._bucket.name)

    def put(self, key: str, content: bytes) -> None:
        """One request, or a multipart upload that is complete or nothing."""
        extra: dict[str, Any] = {
            "ContentType": media_type(key),
            "ContentDisposition": disposition(key),
        }
        if self._bucket.encryption:
            extra["ServerSideEncryption"] = self._bucket.encryption
        if self._bucket.kms_key:
            extra["SSEKMSKeyId"] = self._bucket.kms_key
        with _errors_translated():
            self._client.upload_fileobj(
                io.BytesIO(content),
                self._bucket.name,
                self._root + key,
                ExtraArgs=extra,
                Config=self._transfer,
            )

    def find(self, key: str) -> StoredFile | None:
        try:
            with _errors_translated(key):
                head = self._client.head_object(Bucket=self._bucket.name, Key=self._root + key)
        except MissingFileError:
            return None
        return StoredFile(key, head["ContentLength"], head["ETag"].strip('"'))

    def stream(self, key: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """One request, whose answer is read as the pieces are taken."""
        if stop is not None and stop <= start:
            return iter(())
        whole = start == 0 and stop is None
        part = {} if whole else {"Range": f"bytes={start}-{'' if stop is None else stop - 1}"}
        with _errors_translated(key):
            answer = self._client.get_object(Bucket=self._bucket.name, Key=self._root + key, **part)
        return _pieces(answer["Body"], key)

    def list(self, prefix: str) -> Iterator[ListedFile]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket.name, Prefix=self._root + prefix
        )
        with _errors_translated():
            for page in pages:
                for entry in page.get("Contents", ()):
                    key = entry["Key"].removeprefix(self._root)
                    yield ListedFile(key, entry["LastModified"].timestamp(), entry["Size"])

    def sweep(self, prefix: str, before_s: float) -> int:
        """Parts of uploads that a process left when it died are no files, and are aborted."""
        old = [file.key for file in self.list(prefix) if file.modified_s < before_s]
        self.delete(old)
        self._abort(prefix, before_s)
        return len(old)

    def delete(self, keys: Iterable[str]) -> None:
        left = [{"Key": self._root + key} for key in keys]
        with _errors_translated():
            for first in range(0, len(left), MOST_PER_DELETE):
                answer = self._client.delete_objects(
                    Bucket=self._bucket.name,
                    Delete={"Objects": left[first : first + MOST_PER_DELETE], "Quiet": True},
                )
                _raise_for(answer.get("Errors", ()))

    def link(self, key: str) -> str | None:
        """A presigned URL. Made here, without asking the server."""
        with _errors_translated():
            return self._presigned(self._root + key)

    def key_of(self, url: str) -> str | None:
        place = unquote(url.partition("?")[0])
        return place.removeprefix(self._links) if place.startswith(self._links) else None

    def _abort(self, prefix: str, before_s: float) -> None:
        """End uploads in parts that began before a time and were never completed."""
        pages = self._client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self._bucket.name, Prefix=self._root + prefix
        )
        with (
            suppress(MissingFileError),
            _errors_translated(prefix),
        ):  # some servers say so where there are none
            for page in pages:
                for upload in page.get("Uploads", ()):
                    if upload["Initiated"].timestamp() < before_s:
                        self._client.abort_multipart_upload(
                            Bucket=self._bucket.name, Key=upload["Key"], UploadId=upload["UploadId"]
                        )

    def _presigned(self, key: str) -> str:
        url: str = self._client.generate_presigned_url(
            "get_object",
            Params={"Bucket": self._bucket.name, "Key": key},
            ExpiresIn=self._bucket.link_s,
        )
        return url


def _pieces(body: Any, key: str) -> Iterator[bytes]:
    with _errors_translated(key):
        try:
            yield from body.iter_chunks(PIECE_BYTES)
        finally:
            body.close()


@contextmanager
def _errors_translated(key: str = "") -> Iterator[None]:
    """What goes wrong in there, as errors of ours: without addresses, ids or credentials."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        if key and code in MISSING:
            raise MissingFileError(key[:200]) from error
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        raise (FileStoreAwayError if status >= SERVER_ERROR else FileStoreError)(code) from error
    except BotoCoreError as error:
        raise FileStoreAwayError(type(error).__name__) from error


def _raise_for(errors: Sequence[dict[str, Any]]) -> None:
    if errors:
        raise FileStoreError(str(errors[0].get("Code", "unknown")))
