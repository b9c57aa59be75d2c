"""Write the three locks from pyproject.toml: `make lock`.

One resolution for every platform, with hashes and without addresses. requirements.lock is what the
service runs with; requirements-dev.lock is what developing adds; requirements-cuda.lock is what
only torch's CUDA build needs, so that a machine with the CPU build never downloads it. torch's
entry carries the hashes of both builds: those of the default index, and those of a `+cpu` wheel
where pip's or uv's configuration offers one (hashes already locked for the same version are kept).
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import NamedTemporaryFile

COMPILE = ["pip", "compile", "--quiet", "--universal", "--python-version=3.11", "--generate-hashes"]
PLAIN = ["--no-annotate", "--no-header", "--no-emit-index-url", "--no-emit-find-links"]
EXTRA = ("UV_FIND_LINKS", "UV_INDEX", "UV_INDEX_STRATEGY")
CUDA = re.compile(r"(nvidia-|cuda-|triton==)")
HEADER = "# Written by `make lock`. Do not edit.\n"


def compiled(uv: str, source: str, *options: str, stdin: str = "", offered: bool = False) -> str:
    """What uv resolves `source` to; `offered` also looks where extra wheels are configured.

    Otherwise not: a mirror of a few platforms' wheels would leave the others' hashes out.
    """
    environment = {k: v for k, v in os.environ.items() if offered or k not in EXTRA}
    answer = subprocess.run(
        [uv, *COMPILE, *PLAIN, *options, source],
        input=stdin,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode and not offered:
        sys.exit(answer.stderr)
    return answer.stdout


def entries(lock: str) -> list[str]:
    """The packages of a lock, each with its marker and hashes."""
    return re.findall(r"^[a-z0-9][^\n]*==(?:[^\n]*\\\n)*[^\n]*\n", lock, re.MULTILINE)


def name_of(entry: str) -> str:
    return entry.partition("==")[0]


def needed_to_run(uv: str, everything: str) -> set[str]:
    """The packages that the service needs, of all that are locked, and uv, which installs them."""
    with NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.write(everything)
        constraints.flush()
        running = compiled(uv, "pyproject.toml", f"--constraint={constraints.name}")
    return {name_of(entry) for entry in entries(running)} | {"uv"}


def torch_entry(text: str) -> str:
    return next((entry for entry in entries(text) if entry.startswith("torch==")), "")


def with_cpu_build(entry: str, cpu: str, locked: str) -> str:
    """torch's entry, accepting its CPU build's wheels too."""
    version = entry.split(" ", 1)[0]
    known = [entry, cpu, locked if locked.startswith(f"{version} ") else ""]
    hashes = sorted({found for text in known for found in re.findall(r"sha256:\w+", text)})
    first = entry.split("\\\n", 1)[0].rstrip()
    return " \\\n".join([first, *(f"    --hash={found}" for found in hashes)]) + "\n"


def main() -> None:
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    lock, cuda_lock = Path("requirements.lock"), Path("requirements-cuda.lock")
    dev_lock = Path("requirements-dev.lock")
    everything = compiled(uv, "pyproject.toml", "--extra=dev")
    torch = torch_entry(everything)
    pinned = torch.split(" ", 1)[0]
    cpu = torch_entry(compiled(uv, "-", stdin=f"{pinned}+cpu", offered=True))
    locked = torch_entry(lock.read_text()) if lock.exists() else ""
    both = everything.replace(torch, with_cpu_build(torch, cpu, locked))
    cuda = [entry for entry in entries(both) if CUDA.match(entry)]
    rest = [entry for entry in entries(both) if not CUDA.match(entry)]
    needed = needed_to_run(uv, everything)
    lock.write_text(HEADER + "".join(entry for entry in rest if name_of(entry) in needed))
    dev_lock.write_text(HEADER + "".join(entry for entry in rest if name_of(entry) not in needed))
    cuda_lock.write_text(HEADER + "".join(cuda))


if __name__ == "__main__":
    main()
