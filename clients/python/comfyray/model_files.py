"""A model file, sent in pieces: what breaks off goes on where it was, now or in a later program."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from comfyray.errors import RequestError
from comfyray.flows import TRIES, Flow, Pause, request

UPLOADS = "api/v7/models/uploads"
PIECE_BYTES = 16 * 2**20
OUT_OF_STEP = 409  # the service has another part of the file, or is still taking the last piece
STUCK_PAUSE_S = 1.0


@dataclass(frozen=True)
class ModelProgress:
    """How far a file is; `upload_id` goes on with it later."""

    upload_id: str
    sent: int
    size: int


OnProgress: TypeAlias = Callable[[ModelProgress], None]


def upload_model(
    file: str | Path,
    folder: str | None,
    resume: str | None,
    on_progress: OnProgress | None,
    piece_bytes: int = PIECE_BYTES,
) -> Flow[dict[str, Any]]:
    """Send a model file; the model that it became.

    Raises:
        ValueError: the upload to resume is of a file of another size.
    """
    path = Path(file)
    size = path.stat().st_size
    if resume is None:
        asked = {"filename": path.name, "size": size} | ({"folder": folder} if folder else {})
        begun = yield from request("POST", UPLOADS, json=asked)
    else:
        begun = yield from request("GET", f"{UPLOADS}/{resume}")
    upload = begun.json()["upload"]
    if upload["size"] != size:
        raise ValueError(f"{path} has {size} bytes; upload {resume} is of {upload['size']}")
    if upload.get("model"):  # it had come whole already
        return dict(upload["model"])
    yield from _pieces(path, upload, on_progress or (lambda _: None), piece_bytes)
    made = yield from request("POST", f"{UPLOADS}/{upload['id']}/complete")
    return dict(made.json()["model"])


def _pieces(
    path: Path, upload: dict[str, Any], on_progress: OnProgress, piece_bytes: int
) -> Flow[None]:
    """All that has not come yet, in order, as the service says how far it is."""
    at, size, stuck = upload["offset"], upload["size"], 0
    place = f"{UPLOADS}/{upload['id']}"
    on_progress(ModelProgress(upload["id"], at, size))
    with path.open("rb") as content:
        while at < size:
            content.seek(at)
            piece = content.read(piece_bytes)
            headers = {"Content-Range": f"bytes {at}-{at + len(piece) - 1}/{size}"}
            try:
                answer = yield from request("PUT", place, content=piece, headers=headers)
            except RequestError as error:
                if error.status != OUT_OF_STEP or stuck == TRIES:
                    raise
                stuck += 1
                yield Pause(STUCK_PAUSE_S)
                answer = yield from request("GET", place)
            now = answer.json()["upload"]["offset"]
            stuck = 0 if now > at else stuck
            at = now
            on_progress(ModelProgress(upload["id"], at, size))
