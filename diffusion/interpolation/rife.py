"""RIFE: flows between two frames, estimated from coarse to fine (Huang et al. 2022).

One network for the versions that are in use, told by a file's tensors; its parameters have the
names of the authors' files. (Practical-RIFE; ComfyUI-Frame-Interpolation rife_arch.py;
ComfyUI comfy_extras/frame_interpolation_models/ifnet.py)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

LAYERS = 8  # of each block
FLOW, MASK, COLORS = 4, 1, 3
CONTEXT = 16  # channels of the refining network, on its finest level
FAR = 32.0  # px of a flow beyond which the oldest version begins again, more coarsely
Encoder = Literal["", "pair", "sequence", "head"]


@dataclass(frozen=True)
class RifeShape:
    """What differs between versions."""

    widths: tuple[int, ...]  # of the blocks, coarsest first
    encoder: Encoder = ""  # of frames into features; "" is none
    encoder_width: int = 0
    features: int = 0  # channels of a frame's features
    carried: int = 0  # channels that a block hands on to the next
    extra: int = 0  # channels of an answer that nobody reads
    learned_slopes: bool = False  # version 4.0
    scaled_residuals: bool = True
    shuffles: bool = True  # the last layer of a block, which enlarges by shuffling
    refines: bool = False  # has a network that goes over the result

    @property
    def scales(self) -> tuple[float, ...]:
        """How much smaller each block sees frames."""
        return tuple(float(2**place) for place in reversed(range(len(self.widths))))

    @property
    def sums_masks(self) -> bool:
        return not self.features


def shape_of(shapes: Mapping[str, tuple[int, ...]]) -> RifeShape | None:
    """What a file's tensors say of its version; None where they are of none that is served."""
    try:
        return _shape(shapes)
    except (KeyError, IndexError):
        return None


def _shape(shapes: Mapping[str, tuple[int, ...]]) -> RifeShape | None:
    count = next((n for n in range(9) if f"block{n}.conv0.0.0.weight" not in shapes), 9)
    if count not in (4, 5):
        return None
    encoder: Encoder = ""
    width = features = 0
    if "encode.cnn3.weight" in shapes:
        encoder, last = "head", "encode.cnn3.weight"
    elif "encode.6.weight" in shapes:
        encoder, last = "sequence", "encode.6.weight"
    elif "encode.1.weight" in shapes:
        encoder, last = "pair", "encode.1.weight"
    if encoder:
        width, features = shapes[last][:2]
    shuffles = "block0.lastconv.0.weight" in shapes
    answer = shapes["block0.lastconv.0.weight"][1] // 4 if shuffles else FLOW + MASK
    into = shapes["block1.conv0.0.0.weight"][1]
    carried = into - 2 * (COLORS + features) - 1 - MASK - FLOW
    return RifeShape(
        widths=tuple(shapes[f"block{n}.conv0.1.0.weight"][0] for n in range(count)),
        encoder=encoder,
        encoder_width=width,
        features=features,
        carried=carried,
        extra=answer - FLOW - MASK - carried,
        learned_slopes="block0.conv0.0.1.weight" in shapes,
        scaled_residuals="block0.convblock.0.beta" in shapes,
        shuffles=shuffles,
        refines="contextnet.conv1.conv1.0.weight" in shapes,
    )


def _resized(x: Tensor, factor: float) -> Tensor:
    return functional.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def warped(x: Tensor, flow: Tensor) -> Tensor:
    """`x` [B, C, H, W] read where `flow` [B, 2, H, W] in pixels leads, edges continued."""
    height, width = flow.shape[-2:]
    across = torch.linspace(-1.0, 1.0, width, device=x.device).view(1, 1, width)
    down = torch.linspace(-1.0, 1.0, height, device=x.device).view(1, height, 1)
    grid = torch.stack(
        [
            across + flow[:, 0].float() / ((x.shape[3] - 1.0) / 2.0),
            down + flow[:, 1].float() / ((x.shape[2] - 1.0) / 2.0),
        ],
        dim=-1,
    )
    read = functional.grid_sample(x.float(), grid, padding_mode="border", align_corners=True)
    return read.to(x.dtype)


class ScaledResidual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.beta = nn.Parameter(torch.empty(1, width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(self.conv(x) * self.beta + x, 0.2)


def _conv(into: int, out: int, stride: int, shape: RifeShape) -> nn.Sequential:
    slope = nn.PReLU(out) if shape.learned_slopes else nn.LeakyReLU(0.2)
    return nn.Sequential(nn.Conv2d(into, out, 3, stride, 1), slope)


class Block(nn.Module):
    """Flow and mask at one scale."""

    def __init__(self, into: int, width: int, shape: RifeShape) -> None:
        super().__init__()
        self.shape = shape
        self.conv0 = nn.Sequential(
            _conv(into, width // 2, 2, shape), _conv(width // 2, width, 2, shape)
        )
        self.convblock = nn.Sequential(
            *(
                ScaledResidual(width) if shape.scaled_residuals else _conv(width, width, 1, shape)
                for _ in range(LAYERS)
            )
        )
        answer = FLOW + MASK + shape.carried + shape.extra
        self.lastconv: nn.Module
        if shape.shuffles:
            enlarging = nn.ConvTranspose2d(width, 4 * answer, 4, 2, 1)
            self.lastconv = nn.Sequential(enlarging, nn.PixelShuffle(2))
        else:
            self.lastconv = nn.ConvTranspose2d(width, answer, 4, 2, 1)

    def forward(
        self, x: Tensor, flow: Tensor | None, scale: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What is added to the flow, the mask, and what is handed on."""
        x = _resized(x, 1.0 / scale)
        if flow is not None:
            x = torch.cat([x, _resized(flow, 1.0 / scale) / scale], dim=1)
        features = self.conv0(x)
        deep = self.convblock(features)
        if self.shape.learned_slopes:
            deep = deep + features
        larger = scale if self.shape.shuffles else 2 * scale
        answer = _resized(self.lastconv(deep), larger)
        return answer[:, :FLOW] * larger, answer[:, FLOW : FLOW + MASK], answer[:, FLOW + MASK :]


class Head(nn.Module):
    def __init__(self, width: int, features: int) -> None:
        super().__init__()
        self.cnn0 = nn.Conv2d(COLORS, width, 3, 2, 1)
        self.cnn1 = nn.Conv2d(width, width, 3, 1, 1)
        self.cnn2 = nn.Conv2d(width, width, 3, 1, 1)
        self.cnn3 = nn.ConvTranspose2d(width, features, 4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.cnn0, self.cnn1, self.cnn2):
            x = functional.leaky_relu(layer(x), 0.2)
        answer: Tensor = self.cnn3(x)
        return answer


def _encoder(shape: RifeShape) -> nn.Module:
    width, features = shape.encoder_width, shape.features
    if shape.encoder == "head":
        return Head(width, features)
    layers: list[nn.Module] = [nn.Conv2d(COLORS, width, 3, 2, 1)]
    if shape.encoder == "sequence":
        for _ in range(2):
            layers += [nn.LeakyReLU(0.2), nn.Conv2d(width, width, 3, 1, 1)]
        layers.append(nn.LeakyReLU(0.2))
    return nn.Sequential(*layers, nn.ConvTranspose2d(width, features, 4, 2, 1))


class Halving(nn.Module):
    def __init__(self, into: int, out: int, shape: RifeShape) -> None:
        super().__init__()
        self.conv1 = _conv(into, out, 2, shape)
        self.conv2 = _conv(out, out, 1, shape)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.conv2(self.conv1(x))
        return answer


class ContextNetwork(nn.Module):
    """Features of one frame on four levels, each moved along the flow."""

    def __init__(self, shape: RifeShape) -> None:
        super().__init__()
        widths = [COLORS, *(CONTEXT * 2**level for level in range(4))]
        for level in range(4):
            setattr(self, f"conv{level + 1}", Halving(widths[level], widths[level + 1], shape))

    def forward(self, x: Tensor, flow: Tensor) -> list[Tensor]:
        found = []
        for level in range(4):
            x = getattr(self, f"conv{level + 1}")(x)
            flow = _resized(flow, 0.5) * 0.5
            found.append(warped(x, flow))
        return found


class RefiningNetwork(nn.Module):
    """What is to be added to the result."""

    def __init__(self, shape: RifeShape) -> None:
        super().__init__()
        c = CONTEXT
        self.down0 = Halving(17, 2 * c, shape)
        self.down1 = Halving(4 * c, 4 * c, shape)
        self.down2 = Halving(8 * c, 8 * c, shape)
        self.down3 = Halving(16 * c, 16 * c, shape)
        for place, (into, out) in enumerate([(32, 8), (16, 4), (8, 2), (4, 1)]):
            enlarging = nn.ConvTranspose2d(into * c, out * c, 4, 2, 1)
            slope = nn.PReLU(out * c) if shape.learned_slopes else nn.LeakyReLU(0.2)
            setattr(self, f"up{place}", nn.Sequential(enlarging, slope))
        self.conv = nn.Conv2d(c, COLORS, 3, 1, 1)

    def forward(self, x: Tensor, first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
        s0 = self.down0(x)
        s1 = self.down1(torch.cat([s0, first[0], second[0]], 1))
        s2 = self.down2(torch.cat([s1, first[1], second[1]], 1))
        x = self.down3(torch.cat([s2, first[2], second[2]], 1))
        x = torch.cat([x, first[3], second[3]], 1)
        ups: list[Any] = [getattr(self, f"up{place}") for place in range(4)]
        for up, skip in zip(ups, (s2, s1, s0, None), strict=True):
            x = up(x)
            x = x if skip is None else torch.cat([x, skip], 1)
        return torch.sigmoid(self.conv(x)) * 2 - 1


class Rife(nn.Module):
    """The frame at a time between two others."""

    def __init__(self, shape: RifeShape) -> None:
        super().__init__()
        self.shape = shape
        frames = 2 * (COLORS + shape.features) + 1
        for place, width in enumerate(shape.widths):
            more = MASK + shape.carried + FLOW if place else 0
            setattr(self, f"block{place}", Block(frames + more, width, shape))
        if shape.encoder:
            self.encode = _encoder(shape)
        if shape.refines:
            self.contextnet = ContextNetwork(shape)
            self.unet = RefiningNetwork(shape)

    def forward(
        self,
        first: Tensor,
        second: Tensor,
        time: Tensor,
        scales: Sequence[float],
        *,
        refine: bool = False,
        watch_flow: bool = False,
    ) -> Tensor:
        """`first` and `second` [B, 3, H, W] with sides that scales divide; `time` [B, 1, 1, 1].

        `refine` and `watch_flow` are for versions that have what it takes.
        """
        pair = _Pair(self, first, second, time.expand(-1, 1, *first.shape[-2:]))
        scales = list(scales)
        for place in range(len(self.shape.widths)):
            change, mask, carried = pair.asked(place, scales[place])
            far = place == 1 and watch_flow and self.shape.learned_slopes and _is_far(change)
            if far:
                scales = [2 * scale for scale in scales]
                pair.begin(*pair.asked(0, scales[0], anew=True))
                change, mask, carried = pair.asked(place, scales[place])
            pair.add(change, mask, carried)
        return pair.merged(refine=refine and self.shape.refines)


def _is_far(change: Tensor) -> bool:
    return bool(change[:, :2].abs().max() > FAR) and bool(change[:, 2:4].abs().max() > FAR)


class _Pair:
    """Two frames on their way through the blocks."""

    def __init__(self, network: Rife, first: Tensor, second: Tensor, time: Tensor) -> None:
        self.network, self.first, self.second, self.time = network, first, second, time
        self.features: list[Tensor] = []
        if network.shape.features:
            self.features = [network.encode(first), network.encode(second)]
        self.flow: Tensor | None = None
        self.mask = self.carried = first[:, :0]
        self.warped = first, second

    def asked(
        self, place: int, scale: float, *, anew: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        flow = None if anew else self.flow
        block = getattr(self.network, f"block{place}")
        if flow is None:
            inputs = [self.first, self.second, *self.features, self.time]
        else:
            halves = (flow[:, :2], flow[:, 2:4])
            features = [warped(f, half) for f, half in zip(self.features, halves, strict=False)]
            inputs = [*self.warped, *features, self.time, self.mask, self.carried]
        change, mask, rest = block(torch.cat(inputs, 1), flow, scale)
        return change, mask, rest[:, : self.network.shape.carried]

    def begin(self, flow: Tensor, mask: Tensor, carried: Tensor) -> None:
        self.flow, self.mask, self.carried = flow, mask, carried
        self.warped = warped(self.first, flow[:, :2]), warped(self.second, flow[:, 2:4])

    def add(self, change: Tensor, mask: Tensor, carried: Tensor) -> None:
        if self.flow is None:
            self.begin(change, mask, carried)
        else:
            mask = self.mask + mask if self.network.shape.sums_masks else mask
            self.begin(self.flow + change, mask, carried)

    def merged(self, *, refine: bool) -> Tensor:
        first, second = self.warped
        share = torch.sigmoid(self.mask)
        both = first * share + second * (1 - share)
        if not refine or self.flow is None:
            return both
        contexts = [
            self.network.contextnet(frame, half)
            for frame, half in ((self.first, self.flow[:, :2]), (self.second, self.flow[:, 2:4]))
        ]
        seen = torch.cat([self.first, self.second, first, second, self.mask, self.flow], 1)
        added: Tensor = self.network.unet(seen, *contexts)
        return (both + added).clamp(0, 1)
