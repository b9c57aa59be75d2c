"""Whatever a body says, an endpoint answers it, and never with a fault of ours."""

import json
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from api.hosted.routes import FAMILIES
from tests.hosted.conftest import Hosted, picture

PATHS = [path for family in FAMILIES for path in (*family.paths, *family.older)]
NUMBERS = [1, "1", 0, -1, 8, "64", 64.0, "512", 1e300, "x", True, [], {}, None, "", 2**70, "2,3"]
TEXTS = ["a fox", "", None, 5, ["a", "b"], {"a": 1}, "\ud800", "\x00", "a" * 5000]
FLAGS = [True, False, "yes", "no", "true", "false", 1, 0, None, "", "maybe", [], "2"]
PICTURES: list[Any] = [
    picture(),
    "data:image/png;base64," + picture(),
    [picture()],
    "nope.png",
    None,
    7,
    {},
]
MODELS = [
    "v1-5-pruned",
    "midjourney",
    "nope",
    "../../etc/passwd",
    "",
    None,
    3,
    ["ink", "fog"],
    "ink,fog",
]
CONTROLS = ["canny", "canny,scribble", "inpaint", ["tile"], "depth", "qrcode", "nope", None, 4]
POOLS: dict[str, list[Any]] = {
    **dict.fromkeys(("prompt", "negative_prompt", "track_id", "scheduler", "vae"), TEXTS),
    **dict.fromkeys(("width", "height", "samples", "seed", "num_inference_steps"), NUMBERS),
    **dict.fromkeys(("guidance_scale", "strength", "clip_skip", "lora_strength"), NUMBERS),
    **dict.fromkeys(("scale", "overlap_width", "upscale", "steps"), NUMBERS),
    **dict.fromkeys(("controlnet_conditioning_scale", "ip_adapter_scale"), NUMBERS),
    **dict.fromkeys(("base64", "highres_fix", "auto_hint", "guess_mode", "temp"), FLAGS),
    **dict.fromkeys(("self_attention", "use_karras_sigmas", "safety_checker"), FLAGS),
    **dict.fromkeys(("init_image", "mask_image", "image", "control_image"), PICTURES),
    **dict.fromkeys(("ip_adapter_image", "base64_string"), PICTURES),
    **dict.fromkeys(("model_id", "lora_model", "ip_adapter_id"), MODELS),
    **dict.fromkeys(("controlnet_model", "controlnet_type"), CONTROLS),
    "aspect_ratio": ["16:9", "0:1", "99:1", None, 7],
}
GOOD = {"prompt": "a fox", "init_image": picture(), "mask_image": picture(), "image": picture()}


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    """A few fields changed in a body that is otherwise good."""
    names = draw(st.lists(st.sampled_from(sorted(POOLS)), max_size=5, unique=True))
    return GOOD | {name: draw(st.sampled_from(POOLS[name])) for name in names}


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(path=st.sampled_from(PATHS), body=bodies())
@example(path="/api/v6/images/text2img", body=GOOD | {"track_id": "\ud800"})
@example(path="/api/v6/images/text2img", body=GOOD | {"webhook": "http://a.example/\ud800"})
async def test_no_body_is_a_fault_of_ours(hosted: Hosted, path: str, body: dict[str, Any]) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await hosted.client.post(path, content=json.dumps(body), headers=headers)
    said = answer.json()
    assert answer.status_code in {200, 400, 413, 501}, said
    assert said["status"] in ({"success"} if answer.status_code == 200 else {"error"}), said
    if answer.status_code == 400:
        assert said["errors"][0]["code"] in {"invalid_field", "missing_field", "model_not_found"}
