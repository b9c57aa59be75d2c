"""Models: in pieces, in one go, from a URL; listed, shown, deleted; refused when they are none."""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from safetensors.numpy import save

from api.app import create_app
from storage.fetch import Fetcher
from tests.api.conftest import Site
from tests.api.models import MOST_BYTES, MOST_MODELS, lora, model_intake
from tests.family_layouts import NETWORKS, OTHERS, shapes_of
from tests.hostile_files import (
    ONE,
    doubled,
    listed,
    pickled_file,
    program,
    safetensors_file,
    storage,
    tensor,
    text,
)

MODELS = "/api/v7/models"
UPLOADS = f"{MODELS}/uploads"


def unknown() -> bytes:
    return save({"mystery": np.zeros((4, 3, 3, 3), np.float32)})


async def sent(site: Site, content: bytes, name: str = "style.safetensors", **fields: str) -> Any:
    files = {"file": (name, content, "application/octet-stream")}
    return await site.client.post(MODELS, files=files, data=fields)


async def begun(site: Site, content: bytes, **fields: Any) -> str:
    body = {"filename": "style.safetensors", "size": len(content), **fields}
    answer = await site.client.post(UPLOADS, json=body)
    assert answer.status_code == 201
    return f"{UPLOADS}/{answer.json()['upload']['id']}"


async def put(site: Site, url: str, content: bytes, start: int, end: int) -> httpx.Response:
    headers = {"Content-Range": f"bytes {start}-{end - 1}/{len(content)}"}
    return await site.client.put(url, content=content[start:end], headers=headers)


def reason(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["errors"][0]["code"]


async def broken_off(site: Site, url: str, part: bytes, size: int) -> None:
    """A PUT whose sender goes away after `part`."""
    incoming: list[Any] = [
        {"type": "http.request", "body": part, "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Any:
        return incoming.pop(0)

    async def send(_: Any) -> None:
        """Nobody is there."""

    headers = [(b"content-range", f"bytes 100-{size - 1}/{size}".encode())]
    scope = {"type": "http", "method": "PUT", "path": url, "query_string": b"", "headers": headers}
    await create_app(site.service, manage_service=False)(scope, receive, send)


def nothing_left(folder: Path) -> bool:
    return not [path for path in (folder / "private").rglob("*") if path.is_file()]


async def test_a_file_becomes_a_model_that_is_told_by_its_tensors(
    site: Site, tmp_path: Path
) -> None:
    answer = await sent(site, lora())
    assert answer.status_code == 201
    model = answer.json()["model"]
    assert (model["folder"], model["kind"], model["family"]) == ("loras", "lora", "sd15")
    assert model["sha256"] == hashlib.sha256(lora()).hexdigest()
    assert model["size"] == len(lora())
    assert (await site.client.get(f"{MODELS}/{model['id']}")).json()["model"] == model
    kept = tmp_path / "private" / "local" / "loras" / f"{model['id']}.safetensors"
    assert kept.read_bytes() == lora()

    (tmp_path / "models" / "vae").mkdir(parents=True)
    (tmp_path / "models" / "vae" / "shared.safetensors").write_bytes(b"123")
    listed = (await site.client.get(MODELS)).json()["models"]
    assert [(one["id"], one["folder"], one["owned"], one["size"]) for one in listed] == [
        (model["id"], "loras", True, len(lora())),
        ("shared.safetensors", "vae", False, 3),
    ]
    of_vae = (await site.client.get(MODELS, params={"folder": "vae"})).json()["models"]
    assert [one["id"] for one in of_vae] == ["shared.safetensors"]
    found = (await site.client.get(MODELS, params={"search": "STYLE"})).json()["models"]
    assert [one["id"] for one in found] == [model["id"]]

    assert (await site.client.delete(f"{MODELS}/{model['id']}")).json()["model"] == model
    assert reason(await site.client.get(f"{MODELS}/{model['id']}")) == (404, "model_not_found")
    assert nothing_left(tmp_path)


async def test_the_same_content_is_kept_once(site: Site, tmp_path: Path) -> None:
    first, second = [(await sent(site, lora(), n)).json() for n in ("a.sft", "b.safetensors")]
    assert first == second
    assert len(list((tmp_path / "private").rglob("mdl_*"))) == 1


async def test_fields_after_the_file_count_too(site: Site) -> None:
    files: list[tuple[str, Any]] = [
        ("file", ("x.safetensors", unknown())),
        ("folder", (None, b"upscale_models")),
    ]
    answer = await site.client.post(MODELS, files=files)
    assert answer.json()["model"]["folder"] == "upscale_models"


@pytest.mark.parametrize(
    ("content", "name", "fields", "code"),
    [
        (unknown(), "x.safetensors", {}, "model_folder"),
        (lora(), "x.safetensors", {"folder": "vae"}, "bad_model_file"),
        (lora(), "x.safetensors", {"folder": "../vae"}, "model_folder"),
        (lora(), "x.png", {}, "model_name"),
        (lora()[:-4], "x.safetensors", {}, "bad_model_file"),
        (b"", "x.safetensors", {}, "bad_model_file"),
        (b"\xff" * 64, "x.safetensors", {}, "bad_model_file"),
        (lora(), "x.ckpt", {}, "bad_model_file"),
        (b"cos\nsystem\n(S'true'\ntR.", "x.pt", {}, "bad_model_file"),
        (lora(), "x.safetensors", {"sha256": "0" * 64}, "model_content"),
    ],
)
async def test_what_is_no_model_is_refused_and_leaves_nothing(
    site: Site, tmp_path: Path, content: bytes, name: str, fields: Mapping[str, str], code: str
) -> None:
    assert reason(await sent(site, content, name, **fields)) == (422, code)
    assert nothing_left(tmp_path)
    assert (await site.client.get(MODELS)).json()["models"] == []


LAYER = "lora_unet_conv_out.lora_up.weight"


@pytest.mark.parametrize(
    ("content", "name", "problem"),
    [
        (
            pickled_file(program(text(LAYER) + tensor(of=storage(key=doubled(24))))),
            "x.pt",
            "a storage in it has a name that torch does not write",
        ),
        (
            pickled_file(program(text(LAYER) + tensor(listed((4, 10**9)), listed((0, 0))))),
            "x.pt",
            "needs 4000000000 elements up to number 1, and its storage has 16",
        ),
        (lora() + bytes(16), "x.safetensors", "16 bytes follow its last tensor"),
        (safetensors_file({LAYER: ONE, "b": ONE}), "x.safetensors", "overlaps the one before it"),
        (
            safetensors_file({LAYER: ONE | {"dtype": "F4_E9"}}),
            "x.safetensors",
            "the unknown dtype 'F4_E9'",
        ),
        (
            safetensors_file({LAYER: ONE | {"shape": ["1"]}}),
            "x.safetensors",
            "is not described by a shape",
        ),
        (
            safetensors_file({"__metadata__": [1], LAYER: ONE}),
            "x.safetensors",
            "is not an object of strings",
        ),
    ],
    ids=["key", "strides", "stray", "overlap", "dtype", "shape", "metadata"],
)
async def test_a_header_that_no_loader_takes_is_refused_in_few_words(
    site: Site, tmp_path: Path, content: bytes, name: str, problem: str
) -> None:
    answer = await sent(site, content, name, folder="loras")
    assert reason(answer) == (422, "bad_model_file")
    assert problem in answer.json()["message"]
    assert len(answer.content) < 2000
    assert nothing_left(tmp_path)


@pytest.mark.parametrize(
    ("layout", "problem"),
    [
        (NETWORKS["lens"], "it is a diffusion model of Lens"),
        (NETWORKS["hidream"], "it is a diffusion model of HiDream"),
        (NETWORKS["ace_step"], "it is a diffusion model of ACE-Step"),
        (NETWORKS["stable_audio"], "it is a diffusion model of Stable Audio"),
        (OTHERS["cogvideox", "vae"], "it is an autoencoder of CogVideoX"),
        (OTHERS["ltx2", "text_encoder"], "it is a text encoder of LTX-2 (Gemma 3)"),
    ],
)
@pytest.mark.parametrize("folder", ["", "checkpoints", "vae", "text_encoders"])
async def test_a_family_that_is_not_served_is_refused_by_its_name(
    site: Site, tmp_path: Path, layout: tuple[str, ...], problem: str, folder: str
) -> None:
    tensors = {name: np.zeros(shape, np.uint8) for name, shape in shapes_of(layout[0]).items()}
    answer = await sent(site, save(tensors), folder=folder)
    assert reason(answer) == (422, "bad_model_file")
    assert problem in answer.json()["message"]
    assert "which is not served here" in answer.json()["message"]
    assert nothing_left(tmp_path)


async def test_forms_that_are_none_are_said(site: Site) -> None:
    kind = {"Content-Type": "multipart/form-data"}
    assert reason(await site.client.post(MODELS, content=b"x", headers=kind)) == (400, "bad_form")
    bounded = {"Content-Type": "multipart/form-data; boundary=B"}
    assert (await site.client.post(MODELS, content=b"x", headers=bounded)).status_code == 400
    head = b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.safetensors"\r\n\r\n'
    cut = await site.client.post(MODELS, content=head + b"abc", headers=bounded)
    assert reason(cut) == (400, "bad_form")
    no_file = await site.client.post(MODELS, files={"folder": (None, b"vae")})
    assert reason(no_file) == (422, "invalid_field")
    long = await site.client.post(MODELS, files={"folder": (None, b"v" * 100_000)})
    assert reason(long) == (400, "bad_form")
    assert reason(await site.client.post(MODELS, content=b"x")) == (415, "unsupported_media_type")


async def test_limits_of_size_and_number_hold(site: Site, tmp_path: Path) -> None:
    big = lora(rank=40)
    assert len(big) > MOST_BYTES
    assert reason(await sent(site, big)) == (413, "too_large")
    body = {"filename": "x.safetensors", "size": MOST_BYTES + 1}
    assert reason(await site.client.post(UPLOADS, json=body)) == (413, "too_large")
    assert nothing_left(tmp_path)
    for seed in range(MOST_MODELS):
        assert (await sent(site, lora(seed=seed))).status_code == 201
    assert reason(await sent(site, lora(seed=9))) == (403, "model_quota")


async def test_an_upload_goes_on_after_a_break(site: Site) -> None:
    content = lora()
    url = await begun(site, content, sha256=hashlib.sha256(content).hexdigest())
    assert (await put(site, url, content, 0, 100)).json()["upload"]["offset"] == 100

    await broken_off(site, url, content[100:200], len(content))

    head = await site.client.head(url)
    offset = int(head.headers["Upload-Offset"])
    assert offset == 200
    assert head.headers["Upload-Length"] == str(len(content))
    assert reason(await site.client.post(f"{url}/complete")) == (409, "upload_incomplete")
    assert reason(await put(site, url, content, offset + 1, offset + 2)) == (409, "upload_offset")
    whole = await put(site, url, content, offset, len(content))
    assert whole.json()["upload"]["offset"] == len(content)

    done = await site.client.post(f"{url}/complete")
    assert done.status_code == 201
    assert (await site.client.post(f"{url}/complete")).json() == done.json()
    shown = (await site.client.get(url)).json()
    assert (shown["status"], shown["upload"]["model"]) == ("success", done.json()["model"])
    assert reason(await put(site, url, content, 0, 5)) == (409, "upload_busy")


async def test_only_one_request_writes_to_an_upload(site: Site) -> None:
    content = lora()
    url = await begun(site, content)
    went, go = asyncio.Event(), asyncio.Event()

    async def slow() -> Any:
        yield content[:100]
        went.set()
        await go.wait()
        yield content[100:]

    headers = {"Content-Range": f"bytes 0-{len(content) - 1}/{len(content)}"}
    first = asyncio.create_task(site.client.put(url, content=slow(), headers=headers))
    await went.wait()
    assert reason(await put(site, url, content, 0, 5)) == (409, "upload_busy")
    assert reason(await site.client.post(f"{url}/complete")) == (409, "upload_busy")
    go.set()
    assert (await first).json()["upload"]["offset"] == len(content)


async def test_more_than_was_announced_is_not_kept(site: Site) -> None:
    content = lora()
    url = await begun(site, content[:50])
    headers = {"Content-Range": "bytes 0-49/50"}
    assert reason(await site.client.put(url, content=content, headers=headers)) == (
        413,
        "too_large",
    )
    assert (await site.client.head(url)).headers["Upload-Offset"] == "0"


@pytest.mark.parametrize("said", ["", "bytes 0-4", "bytes 4-0/50", "bytes 0-4/51", "bytes x-4/50"])
async def test_a_range_that_is_none_is_said(site: Site, said: str) -> None:
    url = await begun(site, b"0" * 50)
    answer = await site.client.put(url, content=b"12345", headers={"Content-Range": said})
    assert reason(answer) == (422, "invalid_field")


async def test_an_upload_that_is_no_model_fails_and_says_why(site: Site, tmp_path: Path) -> None:
    content = b"\xff" * 64
    url = await begun(site, content)
    await put(site, url, content, 0, len(content))
    assert reason(await site.client.post(f"{url}/complete")) == (422, "bad_model_file")
    shown = (await site.client.get(url)).json()
    assert (shown["status"], shown["upload"]["state"]) == ("failed", "failed")
    assert "safetensors" in shown["upload"]["error"]["message"]
    assert nothing_left(tmp_path)


async def test_uploads_are_aborted_and_bounded_in_number(site: Site, tmp_path: Path) -> None:
    urls = [await begun(site, lora()) for _ in range(4)]
    more = await site.client.post(UPLOADS, json={"filename": "x.safetensors", "size": 5})
    assert reason(more) == (429, "upload_limit")
    assert more.headers["Retry-After"]
    for url in urls:
        assert (await site.client.delete(url)).status_code == 204
        assert reason(await site.client.get(url)) == (404, "upload_not_found")
    assert nothing_left(tmp_path)


def serving(content: bytes, status: int = 200) -> httpx.MockTransport:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/moved":
            return httpx.Response(302, headers={"Location": "http://localhost/x.safetensors"})
        kind = {"Content-Type": "application/octet-stream"}
        return httpx.Response(status, content=content, headers=kind)

    return httpx.MockTransport(answer)


def fetching(site: Site, folder: Path, transport: httpx.MockTransport) -> None:
    """Have the service fetch models over `transport`."""

    async def found(host: str, port: int) -> list[str]:
        return ["127.0.0.1" if host == "localhost" else "93.184.216.34"]

    fetcher = Fetcher(resolve=found, transport=transport)
    models = model_intake(folder, site.service.stores.database, fetcher)
    site.service.stores = replace(site.service.stores, models=models)


async def test_a_model_is_fetched_from_an_allowed_host(site: Site, tmp_path: Path) -> None:
    fetching(site, tmp_path, serving(lora()))
    body = {"url": "https://cdn.models.example/files/style%20one.safetensors?token=x"}
    answer = await site.client.post(MODELS, json=body)
    assert answer.status_code == 201
    model = answer.json()["model"]
    assert (model["name"], model["folder"]) == ("style one.safetensors", "loras")
    later = await site.client.post(MODELS, json=body | {"wait": 0})
    assert later.status_code == 202
    upload = later.json()["upload"]
    url = f"{UPLOADS}/{upload['id']}"
    await site.service.stores.models.fetched(
        await site.service.stores.models.uploads.get("local", upload["id"]), 30
    )
    assert (await site.client.get(url)).json()["upload"]["model"] == model


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://elsewhere.example/x.safetensors", "model_host"),
        ("https://notmodels.example/x.safetensors", "model_host"),
        ("http://models.example/x.safetensors", "model_host"),
        ("https://models.example/x", "model_name"),
        ("file:///etc/passwd", "url_unreadable"),
    ],
)
async def test_other_urls_are_refused(site: Site, url: str, code: str) -> None:
    assert reason(await site.client.post(MODELS, json={"url": url})) == (422, code)


async def test_a_fetch_that_fails_says_why(site: Site, tmp_path: Path) -> None:
    for transport, url, code in (
        (serving(b"", 404), "https://models.example/x.safetensors", "url_unreadable"),
        (serving(b"<html>"), "https://models.example/x.safetensors", "bad_model_file"),
        (serving(lora(rank=40)), "https://models.example/x.safetensors", "too_large"),
        (serving(b""), "https://models.example/moved", "url_refused"),
    ):
        fetching(site, tmp_path, transport)
        body = {"url": url, "filename": "x.safetensors"}
        answer = await site.client.post(MODELS, json=body)
        assert answer.status_code == 202
        shown = answer.json()
        assert (shown["status"], shown["upload"]["error"]["errors"][0]["code"]) == ("failed", code)
    assert nothing_left(tmp_path)
