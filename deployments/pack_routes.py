"""Finds the pack that serves a route."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from deployments.pack_types import PackTypes
from packs.pages import PageAnswer, PageRequest

API = "/api"  # ComfyUI serves each route under it too


class RouteCaller(Protocol):
    """One pack, called."""

    async def route(self, owner: str, request: PageRequest) -> PageAnswer: ...


class PackRoutes:
    """Finds the pack of a route among those that are loaded and may serve some."""

    def __init__(self, types: PackTypes, packs: Mapping[str, RouteCaller]) -> None:
        self._types = types
        self._packs = packs

    def takes(self, method: str, path: str) -> bool:
        return self._found(method, path) is not None

    def scripts(self) -> Sequence[str]:
        return [script for known in self._types.known.values() for script in known.scripts]

    async def answer(self, owner: str, request: PageRequest) -> PageAnswer:
        """What the pack of a route answers. Raises ServiceError."""
        found = self._found(request.method, request.path)
        assert found is not None
        pack, path = found
        target = request.target.removeprefix(API) if path != request.path else request.target
        return await self._packs[pack].route(owner, replace(request, path=path, target=target))

    def _found(self, method: str, path: str) -> tuple[str, str] | None:
        """The pack that has a route, and the path by which it has it."""
        paths = (path, path.removeprefix(API)) if path.startswith(f"{API}/") else (path,)
        for one in paths:
            for pack, known in self._types.known.items():
                if any(_is(route, method, one) for route in known.routes):
                    return pack, one
        return None


def _is(route: tuple[str, str], method: str, path: str) -> bool:
    known, pattern = route
    if known not in {method, "*"}:
        return False
    return path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern
