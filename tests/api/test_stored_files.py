"""Stored files over HTTP: whole and in parts, from every place where they may lie."""

import io
from typing import Any

import httpx
import pytest
from PIL import Image

from storage.files import Files
from tests.api.conftest import API, Site


@pytest.fixture
def files(any_files: Files) -> Files:
    return any_files


async def _get(site: Site, url: str, **headers: str) -> httpx.Response:
    """From the service, or from the object store that the URL leads to."""
    if url.startswith("http://here:8000/"):
        return await site.client.get(url, headers=headers)
    async with httpx.AsyncClient() as elsewhere:
        return await elsewhere.get(url, headers=headers)


async def test_an_output_is_read_at_its_url(site: Site) -> None:
    entry = (await site.execute({})).json()["outputs"][1]
    response = await _get(site, entry["url"])
    assert response.status_code == 200
    assert len(response.content) == entry["size"]
    assert response.headers["content-type"] == "image/png"
    for asked, part in (("bytes=2-3", slice(2, 4)), ("bytes=-5", slice(-5, None))):
        assert (await _get(site, entry["url"], Range=asked)).content == response.content[part]


async def test_an_output_comes_as_base64_too(site: Site) -> None:
    assert all((await site.execute({}, base64=True)).json()["output"])


async def test_what_an_answer_names_is_an_input(site: Site) -> None:
    answer = (await site.execute({})).json()
    entry = answer["outputs"][1]
    for value in (entry["url"], f"job:{answer['id']}/9/0"):
        await site.execute({"image": value})
    assert [file.sha256 for file in site.runner.read] == [entry["sha256"]] * 2
    assert site.received.empty()  # it was not fetched


async def test_an_upload_and_its_mask_are_viewed(site: Site) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(picture, "PNG")
    sent: dict[str, Any] = {"files": {"image": ("a.png", picture.getvalue(), "image/png")}}
    for _ in range(2):
        assert (await site.client.post("/upload/image", **sent)).json()["name"] == "a.png"
    original = {"original_ref": '{"filename": "a.png", "type": "input"}'}
    masked = await site.client.post("/upload/mask", **sent, data=original)
    assert masked.json()["name"] == "a (1).png"
    seen = await site.client.get("/view?filename=a (1).png&type=input")
    assert Image.open(io.BytesIO(seen.content)).mode == "RGBA"


async def test_view_finds_a_jobs_file_by_name(site: Site) -> None:
    entry = (await site.execute({"prefix": "x"})).json()["outputs"][1]
    content = (await _get(site, entry["url"])).content
    job_id = (await site.client.get(f"{API}/jobs")).json()["jobs"][0]["id"]
    for query in ("", f"&subfolder={job_id}"):
        assert (await site.client.get(f"/view?filename=x_00001_.png{query}")).content == content
    assert (await site.client.get("/view?filename=y_00001_.png")).status_code == 404


async def _stored(site: Site) -> tuple[str, bytes]:
    """The URL and content of a file that is streamed."""
    content = bytes(range(256)) * 12_000
    site.service.stores.uploads.files.put("uploads/local/input/a.png", content)
    return "/view?filename=a.png&type=input", content


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=5-", slice(5, None)),
        ("bytes=-2000000", slice(-2_000_000, None)),
        ("bytes=70000-99999999", slice(70_000, None)),
    ],
)
async def test_parts_are_cut_out_of_a_stream(site: Site, asked: str, part: slice) -> None:
    url, content = await _stored(site)
    response = await site.client.get(url, headers={"Range": asked})
    assert (response.status_code, response.content) == (206, content[part])
    assert response.headers["content-range"].endswith(f"/{len(content)}")
    assert response.headers["content-length"] == str(len(response.content))


@pytest.mark.parametrize("asked", ["bytes=-", "bytes=5-2", "lines=1-2", "bytes=0-1,5-6", ""])
async def test_what_is_no_range_gets_the_whole(site: Site, asked: str) -> None:
    url, content = await _stored(site)
    response = await site.client.get(url, headers={"Range": asked})
    assert (response.status_code, response.content) == (200, content)


@pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=-0"])
async def test_a_range_behind_the_end_is_416(site: Site, asked: str) -> None:
    url, _ = await _stored(site)
    assert (await site.client.get(url, headers={"Range": asked})).status_code == 416


async def test_what_a_caller_has_is_not_sent_again(site: Site) -> None:
    url, content = await _stored(site)
    tag = (await site.client.get(url)).headers["etag"]
    same = await site.client.get(url, headers={"If-None-Match": tag})
    assert (same.status_code, same.content) == (304, b"")
    older = await site.client.get(url, headers={"Range": "bytes=0-1", "If-Range": '"old"'})
    assert older.content == content
