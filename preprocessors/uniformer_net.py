"""UniFormer (Li et al. 2022), the backbone of the pack's segmentation: convolutions where a picture
is large, attention where it is small."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

HEAD = 64  # channels of one attention head
WIDER = 4  # times, inside a block's network
EPS = 1e-6
CONVOLVED = 2  # of the four stages


class Wider(nn.Module):
    """Two layers with a wider one between, for each place."""

    def __init__(self, width: int, *, convolved: bool) -> None:
        super().__init__()
        layer = _pointwise if convolved else nn.Linear
        self.fc1 = layer(width, width * WIDER)
        self.fc2 = layer(width * WIDER, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(nn.functional.gelu(self.fc1(x)))
        return out


class Attention(nn.Module):
    """Attention of every place [B, N, C] to every place."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // HEAD
        self.qkv = nn.Linear(width, width * 3)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, places, width = x.shape
        split = self.qkv(x).reshape(batch, places, 3, self.heads, width // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4)
        seen = nn.functional.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.proj(seen.transpose(1, 2).reshape(batch, places, width))
        return out


class ConvolutionBlock(nn.Module):
    """[B, C, H, W]: what is near is mixed."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pos_embed = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm1, self.norm2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.conv1, self.conv2 = _pointwise(width, width), _pointwise(width, width)
        self.attn = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.mlp = Wider(width, convolved=True)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.pos_embed(x)
        x = x + self.conv2(self.attn(self.conv1(self.norm1(x))))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class AttentionBlock(nn.Module):
    """[B, C, H, W]: everything is mixed."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pos_embed = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=EPS), nn.LayerNorm(width, eps=EPS)
        self.attn = Attention(width)
        self.mlp = Wider(width, convolved=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.pos_embed(x)
        places = x.flatten(2).transpose(1, 2)
        places = places + self.attn(self.norm1(places))
        places = places + self.mlp(self.norm2(places))
        out: Tensor = places.transpose(1, 2).reshape(x.shape)
        return out


class Patches(nn.Module):
    """[B, C, H, W] to patches of `side` pixels, normalised."""

    def __init__(self, inner: int, outer: int, side: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(outer)
        self.proj = nn.Conv2d(inner, outer, side, stride=side)

    def forward(self, x: Tensor) -> Tensor:
        return _over_channels(self.norm, self.proj(x))


class UniFormer(nn.Module):
    """[B, 3, H, W] to feature maps of four scales."""

    def __init__(self, widths: Sequence[int], depths: Sequence[int]) -> None:
        super().__init__()
        inner = 3
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True), start=1):
            kind = ConvolutionBlock if stage <= CONVOLVED else AttentionBlock
            blocks = nn.ModuleList([kind(width) for _ in range(depth)])
            self.add_module(f"patch_embed{stage}", Patches(inner, width, 4 if stage == 1 else 2))
            self.add_module(f"blocks{stage}", blocks)
            self.add_module(f"norm{stage}", nn.LayerNorm(width, eps=EPS))
            inner = width

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for stage in range(1, 5):
            x = self.get_submodule(f"patch_embed{stage}")(x)
            for block in self.get_submodule(f"blocks{stage}").children():
                x = block(x)
            features.append(_over_channels(self.get_submodule(f"norm{stage}"), x))
        return features


def _pointwise(inner: int, outer: int) -> nn.Conv2d:
    return nn.Conv2d(inner, outer, 1)


def _over_channels(norm: nn.Module, x: Tensor) -> Tensor:
    normal: Tensor = norm(x.movedim(1, -1))
    return torch.movedim(normal, -1, 1).contiguous()
