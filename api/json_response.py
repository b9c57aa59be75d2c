"""JSON responses."""

import asyncio
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from starlette.responses import JSONResponse, Response


class JsonResponse(JSONResponse):
    """Standard JSON even where a caller's own NaN or Infinity is quoted back: these become text."""

    def render(self, content: Any) -> bytes:
        try:
            return _dumps(content)
        except ValueError:
            return _dumps(_finite(content))


async def in_pieces(members: Iterable[tuple[str, Any]]) -> Response:
    """A large object as JsonResponse has it, between whose members others go on."""
    pieces = []
    for name, value in members:
        pieces.append(_dumps(name) + b":" + bytes(JsonResponse(value).body))
        await asyncio.sleep(0)
    return Response(b"{" + b",".join(pieces) + b"}", media_type=JsonResponse.media_type)


def _dumps(content: Any) -> bytes:
    text = json.dumps(
        content, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=str
    )
    return text.encode(errors="replace")


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _finite(one) for name, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value
