"""Reads execute requests: their fields, their workflow, and whether their webhook may be called."""

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from api.errors import InvalidFieldsError, and_of_workflow, field_problem, one_field
from api.jobs.runner import Prepared
from api.schemas import ExecuteRequest
from graph.problems import WorkflowInvalidError
from storage.addresses import AddressError
from storage.fetch import FetchError


@dataclass(frozen=True)
class RequestReader:
    """`prepare` is a runner's; `check_url` raises for a URL that may not be called."""

    prepare: Callable[[str, Mapping[str, Any]], Awaitable[Prepared]]
    check_url: Callable[[str], Awaitable[object]]

    async def request(self, owner: str, body: Mapping[str, Any]) -> ExecuteRequest:
        """The fields of an execute body.

        Raises:
            ServiceError: some are wrong; it says what is wrong with the workflow too.
        """
        try:
            return ExecuteRequest.accept(body)
        except InvalidFieldsError as error:
            wrong = {str(fact["input"]).partition(".")[0] for fact in error.errors}
            right = {name: value for name, value in body.items() if name not in wrong}
            if "workflow" not in right:
                raise
            raise await and_of_workflow(
                error, self.prepared(owner, ExecuteRequest.read(right), right)
            ) from error

    async def prepared(
        self, owner: str, request: ExecuteRequest, body: Mapping[str, Any]
    ) -> Prepared:
        """The workflow of a request, ready to run.

        Raises:
            ServiceError: the workflow cannot run, or the webhook cannot be called; where both are
                so, it says both.
        """
        refused = await self._refused_callback(request)
        try:
            prepared = await self.prepare(owner, body)
        except WorkflowInvalidError as error:
            if refused is None:
                raise
            problem = field_problem(refused.errors[0])
            raise replace(error, problems=(problem, *error.problems)) from error
        if refused:
            raise refused
        return prepared

    async def _refused_callback(self, request: ExecuteRequest) -> InvalidFieldsError | None:
        if request.callback is None:
            return None
        try:
            await self.check_url(request.callback)
        except (AddressError, FetchError) as error:
            return one_field(request.callback_field, error.problem, request.callback)
        return None


def hash_of(body: Mapping[str, Any]) -> str:
    """By which equal bodies are equal. In pieces, between which other threads go on."""
    digest = hashlib.sha256()
    for piece in json.JSONEncoder(sort_keys=True, default=str).iterencode(body):
        digest.update(piece.encode())
    return digest.hexdigest()
