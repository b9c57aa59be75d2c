"""What an output node shows, as ComfyUI's nodes say it: `images`, `animated`, `audio`, ..."""

from collections.abc import Mapping, Sequence
from typing import Any

from storage.outputs import StoredOutput

# Videos are told among the images, as by ComfyUI's own SaveVideo.
MEDIA: Mapping[str, str] = {"image": "images", "video": "images", "audio": "audio"}
ANIMATED = frozenset({"SaveAnimatedWEBP", "SaveAnimatedPNG"})
GIFS = "VHS_VideoCombine"  # VideoHelperSuite tells its own under `gifs`


def ui_output(outputs: Sequence[StoredOutput], class_type: str = "") -> dict[str, Any]:
    """The `output` of a node that saved these."""
    shown: dict[str, Any] = {}
    for output in outputs:
        key = "gifs" if class_type == GIFS else MEDIA.get(output.type, "files")
        shown.setdefault(key, []).append(file_of(output))
    if class_type in ANIMATED or any(one.type == "video" for one in outputs):
        shown["animated"] = [True]
    return shown


def file_of(output: StoredOutput) -> dict[str, str]:
    """A file by ComfyUI's three words for where it is, as /view takes them."""
    kind = "temp" if output.temporary else "output"
    return {"filename": output.filename, "subfolder": output.subfolder, "type": kind}
