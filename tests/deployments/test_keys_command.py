"""Keys from the command line."""

import re
from pathlib import Path

import pytest

from api.errors import InvalidFieldsError
from deployments.keys import answer, arguments
from deployments.settings import Settings
from deployments.stores import database_url
from storage.database import Database
from storage.keys import InvalidKeyError, Keys


async def said(folder: Path, *line: str) -> str:
    return await answer(arguments(line), Settings(data_dir=folder))


async def test_a_key_is_made_listed_changed_and_revoked(tmp_path: Path) -> None:
    made = await said(
        tmp_path, "create", "--owner", "acme", "--rate", "60/minute", "--expires", "90d",
        "--concurrency", "4", "--budget", "10.50", "--scopes", "execute,read",
    )  # fmt: skip
    key = made.splitlines()[-1]
    database = Database(database_url(Settings(data_dir=tmp_path), tmp_path))
    try:
        await database.open()
        record = await Keys(database).holder(key)
        assert (record.owner, record.rate, record.concurrency) == ("acme", "60/minute", 4)
        assert (record.budget, record.scopes) == (10_500_000, ("execute", "read"))
        assert record.expires_s is not None
        assert record.expires_s - record.created_s == pytest.approx(90 * 86400, abs=60)

        assert key not in await said(tmp_path, "list")
        assert re.search(rf"{record.id} +acme", await said(tmp_path, "list", "--owner", "acme"))
        await said(tmp_path, "change", record.id, "--budget", "none", "--rate", "5/second")
        changed = await Keys(database).get(record.id)
        assert (changed.budget, changed.rate, changed.concurrency) == (None, "5/second", 4)
        await said(tmp_path, "revoke", record.id)
        with pytest.raises(InvalidKeyError):
            await Keys(database).holder(key)
    finally:
        await database.close()


async def test_terms_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidFieldsError):
        await said(tmp_path, "create", "--owner", "ACME")
    assert "acme" not in (await said(tmp_path, "list")).lower()
