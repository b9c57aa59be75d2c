"""The JavaScript client's types are those of the OpenAPI document."""

import json
import subprocess
from pathlib import Path

from api.openapi_schemas import schemas

CLIENT = Path(__file__).resolve().parents[2] / "clients" / "javascript"


def test_the_types_are_those_that_make_client_types_writes(tmp_path: Path) -> None:
    document, made = tmp_path / "schemas.json", tmp_path / "openapi.ts"
    document.write_text(json.dumps(schemas()))
    tool = CLIENT / "node_modules" / ".bin" / "openapi-typescript"
    subprocess.run([tool, document, "--output", made], check=True, capture_output=True, timeout=120)
    assert made.read_text() == (CLIENT / "src" / "openapi.ts").read_text()
