"""The traces that H.264 leaves in a picture. (ComfyUI comfy_extras/nodes_lt.py, preprocess)"""

from io import BytesIO

import av
import numpy as np
from av.video.frame import VideoFrame

from media.reading import Pixels

PRESET = "veryfast"


def compressed(picture: Pixels, crf: int) -> Pixels:
    """A picture [H, W, 3] of even sides as a video of one frame gives it back."""
    with BytesIO() as file:
        _write(file, picture, crf)
        file.seek(0)
        with av.open(file, "r") as opened:
            frame = next(opened.decode(video=0))
            return np.asarray(frame.to_ndarray(format="rgb24"))


def _write(file: BytesIO, picture: Pixels, crf: int) -> None:
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream(
            "libx264", rate=1, options={"crf": str(crf), "preset": PRESET}
        )
        stream.height, stream.width = picture.shape[:2]
        frame = VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
