"""Layers of U-Nets and autoencoders. Parameters have diffusers' names."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

GROUPS = 32  # of channels, in all norms over feature maps
LONGEST_WAVE = 10_000


def normed(norm: nn.Module, x: Tensor, joined_frames: int | None) -> Tensor:
    """`norm` of [B, C, h, w], over each picture or over so many at a time as the frames of one."""
    if joined_frames is None:
        alone: Tensor = norm(x)
        return alone
    _, channels, height, width = x.shape
    videos = x.reshape(-1, joined_frames, channels, height, width).transpose(1, 2)
    together: Tensor = norm(videos.flatten(2, 3))
    frames = together.reshape(-1, channels, joined_frames, height, width).transpose(1, 2)
    return frames.reshape(x.shape)


class ResnetBlock(nn.Module):
    """Two convolutions beside an identity; what is said of time joins between them."""

    def __init__(self, into: int, out: int, *, eps: float, time_width: int | None = None) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, into, eps=eps)
        self.conv1 = nn.Conv2d(into, out, 3, padding=1)
        self.time_emb_proj = None if time_width is None else nn.Linear(time_width, out)
        self.norm2 = nn.GroupNorm(GROUPS, out, eps=eps)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(into, out, 1) if into != out else None

    def forward(
        self, x: Tensor, time: Tensor | None = None, joined_frames: int | None = None
    ) -> Tensor:
        """`x` [B, C, h, w], `time` [B, time_width]; as many frames are normalised together."""
        h = self.conv1(functional.silu(normed(self.norm1, x, joined_frames)))
        if self.time_emb_proj is not None and time is not None:
            h = h + self.time_emb_proj(functional.silu(time))[:, :, None, None]
        h = self.conv2(functional.silu(normed(self.norm2, h, joined_frames)))
        both: Tensor = h + (x if self.conv_shortcut is None else self.conv_shortcut(x))
        return both


class GatedProjection(nn.Module):
    """GEGLU (Shazeer 2020)."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.proj = nn.Linear(into, 2 * out)

    def forward(self, x: Tensor) -> Tensor:
        values, gate = self.proj(x).chunk(2, dim=-1)
        return values * functional.gelu(gate)  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """Two layers of four times the width, by token."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            GatedProjection(width, 4 * width), nn.Identity(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.net(x)
        return answer


class FrameResnet(nn.Module):
    """A residual layer whose convolutions go over the frames of a video. Names are LDM's."""

    def __init__(self, channels: int, *, time_width: int | None = None) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(
            nn.GroupNorm(GROUPS, channels), nn.SiLU(), _over_time(channels)
        )
        self.emb_layers: nn.Module | None = None
        if time_width is not None:
            self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(time_width, channels))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(GROUPS, channels), nn.SiLU(), nn.Identity(), _over_time(channels)
        )

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        """`x` [N, C, frames, h, w], `time` [N, frames, time_width]."""
        h = self.in_layers(x)
        if self.emb_layers is not None and time is not None:
            h = h + self.emb_layers(time).transpose(1, 2)[..., None, None]
        both: Tensor = x + self.out_layers(h)
        return both


def _over_time(channels: int) -> nn.Conv3d:
    return nn.Conv3d(channels, channels, (3, 1, 1), padding=(1, 0, 0))


class Downsampler(nn.Module):
    """Half the size. `padding` 0 is for autoencoders, which pad at the far ends alone."""

    def __init__(self, channels: int, *, padding: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=padding)
        self._pads_ends = padding == 0

    def forward(self, x: Tensor) -> Tensor:
        halved: Tensor = self.conv(functional.pad(x, (0, 1, 0, 1)) if self._pads_ends else x)
        return halved


class Upsampler(nn.Module):
    """Twice the size, or that of the skip connection which is read next."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        height, width = size or (2 * x.shape[-2], 2 * x.shape[-1])
        if x.shape[0] * x.shape[1] * height * width > torch.iinfo(torch.int32).max:
            x = x.contiguous()  # channels-last, torch would count past the end (pytorch#141831)
        enlarged: Tensor = self.conv(functional.interpolate(x, (height, width), mode="nearest"))
        return enlarged


class Embedding(nn.Module):
    """A vector that joins the time: what is said of noise, of sizes, of pictures."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(into, out)
        self.linear_2 = nn.Linear(out, out)

    def forward(self, x: Tensor) -> Tensor:
        embedded: Tensor = self.linear_2(functional.silu(self.linear_1(x)))
        return embedded


def sinusoids(values: Tensor, width: int, *, scale: float = 1.0) -> Tensor:
    """[N] -> [N, width] of values times `scale`, cosines before sines (Vaswani et al. 2017)."""
    half = width // 2
    steps = torch.arange(half, dtype=torch.float32, device=values.device)
    frequencies = torch.exp(-math.log(LONGEST_WAVE) * steps / half)
    angles = scale * (values[:, None].float() * frequencies[None])  # rounded as ComfyUI does
    return torch.cat([angles.cos(), angles.sin()], dim=-1)
