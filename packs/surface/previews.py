"""Small JPEGs of what a node is at."""

import base64
import io
from typing import Any

MOST_SIDE = 512


def jpeg_of(picture: Any, most_side: int | None = None) -> str:
    """A PIL picture as a small JPEG, in base64."""
    side = min(most_side or MOST_SIDE, MOST_SIDE)
    small = picture.convert("RGB")
    small.thumbnail((side, side))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=90)
    return base64.b64encode(buffer.getvalue()).decode()
