"""Two owners at one service, of whom one knows every name of what the other has."""

import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import httpx
from PIL import Image

from tests.api.conftest import API, Site
from tests.api.keyed import KeyedSite, keyed_site
from tests.api.models import lora

MODELS = "/api/v7/models"
BOB_MAY = ("execute", "read", "models")
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


@asynccontextmanager
async def two_owners(hers: Site, his: Site) -> AsyncIterator[TwoOwners]:
    """Alice is connected to one router and Bob to another, or both to the same."""
    async with keyed_site(hers) as keyed, keyed_site(his) as other:
        alices_key = await keyed.key("alice")
        alice = await keyed.client(alices_key)
        bob = await other.client(await keyed.key("bob", scopes=BOB_MAY))
        body: dict[str, Any] = {"workflow": {}}
        ended = (
            await alice.post(f"{API}/execute", json=body, headers={"Idempotency-Key": "alices"})
        ).json()
        held = await alice.post(f"{API}/execute", json={"workflow": {"hold": 1}, "wait": 0})
        files = {"image": ("alices.png", picture(), "image/png")}
        assert (await alice.post("/upload/image", files=files)).is_success
        model = await alice.post(MODELS, files={"file": ("m.safetensors", lora())})
        announced = {"filename": "alices.safetensors", "size": 100}
        begun = await alice.post(f"{MODELS}/uploads", json=announced)
        yield TwoOwners(
            keyed,
            alice,
            bob,
            int(ended["id"]),
            int(held.json()["id"]),
            "alices.png",
            alices_key.split("_")[1],
            model.json()["model"]["id"],
            begun.json()["upload"]["id"],
        )
