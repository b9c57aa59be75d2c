"""The whole application on a real Ray, over HTTP, as a user meets it."""

import base64
import io
import json
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from struct import pack
from typing import Any

import httpx
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).resolve().parents[2]
KIT = ROOT / "tests" / "parity"
EXECUTE = "/api/v7/comfyui/execute"
CASES = (
    "sampler_euler_normal",
    "sampler_euler_ancestral_normal",
    "sampler_dpmpp_2m_karras",
    "sampler_ddim_ddim_uniform",
    "prompt_weights",
    "prompt_long",
    "clip_skip",
    "batch_of_three",
    "img2img",
    "two_outputs",
    "image_ops",
    "vae_separate_tiled",
    "conditioning_area",
    "conditioning_mix",
    "controlnet_advanced_canny",
    "controlnet_basic",
    "custom_sampler",
    "hires_fix",
    "inpaint_noise_mask",
    "inpaint_vae_encode",
    "lora_one",
    "lora_stack",
    "outpaint",
    "rescale_cfg_vpred",
    "sampler_dpmpp_2m_sde_exponential",
    "sampler_dpmpp_sde_karras",
    "sampler_heun_simple",
    "sampler_lcm_sgm_uniform",
    "sampler_lms_beta",
    "sampler_uni_pc_simple",
    "two_stage_advanced",
    "upscale_model",
)
SD3 = "checkpoints/parity_sd3.safetensors"
SD3_PARTS = {  # what they are called in it
    "diffusion_models/split_sd3.safetensors": "model.diffusion_model.",
    "text_encoders/split_clip_l.safetensors": "text_encoders.clip_l.transformer.",
    "text_encoders/split_clip_g.safetensors": "text_encoders.clip_g.transformer.",
    "vae/split_sd3_vae.safetensors": "first_stage_model.",
}
# 6.5 GB, and 10 GB of memory with the service.
FLUX = (
    "diffusion_models/parity_flux_dev.safetensors",
    "diffusion_models/parity_flux_schnell.safetensors",
    "text_encoders/parity_clip_l.safetensors",
    "text_encoders/parity_t5xxl_fp8_e4m3fn.safetensors",
    "vae/parity_ae.safetensors",
)
# By the kit's name for their files.
FAMILY_CASES = {
    "lumina2": ("lumina2",),
    "chroma": ("chroma",),
    "flux2": ("flux2_klein", "flux2_klein_edit", "flux2_lora"),
    "ltxv": ("ltxv_t2v", "ltxv_i2v"),
    "wan": (
        "wan_t2v",
        "wan_t2v_lora_kohya",
        "wan21_i2v",
        "wan22_i2v_two_experts",
        "wan22_ti2v_5b",
        "wan_vace",
        "wan_batch_of_two",
        "wan_first_last_frame",
        "wan_fun_control_tiled",
    ),
    "qwen": (
        "qwen_image",
        "qwen_image_lightning_lora",
        "qwen_edit_one_image",
        "qwen_edit_plus_two_images",
        "qwen_diffsynth_control",
    ),
    "z_image": (
        "z_image_turbo",
        "z_image_cfg_long_prompt",
        "z_image_lora",
        "z_image_odd_cfg_lora",
    ),
}
pytestmark = pytest.mark.cluster


@pytest.fixture
def http(server: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server, timeout=120) as client:
        yield client


def case(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((KIT / "cases" / f"{name}.json").read_text())
    return document


def changed(node_id: str, **inputs: Any) -> dict[str, Any]:
    document = case("sampler_euler_normal")
    document[node_id]["inputs"].update(inputs)
    return document


def run(http: httpx.Client, workflow: dict[str, Any], **fields: Any) -> dict[str, Any]:
    answer = http.post(EXECUTE, json={"workflow": workflow, "wait": 60, **fields})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    while body["status"] == "processing":
        body = http.get(body["fetch_result"]).json()
    return body


def png_bomb(side: int) -> bytes:
    """A small PNG that claims to be `side` pixels square."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return pack(">I", len(data)) + kind + data + pack(">I", zlib.crc32(kind + data))

    header = pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def compare(server: str, cases: tuple[str, ...]) -> None:
    ran = subprocess.run(
        [sys.executable, KIT / "compare.py", server, *cases],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout.splitlines()[-1] == f"{len(cases)} passed, 0 failed", ran.stdout


def test_the_pictures_are_comfyuis(server: str) -> None:
    compare(server, CASES)


def make_models(folder: Path, *names: str) -> None:
    subprocess.run([sys.executable, KIT / "make_models.py", folder, *names], check=True)


def test_the_pictures_of_stable_diffusion_3_are_comfyuis(server: str, parity_models: Path) -> None:
    make_models(parity_models, SD3)
    compare(server, ("sd3_example",))


@pytest.mark.large
def test_the_pictures_of_sdxl_are_comfyuis(server: str, parity_models: Path) -> None:
    make_models(parity_models, "checkpoints/parity_sdxl.safetensors")
    compare(server, ("sdxl_two_prompts",))


@pytest.mark.large
def test_the_pictures_of_flux_are_comfyuis(server: str, parity_models: Path) -> None:
    make_models(parity_models, *FLUX)
    compare(server, ("flux_dev", "flux_schnell"))


@pytest.mark.large
@pytest.mark.parametrize("family", FAMILY_CASES)
def test_the_pictures_of_a_family_are_comfyuis(
    server: str, parity_models: Path, family: str
) -> None:
    make_models(parity_models, family)
    compare(server, FAMILY_CASES[family])


def split(checkpoint: Path, models: Path) -> None:
    """The parts of a Stable Diffusion 3 checkpoint as files of their own."""
    tensors = load_file(checkpoint)
    for name, prefix in SD3_PARTS.items():
        own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        (models / name).parent.mkdir(exist_ok=True)
        save_file(own, models / name)


def run_template(http: httpx.Client, name: str, inputs: dict[str, Any]) -> None:
    """At 64x64, in two steps."""
    template = ROOT / "tests" / "data" / "templates" / f"{name}.json"
    body = run(http, json.loads(template.read_text()), inputs=inputs)
    assert body["status"] == "success", body
    assert (body["outputs"][0]["width"], body["outputs"][0]["height"]) == (64, 64)


@pytest.mark.large
def test_the_template_of_flux_in_split_files_runs(
    server: str, http: httpx.Client, parity_models: Path
) -> None:
    make_models(parity_models, *FLUX)
    names = [Path(name).name for name in FLUX]
    inputs = {
        "12.unet_name": names[0],
        "11": {"clip_name1": names[2], "clip_name2": names[3]},
        "10.vae_name": names[4],
        "27": {"width": 64, "height": 64},
        "31.steps": 2,
    }
    run_template(http, "flux_dev_split", inputs)


@pytest.mark.large
def test_the_template_of_stable_diffusion_35_in_split_files_runs(
    server: str, http: httpx.Client, parity_models: Path
) -> None:
    make_models(parity_models, SD3, *FLUX)
    split(parity_models / SD3, parity_models)
    network, clip_l, clip_g, vae = (Path(name).name for name in SD3_PARTS)
    inputs = {
        "4.unet_name": network,
        "43": {"clip_name1": clip_l, "clip_name2": clip_g, "clip_name3": Path(FLUX[3]).name},
        "44.vae_name": vae,
        "53": {"width": 64, "height": 64},
        "3.steps": 2,
    }
    run_template(http, "sd35_large_split", inputs)


@pytest.mark.parametrize(
    ("workflow", "code"),
    [
        (changed("5", sampler_name="eulr"), "value_not_in_list"),
        (changed("5", steps=0), "value_smaller_than_min"),
        (changed("5", model=["1", 1]), "return_type_mismatch"),
        (changed("5", latent_image=["5", 0]), "dependency_cycle"),
        (changed("1", ckpt_name="sd.safetensors"), "value_not_in_list"),
        ({"1": {"class_type": "SaveImag", "inputs": {}}}, "missing_node_type"),
    ],
)
def test_a_workflow_that_cannot_run_is_a_422_that_says_why(
    http: httpx.Client, workflow: dict[str, Any], code: str
) -> None:
    answer = http.post(EXECUTE, json={"workflow": workflow})
    body = answer.json()
    assert (answer.status_code, body["status"]) == (422, "error")
    assert code in {error["code"] for error in body["errors"]}
    assert body["message"] == body["messege"]
    assert http.get("/healthz").status_code == 200


def test_a_missing_input_is_named(http: httpx.Client) -> None:
    workflow = case("sampler_euler_normal")
    del workflow["5"]["inputs"]["positive"]
    (error,) = http.post(EXECUTE, json={"workflow": workflow}).json()["errors"]
    assert (error["code"], error["node_id"], error["input"]) == (
        "required_input_missing",
        "5",
        "positive",
    )


def test_what_is_not_json_is_a_400(http: httpx.Client) -> None:
    answer = http.post(EXECUTE, content="{nope", headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["status"]) == (400, "error")


def test_an_override_that_matches_nothing_is_a_422(http: httpx.Client) -> None:
    body = {"workflow": case("sampler_euler_normal"), "inputs": {"nobody.text": "x"}}
    answer = http.post(EXECUTE, json=body)
    assert answer.status_code == 422
    assert "nobody.text" in answer.json()["message"]


def test_an_image_bomb_is_refused_before_it_is_decoded(http: httpx.Client) -> None:
    files = {"image": ("bomb.png", png_bomb(60_000), "image/png")}
    name = http.post("/upload/image", files=files).json()["name"]
    workflow = case("image_ops")
    workflow["1"]["inputs"]["image"] = name
    answer = http.post(EXECUTE, json={"workflow": workflow})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (413, "image_too_large")
    assert http.get("/healthz").status_code == 200


def test_two_workflows_at_once_both_come_back_right(http: httpx.Client) -> None:
    def draw(seed: int) -> bytes:
        answer = run(http, changed("5", seed=seed, steps=3))
        return http.get(answer["output"][0]).content

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(draw, (101, 102))
    again = draw(101)
    assert pixels(one) == pixels(again) != pixels(other)


def pixels(png: bytes) -> bytes:
    return Image.open(io.BytesIO(png)).convert("RGB").tobytes()


def test_the_picture_carries_its_workflow(http: httpx.Client) -> None:
    workflow = changed("5", seed=7, steps=2)
    answer = run(http, workflow, inputs={"2.text": "a blue boat"})
    picture = Image.open(io.BytesIO(http.get(answer["output"][0]).content))
    prompt = json.loads(picture.info["prompt"])
    assert prompt["2"]["inputs"]["text"] == "a blue boat"
    assert answer["meta"] == {"seed": {"5": 7}, "overrides": {"2.text": "2"}}


def test_events_tell_every_step_and_the_end(http: httpx.Client) -> None:
    job = http.post(EXECUTE, json={"workflow": changed("5", seed=8, steps=4), "wait": 0}).json()
    seen: list[tuple[str, dict[str, Any]]] = []
    with http.stream("GET", job["events"]) as stream:
        kind = ""
        for line in stream.iter_lines():
            if line.startswith("event:"):
                kind = line.removeprefix("event:").strip()
            if line.startswith("data:"):
                seen.append((kind, json.loads(line.removeprefix("data:"))))
    steps = [data["step"] for kind, data in seen if kind == "progress"]
    assert steps == [1, 2, 3, 4]
    assert seen[0][0] == "queued"
    assert [kind for kind, _ in seen if kind in {"output", "success"}] == ["output", "success"]
    assert seen[-1][1]["outputs"][0]["node_id"] == "7"


def test_a_preview_on_request_is_a_jpeg_of_the_picture(http: httpx.Client) -> None:
    job = run(http, changed("5", seed=314159))
    answer = http.get(f"/api/v7/comfyui/events/{job['id']}?preview=true").text
    (encoded,) = re.findall(r'"data:image/jpeg;base64,([^"]+)"', answer)
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as preview:
        assert (preview.format, preview.size) == ("JPEG", (96, 64))


def test_a_cancelled_job_stops_and_the_next_one_runs(http: httpx.Client) -> None:
    long = changed("5", seed=9, steps=5000)
    job = http.post(EXECUTE, json={"workflow": long, "wait": 0}).json()
    with http.stream("GET", job["events"]) as stream:
        next(line for line in stream.iter_lines() if "progress" in line)
    cancelled = http.post(f"/api/v7/comfyui/cancel/{job['id']}")
    assert cancelled.json()["status"] == "failed"
    assert run(http, changed("5", seed=10, steps=1))["status"] == "success"


def test_what_is_known_is_not_computed_again(http: httpx.Client) -> None:
    workflow = changed("5", seed=11, steps=2)
    run(http, workflow)
    nodes = run(http, workflow)["timings"]["nodes"]
    assert {node["node_id"]: node["cached"] for node in nodes} == {"6": True, "7": False}


HANDLE_CALL = """
import json, sys
import ray
from ray import serve

ray.init(namespace="serve", log_to_driver=False)
handle = serve.get_app_handle("comfyray")
answers = [handle.execute.remote(body).result(timeout_s=120) for body in json.load(sys.stdin)]
print(json.dumps(answers))
"""


def test_another_ray_job_gets_the_same_answer_by_handle(http: httpx.Client, data_dir: Path) -> None:
    works = {"workflow": changed("5", seed=12, steps=1)}
    fails: dict[str, Any] = {"workflow": {}}
    ran = subprocess.run(
        ["sh", "-c", f'. "{data_dir}/ray.env" && "$0" -c "$1"', sys.executable, HANDLE_CALL],
        input=json.dumps([works, fails]),
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=120,
    )
    by_handle, refused = json.loads(ran.stdout.splitlines()[-1])
    over_http = run(http, works["workflow"])
    assert by_handle["status"] == over_http["status"] == "success"
    assert by_handle.keys() == over_http.keys()
    assert by_handle["meta"] == over_http["meta"]
    same = [answer["outputs"][0]["sha256"] for answer in (by_handle, over_http)]
    assert same[0] == same[1]
    assert refused == http.post(EXECUTE, json=fails).json()
