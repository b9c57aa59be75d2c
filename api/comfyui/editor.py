"""Serves ComfyUI's editor where the package comfyui-frontend-package is installed."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

PACKAGE = "comfyui_frontend_package"
TEMPLATE_SCRIPT = "/extensions/comfyray/template.js"
OPENS_TEMPLATES = (1, 32)  # from here on the editor itself understands /?template=


@dataclass(frozen=True)
class Editor:
    """The editor's folder, or none."""

    root: Path | None = None
    version: str = ""

    @classmethod
    def installed(cls) -> "Editor":
        """The installed one; an empty one where there is none. Nothing of it is imported."""
        spec = find_spec(PACKAGE)
        if spec is None or spec.origin is None:
            return cls()
        try:
            return cls(Path(spec.origin).parent / "static", version(PACKAGE.replace("_", "-")))
        except PackageNotFoundError:
            return cls()

    def extensions(self) -> Iterator[str]:
        """The paths of the scripts that it loads when it starts (ComfyUI server.py)."""
        if self.root is None:
            return
        for script in sorted((self.root / "extensions").rglob("*.js")):
            yield "/" + script.relative_to(self.root).as_posix()
        if tuple(map(int, re.findall(r"\d+", self.version)[:2])) < OPENS_TEMPLATES:
            yield TEMPLATE_SCRIPT
