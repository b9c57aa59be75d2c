"""Text to image and its kin: what requests become, and how they are answered."""

from typing import Any

import httpx
import pytest

from tests.api.conftest import PRICES
from tests.hosted.conftest import Hosted, OpenHosted, picture

TEXT = "v6/images/text2img"
IMAGE = "v6/images/img2img"
INPAINT = "v6/images/inpaint"
LENIENT = {
    "key": "k",
    "model_id": "v1-5-pruned",
    "prompt": "a fox",
    "negative_prompt": None,
    "width": "256",
    "height": 320.0,
    "samples": "2",
    "num_inference_steps": "7",
    "guidance_scale": "5.5",
    "seed": "42",
    "safety_checker": "no",
    "scheduler": "EulerDiscreteScheduler",
    "use_karras_sigmas": "no",
    "lora_model": None,
    "webhook": None,
    "track_id": None,
    "who_knows": {"x": 1},
}


async def test_a_lenient_body_becomes_a_workflow(hosted: Hosted) -> None:
    nodes = await hosted.workflow(TEXT, **LENIENT)
    sampler = nodes.one("KSampler")
    assert nodes.one("CheckpointLoaderSimple") == {"ckpt_name": "v1-5-pruned.safetensors"}
    assert nodes.one("EmptyLatentImage") == {"width": 256, "height": 320, "batch_size": 2}
    assert (sampler["seed"], sampler["steps"], sampler["cfg"]) == (42, 7, 5.5)
    assert (sampler["sampler_name"], sampler["scheduler"]) == ("euler", "normal")
    assert nodes.behind(sampler, "positive")[1]["text"] == "a fox"
    assert nodes.behind(sampler, "negative")[1]["text"] == ""


async def test_the_answer_has_the_hosted_envelope(hosted: Hosted) -> None:
    answer = await hosted.post(TEXT, LENIENT | {"lora_model": "ink", "safety_checker": "yes"})
    assert answer["status"] == "success"
    assert isinstance(answer["id"], int)
    assert isinstance(answer["generationTime"], float)
    assert len(answer["output"]) == 2
    assert answer["output"] == answer["proxy_links"] == answer["meta"]["output"]
    wanted = {"W": 256, "H": 320, "steps": 7, "n_samples": 2, "seed": 42, "lora": "ink"}
    assert wanted.items() <= answer["meta"].items()
    assert answer["meta"]["use_karras_sigmas"] == "no"
    assert answer["meta"]["id"] == str(answer["id"])
    assert "safety_checker" in answer["tip"]
    picture = await hosted.client.get(answer["output"][0])
    assert picture.content.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "path", ["v6/images/fetch/{id}", "v7/images/fetch/{id}", "v6/realtime/fetch/{id}"]
)
async def test_a_result_is_fetched_by_path(hosted: Hosted, path: str) -> None:
    answer = await hosted.post(TEXT, LENIENT)
    url = "/api/" + path.format(id=answer["id"])
    posted = (await hosted.client.post(url, json={"key": "k"})).json()
    without_body = (await hosted.client.post(url)).json()
    got = (await hosted.client.get(url)).json()
    assert posted["status"] == without_body["status"] == got["status"] == "success"
    assert len(posted["output"]) == len(got["output"]) == 2


async def test_a_result_is_fetched_by_request_id_in_the_body(hosted: Hosted) -> None:
    answer = await hosted.post(TEXT, LENIENT)
    for request_id in (answer["id"], str(answer["id"])):
        fetched = await hosted.post("v6/images/fetch", {"key": "k", "request_id": request_id})
        assert (fetched["status"], fetched["id"]) == ("success", answer["id"])


async def test_an_unknown_job_is_a_404(hosted: Hosted) -> None:
    for path in ("v6/images/fetch/123", "v7/images/fetch/nope"):
        answer = await hosted.client.post(f"/api/{path}", json={"key": "k"})
        assert (answer.status_code, answer.json()["status"]) == (404, "error")


async def test_an_instant_response_says_where_to_fetch(hosted: Hosted) -> None:
    answer = await hosted.post("v6/realtime/text2img", {"prompt": "x", "instant_response": True})
    assert answer["status"] == "processing"
    assert answer["message"] == answer["messege"]
    assert answer["output"] == []
    assert answer["eta"] > 0
    assert answer["fetch_result"] == f"http://here:8000/api/v6/realtime/fetch/{answer['id']}"
    assert answer["meta"]["prompt"] == "x"
    await hosted.site.ended(answer["id"])
    fetched = (await hosted.client.post(answer["fetch_result"], json={"key": "k"})).json()
    assert fetched["status"] == "success"
    (link,) = answer["future_links"]
    assert link.partition("?")[0] == fetched["output"][0].partition("?")[0]
    assert (await hosted.client.get(link)).status_code == 200


async def test_a_failed_job_is_answered_with_200(hosted: Hosted) -> None:
    answer = await hosted.post(TEXT, {"prompt": "fail"})
    assert (answer["status"], answer["output"]) == ("failed", "")
    assert answer["message"] == answer["messege"] == "The picture does not fit the memory."
    fetched = await hosted.post(f"v6/images/fetch/{answer['id']}")
    assert (fetched["status"], fetched["output"]) == ("failed", "")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "prompt is required"),
        ({"prompt": ""}, "prompt is required"),
        ({"prompt": "x", "width": 16}, "width must be between 64 and 2048"),
        ({"prompt": "x", "height": 511}, "height must be divisible by 8"),
        ({"prompt": "x", "samples": "9"}, "samples must be between 1 and 4"),
        ({"prompt": "x", "guidance_scale": 99}, "guidance_scale must be between 0 and 30"),
        ({"prompt": "x", "model_id": "nope"}, "Model not found: nope"),
        ({"prompt": "x", "lora_model": "ink,nope"}, "Model not found: nope"),
    ],
)
async def test_a_wrong_request_is_a_400_in_the_hosted_words(
    hosted: Hosted, body: dict[str, Any], message: str
) -> None:
    answer = await hosted.client.post(f"/api/{TEXT}", json=body)
    said = answer.json()
    assert (answer.status_code, said["status"]) == (400, "error")
    assert said["message"] == said["messege"] == message


async def test_errors_come_with_200_where_the_site_says_so(open_hosted: OpenHosted) -> None:
    hosted = await open_hosted(errors_as_200=True)
    answer = await hosted.post(TEXT, {})
    assert (answer["status"], answer["message"]) == ("error", "prompt is required")


@pytest.mark.parametrize(
    ("model_id", "file"),
    [
        ("v1-5-pruned.safetensors", "v1-5-pruned.safetensors"),
        ("photo/dream_XL", "photo/dream_XL.safetensors"),
        ("dream_xl", "photo/dream_XL.safetensors"),
        ("midjourney", "photo/dream_XL.safetensors"),
        ("v1-5-inpainting", "v1-5-inpainting.safetensors"),
        (None, "v1-5-pruned.safetensors"),
    ],
)
async def test_a_model_has_several_names(hosted: Hosted, model_id: str | None, file: str) -> None:
    nodes = await hosted.workflow("v7/images/text-to-image", prompt="x", model_id=model_id)
    assert nodes.one("CheckpointLoaderSimple") == {"ckpt_name": file}


@pytest.mark.parametrize(
    ("models", "strengths", "expected"),
    [
        ("ink", None, [("ink.safetensors", 1.0)]),
        ("ink, fog", "0.45,0.55", [("ink.safetensors", 0.45), ("styles/fog.safetensors", 0.55)]),
        (["ink", "fog"], 0.5, [("ink.safetensors", 0.5), ("styles/fog.safetensors", 0.5)]),
    ],
)
async def test_loras_lie_on_the_model_and_the_text_encoder(
    hosted: Hosted, models: Any, strengths: Any, expected: list[tuple[str, float]]
) -> None:
    nodes = await hosted.workflow(
        "v6/images/text-to-image", prompt="x", lora_model=models, lora_strength=strengths
    )
    sampler = nodes.one("KSampler")
    found, here = [], sampler
    while (link := nodes.behind(here, "model"))[0] == "LoraLoader":
        here = link[1]
        found.append((here["lora_name"], here["strength_model"]))
    assert found[::-1] == expected
    prompt = nodes.behind(sampler, "positive")[1]
    assert nodes.behind(prompt, "clip")[1] == nodes.behind(sampler, "model")[1]


async def test_strengths_must_be_as_many_as_loras(hosted: Hosted) -> None:
    body = {"prompt": "x", "lora_model": "ink", "lora_strength": "0.1,0.2"}
    answer = await hosted.client.post(f"/api/{TEXT}", json=body)
    assert answer.status_code == 400
    assert "lora_strength" in answer.json()["message"]


async def test_clip_skip_vae_and_self_attention_are_nodes(hosted: Hosted) -> None:
    nodes = await hosted.workflow(
        TEXT, prompt="x", clip_skip=2, vae="vae-ft-mse", self_attention="yes", lora_model="ink"
    )
    sampler = nodes.one("KSampler")
    kind, skipping = nodes.behind(nodes.behind(sampler, "positive")[1], "clip")
    assert (kind, skipping["stop_at_clip_layer"]) == ("CLIPSetLastLayer", -2)
    assert nodes.behind(skipping, "clip")[0] == "LoraLoader"
    assert nodes.behind(sampler, "model")[0] == "SelfAttentionGuidance"
    assert nodes.behind(nodes.one("VAEDecode"), "vae")[1] == {"vae_name": "vae-ft-mse.safetensors"}


async def test_upscale_makes_twice_the_size_by_a_model(hosted: Hosted) -> None:
    nodes = await hosted.workflow(TEXT, prompt="x", width=256, height=128, upscale="yes")
    kind, scale = nodes.behind(nodes.one("SaveImage"), "images")
    assert (kind, scale["width"], scale["height"]) == ("ImageScale", 512, 256)
    kind, upscale = nodes.behind(scale, "image")
    assert kind == "ImageUpscaleWithModel"
    assert nodes.behind(upscale, "upscale_model")[1] == {
        "model_name": "RealESRGAN_x4plus.safetensors"
    }


@pytest.mark.parametrize(("model_id", "side"), [("dream_XL", 1024), ("v1-5-pruned", 128)])
async def test_a_picture_without_a_size_has_the_models_own(
    open_hosted: OpenHosted, model_id: str, side: int
) -> None:
    hosted = await open_hosted(native_px={"v1-5-pruned.safetensors": 128})
    nodes = await hosted.workflow(TEXT, prompt="x", model_id=model_id)
    canvas = nodes.one("EmptyLatentImage")
    assert (canvas["width"], canvas["height"]) == (side, side)


async def test_highres_fix_composes_in_the_models_own_size(hosted: Hosted) -> None:
    nodes = await hosted.workflow(TEXT, prompt="x", width=1024, height=768, highres_fix=True)
    assert nodes.one("EmptyLatentImage") == {"width": 680, "height": 512, "batch_size": 1}
    kind, refine = nodes.behind(nodes.one("VAEDecode"), "samples")
    assert (kind, refine["denoise"]) == ("KSampler", 0.5)
    kind, larger = nodes.behind(refine, "latent_image")
    assert (kind, larger["width"], larger["height"]) == ("LatentUpscale", 1024, 768)


async def test_an_aspect_ratio_keeps_the_area(hosted: Hosted) -> None:
    nodes = await hosted.workflow("v7/images/text-to-image", prompt="x", aspect_ratio="16:9")
    canvas = nodes.one("EmptyLatentImage")
    assert (canvas["width"], canvas["height"]) == (680, 384)


@pytest.mark.parametrize("given", [picture(), f"data:image/png;base64,{picture()}", [picture()]])
async def test_a_picture_is_sampled_in_its_own_size(hosted: Hosted, given: Any) -> None:
    nodes = await hosted.workflow(IMAGE, prompt="x", init_image=given, strength="0.4", samples=3)
    sampler = nodes.one("KSampler")
    assert sampler["denoise"] == 0.4
    kind, repeated = nodes.behind(sampler, "latent_image")
    assert (kind, repeated["amount"]) == ("RepeatLatentBatch", 3)
    fit = nodes.one("ImageScale")
    assert (fit["width"], fit["height"]) == (96, 64)


async def test_a_picture_may_be_a_link(hosted: Hosted) -> None:
    earlier = await hosted.post(TEXT, LENIENT)
    answer = await hosted.post(IMAGE, {"prompt": "x", "init_image": earlier["output"][0]})
    assert answer["status"] == "success"
    assert answer["meta"]["init_image"] == earlier["output"][0]


async def test_a_picture_that_cannot_be_had_is_a_400(hosted: Hosted) -> None:
    for wrong in ("http://127.0.0.1/x.png", "nowhere.png", "data:image/png;base64,AAAA"):
        body = {"prompt": "x", "init_image": wrong}
        answer = await hosted.client.post(f"/api/{IMAGE}", json=body)
        assert answer.status_code == 400
        assert answer.json()["message"].startswith("init_image ")


async def test_inpainting_paints_where_the_mask_is_white(hosted: Hosted) -> None:
    nodes = await hosted.workflow(
        INPAINT, prompt="x", init_image=picture(), mask_image=picture(), steps=5
    )
    sampler = nodes.one("KSampler")
    assert sampler["steps"] == 5
    assert nodes.one("CheckpointLoaderSimple") == {"ckpt_name": "v1-5-inpainting.safetensors"}
    kind, inpaint = nodes.behind(sampler, "positive")
    assert kind == "InpaintModelConditioning"
    assert nodes.behind(inpaint, "mask")[1]["channel"] == "red"


async def test_base64_gives_pictures_in_the_answer(hosted: Hosted) -> None:
    answer = await hosted.post(TEXT, {"prompt": "x", "base64": "yes"})
    assert answer["output"][0].startswith("iVBOR")


async def test_a_webhook_hears_of_the_end_with_the_track_id(hosted: Hosted) -> None:
    body = {"prompt": "x", "webhook": "http://example.com/hook", "track_id": 7}
    answer = await hosted.post(TEXT, body)
    request: httpx.Request = await hosted.site.received.get()
    assert str(answer["id"]).encode() in request.content
    assert answer["track_id"] == "7"


@pytest.mark.parametrize(
    ("ip_adapter_id", "vision"), [("ip-adapter_sd15", "ViT-H"), ("ip-adapter_sdxl", "bigG")]
)
async def test_an_ip_adapter_changes_the_model(
    hosted: Hosted, ip_adapter_id: str, vision: str
) -> None:
    nodes = await hosted.workflow(
        TEXT,
        prompt="x",
        model_id="dream_XL" if "xl" in ip_adapter_id else "v1-5-pruned",
        ip_adapter_id=ip_adapter_id,
        ip_adapter_image=picture(),
    )
    kind, adapter = nodes.behind(nodes.one("KSampler"), "model")
    assert (kind, adapter["weight"]) == ("IPAdapterAdvanced", 0.6)
    assert nodes.behind(adapter, "ipadapter")[1]["ipadapter_file"].startswith(ip_adapter_id)
    assert vision in nodes.behind(adapter, "clip_vision")[1]["clip_name"]


async def test_what_the_hosted_paths_deliver_is_paid_and_failures_are_free(hosted: Hosted) -> None:
    async def spent() -> float:
        return float((await hosted.client.get("/api/v7/account")).json()["usage"]["spent"])

    body = {"prompt": "a fox", "samples": 3, "width": 64, "height": 64}
    await hosted.post("v6/images/text2img", body)
    assert await spent() == 3 * PRICES.per_output
    await hosted.client.post("/api/v6/images/text2img", json={**body, "prompt": "fail"})
    assert await spent() == 3 * PRICES.per_output
