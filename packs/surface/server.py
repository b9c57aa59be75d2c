"""server: PromptServer, through which packs speak to the page of the job's owner."""

from collections.abc import Callable
from typing import Any

from aiohttp import web

from packs.child.calls import PROCESS, current
from packs.child.values import plain
from packs.surface.protocol import BinaryEventTypes

__all__ = ["BinaryEventTypes", "PromptServer", "web"]


class PromptQueue:
    """The queue of jobs, of which packs see nothing."""

    def get_current_queue(self) -> tuple[list[Any], list[Any]]:
        return [], []

    def get_tasks_remaining(self) -> int:
        return 0

    def get_history(self, **_: Any) -> dict[str, Any]:
        return {}

    currently_running: dict[str, Any] = {}
    queue: list[Any] = []


class Supports:
    """What the server can do, of what packs ask."""

    def __contains__(self, name: str) -> bool:
        return name == "custom_nodes_from_web"


class PromptServer:
    """What packs see of the server: messages to the owner of the job that is running."""

    instance: "PromptServer"

    def __init__(self) -> None:
        self.routes = web.RouteTableDef()
        self.app = web.Application()
        self.supports = ["custom_nodes_from_web"]
        self.prompt_queue = PromptQueue()
        self.on_prompt_handlers: list[Callable[[Any], Any]] = []
        self.client_id: str | None = "owner"
        self.last_prompt_id: str | None = None
        self.number = 0
        self.port = 0
        self.address = ""
        self.web_root = str(PROCESS.start.get("scratch", ""))
        self.user_manager: Any = None
        self.sockets: dict[str, Any] = {}
        self.sockets_metadata: dict[str, Any] = {}
        self.messages: Any = None
        self.loop: Any = None

    @property
    def last_node_id(self) -> str:
        return current().node_id

    def send_sync(self, event: Any, data: Any, sid: str | None = None) -> None:
        """Send a message to the owner of the job; previews and texts are told as such."""
        del sid
        if isinstance(event, str):
            current().tell("sent", type=event, data=plain(data))
        elif isinstance(data, tuple) and len(data) >= 2 and hasattr(data[1], "save"):
            from packs.surface.previews import jpeg_of  # noqa: PLC0415

            current().tell("preview", jpeg=jpeg_of(data[1]))

    async def send(self, event: Any, data: Any, sid: str | None = None) -> None:
        self.send_sync(event, data, sid)

    async def send_json(self, event: Any, data: Any, sid: str | None = None) -> None:
        self.send_sync(event, data, sid)

    def send_progress_text(self, text: Any, node_id: str, sid: str | None = None) -> None:
        """A line about a node that runs."""
        del node_id, sid
        current().tell("text", text=str(text)[:2000])

    def add_on_prompt_handler(self, handler: Callable[[Any], Any]) -> None:
        """Handlers that rewrite workflows before they are read are not called."""
        self.on_prompt_handlers.append(handler)

    def trigger_on_prompt(self, json_data: Any) -> Any:
        return json_data

    def add_routes(self) -> None:
        """Routes of packs are not served."""

    def queue_updated(self) -> None:
        """Told by the service itself."""

    def get_queue_info(self) -> dict[str, Any]:
        return {"exec_info": {"queue_remaining": 0}}


PromptServer.instance = PromptServer()
# Packs find the web folder beside this file, and write there: let that be where they may.
__file__ = f"{PROCESS.start.get('scratch', '.')}/server.py"
