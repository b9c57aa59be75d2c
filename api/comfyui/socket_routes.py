"""/ws: sends an owner's job events to ComfyUI's clients (ComfyUI server.py)."""

import uuid
from collections.abc import Mapping
from typing import Any, cast

from fastapi import APIRouter
from starlette.websockets import WebSocket, WebSocketDisconnect

from api.comfyui.client_socket import ClientSocket
from api.comfyui.server import features_of
from api.comfyui.sockets import Sockets
from api.context import Context
from api.errors import error_response
from graph.errors import ServiceError

LONGEST_CLIENT_ID = 128
REFUSED = 1008  # before it was accepted this is a 403

router = APIRouter()


@router.websocket("/ws")
async def listen(socket: WebSocket) -> None:
    """Events of the prompts of `clientId`, and how much the owner has queued."""
    known = cast(Context, socket.app.state.context)
    sockets = cast(Sockets, socket.app.state.sockets)
    try:
        caller = await known.access.caller(socket, "read", _no_body, session=True)
        sockets.admit(caller.owner)
    except ServiceError as error:
        await _refuse(socket, error)
        return
    client_id = socket.query_params.get("clientId", "")[:LONGEST_CLIENT_ID] or uuid.uuid4().hex
    await socket.accept()
    client = ClientSocket(socket, client_id, sockets.limits)
    try:
        async with sockets.joined(caller.owner, client):
            await client.serve(features_of(known.service.stores.uploads.limits.most_bytes))
    except (WebSocketDisconnect, TimeoutError):
        return


async def _no_body() -> Mapping[str, Any]:
    return {}


async def _refuse(socket: WebSocket, error: ServiceError) -> None:
    """Before it is accepted: as an HTTP error where the server can send one."""
    if "websocket.http.response" in socket.scope.get("extensions", {}):
        await socket.send_denial_response(error_response(error))
    else:
        await socket.close(REFUSED)
