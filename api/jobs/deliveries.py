"""Routes for a job's webhooks: delivery attempts, redelivery, and the signing secret."""

from typing import Any

from fastapi import APIRouter

from api.context import ActingOwner, InContext, JobId, Owner
from api.documentation import errors
from api.jobs.answers import API, iso
from api.json_response import JsonResponse
from api.schemas import Deliveries, WebhookSecret
from storage.jobs.outbox import Delivery, WebhookEvent

router = APIRouter(prefix=API, tags=["webhooks"])


@router.get(
    "/jobs/{job_id}/deliveries",
    summary="A job's webhook, and every attempt to deliver it",
    response_model=Deliveries,
    responses=errors(401, 403, 404),
)
async def deliveries(owner: Owner, job_id: JobId, known: InContext) -> JsonResponse:
    """Attempts are listed under their event, in order."""
    return JsonResponse(await _listed(owner, job_id, known))


@router.post(
    "/jobs/{job_id}/deliveries/{event_id}/replay",
    summary="Deliver a webhook again",
    response_model=Deliveries,
    responses=errors(401, 403, 404),
)
async def replay(
    owner: ActingOwner, job_id: JobId, event_id: str, known: InContext
) -> JsonResponse:
    """Sent at once, under the same event id, and retried as at first."""
    stores = known.service.stores
    await stores.jobs.get(owner, job_id)
    await stores.outbox.replay(job_id, event_id)
    known.service.webhooks.wake()
    return JsonResponse(await _listed(owner, job_id, known))


@router.get(
    "/webhook_secret",
    summary="What your webhooks are signed with",
    response_model=WebhookSecret,
    responses=errors(401, 403),
)
async def webhook_secret(owner: ActingOwner, known: InContext) -> JsonResponse:
    """For a Standard Webhooks library on your side."""
    secret = known.service.stores.webhook_signer.secret_of(owner)
    return JsonResponse({"status": "success", "secret": secret})


async def _listed(owner: str, job_id: int, known: InContext) -> dict[str, Any]:
    stores = known.service.stores
    await stores.jobs.get(owner, job_id)
    events = await stores.outbox.events(job_id)
    attempts = await stores.outbox.deliveries(job_id)
    return {"status": "success", "id": job_id, "events": [_event(e, attempts) for e in events]}


def _event(event: WebhookEvent, attempts: tuple[Delivery, ...]) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "url": event.url,
        "created_at": iso(event.created_s),
        "delivered_at": iso(event.delivered_s),
        "next_attempt_at": iso(event.next_attempt_s),
        "attempts": [_attempt(one) for one in attempts if one.event_id == event.event_id],
    }


def _attempt(one: Delivery) -> dict[str, Any]:
    return {
        "at": iso(one.at_s),
        "took_s": one.took_s,
        "status": one.status,
        "problem": one.problem,
    }
