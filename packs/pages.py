"""Requests to packs' routes, and their untrusted answers, with few headers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from packs.encoding import BadValueError
from packs.wire import Message

GIVEN = frozenset({"accept", "accept-language", "content-type", "if-none-match", "range"})
TAKEN = frozenset(
    {
        "accept-ranges", "cache-control", "content-disposition", "content-range", "content-type",
        "etag", "last-modified",
    }
)  # fmt: skip
PAGES = "/extensions/"  # of files alone, which are the same for everybody
SHORTEST, LONGEST = 3, 200  # "/a*"


@dataclass(frozen=True)
class PageRequest:
    """A request to a route of a pack. `target` is its path with its query."""

    method: str
    path: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def is_page(self, pack: str) -> bool:
        """Whether it may ask for a file of the pack's pages."""
        return self.method in {"GET", "HEAD"} and self.path.startswith(f"{PAGES}{pack}/")

    def page(self) -> "PageRequest":
        """As it is asked of a process that is everybody's: nothing of who asks is in it."""
        return PageRequest(self.method, self.path, self.target.partition("?")[0], self.headers)

    def said(self) -> dict[str, Any]:
        """As the pack's process is told; it learns nothing of who asks."""
        kept = {name: value for name, value in self.headers.items() if name.lower() in GIVEN}
        return {"method": self.method, "target": self.target, "headers": kept}


@dataclass(frozen=True)
class PageAnswer:
    """What a route of a pack answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def answer_in(message: Message) -> PageAnswer:
    """The answer of a pack's process.

    Raises:
        BadValueError, KeyError, TypeError, ValueError, IndexError: it is none.
    """
    status = message.said["status"]
    if type(status) is not int or not 200 <= status <= 599:
        raise BadValueError(f"the status {status!r}")
    headers = {
        str(name).lower(): str(value)
        for name, value in message.said["headers"]
        if str(name).lower() in TAKEN and str(value).isprintable() and str(value).isascii()
    }
    return PageAnswer(status, headers, bytes(message.buffers[int(message.said["body"]["at"])]))


def listed_routes(said: Any) -> tuple[tuple[str, str], ...]:
    """The routes that a pack names, method and path; `*` at its end stands for what follows.

    One of everything is none.
    """
    found = []
    for one in said if isinstance(said, list) else ():
        if isinstance(one, list) and len(one) == 2 and all(isinstance(x, str) for x in one):
            method, path = one
            if path.startswith("/") and SHORTEST <= len(path) <= LONGEST:
                found.append((method, path))
    return tuple(found)


def listed_scripts(said: Any) -> tuple[str, ...]:
    """The scripts that a pack names."""
    names: Sequence[Any] = said if isinstance(said, list) else ()
    return tuple(name for name in names if isinstance(name, str) and name.startswith(PAGES))
