"""Two owners at one service, of whom one knows every name of what the other has."""

import io
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

import httpx
from PIL import Image

from tests.api.keyed import KeyedSite

Route: TypeAlias = tuple[str, str]  # method, path


@dataclass
class TwoOwners:
    """Alice has jobs and files; Bob has a key of his own and knows every name of hers."""

    keyed: KeyedSite
    alice: httpx.AsyncClient
    bob: httpx.AsyncClient
    ended: int
    held: int  # runs until `keyed.site.runner.go`
    upload: str
    alices_key_id: str
    model: str
    model_upload: str

    async def same_as_nothing(self, method: str, url: str, theirs: object, none: object) -> None:
        """Bob's answer for what is Alice's is the one for what nobody has."""
        found = await self.bob.request(method, url.format(theirs))
        missing = await self.bob.request(method, url.format(none))
        assert missing.is_error
        assert found.status_code == missing.status_code
        assert found.text.replace(str(theirs), "*") == missing.text.replace(str(none), "*")


Check: TypeAlias = Callable[[TwoOwners], Awaitable[None]]


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGBA", (8, 8), "red").save(buffer, "PNG")
    return buffer.getvalue()


async def nothing_of_hers(two: TwoOwners) -> None:
    """The route names nothing that anybody owns."""
