"""The routes that a pack adds to ComfyUI's server, and the files of its pages.

aiohttp answers in this process, without a socket: a request is fed to it as it would come over a
connection, and what it writes is gathered.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.web_runner import AppRunner

from packs.encoding import BadValueError

MOST_BODY_BYTES = 2**26
MOST_ROUTES = 1000
PAGES = "/extensions/"
ROUTE, PAGE = "route", "page"  # what a pack answers itself, and files of its pages


class Gathering(asyncio.Transport):
    """The other end of a connection that does not exist: keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.over = asyncio.Event()

    def write(self, data: Any) -> None:
        if self.over.is_set():
            return
        if len(self.written) + len(data) > MOST_BODY_BYTES:
            self.written.clear()  # a part of an answer would look like a whole one
            self.over.set()
            return
        self.written += data

    def is_closing(self) -> bool:
        return self.over.is_set()

    def close(self) -> None:
        self.over.set()

    abort = close


@dataclass
class Routes:
    """What a pack serves. `name` is its folder's; its pages lie under `/extensions/<name>/`."""

    name: str
    web: Path | None

    def __post_init__(self) -> None:
        from packs.surface.server import PromptServer  # noqa: PLC0415 - the pack's own, once loaded

        app = PromptServer.instance.app
        app.add_routes(PromptServer.instance.routes)
        pages = web.Application()  # apart: what the pack adds to its own is never asked for pages
        if self.web is not None:
            pages.router.add_static(f"{PAGES}{self.name}", self.web)
        self._apps = {ROUTE: app, PAGE: pages}
        self._runners: dict[str, AppRunner] = {}

    def listed(self) -> list[list[str]]:
        """Method and path of each; `*` stands for what follows where the first variable is."""
        routes = (route for app in self._apps.values() for route in app.router.routes())
        found = {(route.method, path) for route in routes if (path := _path(route))}
        return [list(one) for one in sorted(found)[:MOST_ROUTES]]

    def scripts(self) -> list[str]:
        """The scripts that the editor loads when it starts."""
        return sorted(self._scripts())[:MOST_ROUTES]

    async def answer(self, said: Mapping[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        """Status and headers, and the body, of a request; the pack's code ends when this does."""
        server = (await self._running(said["do"])).server
        assert server is not None
        connection, transport = server(), Gathering()
        connection.connection_made(transport)
        connection.data_received(_head(said, len(body)) + body)
        try:
            await transport.over.wait()
        finally:
            connection.connection_lost(None)
        return _parsed(bytes(transport.written))

    async def _running(self, which: str) -> AppRunner:
        if which not in self._runners:
            how: dict[str, Any] = {"access_log": None, "handler_cancellation": True}
            runner = AppRunner(self._apps[which], handle_signals=False, **how)
            await runner.setup()
            self._runners[which] = runner
        return self._runners[which]

    def _scripts(self) -> Iterator[str]:
        for script in self.web.rglob("*.js") if self.web else ():
            yield f"{PAGES}{self.name}/{script.relative_to(self.web or '').as_posix()}"


def web_folder(pack: Path, said: str) -> Path | None:
    """The folder that a pack names in WEB_DIRECTORY; None where it has none."""
    folder = (pack / said).resolve() if said and pack.is_dir() else None
    inside = folder is not None and folder.is_relative_to(pack.resolve()) and folder.is_dir()
    return folder if inside else None


def _path(route: Any) -> str:
    resource = route.resource
    if resource is None:
        return ""
    info = resource.get_info()
    if "prefix" in info:
        return f"{info['prefix']}/*"
    path = str(info.get("path") or info.get("formatter") or "")
    return path.partition("{")[0] + "*" if "{" in path else path


def _head(said: Mapping[str, Any], length: int) -> bytes:
    headers = {**dict(said["headers"]), "Host": "localhost", "Content-Length": str(length)}
    lines = [f"{said['method']} {said['target']} HTTP/1.0"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _parsed(written: bytes) -> tuple[dict[str, Any], bytes]:
    head, found, body = written.partition(b"\r\n\r\n")
    if not found:
        raise BadValueError(f"an answer that is none, or of more than {MOST_BODY_BYTES >> 20} MB")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = [line.partition(":")[::2] for line in lines]
    named = [[name.strip(), value.strip()] for name, value in headers]
    return {"status": int(first.split()[1]), "headers": named}, body
