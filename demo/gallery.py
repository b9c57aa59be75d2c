"""The pictures of `docs/gallery.md` and the figures of the card: `python -m demo.gallery`."""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from demo.client import Drawing, encoded
from demo.drawing import Picture
from demo.evaluate import opened
from demo.measures import darkness, strokes
from demo.workflows import HOLE, SCENE, WORKFLOWS, inputs, with_inputs

FOLDER = Path("docs/gallery")
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)


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
        figures: dict[str, Any] = {**lora_figures(service)}
    for name, picture in pictures.items():
        (FOLDER / f"{name}.png").write_bytes(encoded(picture))
    print(json.dumps({**figures, **inpaint_figures(pictures["inpaint"])}, indent=2))


if __name__ == "__main__":
    main()
