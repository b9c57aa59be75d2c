"""Example error bodies for the documentation, one for each status."""

from collections.abc import Mapping

from api.errors import BodyError, BodyTooLargeError, MediaTypeError, UnexpectedError
from api.file_response import RangeError
from api.hosted.problems import NotServedError
from api.keys.key_access import MissingScopeError
from api.keys.rates import RateLimitError
from graph.errors import ServiceError
from graph.problems import Problem, WorkflowInvalidError
from storage.jobs.charges import BudgetSpentError
from storage.jobs.records import IdempotencyConflictError, MissingJobError, ServiceFullError
from storage.keys import InvalidKeyError

JOB = 7213409125
WRONG_SAMPLER = Problem(
    "value_not_in_list",
    "Value not in list",
    "3",
    "KSampler",
    "sampler_name",
    expected=["euler", "heun"],
    received="eulr",
    suggestion="euler",
    dependent_outputs=("9",),
)
ERROR_EXAMPLES: Mapping[int, ServiceError] = {
    400: BodyError("Expecting value: line 1 column 1 (char 0)"),
    401: InvalidKeyError("expired"),
    402: BudgetSpentError(price=0.25, budget=10.0, spent=9.75, reserved=0.25),
    403: MissingScopeError("execute", "read"),
    404: MissingJobError(str(JOB)),
    409: IdempotencyConflictError("order-17", JOB),
    413: BodyTooLargeError(64 * 2**20),
    415: MediaTypeError("application/json", "text/plain"),
    416: RangeError("bytes=900-", 412),
    422: WorkflowInvalidError((WRONG_SAMPLER,)),
    429: RateLimitError("change", "60/minute", 7),
    500: UnexpectedError("5f2c81d09a3e"),
    501: NotServedError("POST /api/v6/video/text2video"),
    503: ServiceFullError(queued=1000, retry_after_s=30),
}
