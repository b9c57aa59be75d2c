"""/app: the files of the built-in page, and the examples it offers."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from fastapi.staticfiles import StaticFiles

from api.json_response import JsonResponse

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
STATIC, EXAMPLES, GALLERY = HERE / "static", ROOT / "examples", ROOT / "docs" / "gallery"
# Only files of ours run here; pictures may also come from a bucket's own host.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data: blob: https:",
        "media-src 'self' blob: https:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
LOADERS = {"LoadImage": "image", "LoadImageMask": "image"}

router = APIRouter()


@dataclass(frozen=True)
class Example:
    """A workflow to begin with; `files` have to be uploaded first."""

    name: str
    title: str
    files: tuple[str, ...]


@router.get("/app", include_in_schema=False)
async def without_slash(request: Request) -> RedirectResponse:
    """The page's own links are relative to /app/."""
    return RedirectResponse(f"{request.scope.get('root_path', '')}/app/")


@router.get("/app/examples.json", include_in_schema=False)
async def examples() -> JsonResponse:
    """The examples that come with the demo model."""
    return JsonResponse([asdict(example) for example in _examples()])


def _examples() -> Iterator[Example]:
    names = sorted(
        path.stem for path in EXAMPLES.glob("*.json") if (GALLERY / f"{path.stem}.png").exists()
    )
    for name in sorted(names, key=lambda name: name != "text_to_image"):
        workflow: dict[str, Any] = json.loads((EXAMPLES / f"{name}.json").read_text())
        files = {
            node["inputs"][LOADERS[node["class_type"]]]
            for node in workflow.values()
            if node["class_type"] in LOADERS
        }
        yield Example(name, name.replace("_", " ").capitalize(), tuple(sorted(files)))


class PageFiles(StaticFiles):
    """Files of the page, with headers that let nothing else run on it."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        """As StaticFiles does it."""
        response = super().file_response(*args, **options)
        response.headers.update(HEADERS)
        return response


def mount_page(app: FastAPI) -> None:
    """Serve the page under /app. Folders that an installation left out are not offered."""
    for path, folder in (("/app/examples", EXAMPLES), ("/app/gallery", GALLERY)):
        app.mount(path, PageFiles(directory=folder, check_dir=False))
    app.mount("/app", PageFiles(directory=STATIC, html=True))
