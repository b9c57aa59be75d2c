"""The workflows in `examples/`: `python -m demo.workflows` writes them, in both formats.

Also writes the pictures that some of them load, which a user uploads first.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from demo.client import encoded
from demo.drawing import SIDE, Picture, draw
from demo.evaluate import CFG, CHECKPOINT, STEPS
from demo.scenes import Background, Scene
from demo.ui_format import to_ui
from graph.nodes import load_node_types

Workflow = dict[str, dict[str, Any]]
Link = list[Any]
EXAMPLES = Path("examples")
SCENE, MASKED, STAR = "demo_scene.png", "demo_scene_masked.png", "demo_star.png"
HOLE = (slice(32, 96), slice(64, 128))  # y and x of what is to be painted anew


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def base(prompt: str, *, clip: Link | None = None) -> Workflow:
    """The model, and the two prompts."""
    read = clip or ["1", 1]
    return {
        "1": node("CheckpointLoaderSimple", ckpt_name=CHECKPOINT),
        "2": node("CLIPTextEncode", clip=read, text=prompt),
        "3": node("CLIPTextEncode", clip=read, text=""),
    }


def sampler(latent: Link, seed: int, **changed: Any) -> dict[str, Any]:
    inputs = {
        "model": ["1", 0],
        "positive": ["2", 0],
        "negative": ["3", 0],
        "latent_image": latent,
        "seed": seed,
        "steps": STEPS,
        "cfg": CFG,
        "sampler_name": "dpmpp_2m",
        "scheduler": "karras",
        "denoise": 1.0,
    }
    return node("KSampler", **{**inputs, **changed})


def empty() -> dict[str, Any]:
    return node("EmptyLatentImage", width=SIDE, height=SIDE, batch_size=1)


def decode(samples: str) -> dict[str, Any]:
    return node("VAEDecode", samples=[samples, 0], vae=["1", 2])


def save(images: str, name: str) -> dict[str, Any]:
    return node("SaveImage", images=[images, 0], filename_prefix=f"demo_{name}")


def text_to_image() -> Workflow:
    return {
        **base("a red circle on a blue background"),
        "4": empty(),
        "5": sampler(["4", 0], 7),
        "6": decode("5"),
        "7": save("6", "text"),
    }


def image_to_image() -> Workflow:
    return {
        **base("a large yellow star in the center on a purple background"),
        "4": node("LoadImage", image=STAR),
        "5": node("VAEEncode", pixels=["4", 0], vae=["1", 2]),
        "6": sampler(["5", 0], 7, denoise=0.8),
        "7": decode("6"),
        "8": save("7", "image"),
    }


def inpaint() -> Workflow:
    """What is transparent in the picture is painted anew."""
    return {
        **base("a red circle on the right on a cyan background"),
        "4": node("LoadImage", image=MASKED),
        "5": node("VAEEncode", pixels=["4", 0], vae=["1", 2]),
        "6": node("SetLatentNoiseMask", samples=["5", 0], mask=["4", 1]),
        "7": sampler(["6", 0], 3),
        "8": decode("7"),
        "9": node(
            "ImageCompositeMasked",
            destination=["4", 0],
            source=["8", 0],
            mask=["4", 1],
            x=0,
            y=0,
            resize_source=False,
        ),
        "10": save("9", "inpaint"),
    }


def outpaint() -> Workflow:
    sides = {"left": 0, "top": 0, "right": 64, "bottom": 0, "feathering": 8}
    return {
        **base("two green squares side by side on a cyan background"),
        "4": node("LoadImage", image=SCENE),
        "5": node("ImagePadForOutpaint", image=["4", 0], **sides),
        "6": node("VAEEncode", pixels=["5", 0], vae=["1", 2]),
        "7": node("SetLatentNoiseMask", samples=["6", 0], mask=["5", 1]),
        "8": sampler(["7", 0], 5),
        "9": decode("8"),
        "10": save("9", "outpaint"),
    }


def canny_controlnet() -> Workflow:
    return {
        **base("a pink star on a black background"),
        "4": node("LoadImage", image=STAR),
        "5": node("Canny", image=["4", 0], low_threshold=0.1, high_threshold=0.3),
        "6": node("ControlNetLoader", control_net_name="comfyray-demo-canny.safetensors"),
        "7": node(
            "ControlNetApplyAdvanced",
            positive=["2", 0],
            negative=["3", 0],
            control_net=["6", 0],
            image=["5", 0],
            strength=1.0,
            start_percent=0.0,
            end_percent=1.0,
            vae=["1", 2],
        ),
        "8": empty(),
        "9": sampler(["8", 0], 11, positive=["7", 0], negative=["7", 1]),
        "10": decode("9"),
        "11": save("10", "canny"),
    }


def _lora(style: str, model: str, clip: Link) -> dict[str, Any]:
    return node(
        "LoraLoader",
        model=[model, 0],
        clip=clip,
        lora_name=f"comfyray-demo-{style}.safetensors",
        strength_model=1.0,
        strength_clip=1.0,
    )


def lora() -> Workflow:
    return {
        **base("a yellow star on a green background", clip=["4", 1]),
        "4": _lora("night", "1", ["1", 1]),
        "5": empty(),
        "6": sampler(["5", 0], 42, model=["4", 0]),
        "7": decode("6"),
        "8": save("7", "night"),
    }


def two_loras() -> Workflow:
    second = _lora("crayon", "4", ["4", 1])
    return {
        **base("a yellow star on a green background", clip=["5", 1]),
        "4": _lora("night", "1", ["1", 1]),
        "5": {**second, "inputs": {**second["inputs"], "strength_model": 0.8}},
        "6": empty(),
        "7": sampler(["6", 0], 42, model=["5", 0]),
        "8": decode("7"),
        "9": save("8", "night_crayon"),
    }


def hires_fix() -> Workflow:
    """Drawn small, enlarged as a latent, and drawn over."""
    enlarged = {"upscale_method": "bicubic", "width": 192, "height": 192, "crop": "disabled"}
    return {
        **base("a large yellow star in the center on a purple background"),
        "4": empty(),
        "5": sampler(["4", 0], 42),
        "6": node("LatentUpscale", samples=["5", 0], **enlarged),
        "7": sampler(["6", 0], 42, denoise=0.3),
        "8": decode("7"),
        "9": save("8", "hires"),
    }


def upscale() -> Workflow:
    return {
        **base("three small blue triangles in a row on a white background"),
        "4": empty(),
        "5": sampler(["4", 0], 42),
        "6": decode("5"),
        "7": node("UpscaleModelLoader", model_name="comfyray-demo-x2.safetensors"),
        "8": node("ImageUpscaleWithModel", upscale_model=["7", 0], image=["6", 0]),
        "9": save("8", "upscaled"),
    }


WORKFLOWS: Mapping[str, Callable[[], Workflow]] = {
    made.__name__: made
    for made in (
        text_to_image,
        image_to_image,
        inpaint,
        outpaint,
        canny_controlnet,
        lora,
        two_loras,
        hires_fix,
        upscale,
    )
}


def with_inputs(workflow: Workflow, key: str, changes: Mapping[str, Any]) -> Workflow:
    changed = {**workflow[key], "inputs": {**workflow[key]["inputs"], **changes}}
    return {**workflow, key: changed}


def inputs() -> dict[str, Picture]:
    """The pictures that workflows load, by name."""
    rng = np.random.default_rng(0)
    scene = draw(Scene("square", "green", Background("cyan"), place="left"), rng)
    star = draw(Scene("star", "orange", Background("blue"), size="large"), rng)
    masked = cv2.cvtColor(scene, cv2.COLOR_RGB2BGRA)
    masked[*HOLE, 3] = 0  # a mask is what is transparent
    return {SCENE: scene, STAR: star, MASKED: masked.astype(np.uint8)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=EXAMPLES)
    folder: Path = parser.parse_args().folder
    node_types = load_node_types()
    for name, made in WORKFLOWS.items():
        (folder / f"{name}.json").write_text(compact(made()))
        ui = to_ui(made(), node_types)
        (folder / f"{name}.ui.json").write_text(json.dumps(ui, indent=1) + "\n")
    (folder / "input").mkdir(exist_ok=True)
    for name, picture in inputs().items():
        (folder / "input" / name).write_bytes(encoded(picture))


def compact(workflow: Workflow) -> str:
    """JSON with a line per node."""
    lines = [f'  "{key}": {json.dumps(value)}' for key, value in workflow.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    main()
