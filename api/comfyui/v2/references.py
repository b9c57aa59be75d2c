"""References to assets in a workflow, as API v2's SDKs write them."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from api.comfyui.v2.output_assets import find_output, job_of
from api.jobs.service import Stores
from storage.assets import MissingAssetError

TYPE, ASSET = "__type", "core/ASSET"
MOST = 1000  # references in one workflow
TOO_MANY, NO_ID = "more than a thousand", "without an id"


async def with_files(stores: Stores, owner: str, workflow: Mapping[str, Any]) -> dict[str, Any]:
    """The workflow with the names of files, as loaders take them, for references.

    Raises:
        MissingAssetError: a reference leads to nothing.
    """
    wanted = sorted(set(_ids(workflow)))
    if len(wanted) > MOST:
        raise MissingAssetError(TOO_MANY)
    found = await asyncio.gather(*(_name(stores, owner, one) for one in wanted))
    return dict(_replaced(workflow, dict(zip(wanted, found, strict=True))))


async def _name(stores: Stores, owner: str, asset_id: str) -> str:
    if job_of(asset_id) is None:
        return (await stores.assets.find(owner, asset_id)).location
    record, location = await find_output(stores.jobs, stores.outputs, owner, asset_id)
    if not record.ended:  # what a running job saved is no input of another
        raise MissingAssetError(asset_id[:80])
    kind, _, name = location.partition("/")
    return f"{record.id}/{name} [{kind}]"


def _id_of(value: Any) -> str | None:
    """The id in a reference; None for any other value."""
    if not isinstance(value, Mapping) or value.get(TYPE) != ASSET:
        return None
    info = value.get("info")
    found = info.get("id") if isinstance(info, Mapping) else None
    if not isinstance(found, str):
        raise MissingAssetError(NO_ID)
    return found


def _ids(value: Any) -> Iterator[str]:
    if (found := _id_of(value)) is not None:
        yield found
    elif isinstance(value, Mapping | list):
        for inside in value.values() if isinstance(value, Mapping) else value:
            yield from _ids(inside)


def _replaced(value: Any, names: Mapping[str, str]) -> Any:
    if (found := _id_of(value)) is not None:
        return names[found]
    if isinstance(value, Mapping):
        return {name: _replaced(inside, names) for name, inside in value.items()}
    if isinstance(value, list):
        return [_replaced(inside, names) for inside in value]
    return value
