"""comfy_api.latest: node classes of the new kind."""

import asyncio
from typing import Any

from packs.child.calls import current
from packs.surface.comfy_api import input as Input
from packs.surface.comfy_api import input_impl as InputImpl
from packs.surface.comfy_api import util as Types
from packs.surface.comfy_api.latest import _io as io
from packs.surface.comfy_api.latest import _ui as ui
from packs.surface.previews import jpeg_of

IO, UI = io, ui
__all__ = [
    "IO", "UI", "ComfyAPI", "ComfyAPISync", "ComfyExtension", "Input", "InputImpl", "Types", "io",
    "ui",
]  # fmt: skip


class ComfyExtension:
    """A pack of the new kind."""

    async def on_load(self) -> None:
        """Called once."""

    async def get_node_list(self) -> list[Any]:
        return []


class ExecutionSync:
    """What a node may say while it runs."""

    def set_progress(
        self, value: float, max_value: float, node_id: str | None = None, preview_image: Any = None,
        ignore_size_limit: bool = False,
    ) -> None:  # fmt: skip
        """Say how far it is."""
        del node_id, ignore_size_limit
        call = current()
        call.check()
        jpeg = jpeg_of(preview_image) if hasattr(preview_image, "save") else None
        call.tell("progress", value=float(value), max=float(max_value), jpeg=jpeg)


class Execution:
    """As ExecutionSync, for coroutines."""

    async def set_progress(self, *args: Any, **kwargs: Any) -> None:
        ExecutionSync().set_progress(*args, **kwargs)
        await asyncio.sleep(0)


class ComfyAPI:
    """The API for coroutines."""

    execution = Execution()

    async def set_progress(self, *args: Any, **kwargs: Any) -> None:
        ExecutionSync().set_progress(*args, **kwargs)


class ComfyAPISync:
    """The API for functions."""

    execution = ExecutionSync()
