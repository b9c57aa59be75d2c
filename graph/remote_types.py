"""Node types whose code is elsewhere: read from an entry of /object_info, as its host describes it.

Such an entry is data (JSON), so a type may come over the wire. Its nodes run on the stage that is
named here; the replica of that stage has a NodeType of its own, with the function. What hooks say
is asked of it too: see graph/hooks.py.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from graph.annotators import always
from graph.dynamic_inputs import Growing, Option, Options
from graph.errors import ServiceError
from graph.hooks import NO_HOOKS, Hooks
from graph.node import (
    AUTOGROW,
    DYNAMIC_COMBO,
    REQUIRED,
    Hidden,
    Input,
    NodeType,
    Output,
    Upload,
    Widget,
)
from graph.stages import Stage

COMBOS = frozenset({"COMBO"})
UPLOADS = ("image", "video", "audio")
# What only links carry. ComfyUI takes constants for inputs of any other type that it does not know.
LINKED = frozenset(
    {
        "AUDIO", "CLIP", "CLIP_VISION", "CLIP_VISION_OUTPUT", "CONDITIONING", "CONTROL_NET",
        "GUIDER", "IMAGE", "LATENT", "MASK", "MODEL", "NOISE", "SAMPLER", "SIGMAS", "STYLE_MODEL",
        "UPSCALE_MODEL", "VAE", "VIDEO",
    }
)  # fmt: skip
WIDGETS = frozenset(Widget.__dataclass_fields__)


class CodeElsewhereError(ServiceError):
    """A node that was called where its code is not. A fault of ours: its stage should run it."""

    template = "The node runs on another stage."


def not_here(*_: Any, **__: Any) -> Any:
    """The function of a type whose code is elsewhere."""
    raise CodeElsewhereError


def remote_type(
    entry: Mapping[str, Any],
    stage: Stage,
    hooks: Hooks = NO_HOOKS,
    *,
    expands: bool = True,
    open_links: bool = False,
    open_inputs: bool = False,
    per_node: bool = False,
) -> NodeType:
    """The type that an entry of /object_info describes, run by `stage`.

    What an entry does not say: whether it may give a graph (`expands`; nobody knows of ComfyUI's
    older nodes), takes inputs that it does not declare, or must run for each node (`per_node`).
    """
    sections = entry.get("input", {})
    inputs = {
        name: _input(name, spec, required=section == "required")
        for section in ("required", "optional")
        for name, spec in sections.get(section, {}).items()
    }
    given = sections.get("hidden", {})
    known = frozenset(mark.value for mark in Hidden)
    hidden = {name: Hidden(mark) for name, mark in given.items() if mark in known}
    more = {name: mark for name, mark in given.items() if mark not in known}
    inputs |= {
        name: replace(_input(name, [mark], required=False), hidden=True)
        for name, mark in more.items()
        if name not in inputs
    }
    return NodeType(
        name=entry["name"],
        stage=stage,
        function=not_here,
        inputs=MappingProxyType(inputs),
        outputs=_outputs(entry),
        hidden=MappingProxyType(hidden),
        display_name=entry.get("display_name") or "",
        category=entry.get("category") or "",
        description=entry.get("description") or "",
        output_node=bool(entry.get("output_node")),
        input_is_list=bool(entry.get("is_input_list")),
        costly=True,
        splits_batch="",
        experimental=bool(entry.get("experimental")),
        deprecated=bool(entry.get("deprecated")),
        weights=always(),
        hooks=hooks,
        expands=expands,
        open_links=open_links,
        open_inputs=open_inputs,
        per_node=per_node or Hidden.NODE_ID in hidden.values(),
    )


def _outputs(entry: Mapping[str, Any]) -> tuple[Output, ...]:
    kinds = entry.get("output") or ()
    names = entry.get("output_name") or kinds
    lists = entry.get("output_is_list") or [False] * len(kinds)
    matches = entry.get("output_matchtypes") or [None] * len(kinds)
    return tuple(
        Output("COMBO" if isinstance(kind, list) else kind, name, bool(is_list), match or "")
        for kind, name, is_list, match in zip(kinds, names, lists, matches, strict=True)
    )


def _input(name: str, spec: Any, *, required: bool) -> Input:
    kind, options = spec[0], dict(spec[1]) if len(spec) > 1 else {}
    combo = isinstance(kind, list) or kind in COMBOS
    choices = tuple(kind if isinstance(kind, list) else options.get("options", ()))
    kinds = (one for one in UPLOADS if options.get(f"{one}_upload"))
    saved = options.get("image_folder") == "output"
    upload = next((Upload(one, saved=saved) for one in kinds), None)
    template = options.get("template") or {}
    return Input(
        name,
        "COMBO" if combo else kind,
        required,
        options.get("default", REQUIRED),
        Widget(**{key: value for key, value in options.items() if key in WIDGETS}),
        choices=choices if combo else None,
        upload=upload,
        lazy=bool(options.get("lazy")),
        raw_link=bool(options.get("rawLink")),
        growing=_growing(template) if kind == AUTOGROW else None,
        options=_options(options) if kind == DYNAMIC_COMBO else None,
        match=template.get("template_id", "") if kind == "COMFY_MATCHTYPE_V3" else "",
        takes_constants=not (combo or LINKED & set(str(kind).split(","))),
    )


def _growing(template: Mapping[str, Any]) -> Growing:
    sections = template.get("input", {})
    section = "required" if sections.get("required") else "optional"
    ((name, spec),) = list(sections[section].items())[:1]
    like = _input(name, spec, required=section == "required")
    least = int(template.get("min", 1))
    if "names" in template:
        return Growing(like, tuple(template["names"]), least)
    return Growing.counted(like, template["prefix"], least, int(template["max"]))


def _options(given: Mapping[str, Any]) -> Options:
    return Options(
        tuple(
            Option(
                option["key"],
                {
                    name: _input(name, spec, required=section == "required")
                    for section in ("required", "optional")
                    for name, spec in option.get("inputs", {}).get(section, {}).items()
                },
            )
            for option in given.get("options", ())
        )
    )
