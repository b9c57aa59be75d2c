"""Whether the ControlNet is gone by: `python -m demo.edges`.

Scenes that neither training nor the choice of anything saw are drawn, half of them of held-out
pairs. Their edges are given to the ControlNet, with a caption that says what is in the picture and
not where, how large or how often; the same caption and seed are drawn without. Says how well the
edges of both agree with those given. Backgrounds are of one color: the tiles of others are in the
same place in every picture, so their edges agree whatever is drawn.
"""

import argparse
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from demo.captions import full_caption
from demo.client import Drawing
from demo.drawing import Picture, draw
from demo.evaluate import AT_ONCE, opened, sheet, text_to_image
from demo.measures import edge_agreement, edges
from demo.scenes import Scene, random_scene
from demo.workflows import WORKFLOWS, Workflow, with_inputs

SCENES, SEED, FIRST_SEED = 24, 20_261, 5000
Pair = tuple[Picture, Picture, Picture]  # given, and drawn with the ControlNet and without


def plain_scene(rng: np.random.Generator, *, held_out: bool) -> Scene:
    while True:
        scene = random_scene(rng, held_out=held_out)
        if scene.background.pattern == "plain":
            return scene


def what_is_in(scene: Scene) -> str:
    return f"{scene.color} {scene.shape} on a {scene.background.color} background"


def controlled(caption: str, picture: str, seed: int) -> Workflow:
    """The example, by the edges of an uploaded picture."""
    workflow = with_inputs(WORKFLOWS["canny_controlnet"](), "2", {"text": caption})
    workflow = with_inputs(workflow, "4", {"image": picture})
    return with_inputs(workflow, "9", {"seed": seed})


def drawn_pairs(service: Drawing, count: int, *, full: bool = False) -> list[Pair]:
    """With `full`, scenes on any background, and captions that say all of them."""
    rng = np.random.default_rng(SEED)
    made, said = (random_scene, full_caption) if full else (plain_scene, what_is_in)
    scenes = [made(rng, held_out=bool(i % 2)) for i in range(count)]
    given = [draw(scene, rng) for scene in scenes]

    def pair(number: int) -> Pair:
        name = service.upload(given[number], f"demo_given_{number}.png")
        caption, seed = said(scenes[number]), FIRST_SEED + number
        bound = service.draw(controlled(caption, name, seed))[0]
        return given[number], bound, service.draw(text_to_image(caption, seed))[0]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(pair, range(count)))


def agreements(pairs: Sequence[Pair]) -> dict[str, float]:
    """Mean F1 at 2 px, with and without."""
    found = [
        (edge_agreement(edges(bound), edges(given)), edge_agreement(edges(free), edges(given)))
        for given, bound, free in pairs
    ]
    bound, free = np.mean(found, axis=0)
    return {"with": float(bound), "without": float(free), "ratio": float(bound / free)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="of a running service; without it, in this process")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--threads", type=int, default=0, help="in this process; 0: all cores")
    parser.add_argument("--scenes", type=int, default=SCENES)
    parser.add_argument("--full", action="store_true", help="captions that say everything")
    parser.add_argument("--sheet", type=Path, help="where to write all pictures, as one PNG")
    given = parser.parse_args()
    with opened(given.url, given.models, given.threads) as service:
        pairs = drawn_pairs(service, given.scenes, full=given.full)
    if given.sheet:
        rows = [picture for row in zip(*pairs, strict=True) for picture in row]
        grid = sheet(rows, given.scenes)
        cv2.imwrite(str(given.sheet), cv2.cvtColor(grid, cv2.COLOR_RGB2BGR))
    print(json.dumps(agreements(pairs), indent=2))


if __name__ == "__main__":
    main()
