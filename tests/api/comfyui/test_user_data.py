"""What the editor keeps for each owner: saved workflows and settings."""

from urllib.parse import quote

import pytest

from storage.user_data import UserData, UserDataFullError, UserDataLimits
from storage.user_settings import SettingsLimits, TooManySettingsError, UserSettings
from tests.api.conftest import Site
from tests.api.keyed import keyed_site

FILE = quote("workflows/deep/my flow.json", safe="")


@pytest.mark.parametrize("prefix", ["", "/api"])
async def test_a_file_is_saved_listed_moved_and_removed(site: Site, prefix: str) -> None:
    client = site.client
    place = f"{prefix}/userdata/{FILE}"
    text = '{"a": "ä"}'.encode()
    saved = await client.post(f"{place}?overwrite=false&full_info=true", content=text)
    assert saved.json()["path"] == "workflows/deep/my flow.json"
    assert saved.json()["size"] == 11
    assert (await client.post(f"{place}?overwrite=false", content=b"x")).status_code == 409
    assert (await client.get(place)).content == text
    listed = await client.get(f"{prefix}/userdata?dir=workflows&recurse=true&full_info=true")
    assert [file["path"] for file in listed.json()] == ["deep/my flow.json"]
    assert (await client.get(f"{prefix}/userdata?dir=workflows")).json() == []  # not recursive
    split = await client.get(f"{prefix}/userdata?dir=workflows&recurse=true&split=true")
    assert split.json() == [["deep/my flow.json", "deep", "my flow.json"]]
    to = quote("workflows/b.json", safe="")
    assert (await client.post(f"{place}/move/{to}")).json() == "workflows/b.json"
    assert (await client.get(place)).status_code == 404
    tree = await client.get(f"{prefix}/v2/userdata?path=workflows")
    assert [(one["name"], one["type"]) for one in tree.json()] == [("b.json", "file")]
    assert (await client.delete(f"{prefix}/userdata/{to}")).status_code == 204
    assert (await client.delete(f"{prefix}/userdata/{to}")).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/userdata", 400),
        ("GET", "/userdata?dir=no_such", 404),
        ("GET", "/userdata/nothing.json", 404),
        ("GET", "/userdata/..%2F..%2Fetc%2Fpasswd", 400),
        ("POST", "/userdata/..%2Foutside.json", 400),
        ("GET", "/userdata?dir=..%2F..", 400),
        ("POST", "/userdata/a%00b", 400),
        ("GET", "/internal/files/secrets", 400),
    ],
)
async def test_what_is_missing_or_outside_is_refused(
    site: Site, method: str, path: str, status: int
) -> None:
    answer = await site.client.request(method, path, content=b"x" if method == "POST" else None)
    assert answer.status_code == status
    assert answer.json()["errors"][0]["message"]


async def test_settings_are_any_json_and_merge(site: Site) -> None:
    client = site.client
    assert (await client.get("/settings/A.b")).json() is None
    await client.post("/settings/A.b", json={"a": [1, 2]})
    await client.post("/settings", json={"A.c": True})
    await client.post("/api/settings/A.b", json=False)
    every = (await client.get("/settings")).json()
    assert (every["A.b"], every["A.c"], every["Comfy.TutorialCompleted"]) == (False, True, True)
    assert (await client.post("/settings", json=[1])).status_code == 400
    assert (await client.post("/settings/A.b", content=b"{nope")).status_code == 400


async def test_owners_see_their_own_alone(site: Site) -> None:
    async with keyed_site(site) as keyed:
        acme, other = [await keyed.client(await keyed.key(owner)) for owner in ("acme", "other")]
        await acme.post("/settings/A", json="mine")
        await acme.post(f"/userdata/{FILE}", content=b"mine")
        assert (await other.get("/settings/A")).json() is None
        assert (await other.get(f"/userdata/{FILE}")).status_code == 404
        assert (await other.get("/v2/userdata?path=")).json() == []
        assert (await other.get("/system_stats")).json()["system"]["argv"] == ["comfyray"]
        assert set(map(str, (await other.get("/internal/folder_paths")).json().values())) == {"[]"}


async def test_an_owner_who_leaves_takes_all_along(site: Site) -> None:
    async with keyed_site(site) as keyed:
        acme = await keyed.client(await keyed.key("acme"))
        admin = await keyed.client(await keyed.key("admin"))
        await acme.post("/settings/A", json="mine")
        await acme.post(f"/userdata/{FILE}", content=b"mine")
        assert (await admin.delete("/api/v7/admin/owners/acme")).status_code == 200
        stores = site.service.stores
        assert await stores.user_settings.all("acme") == {}
        assert stores.user_data.list("acme") == []


async def test_what_an_owner_keeps_is_limited(site: Site) -> None:
    stores = site.service.stores
    data = UserData(stores.user_data.files, UserDataLimits(count=2, file_bytes=10, all_bytes=15))
    data.write("acme", "a", b"0123456789", overwrite=True)
    for path, content in (("b", b"01234567890"), ("b", b"012345")):
        with pytest.raises(UserDataFullError):
            data.write("acme", path, content, overwrite=True)
    data.write("acme", "b", b"01", overwrite=True)
    with pytest.raises(UserDataFullError, match="3 files, at most 2"):
        data.write("acme", "c", b"", overwrite=True)
    data.write("acme", "a", b"9876543210", overwrite=True)  # in place of itself
    settings = UserSettings(stores.database, SettingsLimits(count=2, value_bytes=8, all_bytes=12))
    await settings.put("acme", {"a": "12345678"})
    for values in ({"b": "123456789"}, {"b": "12345"}, {"b": "1", "c": "1"}, {"n" * 201: "1"}):
        with pytest.raises(TooManySettingsError):
            await settings.put("acme", values)
    assert await settings.all("acme") == {"a": "12345678"}
