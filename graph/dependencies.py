"""Who needs whom, in time that is linear in the nodes and links, however many outputs there are."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

SourcesOf: TypeAlias = Callable[[str], Iterable[str]]  # the nodes that a node is linked to


def needed_by(wanted: Iterable[str], sources_of: SourcesOf) -> set[str]:
    """`wanted` and every node upstream of it: one walk from all of them together."""
    found: set[str] = set()
    waiting = list(wanted)
    while waiting:
        here = waiting.pop()
        if here not in found:
            found.add(here)
            waiting += sources_of(here)
    return found


def dependent_outputs(
    outputs: Sequence[str], sources_of: SourcesOf, at_most: int
) -> dict[str, list[str]]:
    """For each node that an output needs, the first `at_most` outputs that do, in their order.

    A node that has its share ends the walk: all that is upstream of it has its share too. So each
    node is entered `at_most` times, not once for each output.
    """
    found: dict[str, list[str]] = {}
    for output in dict.fromkeys(outputs):
        waiting = [output]
        while waiting:
            here = waiting.pop()
            own = found.setdefault(here, [])
            if len(own) == at_most or (own and own[-1] == output):
                continue
            own.append(output)
            waiting += sources_of(here)
    return found
