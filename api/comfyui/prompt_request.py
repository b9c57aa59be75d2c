"""Parses the body of POST /prompt; fields without effect here are dropped."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from api.comfyui.prompt_errors import refusal, without_class

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SECRETS = frozenset({"api_key_comfy_org", "auth_token_comfy_org", "key", "api_key", "token"})
LONGEST_CLIENT_ID = 128
LARGEST_NUMBER = 2.0**53
BAD_ID = "prompt_id must be a UUID in small letters, with its hyphens"


class PromptRefused(Exception):  # noqa: N818 - a refusal, told in ComfyUI's shape
    """A body that is no prompt."""

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__()
        self.body = body


@dataclass(frozen=True)
class PromptRequest:
    """What a client sent, as far as it counts here."""

    prompt: dict[str, Any]
    extra_data: dict[str, Any]
    targets: list[str] | None
    prompt_id: str
    client_id: str | None
    number: float
    front: bool

    @property
    def workflow_id(self) -> str | None:
        """The id of the editor's file."""
        info = self.extra_data.get("extra_pnginfo")
        workflow = info.get("workflow") if isinstance(info, dict) else None
        found = workflow.get("id") if isinstance(workflow, dict) else None
        return found if isinstance(found, str) and _is_name(found) else None

    @property
    def how_posted(self) -> dict[str, Any]:
        """How its job is posted (api/jobs/acceptance.py, Posted)."""
        return {
            "prompt_id": self.prompt_id,
            "client_id": self.client_id,
            "workflow_id": self.workflow_id,
            "number": self.number,
            "front": self.front,
        }

    def body(self, *, retain_inputs: bool) -> dict[str, Any]:
        """As of an execute request."""
        body = {
            "workflow": self.prompt,
            "extra_data": self.extra_data,
            "retain_inputs": retain_inputs,
        }
        return body if self.targets is None else body | {"targets": self.targets}


def read_prompt(body: Mapping[str, Any]) -> PromptRequest:
    """Raises: PromptRefused."""
    prompt = body.get("prompt")
    if not isinstance(prompt, dict):
        raise PromptRefused(refusal("no_prompt", "No prompt provided", "No prompt provided"))
    prompt_id = body.get("prompt_id") or str(uuid.uuid4())
    if not isinstance(prompt_id, str) or not UUID.fullmatch(prompt_id):
        raise PromptRefused(refusal("invalid_prompt_id", BAD_ID))
    if why := without_class(prompt):
        raise PromptRefused(why)
    client_id, extra = _client_id(body), body.get("extra_data")
    kept = {k: v for k, v in extra.items() if k not in SECRETS} if isinstance(extra, dict) else {}
    if client_id is not None:
        kept["client_id"] = client_id
    targets = body.get("partial_execution_targets")
    return PromptRequest(
        prompt,
        kept,
        [str(one) for one in targets] if isinstance(targets, list) else None,
        prompt_id,
        client_id,
        _number(body),
        bool(body.get("front")),
    )


def _client_id(body: Mapping[str, Any]) -> str | None:
    client_id = body.get("client_id")
    if client_id is None or client_id == "":
        return None
    if isinstance(client_id, str) and _is_name(client_id):
        return client_id
    said = f"client_id must be a text of at most {LONGEST_CLIENT_ID} characters"
    raise PromptRefused(refusal("invalid_client_id", said))


def _is_name(text: str) -> bool:
    return len(text) <= LONGEST_CLIENT_ID and text.isprintable()


def _number(body: Mapping[str, Any]) -> float:
    """0 for the next one."""
    try:
        number = float(body.get("number") or 0)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not isfinite(number) or abs(number) > LARGEST_NUMBER:
        raise PromptRefused(refusal("invalid_number", "number must be a number below 2**53"))
    return number
