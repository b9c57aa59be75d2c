"""A job's timeline as a picture: a row for each node, grouped by the stage that ran it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from xml.sax.saxutils import escape

WIDTH, NAMES, MARGIN = 960, 300, 90  # the whole, what is left of the bars, what is right of them
ROW, HEAD, FOOT = 22, 56, 28
BARS = WIDTH - NAMES - MARGIN
MOST_ROWS = 200
LONGEST_NAME = 30
TICKS = (1, 2, 5)
COLOURS: Mapping[str, str] = {
    "inline": "#8a8f98",
    "encode": "#4c78a8",
    "image": "#54a24b",
    "sample": "#e4572e",
    "upscale": "#b279a2",
    "output": "#d8a31a",
}
STYLE = "text{font:12px system-ui,sans-serif;fill:#222}.s{font-weight:600}.q{fill:#667}"


@dataclass(frozen=True)
class Node:
    """When one node ran, in seconds since its job began."""

    node_id: str
    class_type: str
    stage: str
    start_s: float
    end_s: float
    cached: bool

    @property
    def name(self) -> str:
        text = f"{self.node_id} {self.class_type}"
        return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1]}…"

    @property
    def took(self) -> str:
        return "cached" if self.cached else seconds(self.end_s - self.start_s)


def timeline_svg(title: str, timings: Sequence[Mapping[str, Any]], *, queued_s: float) -> str:
    """The picture of `timings` (the answer's), or of a job that has none yet."""
    stages = list(COLOURS)
    nodes = sorted(
        (Node(**timing) for timing in timings),
        key=lambda node: (stages.index(node.stage), node.start_s, node.end_s),
    )
    shown = nodes[:MOST_ROWS]
    end_s = max([node.end_s for node in nodes], default=0.0) or 1.0
    groups = [(stage, list(rows)) for stage, rows in groupby(shown, lambda node: node.stage)]
    height = HEAD + ROW * max(len(shown), 1) + 6 * len(groups) + FOOT
    more = f", {len(nodes) - len(shown)} more not shown" if len(nodes) > len(shown) else ""
    summary = f"{len(nodes)} nodes in {seconds(end_s)}" if nodes else "no node has run"
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        _text(12, 22, title, "s"),
        _text(12, 40, f"queued {seconds(queued_s)}, {summary}{more}", "q"),
        *_axis(end_s, height),
        *_rows(groups, end_s),
        "</svg>",
    ]
    return "\n".join(body)


def seconds(value: float) -> str:
    """Short: "0.42 s", "12.3 s", "3 min 5 s"."""
    if value >= 100:
        return f"{int(value) // 60} min {int(value) % 60} s"
    return f"{value:.3g} s" if value >= 0.001 else "0 s"


def _axis(end_s: float, height: int) -> Iterator[str]:
    step_s = _tick_step(end_s)
    for i in range(int(end_s / step_s + 1e-9) + 1):
        x = NAMES + BARS * i * step_s / end_s
        yield f'<path d="M{x:.1f} {HEAD - 6}V{height - FOOT + 4}" stroke="#ddd"/>'
        yield _text(x, height - 10, seconds(i * step_s), "q", "middle")


def _tick_step(end_s: float) -> float:
    """A round number of seconds that gives at most eight ticks."""
    scale = 0.001
    while True:
        for factor in TICKS:
            if end_s / (factor * scale) <= 8:
                return factor * scale
        scale *= 10


def _rows(groups: Sequence[tuple[str, Sequence[Node]]], end_s: float) -> Iterator[str]:
    y = HEAD
    for stage, nodes in groups:
        yield _text(12, y + 15, stage, "s")
        for node in nodes:
            yield from _row(node, y, end_s)
            y += ROW
        y += 6


def _row(node: Node, y: float, end_s: float) -> Iterator[str]:
    x, colour = NAMES + BARS * node.start_s / end_s, COLOURS[node.stage]
    width = max(BARS * (node.end_s - node.start_s) / end_s, 2.0)
    fill = 'fill="#fff" stroke-dasharray="2"' if node.cached else f'fill="{colour}"'
    width = 8.0 if node.cached else width
    hint = f"{node.class_type} {node.node_id}: {seconds(node.start_s)} to {seconds(node.end_s)}"
    yield _text(NAMES - 10, y + 15, node.name, "", "end")
    yield (
        f'<rect x="{x:.1f}" y="{y + 4}" width="{width:.1f}" height="14" rx="2" {fill} '
        f'stroke="{colour}"><title>{escape(hint)}</title></rect>'
    )
    yield _text(x + width + 5, y + 15, node.took, "q")


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'
