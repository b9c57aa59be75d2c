"""The `ui` results of output nodes in ComfyUI's format: `images`, `animated`, `audio`, ..."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from api.jobs.displays import FILE
from storage.outputs import StoredOutput

# Videos are told among the images, as by ComfyUI's own SaveVideo.
MEDIA: Mapping[str, str] = {"image": "images", "video": "images", "audio": "audio"}
ANIMATED = frozenset({"SaveAnimatedWEBP", "SaveAnimatedPNG"})
CACHED = "ETN_SaveImageCache"  # comfyui-tooling-nodes: fetched from /api/etn/image/{id}
# VideoHelperSuite tells its own under `gifs`.
KEYS: Mapping[str, str] = {"VHS_VideoCombine": "gifs", "SaveLatent": "latents"}


def ui_output(
    outputs: Sequence[StoredOutput],
    class_type: str = "",
    display: Mapping[str, Sequence[Any]] = MappingProxyType({}),
) -> dict[str, Any]:
    """The `output` of a node that saved these, and says itself how it shows some of them."""
    shown: dict[str, Any] = {
        name: [_shown(value, outputs) for value in values] for name, values in display.items()
    }
    named = {value[FILE] for values in display.values() for value in values if _is_file(value)}
    for index, output in enumerate(outputs):
        if index in named:
            continue
        key = KEYS.get(class_type) or MEDIA.get(output.type, "files")
        entry = _cached(output) if class_type == CACHED else file_of(output)
        shown.setdefault(key, []).append(entry)
    if class_type in ANIMATED or any(
        one.type == "video" for k, one in enumerate(outputs) if k not in named
    ):
        shown["animated"] = [True]
    return shown


def _is_file(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get(FILE), int)


def _shown(value: Any, outputs: Sequence[StoredOutput]) -> Any:
    """A value as it was shown; a file by the name that it was stored under."""
    if not _is_file(value):
        return value
    return file_of(outputs[value[FILE]]) if 0 <= value[FILE] < len(outputs) else {}


def _cached(output: StoredOutput) -> dict[str, str]:
    about = {"content-type": output.mime_type, "type": "output"}
    return {"source": "http", "id": output.filename, **about}


def file_of(output: StoredOutput) -> dict[str, str]:
    """A file by ComfyUI's three words for where it is, as /view takes them."""
    kind = "temp" if output.temporary else "output"
    return {"filename": output.filename, "subfolder": output.subfolder, "type": kind}
