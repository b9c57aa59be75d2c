"""No picture of a hosted request is fetched from inside somebody's network, whatever its field."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from api.hosted.options import HostedOptions
from api.jobs.service import Limits
from graph.node import NodeType
from tests.api.conftest import OpenSite, Site
from tests.api.guarded import (
    Canary,
    Dns,
    fetcher_of,
    listening,
    redirects_inside,
    schemes_inside,
    urls_inside,
)
from tests.hosted.conftest import ALIASES, picture
from tests.hosted.runner import grey_runner

PROMPT = {"prompt": "a fox"}
DRAWN = PROMPT | {"init_image": picture()}
# Every field of every family that may hold a URL: path, field, and what else the request needs.
FIELDS = [
    ("v6/base64_to_url", "base64_string", {}),
    ("v6/images/img2img", "init_image", PROMPT),
    ("v6/images/inpaint", "init_image", PROMPT | {"mask_image": picture()}),
    ("v6/images/inpaint", "mask_image", DRAWN),
    ("v6/images/controlnet", "init_image", PROMPT | {"controlnet_model": "canny"}),
    ("v6/images/controlnet", "control_image", PROMPT | {"controlnet_model": "canny"}),
    ("v6/image_editing/outpaint", "image", PROMPT),
    ("v6/image_editing/super_resolution", "init_image", {}),
]


@pytest.fixture
async def canary() -> AsyncIterator[Canary]:
    async with listening() as bird:
        yield bird


@pytest.fixture
def dns() -> Dns:
    return Dns()


@pytest.fixture
async def guarded(
    open_site: OpenSite, model_folder: Path, node_types: dict[str, NodeType], dns: Dns
) -> Site:
    site: Site = await open_site(
        Limits(webhook_delays_s=()),
        make_runner=partial(grey_runner, node_types, model_folder),
        fetcher=fetcher_of(dns),
        hosted=HostedOptions(aliases=ALIASES),
    )
    return site


async def _is_refused(site: Site, path: str, body: dict[str, str]) -> bool:
    answer = await site.client.post(f"/api/{path}", json=body)
    return answer.status_code == 400 and answer.json()["status"] == "error"


@pytest.mark.parametrize(("path", "field", "rest"), FIELDS)
async def test_a_picture_of_the_public_web_is_read_and_none_from_inside(
    guarded: Site, canary: Canary, path: str, field: str, rest: dict[str, str]
) -> None:
    public = rest | {field: "http://public.example/x.png"}
    answer = (await guarded.client.post(f"/api/{path}", json=public)).json()
    assert answer["status"] == "success", answer
    port = canary.port
    every = path == FIELDS[0][0]  # all are read by one reader, so the others try some
    urls = [*urls_inside(port), *redirects_inside(port), *schemes_inside(port)]
    let_through = [
        url
        for url in (urls if every else urls[::6])
        if not await _is_refused(guarded, path, rest | {field: url})
    ]
    assert (let_through, canary.heard) == ([], [])


async def test_a_name_that_changes_its_address_is_asked_for_once(
    guarded: Site, canary: Canary, dns: Dns
) -> None:
    body = {"base64_string": f"http://rebinding.example:{canary.port}/x.png"}
    answer = (await guarded.client.post("/api/v6/base64_to_url", json=body)).json()
    assert answer["status"] == "success", answer
    assert (dns.asked, canary.heard) == (["rebinding.example"], [])
    assert await _is_refused(guarded, "v6/base64_to_url", body)  # now it is a private one
    assert canary.heard == []
