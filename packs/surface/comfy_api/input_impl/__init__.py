"""comfy_api.input_impl: videos that a pack makes."""

import io
from pathlib import Path
from typing import Any

from packs.surface.videos import VideoOfService

__all__ = ["VideoFromComponents", "VideoFromFile"]


class VideoFromFile(VideoOfService):
    """A video of a file, or of something that reads like one."""

    def __init__(self, file: str | io.BytesIO, **part: Any) -> None:
        content = file.getvalue() if isinstance(file, io.BytesIO) else Path(file).read_bytes()
        start, length = part.get("start_time") or 0.0, part.get("duration") or 0.0
        super().__init__({"content": content, "start_s": start, "duration_s": length})


class VideoFromComponents(VideoOfService):
    """A video of frames."""

    def __init__(self, components: Any) -> None:
        rate = float(components.frame_rate)
        super().__init__({"frames": components.images, "fps": rate, "audio": components.audio})
