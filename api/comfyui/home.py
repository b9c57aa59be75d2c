"""`/`: the editor where it is installed, our own page elsewhere; and logging in."""

from pathlib import Path
from urllib.parse import parse_qs

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles

from api.bodies import read_bytes
from api.comfyui.editor import Editor
from api.context import BaseUrl, Context, InContext, OwnerWith
from api.keys.sessions import COOKIE, VALID_S
from graph.errors import ServiceError

LOGIN = Path(__file__).parent / "static" / "login.html"
MOST_FORM_BYTES = 4096
NO_CACHE = {"Cache-Control": "no-cache"}
LOGIN_HEADERS = NO_CACHE | {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
}

router = APIRouter()


@router.get("/", include_in_schema=False)
async def home(request: Request, known: InContext, base_url: BaseUrl, key: str = "") -> Response:
    """`?key=` logs in and leads here again, without the key in the address."""
    editor: Editor = request.app.state.editor
    if key:
        return await _logged_in(request, known, base_url, key)
    if editor.root is None:
        return RedirectResponse("app/")
    try:
        await OwnerWith("read", session=True)(request, None)
    except ServiceError as error:
        if error.status != 401:
            raise
        return FileResponse(LOGIN, headers=LOGIN_HEADERS)
    return FileResponse(editor.root / "index.html", headers=NO_CACHE)


@router.post("/login", include_in_schema=False)
async def login(request: Request, known: InContext, base_url: BaseUrl) -> Response:
    """The login page's form. A key that does not hold is a 401."""
    fields = parse_qs((await read_bytes(request, MOST_FORM_BYTES)).decode("utf-8", "replace"))
    return await _logged_in(request, known, base_url, fields.get("key", [""])[0].strip())


@router.post("/logout", include_in_schema=False)
async def logout(base_url: BaseUrl) -> Response:
    """The browser forgets its session."""
    answer = RedirectResponse(f"{base_url}/", status_code=303)
    answer.delete_cookie(COOKIE)
    return answer


async def _logged_in(request: Request, known: Context, base_url: str, key: str) -> Response:
    token = await known.access.session(request, key)
    answer = RedirectResponse(
        f"{base_url}/", status_code=303, headers={"Cache-Control": "no-store"}
    )
    if token is not None:
        secure = base_url.startswith("https://")
        answer.set_cookie(
            COOKIE, token, max_age=VALID_S, httponly=True, samesite="strict", secure=secure
        )
    return answer


def mount_editor(app: FastAPI, editor: Editor) -> None:
    """Serve the editor's files under `/`, after every route. They hold no secret."""
    if editor.root is not None:
        app.mount("/", StaticFiles(directory=editor.root))
