"""An owner's outputs, inputs and models share a quota; what goes makes room again."""

import asyncio
from typing import Any

import httpx
import pytest

from storage.disk_quota import DiskQuotaError
from storage.owner_disk import OwnerDisk, bytes_of_owners
from tests.api.conftest import API, OpenSite, Site
from tests.api.models import lora

ROOM = 20_000


@pytest.fixture
async def small(open_site: OpenSite) -> Site:
    opened: Site = await open_site(disk_bytes=ROOM)
    return opened


async def _upload(site: Site, size: int, name: str = "a.png", **fields: str) -> httpx.Response:
    files = {"image": (name, b"x" * size)}
    return await site.client.post("/upload/image", files=files, data=fields)


async def _disk(site: Site) -> dict[str, int]:
    return dict((await site.client.get("/api/v7/account")).json()["disk"])


def _on_disk(site: Site) -> int:
    return sum(bytes_of_owners(site.service.stores.outputs.files).values())


def _refused(answer: httpx.Response, used: int) -> bool:
    (error,) = answer.json()["errors"]
    facts = (error["code"], error["used_bytes"], error["limit_bytes"])
    return answer.status_code == 413 and facts == ("disk_quota", used, ROOM)


async def test_uploads_are_counted_and_refused_over_the_quota(small: Site) -> None:
    for k in range(2):
        assert (await _upload(small, 9_000, f"{k}.png")).status_code == 200
    assert _refused(await _upload(small, 2_001, "c.png"), 18_000)
    assert (await _upload(small, 2_000, "c.png")).status_code == 200
    assert await _disk(small) == {"used_bytes": ROOM, "limit_bytes": ROOM}
    assert _on_disk(small) == ROOM


async def test_a_file_that_is_replaced_or_sent_again_is_counted_once(small: Site) -> None:
    for _ in range(5):
        await _upload(small, 9_000)
        await _upload(small, 5_000, overwrite="true")
    assert (await _disk(small))["used_bytes"] == _on_disk(small)


async def test_a_job_over_the_quota_fails_by_name_and_what_does_not_fit_is_not_stored(
    small: Site,
) -> None:
    await _upload(small, 10_000)
    await _upload(small, 9_900, "b.png")
    answer = (await small.execute({})).json()
    assert answer["status"] == "failed"
    assert answer["errors"][0]["code"] == "disk_quota"
    assert answer["outputs"] == []
    assert _on_disk(small) == (await _disk(small))["used_bytes"] == 19_900


async def test_a_deleted_job_makes_room(small: Site) -> None:
    job = (await small.execute({})).json()
    assert (await _disk(small))["used_bytes"] == sum(one["size"] for one in job["outputs"]) > 0
    await small.client.delete(f"{API}/jobs/{job['id']}")
    assert (await _disk(small))["used_bytes"] == 0


async def test_models_are_part_of_it(small: Site) -> None:
    files = {"file": ("a.safetensors", lora())}
    assert (await small.client.post("/api/v7/models", files=files)).status_code == 201
    used = (await _disk(small))["used_bytes"]
    assert used == len(lora())
    await _upload(small, 9_900)
    announced: dict[str, Any] = {"filename": "b.safetensors", "size": 9_000}
    begun = await small.client.post("/api/v7/models/uploads", json=announced)
    assert _refused(begun, used + 9_900)
    other = {"file": ("b.safetensors", lora(seed=1))}
    assert (await small.client.post("/api/v7/models", files=other)).status_code == 413
    (model,) = [
        m for m in (await small.client.get("/api/v7/models")).json()["models"] if m["owned"]
    ]
    await small.client.delete(f"/api/v7/models/{model['id']}")
    assert (await _disk(small))["used_bytes"] == 9_900


async def test_models_on_their_way_are_part_of_it(small: Site) -> None:
    announced: dict[str, Any] = {"filename": "b.safetensors", "size": 15_000}
    begun = (await small.client.post("/api/v7/models/uploads", json=announced)).json()
    assert _refused(await _upload(small, 9_000), 15_000)
    upload = begun["upload"]["id"]
    await small.client.delete(f"/api/v7/models/uploads/{upload}")
    assert (await _upload(small, 9_000)).status_code == 200


async def test_of_files_that_come_at_once_no_more_fit_than_there_is_room_for(small: Site) -> None:
    disk = small.service.stores.disk
    taken = await asyncio.gather(
        *(disk.take("local", 3_000) for _ in range(20)), return_exceptions=True
    )
    assert sum(one is None for one in taken) == 6
    assert all(one is None or isinstance(one, DiskQuotaError) for one in taken)
    assert await disk.used("local") == 18_000


async def test_the_sweep_sets_the_count_right(small: Site) -> None:
    await _upload(small, 9_000)
    disk = OwnerDisk(small.service.stores.database)  # the service's own looks when it likes
    await disk.take("local", 5_000)  # a process died before it wrote the file
    for used in (14_000, 9_000):  # the first look cannot know that nobody is writing it
        await disk.set_right(small.service.stores.outputs.files)
        assert await disk.used("local") == used


async def test_an_owner_may_have_a_quota_of_its_own(small: Site) -> None:
    disk = OwnerDisk(small.service.stores.database)
    disk.quota.of_owners["acme"] = 10  # type: ignore[index]
    with pytest.raises(DiskQuotaError):
        await disk.take("acme", 11)
    await disk.take("other", 11)
