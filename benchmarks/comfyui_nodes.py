"""Runs nodes of packs in ComfyUI's own process: what benchmarks/pack_nodes.py compares with.

    <ComfyUI's python> -m benchmarks.comfyui_nodes COMFYUI ASKED ANSWERED

ASKED is JSON, folders of packs, their node types, ways to call each; ANSWERED a pickle of what each
gave, run twice, so that nodes that draw at random are seen.
"""

import asyncio
import importlib
import json
import os
import pickle
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.made_up_inputs import put_files, tensor

CALL_S = 60  # of a node, twice


def loaded(comfyui: Path, packs: Iterable[Path]) -> Any:
    """ComfyUI's `nodes`, with those of the packs."""
    base = Path(tempfile.mkdtemp())
    for name in ("input", "output", "temp", "user", "custom_nodes", "models"):
        (base / name).mkdir()
    put_files(base / "input")
    (base / "front").mkdir()
    (base / "front" / "index.html").write_text("")
    front = ("--front-end-root", str(base / "front"))
    sys.argv = ["main.py", "--cpu", "--base-directory", str(base), *front]
    sys.path.insert(0, str(comfyui))
    os.chdir(comfyui)
    importlib.import_module("utils.install_util")  # before another module of that name
    importlib.import_module("comfy.options").enable_args_parsing()
    nodes, server = importlib.import_module("nodes"), importlib.import_module("server")
    importlib.import_module("execution")
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    server.PromptServer(loop)
    loop.run_until_complete(nodes.init_builtin_extra_nodes())
    for pack in packs:
        copy = shutil.copytree(pack, base / "custom_nodes" / pack.name, symlinks=True)
        loop.run_until_complete(nodes.load_custom_node(str(copy)))
    return nodes


def given(value: Any) -> Any:
    """An input as ComfyUI has it."""
    import torch  # noqa: PLC0415 - of ComfyUI's environment

    if isinstance(value, list):
        return [given(one) for one in value]
    made = tensor(value) if isinstance(value, str) else None
    if isinstance(made, dict):
        return {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in made.items()}
    return value if made is None else torch.from_numpy(made)


def plain(value: Any) -> Any:
    """A result without torch; what is no plain data is its type's name."""
    if hasattr(value, "detach"):
        return value.detach().cpu().float().numpy()
    if isinstance(value, dict):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, bool | int | float | str) or value is None:
        return value
    return f"<{type(value).__name__}>"


def result_of(node_class: Any, inputs: dict[str, Any], seed: int) -> list[Any]:
    """What a node gives."""
    import torch  # noqa: PLC0415

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    values = {name: given(value) for name, value in inputs.items()}
    if hasattr(node_class, "define_schema"):
        returned = node_class.EXECUTE_NORMALIZED(**values)
        returned = returned.args if hasattr(returned, "args") else returned
    else:
        returned = getattr(node_class(), node_class.FUNCTION)(**values)
    if asyncio.iscoroutine(returned):
        returned = asyncio.get_event_loop().run_until_complete(returned)
    if isinstance(returned, dict):
        returned = returned.get("result", ())
    declared = len(node_class.RETURN_TYPES)
    return [plain(one) for one in (returned or ())[:declared]]


def tried(node_class: Any, ways: list[dict[str, Any]]) -> dict[str, Any]:
    """What the first way gives that works: twice; or what went wrong."""
    problem = "there is no such node"
    for k, inputs in enumerate(ways if node_class is not None else ()):
        signal.alarm(CALL_S)
        try:
            results = [result_of(node_class, inputs, seed) for seed in (0, 1)]
        except BaseException as error:  # noqa: BLE001 - of a pack's code
            problem = f"{type(error).__name__}: {error}"[:300]
        else:
            return {"way": k, "results": results}
        finally:
            signal.alarm(0)
    return {"problem": problem}


def too_long(*_: object) -> None:
    """Called where a node takes more than its time."""
    raise TimeoutError


def main() -> None:
    comfyui, question, answered = (Path(one).resolve() for one in sys.argv[1:4])
    asked = json.loads(question.read_text())
    signal.signal(signal.SIGALRM, too_long)
    nodes = loaded(comfyui, map(Path, asked))
    import torch  # noqa: PLC0415

    found: dict[str, Any] = {}
    with torch.inference_mode():
        for pack, types in asked.items():
            known = nodes.NODE_CLASS_MAPPINGS
            found[pack] = {name: tried(known.get(name), ways) for name, ways in types.items()}
            answered.write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    main()
