"""ui: what a node shows."""

from collections.abc import Mapping
from typing import Any

from packs.surface import folder_paths
from packs.surface.saving import save_pngs


class _Shown:
    """Something to show; `as_dict` is what `ui` of an old node would be."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = dict(values)

    def as_dict(self) -> dict[str, Any]:
        return self.values


class SavedResult(dict[str, str]):
    """A file that was saved."""

    def __init__(self, filename: str, subfolder: str, type: Any) -> None:
        kind = str(getattr(type, "value", type))
        super().__init__(filename=filename, subfolder=subfolder, type=kind)


def _kept(images: Any, prefix: str, kind: str, cls: Any = None) -> list[dict[str, str]]:
    """Save pictures in the folder of a kind."""
    folder = folder_paths.get_directory_by_type(kind) or folder_paths.get_temp_directory()
    hidden = getattr(cls, "hidden", None)
    text = {"prompt": getattr(hidden, "prompt", None)}
    text |= dict(getattr(hidden, "extra_pnginfo", None) or {})
    saved = save_pngs(images, prefix, folder, text, 4)
    return [dict(SavedResult(one["filename"], one["subfolder"], kind)) for one in saved]


class SavedImages(_Shown):
    """Pictures that were saved."""

    def __init__(self, results: list[Any], is_animated: bool = False) -> None:
        animated = {"animated": (True,)} if is_animated else {}
        super().__init__({"images": results, **animated})


class PreviewImage(_Shown):
    """Pictures, for a while."""

    def __init__(self, image: Any, animated: bool = False, cls: Any = None, **_: Any) -> None:
        super().__init__({"images": _kept(image, "ComfyUI_temp", "temp", cls)})
        if animated:
            self.values["animated"] = (True,)


class PreviewMask(PreviewImage):
    """A mask as a grey picture, for a while."""

    def __init__(self, mask: Any, animated: bool = False, cls: Any = None, **_: Any) -> None:
        height, width = mask.shape[-2:]
        grey = mask.reshape(-1, 1, height, width).movedim(1, -1).expand(-1, -1, -1, 3)
        super().__init__(grey, animated, cls)


class PreviewText(_Shown):
    """A text."""

    def __init__(self, value: str, **_: Any) -> None:
        super().__init__({"text": (value,)})


class SavedAudios(_Shown):
    """Sounds that were saved."""

    def __init__(self, results: list[Any]) -> None:
        super().__init__({"audio": results})


class PreviewVideo(_Shown):
    """Videos that were saved."""

    def __init__(self, values: list[Any], **_: Any) -> None:
        super().__init__({"images": values, "animated": (True,)})


class ImageSaveHelper:
    """Saves pictures."""

    @staticmethod
    def save_images(
        images: Any, filename_prefix: str, folder_type: Any, cls: Any = None, **_: Any
    ) -> list[dict[str, str]]:
        return _kept(images, filename_prefix, str(getattr(folder_type, "value", folder_type)), cls)

    @staticmethod
    def get_save_images_ui(
        images: Any, filename_prefix: str, cls: Any = None, **_: Any
    ) -> SavedImages:
        return SavedImages(_kept(images, filename_prefix, "output", cls))
