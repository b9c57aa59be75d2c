"""/docs from files of an installed package, so that it works without a network."""

from importlib.resources import files

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles

PACKAGE = "fastapi_offline"  # has swagger-ui-dist's files; its code is not used
ASSETS = "docs/assets"


def add_docs(app: FastAPI) -> None:
    """Serve the OpenAPI document as a page. Links are relative: a proxy may add a prefix."""

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="openapi.json",
            title=f"{app.title} API",
            swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{ASSETS}/swagger-ui.css",
            swagger_favicon_url="app/icon.svg",
            swagger_ui_parameters={"docExpansion": "list", "defaultModelsExpandDepth": 0},
        )

    @app.get("/redoc", include_in_schema=False)
    async def redoc() -> RedirectResponse:
        return RedirectResponse("docs")  # redoc's own page asks another host for its logo

    app.mount(f"/{ASSETS}", StaticFiles(directory=str(files(PACKAGE) / "static")))
