"""What an owner has is kept for as long as was said, and nothing stays of one that leaves."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from storage.database import METADATA, Database
from storage.files import Files
from storage.jobs.records import JobFilter
from storage.local_files import LocalFiles
from storage.uploads import Place, UploadLimits, Uploads
from tests.api.conftest import API, Site
from tests.api.keyed import keyed_site
from tests.api.models import lora

MODELS = "/api/v7/models"
PNG = {"image": ("mine.png", b"not really a picture", "image/png")}


async def _use_everything(client: httpx.AsyncClient) -> None:
    body: dict[str, Any] = {"workflow": {}, "webhook": "https://you.example/hook"}
    assert (await client.post(f"{API}/execute", json=body)).json()["status"] == "success"
    held = await client.post(f"{API}/execute", json={"workflow": {"hold": 1}, "wait": 0})
    assert held.json()["status"] == "processing"
    assert (await client.post("/upload/image", files=PNG)).is_success
    assert (await client.post(MODELS, files={"file": ("m.safetensors", lora())})).is_success
    announced = {"filename": "half.safetensors", "size": 100}
    upload = (await client.post(f"{MODELS}/uploads", json=announced)).json()["upload"]["id"]
    range_ = {"Content-Range": "bytes 0-9/100"}
    assert (
        await client.put(f"{MODELS}/uploads/{upload}", content=b"x" * 10, headers=range_)
    ).is_success


async def _rows(database: Database, owner: str) -> Mapping[str, int]:
    """How many rows of each table are an owner's."""
    tables = [table for table in METADATA.sorted_tables if "owner" in table.c]
    async with database.reading() as connection:
        counts = {
            table.name: (
                await connection.execute(
                    sa.select(sa.func.count()).select_from(table).where(table.c.owner == owner)
                )
            ).scalar_one()
            for table in tables
        }
    return {name: count for name, count in counts.items() if count}


def _files(site: Site, folder: Path, owner: str) -> list[str]:
    stored = [file.key for file in site.service.stores.outputs.files.list("")]
    models = [str(path) for path in (folder / "private").rglob("*") if path.is_file()]
    return [name for name in (*stored, *models) if f"/{owner}/" in name]


@pytest.mark.parametrize("leaves", ["alice"])
async def test_nothing_stays_of_an_owner_that_leaves(
    site: Site, tmp_path: Path, leaves: str
) -> None:
    database = site.service.stores.database
    async with keyed_site(site) as keyed:
        for owner in ("alice", "bob"):
            await _use_everything(await keyed.client(await keyed.key(owner)))
        admin = await keyed.client(await keyed.key("operator"))
        assert len(_files(site, tmp_path, leaves)) == 4 + 3
        assert len(await _rows(database, leaves)) == 8
        bobs = await _rows(database, "bob"), _files(site, tmp_path, "bob")

        answer = await admin.delete(f"/api/v7/admin/owners/{leaves}")
        assert answer.json() == {
            "status": "success",
            "owner": leaves,
            "api_keys": 1,
            "jobs": 2,
            "models": 1,
        }
        assert await _rows(database, leaves) == {}
        assert _files(site, tmp_path, leaves) == []
        bobs_jobs = await site.service.stores.jobs.page("bob", JobFilter())
        assert site.runner.kept == {job.id for job in bobs_jobs}
        assert (await _rows(database, "bob"), _files(site, tmp_path, "bob")) == bobs


async def test_a_key_of_an_owner_that_left_is_unknown(site: Site) -> None:
    async with keyed_site(site) as keyed:
        alice = await keyed.client(await keyed.key("alice"))
        admin = await keyed.client(await keyed.key("operator"))
        assert (await admin.delete("/api/v7/admin/owners/alice")).is_success
        assert (await alice.get(f"{API}/jobs")).status_code == 401
        assert (await admin.delete("/api/v7/admin/owners/alice")).json()["api_keys"] == 0
        assert (await admin.delete("/api/v7/admin/owners/No Owner")).status_code == 422


async def test_input_files_are_kept_for_their_time(any_files: Files, site: Site) -> None:
    earlier = site.service.stores.uploads._earlier
    uploads = Uploads(any_files, earlier, UploadLimits(kept_s=3600))
    await uploads.save("local", Place("a.png"), b"x")
    assert uploads.sweep() == 0
    assert Uploads(any_files, earlier, UploadLimits(kept_s=-3600)).sweep() == 1
    assert uploads.list("local") == ()


async def test_an_input_file_that_comes_again_is_kept_from_then_on(
    site: Site, tmp_path: Path
) -> None:
    uploads = Uploads(LocalFiles(tmp_path), site.service.stores.uploads._earlier)
    stored = tmp_path / "uploads/local/input/a.png"
    for _ in range(2):
        assert (await uploads.save("local", Place("a.png"), b"x")).name == "a.png"
        assert uploads.sweep() == 0
        os.utime(stored, (0, 0))
    assert uploads.sweep() == 1
