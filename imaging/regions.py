"""Regions around boxes (Impact Pack utils.py, make_crop_region)."""

from graph.segs import Box, Region


def region_around(
    box: Box, size: tuple[int, int], factor: float, least_px: int | None = None
) -> Region:
    """The region `factor` times as large as a box, moved into a picture of width and height."""
    x1, y1, x2, y2 = box
    wide, high = (x2 - x1) * factor, (y2 - y1) * factor
    if least_px is not None:
        wide, high = max(least_px, wide), max(least_px, high)
    left, right = _within(size[0], int(x1 + (x2 - x1) / 2 - wide / 2), wide)
    top, bottom = _within(size[1], int(y1 + (y2 - y1) / 2 - high / 2), high)
    return left, top, right, bottom


def _within(limit: int, start: int, length: float) -> tuple[int, int]:
    """Where a stretch begins and ends when it is moved between 0 and `limit`."""
    if start < 0:
        return 0, int(min(limit, length))
    if start + length > limit:
        return int(max(0, limit - length)), int(limit)
    return start, int(min(limit, start + length))
