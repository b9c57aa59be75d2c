"""comfy.comfy_types: names of types, for annotations."""

from collections.abc import Callable
from typing import Any, Protocol

from packs.surface.comfy.comfy_types.node_typing import (
    IO,
    CheckLazyMixin,
    ComfyNodeABC,
    FileLocator,
    InputTypeDict,
    InputTypeOptions,
)

__all__ = [
    "IO",
    "CheckLazyMixin",
    "ComfyNodeABC",
    "FileLocator",
    "InputTypeDict",
    "InputTypeOptions",
    "UnetApplyConds",
    "UnetApplyFunction",
    "UnetParams",
    "UnetWrapperFunction",
]


class UnetApplyFunction(Protocol):
    """A call of a model."""

    def __call__(self, x: Any, t: Any, **kwargs: Any) -> Any: ...


UnetApplyConds = dict[str, Any]
UnetParams = dict[str, Any]
UnetWrapperFunction = Callable[[UnetApplyFunction, UnetParams], Any]
