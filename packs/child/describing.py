"""Describes node classes as ComfyUI's /object_info does, and what else the service has to know."""

import inspect
import logging
from collections.abc import Mapping
from typing import Any

from packs.child.patching import patched_by
from packs.child.values import plain

LOG = logging.getLogger(__name__)
SECTIONS = ("required", "optional", "hidden")


class Undescribed(Exception):  # noqa: N818
    """A class that is no node: it says why."""


def describe(name: str, node_class: Any, title: str) -> dict[str, Any]:
    """A class as the service has to know it: `entry` is that of /object_info.

    Raises:
        Undescribed: its INPUT_TYPES or RETURN_TYPES cannot be.
    """
    try:
        given = node_class.INPUT_TYPES()
        function = getattr(node_class, str(node_class.FUNCTION))
        entry = {
            "input": _inputs(given),
            "name": name,
            "display_name": title or name,
            "is_input_list": bool(getattr(node_class, "INPUT_IS_LIST", False)),
            "description": str(getattr(node_class, "DESCRIPTION", "") or ""),
            "category": str(getattr(node_class, "CATEGORY", "") or ""),
            "output_node": bool(getattr(node_class, "OUTPUT_NODE", False)),
            "deprecated": bool(getattr(node_class, "DEPRECATED", False)),
            "experimental": bool(getattr(node_class, "EXPERIMENTAL", False)),
            **_outputs(node_class),
        }
        return {
            "entry": entry,
            **_hooks(node_class),
            "open_links": _takes_any(getattr(node_class, "execute", function)),
            "open_inputs": _takes_any_constant(given),
            "per_node": bool(getattr(node_class, "NOT_IDEMPOTENT", False)),
            "patches": patched_by(node_class),
        }
    except Exception as error:
        LOG.warning("node %s cannot be described", name, exc_info=True)
        raise Undescribed(f"{type(error).__name__}: {error}") from error


def _inputs(given: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for section in SECTIONS:
        declared = given.get(section) or {}
        if section == "hidden":
            marks = declared.items() if isinstance(declared, Mapping) else ()
            found[section] = {str(name): str(_first(mark)) for name, mark in marks}
        else:
            found[section] = {str(name): _spec(declared[name]) for name in declared}
    return found


def _first(mark: Any) -> Any:
    return mark[0] if isinstance(mark, tuple | list) and mark else mark


def _spec(spec: Any) -> list[Any]:
    if not isinstance(spec, tuple | list):
        spec = (spec,)
    kind, options = spec[0], spec[1] if len(spec) > 1 else {}
    options = plain(options) if isinstance(options, Mapping) else {}
    if isinstance(kind, str):
        return [str.__str__(kind), options]
    return [plain(list(kind)), options]


def _outputs(node_class: Any) -> dict[str, Any]:
    kinds = [_kind(kind) for kind in getattr(node_class, "RETURN_TYPES", ()) or ()]
    names = [str(one) for one in getattr(node_class, "RETURN_NAMES", None) or ()]
    labels = [k if isinstance(k, str) else "COMBO" for k in kinds]
    lists = [bool(one) for one in getattr(node_class, "OUTPUT_IS_LIST", None) or ()]
    return {
        "output": kinds,
        "output_name": [*names, *labels[len(names) :]][: len(kinds)],
        "output_is_list": [*lists, *[False] * len(kinds)][: len(kinds)],
    }


def _kind(kind: Any) -> Any:
    return str.__str__(kind) if isinstance(kind, str) else plain(list(kind))


def _hooks(node_class: Any) -> dict[str, Any]:
    validate = own_hook(node_class, "VALIDATE_INPUTS", "validate_inputs")
    names: list[str] = []
    every = False
    if validate is not None:
        spec = inspect.getfullargspec(validate)
        names = [
            name for name in (*spec.args, *spec.kwonlyargs) if name not in {"cls", "self", "s"}
        ]
        every = spec.varkw is not None
    return {
        "validates": names,
        "validates_all": every,
        "has_validate": validate is not None,
        "has_changed": own_hook(node_class, "IS_CHANGED", "fingerprint_inputs") is not None,
        "has_lazy": own_hook(node_class, "check_lazy_status") is not None,
    }


def own_hook(node_class: Any, *names: str) -> Any:
    """The function of a hook that a class has; a placeholder among its bases has none."""
    for name in names:
        if inspect.getattr_static(node_class, name, None) is not None:
            return getattr(node_class, name)
    return None


def _takes_any(function: Any) -> bool:
    try:
        return inspect.getfullargspec(inspect.unwrap(function)).varkw is not None
    except TypeError:
        return False


def _takes_any_constant(given: Any) -> bool:
    """Whether a mapping of inputs says that it has whatever it is asked for."""
    return any("a name nobody has" in (given.get(section) or {}) for section in SECTIONS[:2])
