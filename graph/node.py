"""Node types: ComfyUI's name, inputs, outputs, and the stage that runs it.

A node type is a function under `@node`. Its keyword-only parameters are the inputs, under
ComfyUI's names and in ComfyUI's order; the annotation types them and a default is the widget's. The
return annotation is the output, or as a `tuple[...]` the outputs in socket order. The one
positional parameter is the object of the stage that does the work; INLINE nodes have none.
"""

import inspect
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeVar, Unpack, get_args, get_origin, get_type_hints

from graph.annotators import Needs, always
from graph.dynamic_inputs import Growing, Options
from graph.hooks import NO_HOOKS, Hooks
from graph.input_hints import FileInside, Numbered, mark, without_none
from graph.presets import Presets
from graph.stages import Stage
from graph.values import InputFile, Link

Function = TypeVar("Function", bound=Callable[..., Any])
NODE = "__comfy_node__"
AUTOGROW, DYNAMIC_COMBO = "COMFY_AUTOGROW_V3", "COMFY_DYNAMICCOMBO_V3"  # ComfyUI's type names
REQUIRED = inspect.Parameter.empty
NO_WEIGHTS = always()


class DeclarationError(TypeError):
    """A declaration that cannot be: an input of two types, a bare upload, a name used twice."""


@dataclass(frozen=True)
class Widget:
    """How ComfyUI's editor shows an input, and what it allows. Names are /object_info's."""

    min: float | None = None
    max: float | None = None
    step: float | None = None
    round: float | bool | None = None
    display: str | None = None
    multiline: bool | None = None
    dynamicPrompts: bool | None = None  # noqa: N815 - the name on the wire
    control_after_generate: bool | None = None
    forceInput: bool | None = None  # noqa: N815
    advanced: bool | None = None
    hidden: bool | None = None
    multiselect: bool | None = None
    display_name: str | None = None

    def options(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class Choices:
    """The values of a combo that is too long, or too computed, for a Literal."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Files:
    """A combo of a folder of the models folder; the node gets a ModelFile. `also` ends the list.

    Files of some lists lie in a folder of another name, `lies_in`. `note` is told where one is
    missing.
    """

    folder: str
    also: tuple[str, ...] = ()
    lies_in: str = ""
    note: str = ""


@dataclass(frozen=True)
class Upload:
    """A combo of the caller's uploads: image, video, audio, latent. Gives an InputFile.

    With `text` it is a text instead, which is put into that template to name the file. With
    `saved` the editor offers what jobs have saved, too.
    """

    kind: str = "image"
    text: str = ""
    saved: bool = False
    type: str = ""  # what the editor makes the file with, where it offers no list

    def file_name(self, value: object) -> str:
        """What an input of that value names."""
        said = str(value)
        return self.text.format(said) if self.text and not said.startswith("data:") else said


class Hidden(StrEnum):
    """What a node is told without an input: annotate a keyword-only parameter with one of these."""

    NODE_ID = "UNIQUE_ID"
    PROMPT = "PROMPT"
    EXTRA_PNGINFO = "EXTRA_PNGINFO"
    ROWS = "ROWS"  # the part of a batch to do, or None: ours, and not in /object_info
    STEP = "STEP"  # the step that runs: ours too


@dataclass(frozen=True)
class Default:
    """The default of an input that is declared in a TypedDict, which can say none itself."""

    value: Any


NO_DEFAULT = Default(REQUIRED)


@dataclass(frozen=True)
class MayBeAbsent:
    """Marks an input of ComfyUI's optional section whose default is not None."""


@dataclass(frozen=True)
class Match:
    """Marks inputs and outputs that are of one type, whichever that is, by a name they share."""

    name: str


@dataclass(frozen=True)
class Lazy:
    """Marks an input that is computed only when the type's `lazy` hook asks for it."""


@dataclass(frozen=True)
class RawLink:
    """Marks an input of which the node gets the link itself, a Source; nothing runs for it."""


_SCALARS = {int: "INT", float: "FLOAT", str: "STRING", bool: "BOOLEAN"}


@dataclass(frozen=True)
class Input:
    """One input of a node type."""

    name: str
    type: str  # INT, FLOAT, STRING, BOOLEAN, COMBO, or the name of a link type
    required: bool = True
    default: Any = REQUIRED
    widget: Widget = Widget()
    choices: tuple[Any, ...] | None = None
    files: Files | None = None
    upload: Upload | None = None
    presets: Presets | None = None
    lazy: bool = False
    raw_link: bool = False
    growing: Growing | None = None  # stands for as many inputs as are given
    options: Options | None = None  # a combo whose choices bring inputs
    match: str = ""  # inputs and outputs with the same name here are of one type
    takes_constants: bool = False  # though its type is no widget's: a pack's own type
    hidden: bool = False  # told among the hidden ones: links and constants reach it all the same
    may_be_left_out: bool = False  # though it is told as required: older workflows have it not
    file_inside: FileInside | None = None

    @property
    def is_widget(self) -> bool:
        return self.type in {*_SCALARS.values(), "COMBO"}


@dataclass(frozen=True)
class Output:
    """One output socket. `is_list`: it carries Items, and what follows runs once for each."""

    type: str
    name: str
    is_list: bool = False
    match: str = ""  # its type is that of the inputs with the same name here


@dataclass(frozen=True)
class NodeType:
    """What a workflow may say of a node of this class, the stage that runs it, and how.

    A type whose code is elsewhere has `not_here` for its function: the stage of that name runs it.
    """

    name: str
    stage: Stage
    function: Callable[..., Any]
    inputs: Mapping[str, Input]
    outputs: tuple[Output, ...]
    hidden: Mapping[str, Hidden]
    display_name: str
    category: str
    description: str
    output_node: bool
    input_is_list: bool
    costly: bool
    splits_batch: str
    experimental: bool
    deprecated: bool
    weights: Needs
    hooks: Hooks = NO_HOOKS
    expands: bool = False  # it may give a graph instead of results
    rewrites: bool = False  # it gives a graph before anything runs, and gets links as Sources
    open_links: bool = False  # links to inputs that it does not declare are passed on
    open_inputs: bool = False  # constants too
    file_inside: FileInside | None = None  # in the mappings that such constants are
    per_node: bool = False  # two nodes that say the same are not one
    internal: bool = False  # workflows may not name it: other nodes expand to it

    @property
    def lazy(self) -> bool:
        """Whether some inputs may not be needed."""
        return self.hooks.lazy is not None

    @property
    def may_name_uploads(self) -> bool:
        """Whether an input, or one that a choice brings, may be a combo of uploads."""
        return any(it.upload or it.growing or it.options for it in self.inputs.values())


def node(
    name: str,
    *,
    runs_on: Stage,
    display_name: str = "",
    category: str = "",
    outputs: tuple[str, ...] = (),
    output_node: bool = False,
    list_outputs: tuple[int, ...] = (),
    input_is_list: bool = False,
    costly: bool = False,
    splits_batch: str = "",
    experimental: bool = False,
    deprecated: bool = False,
    weights: Needs = NO_WEIGHTS,
    hooks: Hooks = NO_HOOKS,
    expands: bool = False,
    rewrites: bool = False,
    internal: bool = False,
    numbered: Numbered | None = None,
) -> Callable[[Function], Function]:
    """Declare a node type; the function comes back unchanged, so tests call it.

    `outputs` names the sockets where ComfyUI does not name them after their types. A `costly`
    node's result is kept in the cache even when only its own segment uses it. `splits_batch` names
    the input whose pictures may be done apart from each other. `weights` says which annotators the
    node needs, where it is a preprocessor with a network. A function that `expands` may return an
    Expansion; one that `rewrites` always does, before anything runs. Inputs that several types
    share are a TypedDict, as `**inputs: Unpack[...]`, after those of the type's own; `numbered`
    ones come in `**inputs`, too. With other `**inputs` a node gets the links to inputs that it does
    not declare.
    """

    def declare(function: Function) -> Function:
        hints = get_type_hints(function, include_extras=True)
        returned = hints.pop("return", None)
        given = inspect.signature(function).parameters.values()
        parameters = [p for p in given if p.kind is inspect.Parameter.KEYWORD_ONLY]
        hidden = {p.name: one for p in parameters if (one := mark(hints[p.name], Hidden))}
        own = {p.name: (hints[p.name], p.default) for p in parameters if p.name not in hidden}
        others = next((p for p in given if p.kind is inspect.Parameter.VAR_KEYWORD), None)
        shared = _numbered(numbered) if numbered else _shared(hints[others.name]) if others else {}
        inside = mark(hints[others.name], FileInside) if others else None
        inputs = {name: _input(name, *one) for name, one in (own | (shared or {})).items()}
        if numbered:  # all are told as required, and many are left empty
            inputs |= {name: replace(inputs[name], may_be_left_out=True) for name in shared or {}}
        declared = NodeType(
            name=name,
            stage=runs_on,
            function=function,
            inputs=types.MappingProxyType(inputs),
            outputs=_outputs(returned, outputs, list_outputs),
            hidden=types.MappingProxyType(hidden),
            display_name=display_name,
            category=category,
            description=(inspect.getdoc(function) or "").partition("\n")[0],
            output_node=output_node,
            input_is_list=input_is_list,
            costly=costly,
            splits_batch=splits_batch,
            experimental=experimental,
            deprecated=deprecated,
            weights=weights,
            hooks=hooks,
            expands=expands,
            rewrites=rewrites,
            open_links=shared is None,
            open_inputs=inside is not None,
            file_inside=inside,
            per_node=Hidden.NODE_ID in hidden.values(),
            internal=internal,
        )
        setattr(function, NODE, (*getattr(function, NODE, ()), declared))
        return function

    return declare


def _shared(hint: Any) -> dict[str, tuple[Any, Any]] | None:
    """The inputs of a TypedDict that a function takes as `**inputs`; None for any `**inputs`."""
    if get_origin(hint) is not Unpack:
        return None
    (declared,) = get_args(hint)
    hints = get_type_hints(declared, include_extras=True)
    return {name: (one, (mark(one, Default) or NO_DEFAULT).value) for name, one in hints.items()}


def _numbered(numbered: Numbered) -> dict[str, tuple[Any, Any]]:
    each = _shared(Unpack[numbered.each]) or {}
    return {f"{name}_{k}": one for k in range(1, numbered.count + 1) for name, one in each.items()}


def _input(name: str, hint: Any, default: Any) -> Input:
    hint, optional = without_none(hint)
    if get_origin(hint) is Annotated:  # Annotated[X | None, ...]
        inner, inner_optional = without_none(get_args(hint)[0])
        hint, optional = Annotated[inner, *hint.__metadata__], optional or inner_optional
    choices = _choices(hint)
    return Input(
        name=name,
        type=_type_name(hint, combo=choices is not None),
        required=not (optional or mark(hint, MayBeAbsent)),
        default=REQUIRED if default is None else default,
        widget=mark(hint, Widget) or Widget(),
        choices=choices,
        files=mark(hint, Files),
        upload=mark(hint, Upload),
        presets=mark(hint, Presets),
        lazy=bool(mark(hint, Lazy)),
        raw_link=bool(mark(hint, RawLink)),
        growing=mark(hint, Growing),
        options=mark(hint, Options),
        match=(mark(hint, Match) or Match("")).name,
    )


def _choices(hint: Any) -> tuple[Any, ...] | None:
    marked: Choices | None = mark(hint, Choices)
    if marked:
        return marked.values
    bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return get_args(bare) if get_origin(bare) is Literal else None


def _type_name(hint: Any, *, combo: bool = False) -> str:
    if mark(hint, Growing):
        return AUTOGROW
    if mark(hint, Options):
        return DYNAMIC_COMBO
    if combo or any(mark(hint, kind) for kind in (Files, Upload, Presets)):
        upload = mark(hint, Upload) or Upload()
        return "STRING" if upload.text else upload.type or "COMBO"
    if link := mark(hint, Link):
        return str(link.name)
    bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if bare in _SCALARS:
        return _SCALARS[bare]
    if bare is InputFile:
        raise DeclarationError(hint)
    return str(bare.link.name)


def _outputs(
    returned: Any, names: tuple[str, ...], list_outputs: tuple[int, ...]
) -> tuple[Output, ...]:
    if returned in {None, type(None)}:
        return ()
    hints = list(_hints(returned))
    named = names or tuple(map(_type_name, hints))
    return tuple(
        Output(_type_name(hint), name, index in list_outputs, (mark(hint, Match) or Match("")).name)
        for index, (hint, name) in enumerate(zip(hints, named, strict=True))
    )


def _hints(returned: Any) -> Iterator[Any]:
    """The outputs of a return annotation, those of tuples that are unpacked in it among them."""
    if get_origin(returned) is not tuple or Ellipsis in get_args(returned):
        yield returned
        return
    for hint in get_args(returned):
        yield from _hints(get_args(hint)[0]) if get_origin(hint) is Unpack else (hint,)


def declared_in(*modules: types.ModuleType) -> dict[str, NodeType]:
    """All node types declared in `modules`, by name. A name declared twice raises."""
    found: dict[str, NodeType] = {}
    for module in modules:
        for member in vars(module).values():
            if getattr(member, "__module__", None) != module.__name__:
                continue
            for declared in getattr(member, NODE, ()):
                if declared.name in found:
                    raise DeclarationError(declared.name)
                found[declared.name] = declared
    return found
