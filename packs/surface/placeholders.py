"""Names of ComfyUI that are not here: they can be imported and inherited from, and not be used."""

from types import ModuleType
from typing import Any

from packs.surface.service_values import NeedsModelObjectsError


class _Named(type):
    """Attributes of a placeholder are placeholders, so that `a.b.c` can be named anywhere."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        made = placeholder(f"{cls.__qualname__}.{name}")
        setattr(cls, name, made)
        return made

    def __iter__(cls) -> Any:
        return iter(())

    def __len__(cls) -> int:
        return 0

    def __contains__(cls, _: object) -> bool:
        return False

    def __or__(cls, other: Any) -> Any:
        return Any

    def __ror__(cls, other: Any) -> Any:
        return Any

    def __getitem__(cls, _: Any) -> Any:
        return cls

    def __add__(cls, other: Any) -> Any:
        return other

    __radd__ = __add__


class Placeholder(metaclass=_Named):
    """What every placeholder is."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls.__dict__.get("__placeholder__"):
            decorated = len(args) == 1 and not kwargs and callable(args[0])
            if decorated and not isinstance(args[0], type):
                return args[0]  # a decorator of something of ComfyUI's own
            raise NeedsModelObjectsError(cls.__qualname__)
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        del args, kwargs

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NeedsModelObjectsError(f"{type(self).__qualname__}.{name}")


def placeholder(name: str) -> Any:
    """A class that stands for something of ComfyUI's."""
    made = _Named(name.rpartition(".")[2], (Placeholder,), {"__placeholder__": True})
    made.__qualname__ = name
    return made


class PlaceholderModule(ModuleType):
    """A module of which every name is a placeholder, or a node class of the service."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        from packs.surface.core_nodes import core_class  # noqa: PLC0415 - nodes import the surface

        found = core_class(name) if "." in self.__name__ or self.__name__ == "nodes" else None
        made = found or placeholder(f"{self.__name__}.{name}")
        setattr(self, name, made)
        return made
