"""io: the types of sockets, schemas of nodes, and the base class of nodes of the new kind."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from packs.surface.comfy_api.latest._inputs import (
    SEGS,
    AnyType,
    Audio,
    Autogrow,
    Boolean,
    Clip,
    ClipVision,
    ClipVisionOutput,
    Color,
    Combo,
    ComfyType,
    Conditioning,
    ControlNet,
    Custom,
    DynamicCombo,
    Float,
    FolderType,
    Gligen,
    Guider,
    Image,
    ImageCompare,
    Input,
    Int,
    Latent,
    LatentUpscaleModel,
    LoraModel,
    LossMap,
    Mask,
    MatchType,
    Mesh,
    Model,
    MultiCombo,
    MultiType,
    Noise,
    NumberDisplay,
    Output,
    Photomaker,
    RemoteOptions,
    Sampler,
    Sigmas,
    String,
    StyleModel,
    UploadType,
    UpscaleModel,
    Vae,
    Video,
    Voxel,
    WidgetInput,
    comfytype,
)
from packs.surface.comfy_execution.graph import ExecutionBlocker

__all__ = [
    "SEGS", "AnyType", "Audio", "Autogrow", "Boolean", "Clip", "ClipVision", "ClipVisionOutput",
    "Color", "Combo", "ComfyNode", "ComfyType", "Conditioning", "ControlNet", "Custom",
    "DynamicCombo", "Float", "FolderType", "Gligen", "Guider", "Hidden", "HiddenHolder", "Image",
    "ImageCompare", "Input", "Int", "Latent", "LatentUpscaleModel", "LoraModel", "LossMap", "Mask",
    "MatchType", "Mesh", "Model", "MultiCombo", "MultiType", "NodeOutput", "NodeType", "Noise",
    "NumberDisplay", "Output", "Photomaker", "RemoteOptions", "Sampler", "Schema", "Sigmas",
    "String", "StyleModel", "UploadType", "UpscaleModel", "Vae", "Video", "Voxel", "WidgetInput",
    "comfytype",
]  # fmt: skip


class Hidden(str, Enum):  # noqa: UP042 - as ComfyUI's, it is a text
    """What a node is told without an input."""

    unique_id = "UNIQUE_ID"
    prompt = "PROMPT"
    extra_pnginfo = "EXTRA_PNGINFO"
    dynprompt = "DYNPROMPT"
    auth_token_comfy_org = "AUTH_TOKEN_COMFY_ORG"
    api_key_comfy_org = "API_KEY_COMFY_ORG"


class HiddenHolder:
    """The hidden inputs of a call; None for those that were not asked for."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        for mark in Hidden:
            setattr(self, mark.name, given.get(mark.name))

    def __getattr__(self, name: str) -> Any:
        return None


@dataclass
class Schema:
    """What a node is: its name, inputs, outputs, and what it asks for."""

    node_id: str
    display_name: str | None = None
    category: str = "sd"
    inputs: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    hidden: list[Any] = field(default_factory=list)
    description: str = ""
    is_input_list: bool = False
    is_output_node: bool = False
    is_deprecated: bool = False
    is_experimental: bool = False
    is_api_node: bool = False
    is_dev_only: bool = False
    not_idempotent: bool = False
    enable_expand: bool = False
    accept_all_inputs: bool = False
    search_aliases: list[str] = field(default_factory=list)
    essentials_category: str | None = None
    has_intermediate_output: bool = False
    price_badge: Any = None

    def finalize(self) -> "Schema":
        """With the hidden inputs that it implies."""
        if self.is_output_node:
            for mark in (Hidden.prompt, Hidden.extra_pnginfo):
                if mark not in self.hidden:
                    self.hidden = [*self.hidden, mark]
        return self


class NodeOutput:
    """What a node gives: outputs in order, what is shown, a graph, or a reason to stop."""

    def __init__(
        self, *args: Any, ui: Any = None, expand: Any = None, block_execution: str | None = None
    ) -> None:
        self.args = args
        self.ui = ui
        self.expand = expand
        self.block_execution = block_execution

    @property
    def result(self) -> tuple[Any, ...] | None:
        return self.args or None

    def __getitem__(self, index: int) -> Any:
        return self.args[index]

    def as_dict(self) -> dict[str, Any]:
        """As a node of the old kind gives it."""
        said: dict[str, Any] = {"result": self.args}
        if self.block_execution is not None:
            said["result"] = ExecutionBlocker(self.block_execution)
        if self.ui is not None:
            said["ui"] = self.ui.as_dict() if hasattr(self.ui, "as_dict") else dict(self.ui)
        if self.expand is not None:
            said["expand"] = self.expand
        return said


def _normalized(given: Any) -> Any:
    """What `execute` returned, as a node of the old kind gives it."""
    if isinstance(given, NodeOutput):
        return given.as_dict()
    if isinstance(given, tuple | dict | ExecutionBlocker) or given is None:
        return given
    if isinstance(given, list):
        return tuple(given)
    return (given,)


class NodeType(type):
    """Lets a node of the new kind be read as one of the old: names and values of its schema."""

    @property
    def RETURN_TYPES(cls) -> tuple[Any, ...]:
        return tuple(one.io_type for one in cls._schema().outputs)

    @property
    def RETURN_NAMES(cls) -> tuple[str, ...]:
        outputs = cls._schema().outputs
        return tuple(str(one.display_name or one.id or one.io_type) for one in outputs)

    @property
    def OUTPUT_IS_LIST(cls) -> tuple[bool, ...]:
        return tuple(bool(one.is_output_list) for one in cls._schema().outputs)

    @property
    def OUTPUT_MATCHES(cls) -> tuple[str | None, ...]:
        return tuple(getattr(one, "match", None) for one in cls._schema().outputs)

    @property
    def INPUT_IS_LIST(cls) -> bool:
        return bool(cls._schema().is_input_list)

    @property
    def OUTPUT_NODE(cls) -> bool:
        return bool(cls._schema().is_output_node)

    @property
    def DEPRECATED(cls) -> bool:
        return bool(cls._schema().is_deprecated)

    @property
    def EXPERIMENTAL(cls) -> bool:
        return bool(cls._schema().is_experimental)

    @property
    def NOT_IDEMPOTENT(cls) -> bool:
        return bool(cls._schema().not_idempotent)

    @property
    def CATEGORY(cls) -> str:
        return str(cls._schema().category)

    @property
    def DESCRIPTION(cls) -> str:
        return str(cls._schema().description or "")

    @property
    def FUNCTION(cls) -> str:
        import inspect  # noqa: PLC0415

        is_coroutine = inspect.iscoroutinefunction(getattr(cls, "execute", None))
        return "EXECUTE_NORMALIZED_ASYNC" if is_coroutine else "EXECUTE_NORMALIZED"

    def _schema(cls) -> Schema:
        return cls.GET_SCHEMA()  # type: ignore[attr-defined, no-any-return]


class ComfyNode(metaclass=NodeType):
    """The base class of nodes of the new kind. They have class methods alone."""

    hidden: HiddenHolder = HiddenHolder({})
    _made_schema: Schema

    @classmethod
    def define_schema(cls) -> Schema:
        raise NotImplementedError

    @classmethod
    def GET_SCHEMA(cls) -> Schema:
        """The schema, made once."""
        if "_made_schema" not in cls.__dict__:
            cls._made_schema = cls.define_schema().finalize()
        return cls._made_schema

    @classmethod
    def FINALIZE_SCHEMA(cls) -> Schema:
        return cls.GET_SCHEMA()

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """Its inputs, as a node of the old kind says them."""
        schema = cls.GET_SCHEMA()
        found: dict[str, Any] = {"required": {}}
        for one in schema.inputs:
            section = "optional" if one.optional else "required"
            found.setdefault(section, {})[one.id] = one.spec()
        if schema.hidden:
            marks = [Hidden(getattr(mark, "value", mark)) for mark in schema.hidden]
            found["hidden"] = {mark.name: (mark.value,) for mark in marks}
        return found

    @classmethod
    def prepared(cls, hidden: Mapping[str, Any]) -> Any:
        """The class with the hidden inputs of one call."""
        return NodeType(cls.__name__, (cls,), {"hidden": HiddenHolder(hidden)})

    @classmethod
    def EXECUTE_NORMALIZED(cls, *args: Any, **kwargs: Any) -> Any:
        return _normalized(cls.execute(*args, **kwargs))  # type: ignore[attr-defined]

    @classmethod
    async def EXECUTE_NORMALIZED_ASYNC(cls, *args: Any, **kwargs: Any) -> Any:
        return _normalized(await cls.execute(*args, **kwargs))  # type: ignore[attr-defined]
