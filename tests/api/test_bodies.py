"""Request bodies: how much is read of whom, and what JSON they may be."""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.body_room import BodiesFullError, BodyRoom, OwnersBodiesError, Place
from api.json_reading import (
    MOST_KEYS,
    QUICK_BYTES,
    BodyLimits,
    TooDeepError,
    TooManyValuesError,
    key_in_head,
    read_json_text,
)
from api.keys.key_access import KeyAccess
from api.keys.rates import Rates
from storage.keys import Keys
from tests.api.conftest import API, OpenSite, Site
from tests.api.keyed import KeyedSite, keyed_routes, keyed_site
from tests.counted_lines import lines

HEAD = 64 * 1024
CHUNK = 16 * 1024
JSON = {"Content-Type": "application/json"}
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inside: st.lists(inside) | st.dictionaries(st.text(), inside),
)


class Counted:
    """A body in chunks that counts how much of it was asked for."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.read_bytes = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self._content), CHUNK):
            self.read_bytes = min(len(self._content), at + CHUNK)
            yield self._content[at : at + CHUNK]


@pytest.fixture
async def keyed(site: Site) -> AsyncIterator[KeyedSite]:
    async with keyed_site(site) as made:
        yield made


@pytest.mark.parametrize(
    "path",
    sorted({path for method, path in keyed_routes() if method == "POST" and "{" not in path}),
)
async def test_without_a_key_no_more_than_the_beginning_is_read(
    path: str, keyed: KeyedSite
) -> None:
    body = Counted(b'{"a":[' + b"[]," * 10**6 + b"[]]}")
    client = await keyed.client()
    response = await client.post(path, content=body.__aiter__(), headers=JSON)
    assert response.status_code == 401
    assert body.read_bytes <= HEAD + CHUNK


@pytest.mark.parametrize("key", ["", "wrong", "crk_" + "0" * 16 + "_" + "A" * 43])
async def test_with_a_wrong_key_nothing_is_read(key: str, keyed: KeyedSite) -> None:
    body = Counted(b" " * 10**6 + b"{}")
    headers = {**JSON, "X-API-Key": key or "x"}
    client = await keyed.client()
    response = await client.post(f"{API}/execute", content=body.__aiter__(), headers=headers)
    assert (response.status_code, body.read_bytes <= CHUNK) == (401, True)


@pytest.mark.parametrize(("before", "status"), [(0, 422), (HEAD - 1000, 422), (HEAD + 1000, 401)])
async def test_a_key_in_a_large_body_counts_where_it_is_at_the_beginning(
    before: int, status: int, keyed: KeyedSite
) -> None:
    key = await keyed.key("acme")
    body = json.dumps({"image": "x" * before, "key": key, "more": "y" * 200_000})
    client = await keyed.client()
    response = await client.post(f"{API}/execute", content=body, headers=JSON)
    assert response.status_code == status  # 422: let in, and there is no workflow


async def test_who_has_no_valid_key_may_not_try_for_ever(site: Site) -> None:
    keys = Keys(site.service.stores.database)
    async with keyed_site(site) as keyed:
        access = KeyAccess(keys, Rates(), reading_rate="", stranger_rate="3/minute")
        keyed.app.state.context = type(keyed.app.state.context)(site.service, access)
        stranger, known = await keyed.client("wrong"), await keyed.client(await keyed.key("acme"))
        statuses = [(await stranger.get(f"{API}/jobs")).status_code for _ in range(4)]
        assert statuses == [401, 401, 401, 429]
        refused = await (await keyed.client()).post(f"{API}/execute", json={"key": "no"})
        assert (refused.status_code, int(refused.headers["Retry-After"]) > 0) == (429, True)
        assert (await known.get(f"{API}/jobs")).status_code == 200


@given(ANY_JSON, st.booleans())
def test_a_large_body_is_read_as_a_small_one(value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    limits = BodyLimits(most_nested=10_000)
    assert read_json_text(text + b" " * QUICK_BYTES, limits) == json.loads(text)


@pytest.mark.parametrize(
    "text", [b'{"a": 1, "a": 2}', b"[NaN]", b"[1e999]", b'["\\ud800"]', b"[1" + b"0" * 4000 + b"]"]
)
def test_what_json_leaves_open_is_read_alike(text: bytes) -> None:
    limits = BodyLimits()
    large = read_json_text(text + b" " * QUICK_BYTES, limits)
    assert repr(large) == repr(read_json_text(text, limits)) == repr(json.loads(text))


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[1,]", b"nul", b"\xff\xfe\xfd", b"[" * 100_000, b"[1" + b"0" * 5000 + b"]"],
)
def test_what_is_no_json_is_told_alike(text: bytes) -> None:
    for raw in (text, b" " * QUICK_BYTES + text):
        with pytest.raises((ValueError, RecursionError)):
            read_json_text(raw, BodyLimits())


@pytest.mark.parametrize("padding", [b"", b" " * QUICK_BYTES])
def test_values_and_nesting_are_bounded(padding: bytes) -> None:
    limits = BodyLimits(most_values=1000, most_nested=50)
    assert read_json_text(padding + b"[" * 50 + b"]" * 50, limits)
    with pytest.raises(TooDeepError):
        read_json_text(padding + b'{"a":' + b"[" * 50 + b"]" * 50 + b"}", limits)
    with pytest.raises(TooManyValuesError):
        read_json_text(padding + b"[" + b"1," * 1000 + b"1]", limits)


@given(st.dictionaries(st.text(), ANY_JSON, max_size=4), st.text(min_size=1), st.integers(0, 400))
def test_a_key_is_found_in_any_beginning_that_holds_it(
    others: dict[str, Any], key: str, cut: int
) -> None:
    others.pop("key", None)
    text = json.dumps({**others, "key": key}).encode()
    assert key_in_head(text) == key
    assert key_in_head(text[: max(0, len(text) - 2 - cut)]) is None


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": {"key": "inner"}}',
        b'[{"key": "inner"}]',
        b'{"a": "\\"key\\": \\"quoted\\"',
        b'{"a": "key", "b": "c"}',
        b'{"key": 5}',
        b'{"key": ["a"]}',
        b'{"key": "cut',
        b'{"key": "cut\\',
    ],
)
def test_what_only_looks_like_a_key_is_none(text: bytes) -> None:
    assert key_in_head(text) is None


@pytest.mark.parametrize(
    "part", [b"[],", b'"",', b'"', b'{"key":', b'"key" ', b'"key":"a",', b'\\"', b'"a', b"1,", b" "]
)
def test_any_beginning_is_looked_through_in_no_time(part: bytes) -> None:
    head = (b'{"a":[' + part * HEAD)[:HEAD]
    assert lines(lambda: key_in_head(head)) < 20 * MOST_KEYS
    assert key_in_head(head) is None


class Held:
    """A body of which the end comes when it is told to."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.sent = asyncio.Event()
        self.go_on = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content[:-1]
        self.sent.set()
        await self.go_on.wait()
        yield self._content[-1:]


async def test_all_bodies_of_an_owner_take_a_part_of_the_memory(open_site: OpenSite) -> None:
    site: Site = await open_site(body_limits=BodyLimits(most_held_bytes=300_000))
    body = json.dumps({"workflow": {"name": "x" * 100_000}, "wait": 0}).encode()

    def post(content: Any) -> Coroutine[Any, Any, httpx.Response]:
        return site.client.post(f"{API}/execute", content=content, headers=JSON)

    held = Held(body)
    first = asyncio.create_task(post(held.__aiter__()))
    await held.sent.wait()
    second = await post(body)
    assert second.status_code == 429
    assert second.json()["errors"][0]["code"] == "too_many_large_requests"
    assert int(second.headers["Retry-After"]) > 0
    held.go_on.set()
    assert (await first).status_code == 200
    assert (await post(body)).status_code == 200


async def _nothing(*_: Any) -> None: ...


def test_bodies_of_all_owners_take_no_more_than_there_is() -> None:
    room = BodyRoom(_nothing, most_bytes=1000)
    places = {owner: Place(room) for owner in ("one", "two", "three")}
    for owner, place in places.items():
        place.belongs_to(owner)
    places["one"].take(500)
    with pytest.raises(OwnersBodiesError):
        places["one"].take(1)
    places["two"].take(450)
    with pytest.raises(BodiesFullError):
        places["three"].take(51)
    places["one"].give_back()
    places["three"].take(500)


@pytest.mark.parametrize(
    ("path", "values", "status"),
    [
        ("/api/v2/jobs", 30_000, 422),
        ("/api/v2/jobs", 110_000, 413),
        ("/settings", 30_000, 413),
        ("/api/v6/images/text2img", 30_000, 413),
    ],
)
async def test_only_a_workflow_may_hold_very_many_values(
    path: str, values: int, status: int, site: Site
) -> None:
    body = b'{"a":[' + b"1," * values + b"1]}"
    response = await site.client.post(path, content=body, headers=JSON)
    assert response.status_code == status
