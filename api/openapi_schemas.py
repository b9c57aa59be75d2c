"""Writes the response schemas from which the JavaScript client's types are generated.

`make client-types` does both; `python -m api.openapi_schemas` prints them.
"""

import json
import sys
from typing import Any

from api.app import documented_routes


def schemas() -> dict[str, Any]:
    """An OpenAPI document of schemas alone."""
    document = documented_routes().openapi()
    kept = {name: document[name] for name in ("openapi", "info")}
    return {**kept, "paths": {}, "components": {"schemas": document["components"]["schemas"]}}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(schemas(), indent=1))
