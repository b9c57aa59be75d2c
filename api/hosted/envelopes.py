"""Answers in the response format of the hosted API."""

from collections.abc import Mapping, Sequence
from typing import Any

AGAIN = "Try to fetch request after seconds estimated"
NOT_YET = "try again later."


def first_answer(
    answer: Mapping[str, Any],
    *,
    meta: Mapping[str, Any],
    tip: str,
    fetch_url: str,
    future_links: Sequence[str],
) -> dict[str, Any]:
    """The answer to the request itself.

    `fetch_url` is where results are fetched, `future_links` where the pictures will be.
    """
    if answer["status"] == "success":
        return fetched(answer) | {
            "generationTime": answer["generationTime"],
            "webhook_status": "",
            "meta": {**meta, "id": str(answer["id"]), "output": answer["output"]},
            "tip": tip,
        }
    if answer["status"] == "failed":
        return fetched(answer) | {"meta": dict(meta)}
    return {
        "status": "processing",
        "id": answer["id"],
        "eta": answer["eta"],
        "queue_position": answer["queue_position"],
        "message": AGAIN,
        "messege": AGAIN,
        "webhook_status": "",
        "fetch_result": f"{fetch_url}/{answer['id']}",
        "output": [],
        "future_links": list(future_links),
        "proxy_links": [],
        "meta": {**meta, "id": str(answer["id"]), "output": []},
        "tip": tip,
    }


def fetched(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to a fetch."""
    if answer["status"] == "success":
        return {
            "status": "success",
            "id": answer["id"],
            "output": answer["output"],
            "proxy_links": answer["output"],
            "track_id": answer["track_id"],
        }
    if answer["status"] == "failed":
        return {
            "status": "failed",
            "id": answer["id"],
            "message": answer["message"],
            "messege": answer["message"],
            "output": "",
            "track_id": answer["track_id"],
        }
    return {
        "status": "processing",
        "id": answer["id"],
        "eta": answer["eta"],
        "message": NOT_YET,
        "messege": NOT_YET,
        "output": "",
        "tip": "",
    }
