"""Assets: found by id and by hash, bounded in number, and gone with their time."""

from collections.abc import AsyncIterator

import pytest

from storage import assets
from storage.assets import (
    Asset,
    Assets,
    Described,
    MissingAssetError,
    MissingBlobError,
    TooManyAssetsError,
)
from storage.database import Database
from storage.files import Files
from storage.jobs.earlier_outputs import EarlierOutputs
from storage.jobs.output_names import OutputNames
from storage.jobs.records import JobRecords
from storage.outputs import OutputStore
from storage.signing import UrlSigner
from storage.uploads import Uploads

DESCRIBED = Described("a.png", "image/png", 3600.0)


@pytest.fixture
async def known(database_url: str, files: Files) -> AsyncIterator[Assets]:
    database = Database(database_url)
    await database.open()
    outputs = OutputStore(files, UrlSigner(b"a key of tests"))
    earlier = EarlierOutputs(JobRecords(database), outputs, OutputNames(database))
    yield Assets(database, Uploads(files, earlier))
    await database.close()


async def _added(known: Assets, content: bytes = b"one", described: Described = DESCRIBED) -> Asset:
    asset, _ = await known.add("me", content, described)
    return asset


async def test_bytes_lie_once_until_the_last_asset_of_them_goes(
    known: Assets, files: Files
) -> None:
    first, second = await _added(known), await _added(known)
    assert (first.location, first.id == second.id) == (second.location, False)
    await known.delete("me", first.id)
    assert (await known.file(second)).size == 3
    await known.delete("me", second.id)
    assert list(files.list("uploads/me/")) == []
    with pytest.raises(MissingBlobError):
        await known.again("me", f"blake3:{first.hash}", DESCRIBED)


async def test_what_has_expired_is_swept(known: Assets, files: Files) -> None:
    kept = await _added(known, b"kept")
    gone = await _added(known, b"gone", Described("b.png", "image/png", -1.0))
    with pytest.raises(MissingAssetError):
        await known.find("me", gone.id)
    await known.sweep()
    assert [file.key.rpartition("/")[2] for file in files.list("uploads/me/")] == ["a.png"]
    assert (await known.find("me", kept.id)).hash == kept.hash


async def test_an_owner_has_so_many_and_no_more(
    known: Assets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assets, "MOST_OF_OWNER", 1)
    first = await _added(known)
    with pytest.raises(TooManyAssetsError):
        await _added(known, b"two")
    assert (await known.find("me", first.id)).id == first.id


@pytest.mark.parametrize("path", ["photo.png", "a/b/" + "x" * 190 + ".png"])
async def test_bytes_are_kept_under_the_name_of_their_file(known: Assets, path: str) -> None:
    asset = await _added(known, described=Described(path, "image/png", 60.0))
    assert asset.location.endswith(".png")
    assert asset.place.name.startswith(path.rpartition("/")[2][:10])
    assert asset.file_path == path
