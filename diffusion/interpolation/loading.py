"""Frame interpolation networks from their files, told by their tensors."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch

from diffusion.interpolation.film import Film
from diffusion.interpolation.rife import Rife, shape_of
from diffusion.networks.filling import copied, fill, size_of
from diffusion.weights import Weights

BEFORE = re.compile(r"^(module\.|flownet\.)+")
BLOCK = re.compile(r"^blocks\.(\d+)\.")
FOR_TRAINING = ("teacher.", "caltime.")
FILMS_MARK = re.compile(r"^extract\.extract_sublevels\.convs\.0\.0\.(conv|0)\.weight$")
LAST_OF_FLOW = "predict_flow._predictor._convs.4"
SHOWN = 3


@dataclass(frozen=True, eq=False)
class LoadedInterpolator:
    """A network that draws frames, ready to run.

    `knows_time` is False for the first file of FILM, which draws the middle whatever is asked.
    """

    network: Rife | Film
    device: torch.device
    dtype: torch.dtype
    size: int  # bytes
    knows_time: bool = True


def load_interpolator(
    weights: Weights, *, device: torch.device, dtype: torch.dtype = torch.float32
) -> LoadedInterpolator:
    """Raises BadModelFile: it is neither RIFE nor FILM, or is damaged."""
    if any(map(FILMS_MARK.match, weights)):
        keys = film_keys(weights)
        knows_time = f"{LAST_OF_FLOW}.weight" not in weights
    else:
        keys, knows_time = rife_keys(weights), True
    with torch.device("meta"):
        network = _network(weights, keys)
    wanted = dict(network.named_parameters())
    tensors = {
        name: copied(weights[key], dtype, device) for name, key in keys.items() if name in wanted
    }
    fill(network, weights, tensors)
    return LoadedInterpolator(network, device, dtype, size_of(network), knows_time)


def _network(weights: Weights, keys: Mapping[str, str]) -> Rife | Film:
    if any(map(FILMS_MARK.match, weights)):
        return Film()
    shape = shape_of({name: weights.shape(key) for name, key in keys.items()})
    if shape is None or min(shape.carried, shape.extra) < 0 or max(shape.widths) % 2:
        listed = ", ".join(sorted(weights)[:SHOWN])
        problem = (
            "it is no frame interpolation model that is served (RIFE 4.0 to 4.26, FILM); "
            f"found {len(weights)} tensors such as {listed}"
        )
        raise weights.bad(problem=problem)
    return Rife(shape)


def rife_keys(names: Iterable[str]) -> dict[str, str]:
    """The authors' names -> those in a file."""
    plain = {BLOCK.sub(r"block\1.", BEFORE.sub("", name)): name for name in names}
    return {name: key for name, key in plain.items() if not name.startswith(FOR_TRAINING)}


def film_keys(names: Iterable[str]) -> dict[str, str]:
    """ComfyUI's names -> those in a file, where a layer is `.conv`, `.0` or by itself."""
    return {film_name(name): name for name in names}


def film_name(key: str) -> str:
    layer, _, kind = key.rpartition(".")
    if not re.fullmatch(r".*convs\.\d+.*", layer) or layer.endswith(".conv"):
        return key
    if "extract_sublevels" in layer:
        plain = re.sub(r"^(.*convs\.\d+\.\d+)\.0$", r"\1", layer)
    elif layer.startswith("fuse."):
        plain = re.sub(r"^(fuse\.convs\.\d+\.\d+)\.0$", r"\1", layer)
    else:
        plain = re.sub(r"^(.*\._convs\.\d+)\.0$", r"\1", layer)
    return f"{plain}.conv.{kind}"
