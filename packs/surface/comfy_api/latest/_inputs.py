"""The types of sockets, each with its Input and its Output."""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

OPTION_NAMES: Mapping[str, str] = {
    "force_input": "forceInput",
    "raw_link": "rawLink",
    "dynamic_prompts": "dynamicPrompts",
    "display_mode": "display",
}
NOT_OPTIONS = frozenset({"types", "extra_dict", "upload"})


class FolderType(str, Enum):  # noqa: UP042 - as ComfyUI's, these are texts
    """Where a file lies."""

    input = "input"
    output = "output"
    temp = "temp"


class UploadType(str, Enum):  # noqa: UP042
    """What may be uploaded."""

    image = "image_upload"
    audio = "audio_upload"
    video = "video_upload"
    model = "file_upload"


class NumberDisplay(str, Enum):  # noqa: UP042
    """How a number is shown."""

    number = "number"
    slider = "slider"
    gradient_slider = "gradientslider"


class RemoteOptions:
    """Options that a page fetches."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def as_dict(self) -> dict[str, Any]:
        return self.options


class Input:
    """An input. What is not named here is an option of its widget."""

    io_type = "*"

    def __init__(
        self, id: str, *given: Any, display_name: str | None = None, optional: bool = False,
        tooltip: str | None = None, lazy: bool | None = None, **options: Any,
    ) -> None:  # fmt: skip
        names = ("display_name", "optional", "tooltip", "lazy")
        first = dict(zip(names, given, strict=False))
        self.id = id
        self.display_name = first.get("display_name", display_name)
        self.optional = bool(first.get("optional", optional))
        self.tooltip = first.get("tooltip", tooltip)
        self.lazy = first.get("lazy", lazy)
        self.options = options

    def get_io_type(self) -> str:
        return self.io_type

    def as_dict(self) -> dict[str, Any]:
        """The options of its widget."""
        said = {
            OPTION_NAMES.get(name, name): value.value if isinstance(value, Enum) else value
            for name, value in self.options.items()
            if value is not None and name not in NOT_OPTIONS
        }
        said |= {"tooltip": self.tooltip} if self.tooltip else {}
        said |= {"lazy": True} if self.lazy else {}
        said |= {"display_name": self.display_name} if self.display_name else {}
        return said | dict(self.options.get("extra_dict") or {})

    def spec(self) -> tuple[Any, dict[str, Any]]:
        """As INPUT_TYPES says it."""
        return self.get_io_type(), self.as_dict()


WidgetInput = Input


class Output:
    """An output."""

    io_type = "*"

    def __init__(
        self, id: str | None = None, display_name: str | None = None, tooltip: str | None = None,
        is_output_list: bool = False, **_: Any,
    ) -> None:  # fmt: skip
        self.id = id
        self.display_name = display_name
        self.tooltip = tooltip
        self.is_output_list = is_output_list
        self.match = ""


class ComfyType:
    """A type of sockets."""

    io_type = "*"
    Type = Any
    Input: Any = Input
    Output: Any = Output


def Custom(io_type: str) -> Any:
    """A type by its name."""
    return type(
        io_type,
        (ComfyType,),
        {
            "io_type": io_type,
            "Input": type("Input", (Input,), {"io_type": io_type}),
            "Output": type("Output", (Output,), {"io_type": io_type}),
        },
    )


def comfytype(io_type: str, **_: Any) -> Any:
    """Makes a class a type of sockets."""

    def decorate(cls: Any) -> Any:
        made = Custom(io_type)
        for name in ("io_type", "Input", "Output"):
            if name not in cls.__dict__:
                setattr(cls, name, getattr(made, name))
        return cls

    return decorate


AnyType, Audio, Boolean, Clip = Custom("*"), Custom("AUDIO"), Custom("BOOLEAN"), Custom("CLIP")
ClipVision, ClipVisionOutput = Custom("CLIP_VISION"), Custom("CLIP_VISION_OUTPUT")
Color, Conditioning, ControlNet = Custom("COLOR"), Custom("CONDITIONING"), Custom("CONTROL_NET")
Float, Gligen, Guider, Image = Custom("FLOAT"), Custom("GLIGEN"), Custom("GUIDER"), Custom("IMAGE")
ImageCompare, Int, Latent = Custom("IMAGECOMPARE"), Custom("INT"), Custom("LATENT")
LatentUpscaleModel, LoraModel = Custom("LATENT_UPSCALE_MODEL"), Custom("LORA_MODEL")
LossMap, Mask, Mesh, Model = Custom("LOSS_MAP"), Custom("MASK"), Custom("MESH"), Custom("MODEL")
Noise, Photomaker, Sampler = Custom("NOISE"), Custom("PHOTOMAKER"), Custom("SAMPLER")
SEGS, Sigmas, String = Custom("SEGS"), Custom("SIGMAS"), Custom("STRING")
StyleModel, UpscaleModel, Vae = Custom("STYLE_MODEL"), Custom("UPSCALE_MODEL"), Custom("VAE")
Video, Voxel = Custom("VIDEO"), Custom("VOXEL")


class _ComboInput(Input):
    io_type = "COMBO"

    def __init__(self, id: str, options: Any = None, *given: Any, **named: Any) -> None:
        super().__init__(id, *given, **named)
        values: list[Any] = list(options or [])  # an Enum gives its members
        self.values = [one.value if isinstance(one, Enum) else one for one in values]

    def as_dict(self) -> dict[str, Any]:
        said = super().as_dict()
        if upload := self.options.get("upload"):
            said[getattr(upload, "value", str(upload))] = True
        remote = said.get("remote")
        if remote is not None:
            said["remote"] = remote.as_dict()
        return {"options": self.values, **said}


class _MultiComboInput(_ComboInput):
    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "multiselect": True}


class _ComboOutput(Output):
    io_type = "COMBO"

    def __init__(self, id: str | None = None, *given: Any, options: Any = None, **how: Any) -> None:
        super().__init__(id, *given, **how)
        self.options = options


class Combo(ComfyType):
    """One of several values."""

    io_type = "COMBO"
    Input = _ComboInput
    Output = _ComboOutput


class MultiCombo(ComfyType):
    """Some of several values."""

    io_type = "COMBO"
    Input = _MultiComboInput
    Output = _ComboOutput


class _MultiTypeInput(Input):
    def __init__(self, id: Any, types: Sequence[Any] = (), *given: Any, **named: Any) -> None:
        if isinstance(id, Input):
            super().__init__(id.id, *given, **{**_of(id), **named})
            first: tuple[Any, ...] = (id.get_io_type(),)
        else:
            super().__init__(id, *given, **named)
            first = ()
        kinds = [getattr(one, "io_type", one) for one in types]
        self.io_type = ",".join(dict.fromkeys((*first, *kinds)))


def _of(given: Input) -> dict[str, Any]:
    return {
        "display_name": given.display_name, "optional": given.optional, "tooltip": given.tooltip,
        "lazy": given.lazy, **given.options,
    }  # fmt: skip


class MultiType:
    """One of several types."""

    Type = Any
    Input = _MultiTypeInput


class _MatchTemplate:
    def __init__(self, template_id: str, allowed_types: Any = None) -> None:
        kinds = allowed_types if isinstance(allowed_types, list | tuple) else [allowed_types]
        self.template_id = template_id
        self.kinds = [getattr(one, "io_type", "*") for one in kinds]

    def as_dict(self) -> dict[str, Any]:
        return {"template_id": self.template_id, "allowed_types": ",".join(self.kinds)}


class _MatchInput(Input):
    io_type = "COMFY_MATCHTYPE_V3"

    def __init__(self, id: str, template: _MatchTemplate, *given: Any, **named: Any) -> None:
        super().__init__(id, *given, **named)
        self.template = template

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "template": self.template.as_dict()}


class _MatchOutput(Output):
    io_type = "COMFY_MATCHTYPE_V3"

    def __init__(self, template: _MatchTemplate, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.match = template.template_id


class MatchType(ComfyType):
    """Sockets that are of one type, whichever that is."""

    io_type = "COMFY_MATCHTYPE_V3"
    Template = _MatchTemplate
    Input = _MatchInput
    Output = _MatchOutput


class _GrowingTemplate:
    def __init__(self, input: Input, min: int = 1, **facts: Any) -> None:
        self.input, self.min, self.facts = input, min, facts

    def as_dict(self) -> dict[str, Any]:
        section = "optional" if self.input.optional else "required"
        return {
            "input": {section: {self.input.id: list(self.input.spec())}},
            "min": self.min,
            **self.facts,
        }


class _GrowingInput(Input):
    io_type = "COMFY_AUTOGROW_V3"

    def __init__(self, id: str, template: _GrowingTemplate, *given: Any, **named: Any) -> None:
        super().__init__(id, *given, **named)
        self.template = template

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "template": self.template.as_dict()}


class Autogrow(ComfyType):
    """As many inputs as are linked."""

    io_type = "COMFY_AUTOGROW_V3"
    Input = _GrowingInput

    @staticmethod
    def TemplatePrefix(input: Any, prefix: str, min: int = 1, max: int = 10) -> _GrowingTemplate:
        return _GrowingTemplate(input, min, prefix=prefix, max=max)

    @staticmethod
    def TemplateNames(input: Any, names: list[str], min: int = 1) -> _GrowingTemplate:
        return _GrowingTemplate(input, min, names=list(names))


class _Option:
    def __init__(self, key: str, inputs: Sequence[Input]) -> None:
        self.key, self.inputs = key, inputs

    def as_dict(self) -> dict[str, Any]:
        sections: dict[str, Any] = {"required": {}}
        for one in self.inputs:
            section = "optional" if one.optional else "required"
            sections.setdefault(section, {})[one.id] = list(one.spec())
        return {"key": self.key, "inputs": sections}


class _DynamicComboInput(Input):
    io_type = "COMFY_DYNAMICCOMBO_V3"

    def __init__(self, id: str, options: Sequence[_Option], *given: Any, **named: Any) -> None:
        super().__init__(id, *given, **named)
        self.choices = options

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "options": [one.as_dict() for one in self.choices]}


class DynamicCombo(ComfyType):
    """A combo of which each choice brings inputs."""

    io_type = "COMFY_DYNAMICCOMBO_V3"
    Option = _Option
    Input = _DynamicComboInput
