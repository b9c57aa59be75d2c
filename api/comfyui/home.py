"""`/`: the editor where it is installed, our own page elsewhere; and logging in.

The editor's own first graph needs models that nobody here has, so that a browser's first visit
leads to a template of ours.
"""

from html import escape
from pathlib import Path
from urllib.parse import parse_qs

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles

from api.bodies import read_bytes
from api.comfyui.editor import Editor
from api.comfyui.templates import FIRST
from api.context import BaseUrl, Context, InContext, OwnerWith
from api.keys.sessions import COOKIE, VALID_S
from graph.errors import ServiceError

LOGIN = Path(__file__).parent / "static" / "login.html"
PROBLEM = "<!-- problem -->"  # where the page says why a key was not taken
MOST_FORM_BYTES = 4096
VISITED, VISITED_S = "comfyray_visited", 365 * 24 * 3600
NO_CACHE = {"Cache-Control": "no-cache"}
LOGIN_HEADERS = NO_CACHE | {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "same-origin",  # with none at all the form's Origin would be null
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
        return _login_page()
    if VISITED not in request.cookies and not request.query_params:
        return _first_visit(base_url)
    return FileResponse(editor.root / "index.html", headers=NO_CACHE)


@router.post("/login", include_in_schema=False)
async def login(request: Request, known: InContext, base_url: BaseUrl) -> Response:
    """The login page's form. A key that does not hold is a 401, with the page again."""
    fields = parse_qs((await read_bytes(request, MOST_FORM_BYTES)).decode("utf-8", "replace"))
    try:
        return await _logged_in(request, known, base_url, fields.get("key", [""])[0].strip())
    except ServiceError as error:
        if error.status != 401:
            raise
        return _login_page(401, str(error))


@router.post("/logout", include_in_schema=False)
async def logout(base_url: BaseUrl) -> Response:
    """The browser forgets its session."""
    answer = RedirectResponse(f"{base_url}/", status_code=303)
    answer.delete_cookie(COOKIE)
    return answer


def _login_page(status: int = 200, problem: str = "") -> Response:
    page = LOGIN.read_text("utf-8")
    if problem:
        alert = f'<div class="field"><p class="wrong" role="alert">{escape(problem)}</p></div>'
        page = page.replace(PROBLEM, alert)
    return HTMLResponse(page, status, headers=LOGIN_HEADERS)


def _first_visit(base_url: str) -> Response:
    answer = RedirectResponse(f"{base_url}/?template={FIRST}", status_code=303, headers=NO_CACHE)
    answer.set_cookie(VISITED, "1", max_age=VISITED_S, httponly=True, samesite="strict")
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
