"""Sound: loaded, made, cut and mixed."""

from typing import Annotated, Any, Literal

from graph.node import Upload, Widget, node
from graph.stages import Stage
from graph.stages.media import Media, MergeMethod
from graph.values import Audio, InputFile, Link

MaybeAudio = Annotated[Any, Link("AUDIO")]  # None where a video had no sound
AudioFile = Annotated[InputFile, Upload("audio")]
Seconds = Annotated[float, Widget(min=0.0, step=0.01)]
FARTHEST_S = 0xFFFFFFFFFFFFFFFF


@node("LoadAudio", runs_on=Stage.IMAGE, display_name="Load Audio", category="audio")
def load_audio(media: Media, *, audio: AudioFile) -> Audio:
    """Read the sound of a file."""
    return media.decode_audio(audio, 0.0, 0.0)


@node("EmptyAudio", runs_on=Stage.IMAGE, display_name="Empty Audio", category="audio")
def empty_audio(
    media: Media,
    *,
    duration: Annotated[float, Widget(min=0.0, max=FARTHEST_S, step=0.01)] = 60.0,
    sample_rate: Annotated[int, Widget(min=1, max=192_000, advanced=True)] = 44_100,
    channels: Annotated[int, Widget(min=1, max=2, advanced=True)] = 2,
) -> Audio:
    """Make silence."""
    return media.silence(duration, sample_rate, channels)


@node(
    "TrimAudioDuration", runs_on=Stage.IMAGE, display_name="Trim Audio Duration", category="audio"
)
def trim_audio(
    media: Media,
    *,
    audio: MaybeAudio,
    start_index: Annotated[float, Widget(min=-FARTHEST_S, max=FARTHEST_S, step=0.01)] = 0.0,
    duration: Seconds = 60.0,
) -> MaybeAudio:
    """Take a stretch of sound; a start below 0 is counted from the end."""
    return None if audio is None else media.trim_audio(audio, start_index, duration)


@node("AudioConcat", runs_on=Stage.IMAGE, display_name="Concatenate Audio", category="audio")
def concatenate_audio(
    media: Media,
    *,
    audio1: MaybeAudio,
    audio2: MaybeAudio,
    direction: Literal["after", "before"] = "after",
) -> MaybeAudio:
    """Put one sound behind another."""
    if audio1 is None or audio2 is None:
        return audio1 or audio2
    first, second = (audio1, audio2) if direction == "after" else (audio2, audio1)
    return media.join_audio(first, second)


@node("AudioMerge", runs_on=Stage.IMAGE, display_name="Merge Audio", category="audio")
def merge_audio(
    media: Media, *, audio1: MaybeAudio, audio2: MaybeAudio, merge_method: MergeMethod
) -> MaybeAudio:
    """Lay one sound over another."""
    if audio1 is None or audio2 is None:
        return audio1 or audio2
    return media.merge_audio(audio1, audio2, merge_method)


@node(
    "AudioAdjustVolume", runs_on=Stage.IMAGE, display_name="Adjust Audio Volume", category="audio"
)
def adjust_volume(
    media: Media,
    *,
    audio: MaybeAudio,
    volume: Annotated[int, Widget(min=-100, max=100)] = 1,
) -> MaybeAudio:
    """Make sound louder or softer, in decibels."""
    return audio if audio is None or volume == 0 else media.audio_volume(audio, volume)


@node(
    "SplitAudioChannels",
    runs_on=Stage.IMAGE,
    display_name="Split Audio Channels",
    category="audio",
    outputs=("left", "right"),
)
def split_channels(media: Media, *, audio: Audio) -> tuple[Audio, Audio]:
    """Give the two channels of stereo."""
    return media.split_channels(audio)


@node(
    "JoinAudioChannels",
    runs_on=Stage.IMAGE,
    display_name="Join Audio Channels",
    category="audio",
    outputs=("audio",),
)
def join_channels(media: Media, *, audio_left: MaybeAudio, audio_right: MaybeAudio) -> MaybeAudio:
    """Make stereo of two mono sounds, as long as the shorter one."""
    if audio_left is None or audio_right is None:
        return audio_left or audio_right
    return media.join_channels(audio_left, audio_right)
