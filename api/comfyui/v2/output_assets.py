"""Outputs as assets: their ids say which job saved them, and where."""

import asyncio
import hashlib
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from api.comfyui.entries import prompt_id_of, saved
from api.jobs.answers import iso
from storage.assets import MissingAssetError
from storage.files import StoredFile
from storage.jobs.records import JobRecord, JobRecords, MissingJobError
from storage.media_types import media_type
from storage.outputs import MissingOutputError, OutputStore, StoredOutput

VERSION = 8  # of UUIDs that are made as one likes
DIGEST_BITS = 69  # what 122 bits leave beside a job's id
LINK_S = 3600.0  # how long a link is good at least


def output_id(job_id: int, location: str) -> str:
    """The id of a job's file."""
    digest = int.from_bytes(hashlib.sha256(location.encode(errors="surrogatepass")).digest()[:16])
    packed = job_id << DIGEST_BITS | digest & (1 << DIGEST_BITS) - 1
    high, middle, low = packed >> 74, packed >> 62 & 0xFFF, packed & (1 << 62) - 1
    return str(uuid.UUID(int=high << 80 | VERSION << 76 | middle << 64 | 2 << 62 | low))


def job_of(asset_id: str) -> int | None:
    """The job whose file has this id; None for what is no output."""
    try:
        parsed = uuid.UUID(asset_id)
    except ValueError:
        return None
    if parsed.version != VERSION:
        return None
    packed = parsed.int >> 80 << 74 | (parsed.int >> 64 & 0xFFF) << 62
    return packed >> DIGEST_BITS


async def find_output(
    jobs: JobRecords, outputs: OutputStore, owner: str, asset_id: str
) -> tuple[JobRecord, str]:
    """The job of an output of the owner, and where the file is among its files.

    Raises:
        MissingAssetError: there is none, or it has expired.
    """
    job_id = job_of(asset_id)
    if job_id is None:
        raise MissingAssetError(asset_id[:80])
    try:
        record = await jobs.get(owner, job_id)
    except MissingJobError as error:
        raise MissingAssetError(asset_id[:80]) from error
    if record.ended:  # what no answer lists was not handed out
        locations = [one.location for one in saved(record) if one.job_id in {None, job_id}]
    else:
        locations = await asyncio.to_thread(outputs.locations, owner, job_id)
    for location in locations:
        if output_id(job_id, location) == asset_id:
            return record, location
    raise MissingAssetError(asset_id[:80])


async def file_of(outputs: OutputStore, record: JobRecord, location: str) -> StoredFile:
    """The bytes of an output.

    Raises:
        MissingAssetError: they have expired.
    """
    try:
        return await asyncio.to_thread(outputs.find, record.owner, record.id, location)
    except MissingOutputError as error:
        raise MissingAssetError(output_id(record.id, location)) from error


def output_json(record: JobRecord, output: StoredOutput, url: str, now_s: float) -> dict[str, Any]:
    """An output as a job lists it."""
    return {
        "node_id": output.node_id,
        "name": output.filename,
        "type": output.type,
        "content_type": output.mime_type,
        "size_bytes": output.size,
        "id": output_id(output.job_id or record.id, output.location),
        "hash": None,
        "url": url,
        "url_expires_at": iso(link_expiry_s(url, now_s)),
        "job_id": prompt_id_of(record),
    }


def asset_json(
    record: JobRecord, asset_id: str, file: StoredFile, url: str, now_s: float
) -> Mapping[str, Any]:
    """An output as an asset."""
    name = file.key.rpartition("/")[2]
    return {
        "id": asset_id,
        "hash": None,
        "size_bytes": file.size,
        "content_type": media_type(name),
        "file_path": name,
        "created_at": iso(record.ended_s or record.created_s),
        "url": url,
        "url_expires_at": iso(link_expiry_s(url, now_s)),
        "job_id": prompt_id_of(record),
    }


def link_expiry_s(url: str, now_s: float) -> float:
    """Until when a link can be read, as it says itself; an hour where it does not."""
    query = parse_qs(urlsplit(url).query)
    try:
        return float(int(query["expires"][0]))
    except (KeyError, ValueError):
        return now_s + LINK_S
