"""Runs the parts of gpu.sh within its time, and writes down what they found."""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# In the order of what is wanted most, with the seconds that each may take.
PARTS = {
    "machine": 30,
    "pictures": 60,
    "sdxl": 60,
    "flux": 90,
    "adapters": 60,
    "batches": 60,
    "sdxl_compiled": 120,
    "flux_compiled": 120,
    "sdxl_graphs": 120,
}
GRAPHS = {"sdxl_graphs": {"TORCHINDUCTOR_CUDAGRAPHS": "1"}}
LEAST_S = 15.0  # with less left, a part is not begun
LAST_LINES = 6  # of what a part said that failed
Found = dict[str, Any]


def run_part(name: str, asked: argparse.Namespace, limit_s: float) -> Found:
    """What a part found, or why it did not."""
    file = asked.out / f"gpu_{name}.json"
    file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.gpu_parts", name, str(file)]
    command += ["--device", asked.device, *(["--tiny"] if asked.tiny else [])]
    try:
        # Compiled anew in each part: what an earlier one left would be found instead of compiled.
        with TemporaryDirectory(prefix="inductor-", dir=asked.out) as compiled:
            own = {"TORCHINDUCTOR_CACHE_DIR": compiled, **GRAPHS.get(name, {})}
            done = subprocess.run(
                command,
                cwd=ROOT,
                env=os.environ | own,
                timeout=limit_s,
                capture_output=True,
                text=True,
                check=False,
            )
    except subprocess.TimeoutExpired:
        return {"failed": f"not done within {limit_s:.0f} s"}
    if done.returncode or not file.exists():
        return {"failed": "\n".join(done.stderr.splitlines()[-LAST_LINES:])}
    rows: Found = json.loads(file.read_text())
    file.unlink()
    return {"rows": rows}


def table(found: Mapping[str, Found]) -> Iterator[str]:
    """All rows, as Markdown."""
    yield "| what | found |"
    yield "| --- | --- |"
    for name, part in found.items():
        if "failed" in part:
            (last,) = part["failed"].splitlines()[-1:] or [""]
            yield f"| {name} | failed: {last} |"
        for what, row in part.get("rows", {}).items():
            told = (f"{key} {_short(value)}" for key, value in row.items())
            yield f"| {what} | {', '.join(told)} |"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/gpu.sh", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--tiny", action="store_true", help="small networks: does it run at all")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, default=ROOT / "build")
    parser.add_argument("--seconds", type=float, default=345.0, help="for all parts together")
    asked = parser.parse_args(given)
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}")
    return asked


def main(given: Sequence[str] | None = None) -> int:
    asked = arguments(given)
    asked.out.mkdir(parents=True, exist_ok=True)
    asked.out = asked.out.resolve()
    ends = time.monotonic() + asked.seconds
    found: dict[str, Found] = {}
    for name, most_s in PARTS.items():
        if asked.parts and name not in asked.parts:
            continue
        left_s = ends - time.monotonic()
        began = time.monotonic()
        if left_s < LEAST_S:
            found[name] = {"failed": "no time was left"}
        else:
            found[name] = run_part(name, asked, left_s if asked.tiny else min(most_s, left_s))
        found[name]["seconds"] = time.monotonic() - began
        print(
            f"{name}: {'failed' if 'failed' in found[name] else 'done'} "
            f"in {found[name]['seconds']:.1f} s",
            flush=True,
        )
        (asked.out / "gpu.json").write_text(json.dumps(found, indent=1))
        (asked.out / "gpu.md").write_text("\n".join(table(found)) + "\n")
    print((asked.out / "gpu.md").read_text())
    return any("failed" in part for part in found.values())


if __name__ == "__main__":
    sys.exit(main())
