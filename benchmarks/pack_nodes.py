"""Runs the nodes of custom node packs as they are: `python -m benchmarks.pack_nodes FOLDER`.

Each pack of the folder is loaded in a confined process, and each node of tensors, numbers and texts
is called with made-up inputs. With `--comfyui` a checkout of ComfyUI calls the same nodes in its
own process: what runs there alone is a fault of the host's, and results are compared. Nothing is
fetched: the packs, and an interpreter that has what they need, are the caller's.
"""

import argparse
import asyncio
import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.made_up_inputs import inputs_of, is_of_values, put_files, same, tensor
from deployments.pack_arrays import array_of, parts_of
from deployments.pack_types import pack_type
from deployments.transport import Array
from graph.nodes import load_node_types
from graph.object_info import ObjectInfo
from graph.values import Audio, Items, Latent
from packs.allowed import copy_allowed
from packs.confinement.confine import Confinement
from packs.errors import CallLostError, PackEndedError, PackRefusedError, PackResultError
from packs.process import OURS, ROOT, PackProcess, Starting
from packs.results import ResultReader
from packs.travel import Traveller
from packs.tree_hash import tree_hash

NEEDED_SHARE = 0.9
CALL_S = 60
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}  # as packs have it here


class NoFiles:
    """No model files and no uploads."""

    def models(self, folder: str) -> list[str]:
        del folder
        return []

    def uploads(self, kind: str) -> list[str]:
        del kind
        return []


@dataclass
class Tried:
    """What the nodes of a pack did: the way each was called that worked, and what it gave."""

    name: str
    nodes: int = 0
    undescribed: Mapping[str, str] = field(default_factory=dict)
    entries: dict[str, Any] = field(default_factory=dict)  # of nodes of values
    ways: dict[str, int] = field(default_factory=dict)
    results: dict[str, list[Any]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


class Pack:
    """One pack in a process, started anew where it ends."""

    def __init__(self, folder: Path, python: str, scratch: Path, *, processes: bool) -> None:
        core = dict(ObjectInfo(load_node_types(), NoFiles()))
        copy = copy_allowed(folder.parent, folder.name, tree_hash(folder), scratch)
        readable = tuple(str(ROOT / one) for one in OURS)
        limits = Confinement(readable, (), 8 * 2**30, 2**30, processes=processes)
        start = {"core": core, "models_dir": str(scratch / "models"), "model_folders": {}}
        self._how = Starting(
            folder.name, copy, scratch, start, limits, python=python, load_s=600
        )  # fmt: skip
        self._process: PackProcess | None = None
        self._traveller = Traveller(folder.name, "one", parts_of, array_of)

    async def process(self) -> PackProcess:
        if self._process is None or self._process.ended is not None:
            self._process = PackProcess(self._how)
            await self._process.start()
            put_files(self._how.scratch / "input")
        return self._process

    async def described(self) -> Mapping[str, Any]:
        return (await (await self.process()).call("describe", {}, deadline_s=300)).said

    async def run(self, one: Mapping[str, Any], inputs: Mapping[str, Any]) -> list[Any]:
        """What a node gives. Raises what it raised as ValueError."""
        encoder = self._traveller.encoder()
        given = {
            name: self._traveller.encode(encoder, _given(value)) for name, value in inputs.items()
        }
        name = one["entry"]["name"]
        said = {
            "class": name, "owner": "me", "node": "1", "inputs": given,
            "prompt": {"1": {"class_type": name, "inputs": {}}},
            "extra": {"workflow": {"nodes": [], "links": []}},
        }  # fmt: skip
        process = await self.process()
        message = await process.call("run", said, encoder.buffers, deadline_s=CALL_S)
        if "error" in message.said:
            raise ValueError(message.said["error"])
        reader = ResultReader(self._how.pack, pack_type(self._how.pack, one), self._traveller)
        found, count = reader.read(message), len(one["entry"]["output"])
        return [_plain(value) for value in (found if count > 1 else (found,)[:count])]

    def end(self) -> None:
        if self._process is not None:
            self._process.end("was tried")


def _given(value: Any) -> Any:
    """An input as the service has it."""
    if isinstance(value, list):
        return [_given(one) for one in value]
    made = tensor(value) if isinstance(value, str) else None
    if isinstance(made, dict):
        if "samples" in made:
            return Latent(Array(made["samples"], "float32"))
        return Audio(Array(made["waveform"], "float32"), made["sample_rate"])
    return value if made is None else Array(made, "float32")


def _plain(value: Any) -> Any:
    """A result as benchmarks/comfyui_nodes.py has it."""
    match value:
        case Array():
            found: Any = value.data.astype(np.float32)
        case Latent(samples, mask):
            extra = {} if mask is None else {"noise_mask": _plain(mask)}
            found = {"samples": _plain(samples), **extra}
        case Audio(waveform, rate):
            found = {"waveform": _plain(waveform), "sample_rate": rate}
        case dict():
            found = {str(name): _plain(one) for name, one in value.items()}
        case list() | tuple() | Items():
            parts = value.values if isinstance(value, Items) else value
            found = [_plain(one) for one in parts]
        case bool() | int() | float() | str() | None:
            found = value
        case _:
            found = f"<{type(value).__name__}>"
    return found


async def tried(pack: Pack, name: str) -> Tried:
    """What each node of values did."""
    said = await pack.described()
    found = Tried(name, len(said["nodes"]), said["undescribed"])
    for one in said["nodes"]:
        if not is_of_values(one["entry"]):
            continue
        node = one["entry"]["name"]
        found.entries[node] = one["entry"]
        for k, inputs in enumerate(inputs_of(one["entry"])):
            try:
                found.results[node], found.ways[node] = await pack.run(one, inputs), k
            except (ValueError, PackEndedError, PackResultError, CallLostError) as error:
                found.problems.setdefault(node, str(error).replace("\n", " ")[:300])
            else:
                found.problems.pop(node, None)
                break
    return found


def in_comfyui(
    packs: Mapping[Path, Tried], comfyui: Path, python: str
) -> dict[str, dict[str, Any]]:
    """What ComfyUI gives for the same nodes, by pack: called as it worked here, or in every way."""
    asked: dict[str, Any] = {}
    for folder, found in packs.items():
        asked[str(folder)] = {}
        for node, entry in found.entries.items():
            ways = list(inputs_of(entry))
            worked = [ways[found.ways[node]]] if node in found.ways else ways
            asked[str(folder)][node] = worked
    with tempfile.TemporaryDirectory() as scratch:
        question, answer = Path(scratch, "asked.json"), Path(scratch, "answered.pickle")
        question.write_text(json.dumps(asked))
        where = map(str, (comfyui.resolve(), question, answer))
        words = [python, "-m", "benchmarks.comfyui_nodes", *where]
        paths = filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))
        environment = {**os.environ, **OFFLINE, "PYTHONPATH": os.pathsep.join(paths)}
        ended = subprocess.run(
            words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        if ended.returncode:
            print(ended.stderr[-4000:])
        return dict(pickle.loads(answer.read_bytes())) if answer.exists() else {}


def report(found: Tried, theirs: Mapping[str, Any] | None) -> None:
    """Print what there was to see."""
    count, ran = len(found.entries), len(found.results)
    print(f"{found.name}: {found.nodes} nodes described, {len(found.undescribed)} not; ", end="")
    print(f"{count} of values, {ran} ran", flush=True)
    if theirs is None:
        for node, problem in sorted(found.problems.items()):
            print(f"   did not run: {node}: {problem}")
        return
    there = {node: one["results"] for node, one in theirs.items() if "results" in one}
    faults = [node for node in found.problems if node in there]
    both = [node for node in found.results if node in there]
    steady = [node for node in both if same(*there[node])]
    differing = [node for node in steady if not same(found.results[node], there[node][0])]
    print(f"   ComfyUI runs {len(there)} of them, {len(both) - len(steady)} at random; ", end="")
    print(f"{len(steady) - len(differing)} of {len(steady)} give the same")
    for node in faults:
        print(f"   runs in ComfyUI alone: {node}: {found.problems[node]}")
    for node in differing:
        print(f"   differs: {node}: {_short(found.results[node])} | {_short(there[node][0])}")
    for node in sorted(found.problems.keys() - there.keys()):
        problem = theirs.get(node, {}).get("problem", "")
        print(f"   runs in neither: {node}: {found.problems[node]} | {problem}")


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{list(value.shape)} {value.mean():.4g}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_short, value[:4])) + "]"
    return repr(value)[:80]


async def all_tried(given: argparse.Namespace) -> bool:
    """Every pack of the folder, or those that are named."""
    packs: dict[Path, Tried] = {}
    refused = False
    for folder in sorted(one.resolve() for one in given.folder.iterdir() if one.is_dir()):
        if given.only and folder.name not in given.only:
            continue
        with tempfile.TemporaryDirectory() as scratch:
            pack = Pack(folder, given.python, Path(scratch), processes=given.processes)
            try:
                packs[folder] = await tried(pack, folder.name)
            except PackRefusedError as error:
                print(f"{folder.name}: {error}")
                refused = True
            finally:
                pack.end()
        if given.comfyui is None and folder in packs:
            report(packs[folder], None)
    if given.comfyui is None:
        return not refused and all(map(is_enough, packs.values()))
    theirs = await asyncio.to_thread(in_comfyui, packs, given.comfyui, given.comfyui_python)
    for folder, found in packs.items():
        report(found, theirs.get(str(folder), {}))
    known = {folder: theirs.get(str(folder)) for folder in packs}
    return not refused and all(is_enough(packs[folder], one) for folder, one in known.items())


def is_enough(found: Tried, theirs: Mapping[str, Any] | None = None) -> bool:
    """Whether nine of ten nodes ran; of those that ComfyUI runs, where that is known."""
    if theirs is None:
        return len(found.results) >= NEEDED_SHARE * len(found.entries)
    faults = sum("results" in theirs.get(node, {}) for node in found.problems)
    return len(found.entries) - faults >= NEEDED_SHARE * len(found.entries)


def main() -> int:
    """1 where a pack does not load, or of one less than nine of ten nodes ran."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="of packs, each in a folder")
    parser.add_argument("--python", default=sys.executable, help="that has what the packs need")
    parser.add_argument("--comfyui", type=Path, help="a checkout of ComfyUI")
    parser.add_argument("--comfyui-python", default=sys.executable)
    parser.add_argument("--only", action="append", help="the name of a pack")
    parser.add_argument("--processes", action="store_true", help="let packs start programs")
    return 0 if asyncio.run(all_tried(parser.parse_args())) else 1


if __name__ == "__main__":
    sys.exit(main())
