"""Inputs for nodes that nobody knows, as their INPUT_TYPES say: NumPy alone, for any process."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Spec = Any  # of an input, as /object_info has it: [type or choices, options]
TENSORS = ("IMAGE", "MASK", "LATENT", "AUDIO")
PLAIN = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "*", "NUMBER", "INT,FLOAT", "FLOAT,INT")
VALUES = frozenset((*TENSORS, *PLAIN))
# Where text is a number, an expression or a path, any word would do but these are of use.
TEXT = "1"
NUMBERS: Mapping[str, Any] = {"INT": 1, "FLOAT": 1.0, "BOOLEAN": False, "STRING": TEXT}


def kind_of(spec: Spec) -> str:
    return "COMBO" if isinstance(spec[0], list) else str(spec[0])


def is_of_values(entry: Mapping[str, Any]) -> bool:
    """Whether a node's required inputs and its outputs are tensors, numbers and texts."""
    given = {kind_of(spec) for spec in entry["input"].get("required", {}).values()}
    made = {"COMBO" if isinstance(kind, list) else str(kind) for kind in entry["output"]}
    return given | made <= VALUES


def inputs_of(entry: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Ways to call a node, the simplest first; tensors are named by their type, `<IMAGE>`."""
    required, optional = (entry["input"].get(one) or {} for one in ("required", "optional"))
    known = {name: spec for name, spec in optional.items() if kind_of(spec) in VALUES}
    with_defaults = {
        name: spec for name, spec in known.items() if kind_of(spec) not in {*TENSORS, "*"}
    }
    for more in (with_defaults, known, {}):
        found = {name: _value(spec) for name, spec in (required | more).items()}
        if entry["is_input_list"]:
            found = {name: [value] for name, value in found.items()}
        yield found


def _value(spec: Spec) -> Any:
    kind, options = kind_of(spec), spec[1] if len(spec) > 1 else {}
    if kind in TENSORS:
        return f"<{kind}>"
    choices = spec[0] if isinstance(spec[0], list) else options.get("options") or ()
    if kind == "COMBO":
        return options.get("default", choices[0] if choices else "")
    default = options.get("default")
    if default not in (None, ""):
        return default
    return max(options.get("min", 1), 1) if kind == "INT" else NUMBERS.get(kind, 1)


def tensor(name: str) -> NDArray[Any] | dict[str, Any] | None:
    """What `<IMAGE>` and the like stand for; None for any other value."""
    draw = np.random.default_rng(0)
    match name:
        case "<IMAGE>":
            return draw.random((1, 64, 64, 3), dtype=np.float32)
        case "<MASK>":
            return (draw.random((1, 64, 64)) > 0.5).astype(np.float32)
        case "<LATENT>":
            return {"samples": draw.standard_normal((1, 4, 8, 8)).astype(np.float32)}
        case "<AUDIO>":
            wave = draw.standard_normal((1, 2, 44100)).astype(np.float32)
            return {"waveform": wave, "sample_rate": 44100}
    return None


def same(one: Any, other: Any) -> bool:
    """Whether two results are the same, tensors within a thousandth."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        close = one.shape == other.shape and np.allclose(one, other, 1e-3, 1e-3, equal_nan=True)
        return bool(close)
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return False
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, float) and isinstance(other, float):
        return bool(np.isclose(one, other, 1e-3, 1e-6, equal_nan=True))
    return bool(one == other)


def put_files(folder: Path) -> None:
    """A picture and a text, for nodes that read files."""
    from PIL import Image  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    pixels = (np.random.default_rng(1).random((48, 64, 3)) * 255).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "picture.png")
    (folder / "words.txt").write_text("one\ntwo\n")
