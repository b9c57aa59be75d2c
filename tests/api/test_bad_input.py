"""Whatever a caller sends is answered with 2xx or 4xx: files, forms, URLs, names and bodies."""

import base64
import io
import json
import os
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from graph.errors import ServiceError
from graph.values import InputFile
from storage.fetch import Fetcher, FetchError, checked_url
from storage.paths import UnsafePathError, relative_name
from tests.api.conftest import API, Site
from tests.picture_files import FILE_OPTIONS, encoded, small

BAD_URLS = (
    "http://[x/",
    "http://[x/outputs/a/1/b.png",
    "http://[127.0.0.1]/a.png",
    "http://xn--/",
    "http://xn--a/",
    "http://a.xn--zzzzzz99999/",
    "http://\u2488.example/",
    "http://a\u3002\u3002b/",
    "http://" + "a" * 70 + ".example/",
    "http://a.example:99999/",
    "http://a.example:x/",
    "http://%00/",
    "http://a\x00b/",
    "http://[::1%25]/",
    "http://[v1.x]/",
    "https://\ud800/",
    "http://",
    "http:///x",
    "http:// /",
)
REFERENCES = (
    "null", "[]", "5", '"x"', "{}", "[" * 5000, "{" * 5000, '{"filename": 1}', '{"filename": null}',
    '{"filename": "a.png", "subfolder": 5}', '{"filename": "a.png", "subfolder": ["x"]}',
    '{"filename": "a.png", "type": []}', '{"filename": "a.png", "type": "models"}',
    '{"filename": "\\ud800"}', '{"filename": "a.png", "subfolder": "\\udfff"}', '{"filename": ""}',
    '{"filename": "a\\u0000.png"}', '{"filename": {"a": 1}}', '{"filename": ' + "9" * 5000 + "}",
)  # fmt: skip
PREVIEWS = (
    "webp;", "webp;x", "webp;" + "9" * 4301, "webp;-1", "webp;0", "webp;²", "webp;٣", "jpeg;1e9",
    ";", ";;", "\0", "webp;90;90", "eps", "😀", "webp;" + "0" * 5000,
)  # fmt: skip


async def _upload(site: Site, content: bytes, name: str = "a.png", **fields: str) -> httpx.Response:
    data = {"overwrite": "true", **fields}
    return await site.client.post("/upload/image", files={"image": (name, content)}, data=data)


async def _view(site: Site, **how: str) -> httpx.Response:
    wanted = {"filename": "a.png", "type": "input", **how}
    return await site.client.get("/view", params=wanted)


async def _post(site: Site, path: str, body: dict[str, Any]) -> httpx.Response:
    """As JSON in ASCII, which may say half a surrogate pair."""
    kind = {"Content-Type": "application/json"}
    return await site.client.post(path, content=json.dumps(body), headers=kind)


def _fine(answer: httpx.Response) -> bool:
    return 200 <= answer.status_code < 500


@pytest.mark.parametrize("preview", PREVIEWS)
async def test_a_preview_of_any_name_is_a_picture(site: Site, preview: str) -> None:
    await _upload(site, small("PNG"))
    answer = await _view(site, preview=preview)
    assert answer.status_code == 200
    assert Image.open(io.BytesIO(answer.content)).size == (16, 16)


async def test_previews_of_what_is_no_whole_picture_are_422(site: Site) -> None:
    for content in (small("PNG")[:60], b"DDS |" + bytes(123), b"%!PS-Adobe-3.0 EPSF-3.0\n", b""):
        await _upload(site, content)
        for how in ({"preview": "webp;90"}, {"channel": "rgb"}, {"channel": "a"}):
            answer = await _view(site, **how)
            assert answer.status_code == 422, (content, how)
            assert answer.json()["errors"][0]["code"] == "image_unreadable"


async def test_a_picture_too_wide_for_webp_is_shown_smaller(site: Site) -> None:
    await _upload(site, encoded(Image.new("1", (20_000, 8))))
    answer = await _view(site, preview="webp;90")
    assert Image.open(io.BytesIO(answer.content)).size == (10_000, 4)


@pytest.mark.parametrize("reference", REFERENCES)
async def test_an_odd_original_is_refused(site: Site, reference: str) -> None:
    files = {"image": ("m.png", small("PNG"))}
    answer = await site.client.post("/upload/mask", files=files, data={"original_ref": reference})
    assert answer.status_code in {400, 422}


async def test_a_mask_on_what_is_no_picture_is_422(site: Site) -> None:
    await _upload(site, b"no picture")
    reference = json.dumps({"filename": "a.png", "type": "input"})
    for mask in (small("PNG"), b"x"):
        files = {"image": ("m.png", mask)}
        answer = await site.client.post(
            "/upload/mask", files=files, data={"original_ref": reference}
        )
        assert answer.status_code == 422


@pytest.mark.parametrize("url", BAD_URLS)
async def test_what_is_no_url_is_refused(site: Site, url: str) -> None:
    answer = await _post(site, f"{API}/execute", {"workflow": {"image": url}})
    assert _fine(answer)
    if answer.json()["status"] != "success":  # every name resolves here
        assert answer.json()["errors"][0]["code"] in {"url_unreadable", "url_refused"}
    assert _fine(await _post(site, f"{API}/execute", {"workflow": {}, "webhook": url}))
    for more in ({"filename": "x.safetensors"}, {}):
        answer = await _post(site, "/api/v7/models", {"url": url, **more})
        assert answer.status_code == 422


@pytest.mark.parametrize("location", BAD_URLS)
async def test_a_redirect_to_no_url_is_refused(location: str) -> None:
    async def public(host: str, port: int) -> list[str]:
        return ["93.184.216.34"]

    def page(request: httpx.Request) -> httpx.Response:
        sent = [(b"location", location.encode(errors="replace"))]
        return httpx.Response(302 if request.url.path == "/first" else 404, headers=sent)

    fetcher = Fetcher(resolve=public, transport=httpx.MockTransport(page))
    with pytest.raises(FetchError):
        await fetcher.read("http://a.example/first")


@pytest.mark.parametrize("field", ["inputs", "object_info", "workflow", "webhook", "odd"])
async def test_a_body_that_is_nested_deeply_is_refused(site: Site, field: str) -> None:
    for levels in (199, 300, 900, 100_000):
        for opening, closing in (("[", "]"), ('{"a":', "}")):
            value = opening * levels + "1" + closing * levels
            text = '{"%s": {"1.image": %s}}' % (field, value)  # noqa: UP031
            for path in ("execute", "convert", "schema"):
                kind = {"Content-Type": "application/json"}
                answer = await site.client.post(f"{API}/{path}", content=text, headers=kind)
                assert _fine(answer), (path, levels)
                if levels > 199:
                    assert answer.status_code == 400


@pytest.mark.parametrize(
    "kind",
    [
        f'multipart/form-data; boundary="b"; charset={charset}'
        for charset in (
            "idna",
            "punycode",
            "undefined",
            "unicode_escape",
            "rot13",
            "zlib",
            "x" * 300,
        )
    ],
)
async def test_a_form_in_an_odd_charset_is_415(site: Site, kind: str) -> None:
    field = b'Content-Disposition: form-data; name="image"; filename="a\\ud800"'
    body = b"--b\r\n" + field + b"\r\n\r\nx\r\n--b--\r\n"
    answer = await site.client.post("/upload/image", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 415


FORM = (
    b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n'
    b"Content-Type: image/png\r\n\r\nxyz\r\n"
    b'--b\r\nContent-Disposition: form-data; name="subfolder"\r\n\r\ns\r\n--b--\r\n'
)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Starlette's
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.tuples(st.integers(0, len(FORM)), st.binary(min_size=1, max_size=6)), max_size=5),
    st.integers(1, len(FORM)),
    st.sampled_from(["b", '"b"', "", "x", "b; boundary=c", "\xff", "b" * 300]),
)
async def test_a_damaged_form_is_taken_or_refused(
    site: Site, damage: list[tuple[int, bytes]], kept: int, boundary: str
) -> None:
    content = bytearray(FORM)
    for place, data in damage:
        content[place : place + len(data)] = data
    kind = {b"content-type": f"multipart/form-data; boundary={boundary}".encode("latin-1")}
    for path in ("/upload/image", "/upload/mask", "/api/v7/models"):
        cut = bytes(content[:kept])
        assert _fine(await site.client.post(path, content=cut, headers=kind)), (path, cut)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(sorted(FILE_OPTIONS)),
    st.lists(st.tuples(st.integers(0, 2000), st.binary(min_size=1, max_size=8)), max_size=4),
    st.sampled_from([{"preview": "webp;50"}, {"preview": "jpeg"}, {"channel": "a"}]),
)
async def test_a_damaged_picture_is_shown_or_refused(
    site: Site, format_: str, damage: list[tuple[int, bytes]], how: dict[str, str]
) -> None:
    content = bytearray(small(format_))
    for place, data in damage:
        at = place % len(content)
        content[at : at + len(data)] = data
    await _upload(site, bytes(content))
    assert _fine(await _view(site, **how))


@settings(max_examples=300, deadline=None)
@given(
    st.text(max_size=60), st.sampled_from(["", "http://", "https://", "http://[", "http://xn--"])
)
def test_any_text_is_a_url_or_refused(text: str, start: str) -> None:
    try:
        url = checked_url(start + text)
    except FetchError:
        return
    assert url.scheme in {"http", "https"}
    assert url.host


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.characters(), max_size=80), st.booleans())
def test_any_data_uri_is_read_or_refused(text: str, in_base64: bool) -> None:
    head = "data:image/png;base64," if in_base64 else "data:"
    try:
        assert isinstance(Fetcher().decode(head + text), bytes)
    except FetchError:
        return


def test_a_data_uri_of_what_is_no_text_is_refused() -> None:
    for text in ("data:,\ud800", "data:;base64,\udfff", "data:;base64,=", "data:;base64,a"):
        try:
            Fetcher().decode(text)
        except FetchError:
            continue
    whole = base64.b64encode(b"x").decode()
    assert Fetcher().decode(f"data:;base64,{whole}") == b"x"


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.characters(), max_size=300))
def test_any_text_is_a_file_name_or_refused(text: str) -> None:
    try:
        name = relative_name(text)
    except UnsafePathError:
        return
    os.fsencode(name)
    assert not name.startswith(("/", ".."))


async def test_overrides_of_any_shape_are_taken_or_refused(site: Site) -> None:
    shapes: list[Any] = [None, 5, "x", [], [[]], {"1": None}, {"1": []}, {"": ""}, {"1.": {}}]
    for shape in shapes:
        assert _fine(await site.execute({}, inputs=shape))


INPUT_STARTS = (
    "", "http://", "https://a.example/", "http://[", "data:", "data:;base64,", "job:", "job:1/",
    "job:1/9/", "/outputs/", "/outputs/local/1/output/x.png?expires=",
    "/outputs/a?signature=x&expires=1&",
    "http://a.example/outputs/x?expires=", "../", "x.png [output]", "1/x.png [output]", "[temp]",
)  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(INPUT_STARTS), st.text(alphabet=st.characters(), max_size=60))
async def test_any_text_names_an_input_or_is_refused(site: Site, start: str, text: str) -> None:
    inputs = site.service.stores.inputs
    refused: list[ServiceError] = []
    for value in (start + text, text + start, start + "9" * len(text) * 90):
        try:
            assert isinstance(await inputs.read("local", value), InputFile)
        except ServiceError as error:
            refused.append(error)
    assert all(400 <= error.status < 500 and len(str(error)) < 2000 for error in refused)
