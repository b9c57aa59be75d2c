"""JSON responses."""

import json
import math
from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse


class JsonResponse(JSONResponse):
    """Standard JSON even where a caller's own NaN or Infinity is quoted back: these become text."""

    def render(self, content: Any) -> bytes:
        try:
            return _dumps(content)
        except ValueError:
            return _dumps(_finite(content))


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
