"""Webhooks: signed, sent until they are taken, listed, sent again."""

import asyncio
import base64
import json
from collections.abc import Sequence
from typing import Any

import pytest
from standardwebhooks import Webhook

from api.jobs.service import Limits
from api.jobs.webhooks import BadWebhookSecretError, Signer
from tests.api.conftest import API, OpenSite, Site

HOOK = "https://you.example/hook"
AT_ONCE = Limits(webhook_delays_s=(0.01, 0.01, 0.01))


async def _deliveries(site: Site, job_id: int) -> dict[str, Any]:
    """The job's only event, once it is not tried any more."""
    while True:
        (event,) = (await site.client.get(f"{API}/jobs/{job_id}/deliveries")).json()["events"]
        if event["next_attempt_at"] is None:
            return dict(event)
        await asyncio.sleep(0.01)


async def _told(site: Site, **workflow: object) -> int:
    return int((await site.execute(workflow, webhook=HOOK, track_id="t")).json()["id"])


async def test_a_webhook_is_signed_with_the_owners_secret(site: Site) -> None:
    await _told(site)
    request = await site.received.get()
    secret = (await site.client.get(f"{API}/webhook_secret")).json()["secret"]
    body = Webhook(secret).verify(request.content, dict(request.headers))
    assert (body["status"], body["track_id"]) == ("success", "t")


async def test_a_failed_job_tells_why(site: Site) -> None:
    await _told(site, broken=1)
    body = json.loads((await site.received.get()).content)
    assert (body["status"], body["message"]) == ("failed", "Model x.safetensors is broken.")


async def test_cancelling_a_waiting_job_is_told_too(open_site: OpenSite) -> None:
    site: Site = await open_site(Limits(running=1))
    await site.accepted({"hold": 1})
    waiting = await site.accepted({}, webhook=HOOK)
    await site.client.post(f"{API}/cancel/{waiting}")
    body = json.loads((await site.received.get()).content)
    assert (body["id"], body["errors"][0]["code"]) == (waiting, "cancelled")


@pytest.mark.parametrize("statuses", [[500, 302, 204], [429, 200]])
async def test_a_receiver_that_fails_is_tried_again(
    open_site: OpenSite, statuses: Sequence[int]
) -> None:
    site: Site = await open_site(AT_ONCE)
    site.answers.extend(statuses)
    event = await _deliveries(site, await _told(site))
    assert [attempt["status"] for attempt in event["attempts"]] == statuses
    assert event["delivered_at"] is not None
    ids = {site.received.get_nowait().headers["webhook-id"] for _ in statuses}
    assert ids == {event["event_id"]}


@pytest.mark.parametrize(("statuses", "tries"), [([500] * 9, 4), ([410] * 9, 1)])
async def test_it_is_given_up_in_the_end(
    open_site: OpenSite, statuses: Sequence[int], tries: int
) -> None:
    site: Site = await open_site(AT_ONCE)
    site.answers.extend(statuses)
    event = await _deliveries(site, await _told(site))
    assert (len(event["attempts"]), event["delivered_at"]) == (tries, None)


async def test_a_receiver_inside_somebodys_network_hears_nothing(open_site: OpenSite) -> None:
    site: Site = await open_site(AT_ONCE)
    refused = await site.execute({}, webhook="http://inside.example/hook")
    assert (refused.status_code, refused.json()["errors"][0]["input"]) == (422, "webhook")
    assert (await site.client.get(f"{API}/jobs")).json()["jobs"] == []
    assert site.received.empty()


async def test_a_webhook_outlives_a_restart(open_site: OpenSite) -> None:
    first: Site = await open_site(Limits(webhook_delays_s=(0.2,)))
    first.answers.append(500)
    job_id = await _told(first)
    sent = await first.received.get()
    await first.service.close()
    second: Site = await open_site()
    again = await second.received.get()
    assert again.headers["webhook-id"] == sent.headers["webhook-id"]
    assert json.loads(again.content)["id"] == job_id


async def test_a_webhook_is_sent_again_on_request(site: Site) -> None:
    job_id = await _told(site)
    event = await _deliveries(site, job_id)
    url = f"{API}/jobs/{job_id}/deliveries/{event['event_id']}/replay"
    assert (await site.client.post(url)).status_code == 200
    ids = [(await site.received.get()).headers["webhook-id"] for _ in range(2)]
    assert ids == [event["event_id"]] * 2


async def test_what_is_not_there_is_404(site: Site) -> None:
    job_id = await _told(site)
    places = [f"{job_id}/deliveries/x", f"{job_id}/deliveries/%00", "1/deliveries/x"]
    urls = [f"{API}/jobs/{place}/replay" for place in places]
    assert [(await site.client.post(url)).status_code for url in urls] == [404, 404, 404]
    assert (await site.client.get(f"{API}/jobs/1/deliveries")).status_code == 404


async def test_a_job_without_a_webhook_has_no_events(site: Site) -> None:
    job_id = (await site.execute({})).json()["id"]
    assert (await site.client.get(f"{API}/jobs/{job_id}/deliveries")).json()["events"] == []


def test_owners_cannot_sign_for_each_other() -> None:
    signer = Signer(bytes(32))
    secrets = {signer.secret_of(owner) for owner in ("local", "a", "b")}
    assert len(secrets) == 3


def test_a_secret_is_read_as_it_is_written() -> None:
    signer = Signer(bytes(range(24)))
    assert Signer.from_text(signer.secret_of("local")) == signer


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_" + base64.b64encode(b"short").decode()])
def test_a_short_secret_is_refused(text: str) -> None:
    with pytest.raises(BadWebhookSecretError):
        Signer.from_text(text)
