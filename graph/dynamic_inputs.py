"""Inputs that depend on what a workflow gives: as many as are linked, or those of an option.

They are ComfyUI's V3 kinds (comfy_api/latest/_io.py: Autogrow, DynamicCombo). A workflow names them
with dots, `images.image0` or `mode.width`; the node is given them in a mapping.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graph.node import Input

MOST_NAMES = 100  # as ComfyUI's Autogrow


@dataclass(frozen=True)
class Growing:
    """As many inputs as are given, each like `template`; the first `least` of `names` are required.

    The node gets a mapping of those that are there.
    """

    template: "Input"
    names: tuple[str, ...]
    least: int = 1

    @classmethod
    def counted(cls, template: "Input", prefix: str, least: int, most: int) -> "Growing":
        """Names that are a prefix and a number from 0."""
        names = tuple(f"{prefix}{k}" for k in range(min(most, MOST_NAMES)))
        return cls(template, names, least)


@dataclass(frozen=True)
class Option:
    """One choice of a combo that has inputs of its own."""

    key: str
    inputs: Mapping[str, "Input"]


@dataclass(frozen=True)
class Options:
    """A combo of which each choice brings inputs. The node gets a mapping of it and of those."""

    options: tuple[Option, ...]


@dataclass(frozen=True)
class Layout:
    """The inputs that a node has, as its workflow names them, and where a nested one belongs."""

    inputs: Mapping[str, "Input"]
    paths: Mapping[str, tuple[str, ...]]
    empty: tuple[tuple[str, ...], ...] = ()  # mappings of which nothing is given

    def nested(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values by flat names, as the node function takes them."""
        found = {name: value for name, value in values.items() if name not in self.paths}
        for path in self.empty:
            _inside(found, path)
        for name, path in self.paths.items():
            if name in values:
                _inside(found, path[:-1])[path[-1]] = values[name]
        return found


def _inside(values: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    for name in path:
        values = values.setdefault(name, {})
    return values


def layout(declared: Mapping[str, "Input"], given: Mapping[str, Any]) -> Layout:
    """The inputs of a node of which a workflow gives `given`."""
    if not any(one.growing or one.options for one in declared.values()):
        return Layout(declared, {})
    inputs: dict[str, Input] = {}
    paths: dict[str, tuple[str, ...]] = {}
    empty: list[tuple[str, ...]] = []
    for name, one in declared.items():
        for path, found in _expanded((name,), one, given, empty):
            flat = found.name
            inputs[flat] = found
            if len(path) > 1:
                paths[flat] = path
    return Layout(inputs, paths, tuple(empty))


def _expanded(
    path: tuple[str, ...],
    declared: "Input",
    given: Mapping[str, Any],
    empty: list[tuple[str, ...]],
) -> Iterator[tuple[tuple[str, ...], "Input"]]:
    """The inputs that a declared one stands for, each with its place."""
    flat = ".".join(path)
    if declared.growing:
        growing = declared.growing
        empty.append(path)
        for k, name in enumerate(growing.names):
            required = growing.template.required and declared.required and k < growing.least
            one = replace(growing.template, name=f"{flat}.{name}", required=required)
            yield (*path, name), one
    elif declared.options:
        keys = tuple(option.key for option in declared.options.options)
        combo = replace(declared, name=flat, options=None, type="COMBO", choices=keys)
        yield (*path, path[-1]), combo
        chosen = (o for o in declared.options.options if o.key == given.get(flat))
        for option in chosen:
            for name, one in option.inputs.items():
                yield from _expanded((*path, name), one, given, empty)
    else:
        yield path, replace(declared, name=flat)
