"""What the editor asks about the server, and the models that it lists."""

import pytest

from tests.api.conftest import Site


@pytest.mark.parametrize("prefix", ["", "/api"])
@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/users", dict),
        ("/features", dict),
        ("/extensions", list),
        ("/i18n", dict),
        ("/global_subgraphs", dict),
        ("/node_replacements", dict),
        ("/models", list),
        ("/embeddings", list),
        ("/experiment/models", list),
        ("/internal/logs", str),
        ("/internal/logs/raw", dict),
        ("/internal/files/input", list),
        ("/internal/folder_paths", dict),
    ],
)
async def test_each_answer_has_the_shape_that_editors_read(
    site: Site, prefix: str, path: str, kind: type
) -> None:
    answer = await site.client.get(prefix + path)
    assert answer.status_code == 200
    assert isinstance(answer.json(), kind)


async def test_a_device_and_versions_are_told(site: Site) -> None:
    stats = (await site.client.get("/system_stats")).json()
    assert stats["devices"][0]["vram_total"] > 0
    assert stats["system"]["comfyui_version"].count(".") == 2
    assert stats["system"]["argv"]


async def test_models_are_listed_by_folder_and_an_unknown_one_is_missing(site: Site) -> None:
    assert "checkpoints" in (await site.client.get("/models")).json()
    assert (await site.client.get("/models/checkpoints")).status_code == 200
    assert (await site.client.get("/experiment/models/checkpoints")).status_code == 200
    for path in ("/models/no_such", "/experiment/models/no_such"):
        assert (await site.client.get(path)).status_code == 404
    picture = "/experiment/models/preview/checkpoints/0/x.safetensors"
    assert (await site.client.get(picture)).status_code == 404


async def test_memory_may_be_asked_back(site: Site) -> None:
    assert (await site.client.post("/free", json={"unload_models": True})).content == b""
