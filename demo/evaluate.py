"""How well prompts are followed: `python -m demo.evaluate`.

Captions of scenes that training never saw are drawn by the served stages, in 20 steps of dpmpp_2m
on karras' schedule at CFG 5, one seed each, and looked at by the judge. Says for each attribute in
how many of the pictures it is as the caption says.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from demo.captions import full_caption
from demo.client import Drawing, Service
from demo.drawing import Picture, draw
from demo.in_process import in_process
from demo.judge import agreement, judge
from demo.scenes import Scene, random_scene

CAPTIONS, SEED = 200, 77
STEPS, CFG = 20, 5.0
TARGETS = {"color": 0.95, "shape": 0.85, "background": 0.90, "count": 0.70, "place": 0.70}
CHECKPOINT = "comfyray-demo.safetensors"
AT_ONCE = 16


def held_out_scenes(count: int) -> list[Scene]:
    """The scenes of the evaluation, always the same."""
    rng = np.random.default_rng(SEED)
    return [random_scene(rng, held_out=True) for _ in range(count)]


def text_to_image(
    prompt: str, seed: int, *, cfg: float = CFG, steps: int = STEPS
) -> dict[str, Any]:
    """The workflow in API format."""
    sampler = {"seed": seed, "steps": steps, "cfg": cfg, "sampler_name": "dpmpp_2m"}
    links = {
        "model": ["1", 0],
        "positive": ["2", 0],
        "negative": ["3", 0],
        "latent_image": ["4", 0],
    }
    return {
        "1": _node("CheckpointLoaderSimple", ckpt_name=CHECKPOINT),
        "2": _node("CLIPTextEncode", clip=["1", 1], text=prompt),
        "3": _node("CLIPTextEncode", clip=["1", 1], text=""),
        "4": _node("EmptyLatentImage", width=128, height=128, batch_size=1),
        "5": _node("KSampler", **sampler, **links, scheduler="karras", denoise=1.0),
        "6": _node("VAEDecode", samples=["5", 0], vae=["1", 2]),
        "7": _node("SaveImage", images=["6", 0], filename_prefix="demo"),
    }


def _node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def drawn_by(service: Drawing, scenes: Sequence[Scene]) -> list[Picture]:
    def one(numbered: tuple[int, Scene]) -> Picture:
        seed, scene = numbered
        return service.draw(text_to_image(full_caption(scene), seed))[0]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, enumerate(scenes)))


def opened(url: str | None, models: Path, threads: int) -> AbstractContextManager[Drawing]:
    """What draws: a running service, or its stages in this process."""
    return nullcontext(Service(url)) if url else in_process(models, threads=threads)


def scores(scenes: Sequence[Scene], pictures: Iterable[Picture]) -> dict[str, float]:
    """For each attribute the share of pictures in which it is right."""
    found = [agreement(s, judge(p)) for s, p in zip(scenes, pictures, strict=True)]
    return {name: float(np.mean([each[name] for each in found])) for name in TARGETS}


def judged_alone(scenes: Sequence[Scene]) -> dict[str, float]:
    """What the judge finds in pictures of the same scenes that were drawn, not sampled."""
    rng = np.random.default_rng(SEED)
    return scores(scenes, [draw(scene, rng) for scene in scenes])


def sheet(pictures: Sequence[Picture], columns: int = 20) -> Picture:
    """Pictures in rows."""
    side = pictures[0].shape[0]
    blank = np.zeros_like(pictures[0])
    padded = [*pictures, *[blank] * (-len(pictures) % columns)]
    grid = np.stack(padded).reshape(-1, columns, side, side, 3)
    return np.concatenate([np.concatenate(list(row), axis=1) for row in grid], axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="of a running service; without it, in this process")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--threads", type=int, default=0, help="in this process; 0: all cores")
    parser.add_argument("--captions", type=int, default=CAPTIONS)
    parser.add_argument("--sheet", type=Path, help="where to write all pictures, as one PNG")
    given = parser.parse_args()
    scenes = held_out_scenes(given.captions)
    with opened(given.url, given.models, given.threads) as service:
        pictures = drawn_by(service, scenes)
    if given.sheet:
        cv2.imwrite(str(given.sheet), cv2.cvtColor(sheet(pictures), cv2.COLOR_RGB2BGR))
    found = scores(scenes, pictures)
    print(
        json.dumps({"judge": judged_alone(scenes), "scores": found, "targets": TARGETS}, indent=2)
    )
    missed = [name for name, least in TARGETS.items() if found[name] < least]
    print("missed: " + ", ".join(missed) if missed else "all targets are met")


if __name__ == "__main__":
    main()
