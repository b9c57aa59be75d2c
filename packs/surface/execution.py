"""execution: the executor's names that packs wrap or ask; nothing here runs workflows."""

from typing import Any

from packs.surface.comfy_execution.graph import ExecutionBlocker
from packs.surface.dynamic_prompt import DynamicPrompt

__all__ = ["DynamicPrompt", "ExecutionBlocker", "PromptExecutor", "PromptQueue", "validate_prompt"]


class PromptExecutor:
    """A class whose methods packs may replace, without effect."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        del args, kwargs
        self.success = True

    def handle_execution_error(self, *args: Any, **kwargs: Any) -> None:
        del args, kwargs

    def add_message(self, *args: Any, **kwargs: Any) -> None:
        del args, kwargs

    def execute(self, *args: Any, **kwargs: Any) -> None:
        del args, kwargs

    def reset(self) -> None:
        """There is nothing to reset."""


class PromptQueue:
    """As PromptExecutor."""

    def task_done(self, *args: Any, **kwargs: Any) -> None:
        del args, kwargs

    def put(self, *args: Any, **kwargs: Any) -> None:
        del args, kwargs


def validate_prompt(*args: Any, **kwargs: Any) -> tuple[bool, None, list[Any], list[Any]]:
    """Workflows are checked by the service."""
    del args, kwargs
    return True, None, [], []


def get_input_data(
    inputs: dict[str, Any], class_def: Any, unique_id: str, *_: Any, **__: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The constants of a node, each in a list."""
    del class_def, unique_id
    return {name: [value] for name, value in inputs.items() if not isinstance(value, list)}, {}
