"""Checking that a webhook comes from the service."""

import json
from collections.abc import Mapping
from typing import Any

from standardwebhooks import Webhook


def verify_webhook(body: bytes | str, headers: Mapping[str, str], secret: str) -> dict[str, Any]:
    """The answer that a webhook carries, if it is signed with `secret` ("whsec_...") and fresh.

    `body` is the request's, byte for byte; `GET /api/v7/comfyui/webhook_secret` tells the secret.

    Raises:
        standardwebhooks.WebhookVerificationError: it is not.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    Webhook(secret).verify(body, lower)
    answer: dict[str, Any] = json.loads(body)
    return answer
