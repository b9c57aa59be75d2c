"""Uploads, /view and signed outputs."""

import io
import json

import httpx
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.api.conftest import API, OpenSite, Site


def _png(value: int = 10, *, size: tuple[int, int] = (4, 3), alpha: int = 255) -> bytes:
    buffer = io.BytesIO()
    text = PngInfo()
    text.add_text("prompt", "{}")
    Image.new("RGBA", size, (value, 20, 30, alpha)).save(buffer, format="PNG", pnginfo=text)
    return buffer.getvalue()


async def _upload(site: Site, name: str, content: bytes, **fields: str) -> httpx.Response:
    files = {"image": (name, content, "image/png")}
    return await site.client.post("/upload/image", files=files, data=fields)


async def test_an_upload_is_viewed_as_it_came(site: Site) -> None:
    assert (await _upload(site, "a.png", _png())).json() == {
        "name": "a.png",
        "subfolder": "",
        "type": "input",
    }
    response = await site.client.get("/view?filename=a.png&type=input")
    assert response.content == _png()
    assert response.headers["content-type"] == "image/png"


async def test_the_same_name_and_content_is_one_file_and_other_content_another(site: Site) -> None:
    names = [(await _upload(site, "a.png", _png(k))).json()["name"] for k in (1, 1, 2, 3, 2)]
    assert names == ["a.png", "a.png", "a (1).png", "a (2).png", "a (1).png"]


async def test_overwrite_replaces(site: Site) -> None:
    await _upload(site, "a.png", _png(1))
    assert (await _upload(site, "a.png", _png(2), overwrite="true")).json()["name"] == "a.png"
    assert (await site.client.get("/view?filename=a.png&type=input")).content == _png(2)


async def test_an_upload_goes_to_its_subfolder_and_type(site: Site) -> None:
    placed = (await _upload(site, "a.png", _png(), subfolder="x/y", type="temp")).json()
    assert placed == {"name": "a.png", "subfolder": "x/y", "type": "temp"}
    for query in ("filename=a.png&subfolder=x/y&type=temp", "filename=x/y/a.png [temp]"):
        assert (await site.client.get(f"/view?{query}")).status_code == 200


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("../a.png", {}),
        ("a.png", {"subfolder": "../.."}),
        ("a.png", {"subfolder": "/etc"}),
        ("..", {}),
        ("x" * 300, {}),
    ],
)
async def test_an_upload_cannot_leave_its_folder(
    site: Site, name: str, fields: dict[str, str]
) -> None:
    response = await _upload(site, name, _png(), **fields)
    assert response.status_code == 400
    assert response.json()["status"] == "error"


async def test_an_upload_over_the_limit_is_413(site: Site) -> None:
    assert (await _upload(site, "a.png", b"x" * 10_001)).status_code == 413


async def test_a_form_far_over_the_limit_is_not_read(site: Site) -> None:
    assert (await _upload(site, "a.png", b"x" * 2_000_000)).status_code == 413


async def test_an_upload_must_be_a_form_with_a_file(site: Site) -> None:
    assert (await site.client.post("/upload/image", json={})).status_code == 415
    response = await site.client.post("/upload/image", files={"other": ("a", b"x")})
    assert response.status_code == 400
    assert response.json()["errors"][0]["input"] == "image"


async def test_an_unknown_type_is_400(site: Site) -> None:
    assert (await _upload(site, "a.png", _png(), type="models")).status_code == 400


async def _mask(site: Site, original: dict[str, str], mask: bytes) -> httpx.Response:
    return await site.client.post(
        "/upload/mask",
        files={"image": ("mask.png", mask, "image/png")},
        data={"original_ref": json.dumps(original), "subfolder": "clipspace"},
    )


async def test_a_mask_lends_its_alpha_to_the_original(site: Site) -> None:
    await _upload(site, "a.png", _png(10))
    placed = (await _mask(site, {"filename": "a.png", "type": "input"}, _png(99, alpha=7))).json()
    assert placed == {"name": "mask.png", "subfolder": "clipspace", "type": "input"}
    query = "filename=mask.png&subfolder=clipspace&type=input"
    picture = Image.open(io.BytesIO((await site.client.get(f"/view?{query}")).content))
    assert picture.getpixel((0, 0)) == (10, 20, 30, 7)
    assert picture.info["prompt"] == "{}"


async def test_a_mask_of_another_size_is_422(site: Site) -> None:
    await _upload(site, "a.png", _png())
    response = await _mask(site, {"filename": "a.png", "type": "input"}, _png(size=(5, 5)))
    assert response.status_code == 422


async def test_a_mask_that_is_no_picture_is_422(site: Site) -> None:
    await _upload(site, "a.png", _png())
    response = await _mask(site, {"filename": "a.png", "type": "input"}, b"no picture")
    assert response.status_code == 422


@pytest.mark.parametrize("reference", ["", "[]", '{"filename": 3}', '{"filename": "../x.png"}'])
async def test_a_mask_needs_an_original(site: Site, reference: str) -> None:
    response = await site.client.post(
        "/upload/mask",
        files={"image": ("mask.png", _png(), "image/png")},
        data={"original_ref": reference},
    )
    assert response.status_code == 400


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("filename=/etc/passwd", 400),
        ("filename=../a.png", 400),
        ("filename=a.png&subfolder=../../..", 404),
        ("filename=a.png", 404),
        ("filename=a.png&type=models", 400),
        ("", 400),
        ("filename=", 400),
    ],
)
async def test_view_stays_in_its_folders(site: Site, query: str, status: int) -> None:
    assert (await site.client.get(f"/view?{query}")).status_code == status


async def test_view_finds_what_the_newest_job_saved(site: Site) -> None:
    await site.execute({"prefix": "x"})
    entry = (await site.execute({"prefix": "x"})).json()["outputs"][1]
    seen = await site.client.get("/view?filename=x_00001_.png&type=output")
    assert seen.content == (await site.client.get(entry["url"])).content


@pytest.mark.parametrize(
    ("query", "kind", "mode"),
    [
        ("preview=webp;50", "WEBP", "RGBA"),
        ("preview=jpeg;50", "JPEG", "RGB"),
        ("preview=jpeg&channel=rgba", "WEBP", "RGBA"),
        ("preview=gif", "WEBP", "RGBA"),
        ("channel=rgb", "PNG", "RGB"),
        ("channel=a", "PNG", "RGBA"),
    ],
)
async def test_view_repaints(site: Site, query: str, kind: str, mode: str) -> None:
    await _upload(site, "a.png", _png(alpha=9))
    response = await site.client.get(f"/view?filename=a.png&type=input&{query}")
    picture = Image.open(io.BytesIO(response.content))
    assert (picture.format, picture.mode) == (kind, mode)


async def test_the_alpha_channel_comes_on_an_empty_picture(site: Site) -> None:
    await _upload(site, "a.png", _png(alpha=9))
    response = await site.client.get("/view?filename=a.png&type=input&channel=a")
    pixels = np.array(Image.open(io.BytesIO(response.content)))
    assert pixels[0, 0].tolist() == [0, 0, 0, 9]


async def test_a_page_is_downloaded_and_not_shown(site: Site) -> None:
    await _upload(site, "a.html", b"<script>alert(1)</script>")
    headers = (await site.client.get("/view?filename=a.html&type=input")).headers
    assert headers["content-disposition"].startswith("attachment")
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.folder
async def test_an_output_url_must_be_signed(site: Site) -> None:
    url = (await site.execute({})).json()["output"][0]
    assert (await site.client.get(url)).status_code == 200
    path, _, query = url.partition("?")
    for wrong in (path, f"{path}?{query[:-1]}0x", url.replace("/4/", "/5/") + "0"):
        response = await site.client.get(wrong)
        assert response.status_code == 403
        assert response.json()["errors"][0]["code"] == "link_expired"


async def test_a_prefix_cannot_leave_the_output_folder(site: Site) -> None:
    answer = (await site.execute({"prefix": "../../evil"})).json()
    assert answer["status"] == "failed"
    assert answer["errors"][0]["code"] == "unsafe_path"


async def test_a_prefix_may_have_subfolders(site: Site) -> None:
    entry = (await site.execute({"prefix": "a b/c%d/x"})).json()["outputs"][1]
    assert (entry["subfolder"], entry["filename"]) == ("a b/c%d", "x_00001_.png")
    assert (await site.client.get(entry["url"])).status_code == 200


async def test_an_upload_is_read_as_an_input(site: Site) -> None:
    await _upload(site, "a.png", _png(), subfolder="s")
    await site.execute({"image": "s/a.png"})
    assert site.runner.read[0].content == _png()


async def test_an_earlier_output_is_read_as_an_input(site: Site) -> None:
    job = (await site.execute({})).json()
    await site.execute({"image": f"job:{job['id']}/9/1"})
    assert site.runner.read[0].sha256 == job["outputs"][2]["sha256"]
    assert (await site.client.get(f"{API}/jobs")).json()["jobs"][0]["status"] == "success"


async def test_urls_in_answers_begin_with_the_public_url(open_site: OpenSite) -> None:
    site: Site = await open_site(public_url="https://pictures.example/base")
    odd = {"Host": "evil.example", "X-Forwarded-Proto": "gopher"}
    answer = await site.client.post(f"{API}/execute", json={"workflow": {}, "wait": 0}, headers=odd)
    assert answer.json()["fetch_result"].startswith("https://pictures.example/base/api/v7/")


@pytest.mark.parametrize("host", ["[x", "a b", "x:99999", "\xff", "a/b", "", "[::1]:x"])
async def test_an_odd_host_header_is_no_fault_of_ours(site: Site, host: str) -> None:
    headers = {b"host": host.encode("latin-1"), b"content-type": b"application/json"}
    answer = await site.client.post(f"{API}/execute", content=b'{"workflow": {}}', headers=headers)
    assert answer.status_code < 500


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-3"}, {"Range": "bytes=-2"}])
async def test_head_has_the_headers_of_get(site: Site, headers: dict[str, str]) -> None:
    await _upload(site, "a.png", _png())
    url = (await site.execute({})).json()["output"][0]
    for path in ("/view?filename=a.png&type=input", url):
        told = await site.client.head(path, headers=headers)
        got = await site.client.get(path, headers=headers)
        assert (told.status_code, told.content) == (got.status_code, b"")
        assert told.headers == got.headers


async def test_head_of_what_is_not_there_is_404(site: Site) -> None:
    assert (await site.client.head("/view?filename=none.png")).status_code == 404
