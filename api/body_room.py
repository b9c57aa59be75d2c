"""How much memory all request bodies may have at once."""

from collections import Counter
from dataclasses import dataclass
from typing import cast

from starlette.requests import HTTPConnection

from api.slow_senders import AsgiApp, Message, Receive, Send
from graph.errors import ServiceError

VALUE_BYTES = 100  # of memory, that one value of JSON takes beside its text
RETRY_AFTER_S = 2
PLACE = "body_place"


@dataclass(eq=False)
class BodiesFullError(ServiceError):
    """More bodies are being read than there is memory for. Nothing was accepted."""

    status = 503
    code = "service_full"
    template = "Too many large requests are being read; try again in {retry_after_s} s."
    retry_after_s: int


@dataclass(eq=False)
class OwnersBodiesError(ServiceError):
    """One owner's bodies take its share of the memory. Nothing was accepted."""

    status = 429
    code = "too_many_large_requests"
    template = "Your requests that are being read are too large together; try again in a moment."
    retry_after_s: int


class Place:
    """What one request's body takes, until the request is answered."""

    def __init__(self, room: "BodyRoom | None" = None) -> None:
        """Without a room nothing is counted."""
        self._room = room
        self._taken = 0
        self._owner = ""

    def take(self, nbytes: int) -> None:
        """Raises: BodiesFullError, OwnersBodiesError."""
        if self._room:
            self._room.change(self._owner, nbytes)
            self._taken += nbytes

    def belongs_to(self, owner: str) -> None:
        """Whose it is from now on, once that is known."""
        taken = self._taken
        self.give_back()
        self._owner = owner
        self.take(taken)

    def give_back(self) -> None:
        if self._room and self._taken:
            self._room.change(self._owner, -self._taken)
            self._taken = 0


class BodyRoom:
    """ASGI middleware: gives each request a place for its body, and takes it back at its end.

    Belongs to one event loop. An owner may have half of it; those not known yet are one owner.
    """

    def __init__(self, app: AsgiApp, most_bytes: int) -> None:
        self._app = app
        self._most_bytes = most_bytes
        self._taken: Counter[str] = Counter()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        place = Place(self)
        scope.setdefault("state", {})[PLACE] = place
        try:
            await self._app(scope, receive, send)
        finally:
            place.give_back()

    def change(self, owner: str, nbytes: int) -> None:
        """Raises: BodiesFullError, OwnersBodiesError; never where bytes are given back."""
        if nbytes > 0:
            if self._taken[owner] + nbytes > self._most_bytes // 2:
                raise OwnersBodiesError(RETRY_AFTER_S)
            if self._taken.total() + nbytes > self._most_bytes:
                raise BodiesFullError(RETRY_AFTER_S)
        self._taken[owner] += nbytes
        if not self._taken[owner]:
            del self._taken[owner]


def place_of(request: HTTPConnection) -> Place:
    """The place of a request."""
    return cast(Place, getattr(request.state, PLACE, None) or Place())
