"""The pictures of `docs/gallery.md` and the figures of the card: `python -m demo.gallery`."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from demo.client import Drawing, encoded
from demo.drawing import Picture
from demo.evaluate import opened, text_to_image
from demo.measures import darkness, edge_agreement, edges, strokes
from demo.workflows import HOLE, SCENE, STAR, WORKFLOWS, Workflow, inputs

FOLDER = Path("docs/gallery")
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
CONTROLLED_SEEDS = range(8)


def with_inputs(workflow: Workflow, node: str, changes: Mapping[str, Any]) -> Workflow:
    changed = {**workflow[node], "inputs": {**workflow[node]["inputs"], **changes}}
    return {**workflow, node: changed}


def control_figures(service: Drawing) -> dict[str, float]:
    """How well edges agree with those given, with the ControlNet and without."""
    given = edges(inputs()[STAR])
    workflow = WORKFLOWS["canny_controlnet"]()
    prompt = str(workflow["2"]["inputs"]["text"])

    def f1(drawn: Workflow) -> float:
        return edge_agreement(edges(service.draw(drawn)[0]), given)

    seeds = CONTROLLED_SEEDS
    bound = np.mean([f1(with_inputs(workflow, "9", {"seed": seed})) for seed in seeds])
    free = np.mean([f1(text_to_image(prompt, seed)) for seed in seeds])
    return {"edge F1 with": float(bound), "edge F1 without": float(free)}


def lora_figures(service: Drawing) -> dict[str, list[float]]:
    """The statistic of each style at several strengths."""
    found = {}
    for style, statistic in (("night", darkness), ("crayon", strokes)):
        name = f"comfyray-demo-{style}.safetensors"
        found[style] = [
            statistic(
                service.draw(
                    with_inputs(
                        WORKFLOWS["lora"](), "4", {"lora_name": name, "strength_model": strength}
                    )
                )[0]
            )
            for strength in STRENGTHS
        ]
    return found


def inpaint_figures(after: Picture) -> dict[str, float]:
    """Levels by which the picture changed, at most outside of the mask and on average inside."""
    change = np.abs(after.astype(int) - inputs()[SCENE].astype(int))
    outside = np.ones(change.shape[:2], dtype=bool)
    outside[HOLE] = False
    return {"kept within": float(change[outside].max()), "changed by": float(change[HOLE].mean())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="of a running service; without it, in this process")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--threads", type=int, default=0, help="in this process; 0: all cores")
    given = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    with opened(given.url, given.models, given.threads) as service:
        for name, picture in inputs().items():
            service.upload(picture, name)
        pictures = {name: service.draw(made())[0] for name, made in WORKFLOWS.items()}
        figures = {**control_figures(service), **lora_figures(service)}
    for name, picture in pictures.items():
        (FOLDER / f"{name}.png").write_bytes(encoded(picture))
    print(json.dumps({**figures, **inpaint_figures(pictures["inpaint"])}, indent=2))


if __name__ == "__main__":
    main()
