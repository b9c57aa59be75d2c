from collections.abc import Sequence

import httpx

from api.webhooks import deliver
from storage.fetch import Fetcher

URL = "https://you.example/hook"
AT_ONCE = (0.0, 0.0, 0.0)


class Receiver:
    """Answers with one status after the other."""

    def __init__(self, *statuses: int, address: str = "93.184.216.34") -> None:
        self.statuses = list(statuses)
        self.address = address
        self.fetcher = Fetcher(resolve=self.resolve, transport=httpx.MockTransport(self.answer))

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        return [self.address]

    def answer(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(self.statuses.pop(0))


async def test_a_receiver_that_fails_is_tried_again() -> None:
    receiver = Receiver(500, 302, 204)
    assert await deliver(receiver.fetcher, URL, {"id": 1}, AT_ONCE)
    assert receiver.statuses == []


async def test_it_is_given_up_after_a_first_try_and_three_more() -> None:
    receiver = Receiver(*[500] * 5)
    assert not await deliver(receiver.fetcher, URL, {"id": 1}, AT_ONCE)
    assert len(receiver.statuses) == 1


async def test_a_receiver_inside_somebodys_network_hears_nothing() -> None:
    receiver = Receiver(200, address="192.168.0.1")
    assert not await deliver(receiver.fetcher, URL, {"id": 1}, AT_ONCE)
    assert receiver.statuses == [200]
