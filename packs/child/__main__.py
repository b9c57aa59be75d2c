"""`python -m packs.child FD`: a pack's process. All that it needs is the first message."""

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packs.confinement.confine import Confinement, NotConfinedError, confine
from packs.wire import Channel


def main() -> None:
    """Confine this process, load the pack, and answer calls."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    channel = Channel(connection, int(sys.argv[2]), writable=True)
    first = channel.receive()
    if first is None:
        return
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        lacking = confine(Confinement.read(first.said["confinement"]))
    except (NotConfinedError, OSError) as error:
        channel.send({"refused": f"it cannot be confined: {error}"})
        return
    asyncio.run(_serve(channel, first.said, lacking))


async def _serve(channel: Channel, start: Mapping[str, Any], lacking: list[str]) -> None:
    import torch  # noqa: PLC0415 - once confined

    from packs.child import finder, pip_answers  # noqa: PLC0415
    from packs.child.calls import PROCESS, Call, Folders, Service  # noqa: PLC0415
    from packs.child.loading import PackNotLoadedError, load_pack  # noqa: PLC0415
    from packs.child.routes import Routes, web_folder  # noqa: PLC0415
    from packs.child.running import Nodes  # noqa: PLC0415
    from packs.child.serving import Server  # noqa: PLC0415
    from packs.child.values import Handles, Values  # noqa: PLC0415

    scratch = Path(start["scratch"])
    folders = Folders(*(scratch / name for name in ("input", "output", "temp", "user")))
    for folder in (folders.input, folders.output, folders.temp, folders.user):
        folder.mkdir(exist_ok=True)
    half = int(start["confinement"]["memory_bytes"]) // 2
    values = Values(Handles(most_bytes=half))
    service = Service(channel, values)
    PROCESS.start = start
    PROCESS.call = Call(service, folders)
    os.chdir(scratch)
    finder.install()
    pip_answers.install()
    try:
        pack = await load_pack(Path(start["pack"]))
    except PackNotLoadedError as error:
        channel.send({"refused": str(error)[:2000]})
        return
    folder = Path(start["pack"])
    routes = Routes(folder.name, web_folder(folder, pack.web))
    channel.send({"loaded": len(pack.classes), "not_confined": lacking})
    with torch.inference_mode():  # as ComfyUI runs nodes, coroutines too
        nodes = Nodes(pack.classes, values)
        shared = bool(start.get("shared"))
        await Server(channel, service, pack, nodes, scratch, routes, shared).serve()


if __name__ == "__main__":
    main()
