"""Model lists, counts, and what is not served."""

import pytest

from api.hosted.catalog import stem
from tests.hosted.conftest import ALIASES, Hosted, picture
from tests.hosted.model_files import FILES

CHECKPOINTS = {
    stem(name.removeprefix("checkpoints/")) for name in FILES if name.startswith("checkpoints/")
}


async def test_the_model_list_is_a_bare_list_of_names_to_use(hosted: Hosted) -> None:
    answer = await hosted.client.post("/api/v4/dreambooth/model_list", json={"key": "k"})
    models = answer.json()
    names = {model["model_id"] for model in models}
    assert names == CHECKPOINTS | ALIASES["checkpoints"].keys()
    assert {model["status"] for model in models} == {"model_ready"}
    for name in names:
        nodes = await hosted.workflow("v6/images/text2img", prompt="x", model_id=name)
        assert nodes.one("CheckpointLoaderSimple")["ckpt_name"].endswith(".safetensors")


async def test_the_request_count_is_of_what_waits_or_runs(hosted: Hosted) -> None:
    await hosted.post("v6/images/text2img", {"prompt": "x"})
    counted = await hosted.post("v6/processing/request_count")
    assert (counted["status"], counted["processing_count"]) == ("success", 0)
    assert await hosted.post("v3/system_load") == {
        "queue_num": 0,
        "queue_time": 0,
        "status": "ok",
    }


async def test_a_model_is_ready_or_not_found(hosted: Hosted) -> None:
    answer = await hosted.post("v6/images/model_reload", {"model_id": "midjourney"})
    assert answer["message"] == "photo/dream_XL.safetensors is ready"
    missing = await hosted.client.post("/api/v6/images/model_reload", json={"model_id": "nope"})
    assert (missing.status_code, missing.json()["message"]) == (400, "Model not found: nope")


async def test_base64_becomes_a_url(hosted: Hosted) -> None:
    for path, name in (
        ("base64_to_url", "base64_string"),
        ("image_editing/base64_to_url", "image"),
    ):
        answer = await hosted.post(f"v6/{path}", {name: picture()})
        assert (await hosted.client.get(answer["output"][0])).status_code == 200


async def test_a_deleted_request_leaves_nothing(hosted: Hosted) -> None:
    answer = await hosted.post("v6/images/text2img", {"prompt": "x"})
    deleted = await hosted.post("v3/delete_image", {"request_id": answer["id"], "type": "image"})
    assert (deleted["status"], deleted["messege"]) == ("success", "image deleted")
    assert (await hosted.client.get(answer["output"][0])).status_code == 404
    again = await hosted.client.post("/api/v3/delete_image", json={"request_id": answer["id"]})
    assert again.status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "v6/video/scene_maker",
        "v7/video-fusion/lip-sync",
        "v6/deepfake/single_video_swap",
        "v6/image_editing/removebg_mask",
        "v6/3d/text_to_3d",
        "v7/voice/text-to-speech",
        "v7/llm/chat/completions",
        "v3/lora_fine_tune",
        "v1/enterprise/text2img",
        "v1/workflows",
        "v7/images/controlnet",
        "wallet_balance",
    ],
)
async def test_what_is_not_served_says_so(hosted: Hosted, path: str) -> None:
    answer = await hosted.client.post(f"/api/{path}", json={"key": "k"})
    said = answer.json()
    assert (answer.status_code, said["status"]) == (501, "error")
    assert said["message"] == said["messege"] == f"POST /api/{path} is not served here."


async def test_unknown_routes_of_our_own_stay_unknown(hosted: Hosted) -> None:
    assert (await hosted.client.get("/api/v7/comfyui/nope")).status_code == 404
    assert (await hosted.client.get("/api/nope")).status_code == 404


async def test_a_wrong_method_is_a_405(hosted: Hosted) -> None:
    answer = await hosted.client.get("/api/v6/images/text2img")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    answer = await hosted.client.delete("/api/v6/images/fetch/12")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
