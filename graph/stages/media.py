"""Video and sound, decoded and changed by the image stage."""

from typing import Literal, Protocol

from graph.values import Audio, Image, InputFile, Video, VideoInfo

MergeMethod = Literal["add", "mean", "subtract", "multiply"]


class Media(Protocol):
    """What nodes may do with video and sound."""

    def frames_and_sound(self, video: Video) -> tuple[Image, Audio | None, float]: ...

    def trim_video(
        self, video: Video, start_s: float, duration_s: float, *, strict: bool
    ) -> Video: ...

    def chosen_frames(
        self,
        file: InputFile,
        *,
        fps: float,
        size: tuple[int, int],
        most: int,
        skip: int,
        every: int,
        start_s: float = 0.0,
    ) -> tuple[Image, Audio | None, VideoInfo]: ...

    def compressed(self, images: Image, crf: int) -> Image:
        """Pictures as H.264 gives each of them back."""

    def decode_audio(self, file: InputFile, start_s: float, duration_s: float) -> Audio: ...

    def silence(self, duration_s: float, sample_rate: int, channels: int) -> Audio: ...

    def trim_audio(self, audio: Audio, start_s: float, duration_s: float) -> Audio: ...

    def join_audio(self, first: Audio, second: Audio) -> Audio: ...

    def merge_audio(self, first: Audio, second: Audio, method: MergeMethod) -> Audio: ...

    def audio_volume(self, audio: Audio, decibels: int) -> Audio: ...

    def split_channels(self, audio: Audio) -> tuple[Audio, Audio]: ...

    def join_channels(self, left: Audio, right: Audio) -> Audio: ...
