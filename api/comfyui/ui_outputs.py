"""What an output node shows, as ComfyUI's nodes say it: `images`, `animated`, `audio`, ..."""

from collections.abc import Mapping, Sequence
from typing import Any

from storage.outputs import StoredOutput

# Videos are told among the images, as by ComfyUI's own SaveVideo.
MEDIA: Mapping[str, str] = {"image": "images", "video": "images", "audio": "audio"}
ANIMATED = frozenset({"SaveAnimatedWEBP", "SaveAnimatedPNG"})
CACHED = "ETN_SaveImageCache"  # comfyui-tooling-nodes: fetched from /api/etn/image/{id}
GIFS = "VHS_VideoCombine"  # VideoHelperSuite tells its own under `gifs`


def ui_output(outputs: Sequence[StoredOutput], class_type: str = "") -> dict[str, Any]:
    """The `output` of a node that saved these."""
    shown: dict[str, Any] = {}
    for output in outputs:
        key = "gifs" if class_type == GIFS else MEDIA.get(output.type, "files")
        told = _cached(output) if class_type == CACHED else file_of(output)
        shown.setdefault(key, []).append(told)
    if class_type in ANIMATED or any(one.type == "video" for one in outputs):
        shown["animated"] = [True]
    return shown


def _cached(output: StoredOutput) -> dict[str, str]:
    about = {"content-type": output.mime_type, "type": "output"}
    return {"source": "http", "id": output.filename, **about}


def file_of(output: StoredOutput) -> dict[str, str]:
    """A file by ComfyUI's three words for where it is, as /view takes them."""
    kind = "temp" if output.temporary else "output"
    return {"filename": output.filename, "subfolder": output.subfolder, "type": kind}
