"""Run ComfyUI workflows on a comfyray service."""

from comfyray.async_client import AsyncClient
from comfyray.client import Client
from comfyray.errors import ComfyrayError, JobFailedError, RequestError, UnreachableError
from comfyray.model_files import ModelProgress
from comfyray.results import Event, Job, Output, Result
from comfyray.webhooks import verify_webhook

__all__ = [
    "AsyncClient",
    "Client",
    "ComfyrayError",
    "Event",
    "Job",
    "JobFailedError",
    "ModelProgress",
    "Output",
    "RequestError",
    "Result",
    "UnreachableError",
    "verify_webhook",
]
