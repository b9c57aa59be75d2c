"""Renders the overlays of cluster/kubernetes, where no kustomize is installed.

It knows what they use, and refuses everything else; test_manifests.py holds it to `kubectl
kustomize` where there is one.
"""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

KNOWN = {
    *("apiVersion", "kind", "resources", "images", "generatorOptions", "configMapGenerator"),
    *("replacements", "patches"),
}
LOCAL = "config.kubernetes.io/local-config"


def render(folder: Path) -> list[dict[str, Any]]:
    """The objects that an overlay applies."""
    return [one for one in _built(folder) if not _is_local(one)]


def _built(folder: Path) -> list[dict[str, Any]]:
    todo = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert set(todo) <= KNOWN, set(todo) - KNOWN
    objects = [one for name in todo["resources"] for one in _resources(folder / name)]
    objects += [_config_map(folder, one) for one in todo.get("configMapGenerator", ())]
    for patch in todo.get("patches", ()):
        text = patch["patch"] if "patch" in patch else (folder / patch["path"]).read_text()
        changes = yaml.safe_load(text)
        target = _find(objects, patch["target"])
        if isinstance(changes, dict):
            assert changes["$patch"] == "delete"
            objects.remove(target)
            continue
        for change in changes:
            _apply(target, change)
    for replacement in todo.get("replacements", ()):
        _replace(objects, replacement)
    for image in todo.get("images", ()):
        for container in _containers(objects):
            name = container["image"].partition(":")[0]
            if name == image["name"]:
                container["image"] = f"{image['newName']}:{image['newTag']}"
    return objects


def _resources(path: Path) -> list[dict[str, Any]]:
    return _built(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text()))


def _config_map(folder: Path, asked: dict[str, Any]) -> dict[str, Any]:
    texts = [(folder / name).read_text() for name in asked.get("envs", ())]
    data = dict(line.split("=", 1) for text in texts for line in text.splitlines())
    data |= {name: (folder / name).read_text() for name in asked.get("files", ())}
    metadata = {"name": asked["name"], **asked.get("options", {})}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def _apply(one: dict[str, Any], change: dict[str, Any]) -> None:
    """JSON patch (RFC 6902), of which `add` and `replace` are used."""
    *way, last = change["path"].strip("/").split("/")
    at: Any = one
    for name in way:
        at = at[int(name)] if isinstance(at, list) else at[name]
    value = deepcopy(change["value"])
    match change["op"], at:
        case "add", list():
            assert last == "-"
            at.append(value)
        case "replace", list():
            at[int(last)] = value
        case (("add" | "replace"), dict()):
            assert change["op"] == "add" or last in at
            at[last] = value
        case _:
            raise AssertionError(change)


def _replace(objects: list[dict[str, Any]], replacement: dict[str, Any]) -> None:
    source = replacement["source"]
    _, _, key = source["fieldPath"].partition(".")
    value = _find(objects, source)["data"][key.strip("[]")]
    for target in replacement["targets"]:
        for path in target["fieldPaths"]:
            change = {"op": "replace", "path": path.replace(".", "/"), "value": value}
            _apply(_find(objects, target["select"]), change)


def _find(objects: list[dict[str, Any]], named: dict[str, str]) -> dict[str, Any]:
    names = named["kind"], named["name"]
    (found,) = (one for one in objects if (one["kind"], one["metadata"]["name"]) == names)
    return found


def _containers(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield from value.get("containers", ())
        yield from value.get("initContainers", ())
        for inner in value.values():
            yield from _containers(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _containers(inner)


def _is_local(one: dict[str, Any]) -> bool:
    return bool(one["metadata"].get("annotations", {}).get(LOCAL) == "true")
