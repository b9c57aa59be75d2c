"""Content types of files, and which of them browsers may display."""

import mimetypes
from pathlib import PurePosixPath
from urllib.parse import quote

SHOWN = ("image/", "video/", "audio/")  # other types are downloads: a page must not run here


def media_type(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def disposition(name: str) -> str:
    """The Content-Disposition of a file."""
    kind = media_type(name)
    shown = kind.startswith(SHOWN) and "svg" not in kind
    file_name = quote(PurePosixPath(name).name)
    return f"{'inline' if shown else 'attachment'}; filename*=utf-8''{file_name}"
