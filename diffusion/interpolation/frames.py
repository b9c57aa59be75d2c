"""The frames of a video with others drawn between them."""

import bisect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from diffusion.interpolation.film import Film, Seen
from diffusion.interpolation.loading import LoadedInterpolator
from diffusion.interpolation.rife import Rife
from graph.interpolation import Interpolation

STEP = 64  # px that RIFE's sides are multiples of, or more where it looks more coarsely
CONVOLUTIONS = 4  # times smaller in a block's first layers


class Ask(Protocol):
    """One turn on the device."""

    def __call__(self, ask: Callable[[], Tensor], *, counts: bool = True) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class FrameDrawing:
    """Draws between the frames of one request; `ask` runs what it is given when it is its turn."""

    loaded: LoadedInterpolator
    how: Interpolation
    ask: Ask

    def over(self, frames: Tensor) -> Tensor:
        """[N, H, W, 3] of `frames` [F, H, W, 3 or 4] in 0..1."""
        pixels = frames[..., :3].movedim(-1, 1)
        if self.how.precision != "float32":  # as the pack, which gives its own frames back so
            pixels = pixels.to(self.loaded.dtype)
        drawn = torch.empty(self.how.count(len(pixels)), *pixels.shape[1:])
        place = 0
        for frame, between in self._between(pixels):
            drawn[place] = pixels[frame]
            drawn[place + 1 : place + 1 + len(between)] = between
            place += 1 + len(between)
        drawn[place] = pixels[-1]
        return drawn.movedim(1, -1)

    def _between(self, pixels: Tensor) -> Iterator[tuple[int, Tensor]]:
        network = self.loaded.network
        pairs = self.how.pairs(len(pixels))
        if isinstance(network, Film):
            yield from _FilmPairs(self, network).over(pixels, pairs)
        else:
            yield from self._by_rife(network, pixels, pairs)

    def _by_rife(
        self, network: Rife, pixels: Tensor, pairs: Sequence[tuple[int, int]]
    ) -> Iterator[tuple[int, Tensor]]:
        scales = [scale / self.how.scale_factor for scale in network.shape.scales]
        step = max(STEP, round(CONVOLUTIONS * scales[0]))
        height, width = pixels.shape[2:]
        for frame, count in pairs:
            times = [part / (count + 1) for part in range(1, count + 1)]
            found = [pixels[:0].float()]
            if count:
                first, second = (self._fitted(pixels[n : n + 1], step) for n in (frame, frame + 1))
            for start in range(0, count, self.how.together):
                some = times[start : start + self.how.together]
                at = torch.tensor(some, dtype=first.dtype, device=first.device).view(-1, 1, 1, 1)
                answer = self.ask(
                    lambda at=at, first=first, second=second: network(  # type: ignore[misc]
                        first.expand(len(at), -1, -1, -1),
                        second.expand(len(at), -1, -1, -1),
                        at,
                        scales,
                        refine=self.how.refine,
                        watch_flow=self.how.watch_flow,
                    )
                )
                found.append(answer[..., :height, :width].clamp(0, 1).cpu().float())
            yield frame, torch.cat(found)

    def _fitted(self, frame: Tensor, step: int) -> Tensor:
        """A frame as RIFE takes it: continued with black, by ComfyUI's own node as in a mirror."""
        height, width = frame.shape[2:]
        more = (0, -width % step, 0, -height % step)
        frame = frame.to(self.loaded.device, self.loaded.dtype)
        if self.how.way != "core":
            return functional.pad(frame.clamp(0, 1), more)
        mirrored = more[1] < width and more[3] < height
        return functional.pad(frame, more, mode="reflect" if mirrored else "replicate")


class _FilmPairs:
    """FILM over the pairs of a video; what is seen of a frame serves both of its pairs."""

    def __init__(self, drawing: FrameDrawing, network: Film) -> None:
        self.drawing, self.network = drawing, network
        self.seen: dict[int, Seen] = {}

    def over(
        self, pixels: Tensor, pairs: Sequence[tuple[int, int]]
    ) -> Iterator[tuple[int, Tensor]]:
        loaded = self.drawing.loaded
        for frame, count in pairs:
            if not count:
                yield frame, pixels[:0].float()
                continue
            ends = {
                n: pixels[n : n + 1].to(loaded.device, loaded.dtype) for n in (frame, frame + 1)
            }
            self.seen = {n: seen for n, seen in self.seen.items() if n == frame}
            if self.drawing.how.way == "core":
                yield frame, self._at_once(ends, frame, count)
            else:
                yield frame, self._halving(ends, frame, count)

    def _at_once(self, ends: dict[int, Tensor], frame: int, count: int) -> Tensor:
        times = [part / (count + 1) for part in range(1, count + 1)]
        return torch.cat(
            [self._drawn(self._end(ends, frame), self._end(ends, frame + 1), t) for t in times]
        )

    def _halving(self, ends: dict[int, Tensor], frame: int, count: int) -> Tensor:
        """Always the frame that is nearest to the middle of two that are there already."""
        parts = torch.linspace(0, 1, count + 2)
        there, left = [0, count + 1], list(range(1, count + 1))
        frames: list[Tensor] = list(ends.values())
        seen = [self._end(ends, frame), self._end(ends, frame + 1)]
        while left:
            starts, stops = parts[there[:-1]], parts[there[1:]]
            off = (parts[None, left] - starts[:, None]) / (stops - starts)[:, None] - 0.5
            gap, chosen = divmod(int(off.abs().argmin()), len(left))
            part = left.pop(chosen)
            time = (parts[part] - parts[there[gap]]) / (parts[there[gap + 1]] - parts[there[gap]])
            own = float(time) if self.drawing.loaded.knows_time else 0.5
            drawn = self._drawn(seen[gap], seen[gap + 1], own)
            place = bisect.bisect_left(there, part)
            there.insert(place, part)
            frames.insert(place, drawn)
            seen.insert(place, self._look(drawn) if left else seen[0])
        return torch.cat([one.cpu().float() for one in frames[1:-1]])

    def _end(self, ends: dict[int, Tensor], frame: int) -> Seen:
        if frame not in self.seen:
            self.seen[frame] = self._look(ends[frame])
        return self.seen[frame]

    def _look(self, image: Tensor) -> Seen:
        found: list[Seen] = []

        def look() -> Tensor:
            found.append(self.network.seen(image.to(self.drawing.loaded.device)))
            return image

        self.drawing.ask(look, counts=False)
        return found[0]

    def _drawn(self, first: Seen, second: Seen, time: float) -> Tensor:
        answer = self.drawing.ask(lambda: self.network(first, second, [time]))
        return answer.clamp(0, 1).cpu().float()
