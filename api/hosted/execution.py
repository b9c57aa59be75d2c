"""Runs a hosted-API request: translates it, executes the workflow, answers in its format."""

from functools import partial
from typing import Any

from fastapi import Request

from api.context import Call, base_url, context
from api.hosted.catalog import Catalog
from api.hosted.draft import Draft
from api.hosted.envelopes import first_answer
from api.hosted.family import Family
from api.hosted.fields import HostedRequest
from api.hosted.future_links import future_links
from api.hosted.parts import Bench
from api.hosted.pictures import PictureReader
from api.hosted.problems import MissingNodeError
from api.hosted.route import options

FETCHED_AT = (
    "/api/v6/realtime",
    "/api/v6/image_editing",
    "/api/v6/video",
    "/api/v7/images",
    "/api/v7/video-fusion",
)


async def run(request: Request, call: Call, family: Family) -> dict[str, Any]:
    """The answer to a request of a family of endpoints.

    Raises:
        ServiceError: nothing was accepted.
    """
    asked = family.request.read(call.body)
    bench = await open_bench(request, call.owner)
    translated = await family.translate(asked, bench)
    check_served(translated.draft, bench.catalog)
    answer = await execute(request, call, translated.draft, asked)
    written = first_answer(
        answer,
        meta=translated.meta,
        tip=_tip(translated.ignored),
        fetch_url=_fetch_url(request),
        future_links=future_links(
            context(request).service.stores.outputs,
            call.owner,
            answer["id"],
            prefix=translated.draft.inputs("Save")["filename_prefix"],
            ending=translated.ending,
            count=translated.meta.get("n_samples", 1),
            base_url=base_url(request),
        ),
    )
    if request.url.path in family.one_output and written["status"] == "success":
        written["output"] = "".join(written["output"][:1])
    return written


async def open_bench(request: Request, owner: str) -> Bench:
    """The models and pictures that an owner may use."""
    service = context(request).service
    stores = service.stores
    runner = service.runner
    catalog = Catalog(
        await runner.object_info(owner), options(request), partial(runner.family, owner)
    )
    return Bench(catalog, PictureReader(stores.inputs, owner))


def check_served(draft: Draft, catalog: Catalog) -> None:
    """See that there are all of a workflow's node types.

    Raises:
        MissingNodeError: one is missing.
    """
    missing = sorted(name for name in draft.class_types if name not in catalog.node_types)
    if missing:
        raise MissingNodeError(missing[0])


async def execute(
    request: Request, call: Call, draft: Draft, asked: HostedRequest
) -> dict[str, Any]:
    """The contract's answer to the workflow."""
    body = {
        "workflow": draft.nodes,
        "webhook": asked.webhook,
        "track_id": asked.track_id,
        "base64": asked.base64,
        "metadata": False,
        "wait": 0 if asked.instant_response else options(request).wait_s,
    }
    return await context(request).service.execute(call.caller, body, base_url=base_url(request))


def _fetch_url(request: Request) -> str:
    folder = request.url.path.rpartition("/")[0]
    return base_url(request) + (folder if folder in FETCHED_AT else "/api/v6/images") + "/fetch"


def _tip(ignored: list[str]) -> str:
    return f"Nothing here does what these fields ask for: {', '.join(ignored)}." if ignored else ""
