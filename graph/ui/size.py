"""How much text a file comes to: subgraphs and primitives repeat what it says once."""

from collections.abc import Mapping
from typing import Any

from graph.prompt import WorkflowTooLarge

OTHER = 8  # characters that a number, or what is around a value, counts as


class TextCount:
    """Counts the characters of a workflow as it unfolds.

    Values are told apart by identity: they have to live as long as this does.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._left = most
        self._sizes: dict[int, int] = {}  # of lists and objects

    def add(self, *values: Any, times: int = 1) -> None:
        """Raises: WorkflowTooLarge when all that was added is too much."""
        self._left -= times * sum(map(self._size, values))
        if self._left < 0:
            problem = (
                f"The workflow holds more than {self._most} characters once its subgraphs and "
                "primitives are unfolded."
            )
            raise WorkflowTooLarge(problem, "", "")

    def _size(self, value: Any) -> int:
        if isinstance(value, str):
            return len(value) + OTHER
        if not isinstance(value, Mapping | list | tuple):
            return OTHER
        known = self._sizes.get(id(value))
        if known is None:
            inside = (*value, *value.values()) if isinstance(value, Mapping) else value
            known = self._sizes[id(value)] = OTHER + sum(map(self._size, inside))
        return known
