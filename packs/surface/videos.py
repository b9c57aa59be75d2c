"""Videos on their way through a pack: a file, or frames with a rate and sound."""

import io
from collections.abc import Mapping
from fractions import Fraction
from typing import Any


class VideoOfService:
    """A VIDEO as ComfyUI's nodes use it (comfy_api, VideoInput).

    `facts` are `content` (bytes of a file) or `frames` [B, H, W, C], `fps`, `audio`, and what part
    of the file is meant.
    """

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.facts = dict(facts)

    def get_components(self) -> Any:
        """Its frames, sound and rate."""
        from packs.surface.comfy_api.util import VideoComponents  # noqa: PLC0415

        if self.facts.get("frames") is None:
            self.facts = decoded(self.facts)
        rate = Fraction(self.facts["fps"]).limit_denominator(100_000)
        return VideoComponents(self.facts["frames"], rate, self.facts.get("audio"))

    def get_dimensions(self) -> tuple[int, int]:
        """Width and height."""
        height, width = self.get_components().images.shape[1:3]
        return int(width), int(height)

    def get_duration(self) -> float:
        parts = self.get_components()
        return float(len(parts.images) / parts.frame_rate)

    def get_frame_count(self) -> int:
        return len(self.get_components().images)

    def get_frame_rate(self) -> Fraction:
        return Fraction(self.get_components().frame_rate)

    def get_container_format(self) -> str:
        return "mov,mp4,m4a,3gp,3g2,mj2"

    def get_stream_source(self) -> Any:
        """Its file, if it is one."""
        return io.BytesIO(self.facts["content"])


def decoded(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The frames and the sound of a file."""
    import av  # noqa: PLC0415 - few packs read videos
    import torch  # noqa: PLC0415

    start, length = facts.get("start_s") or 0.0, facts.get("duration_s") or 0.0
    with av.open(io.BytesIO(facts["content"]), mode="r") as container:
        stream = container.streams.video[0]
        fps = float(stream.average_rate or 1)
        frames = []
        for index, frame in enumerate(container.decode(stream)):
            at = index / fps
            if at >= start and (not length or at < start + length):
                frames.append(torch.from_numpy(frame.to_ndarray(format="rgb24")))
    pixels = torch.stack(frames).float() / 255 if frames else torch.zeros(0, 1, 1, 3)
    return {"frames": pixels, "fps": fps, "audio": facts.get("audio")}
