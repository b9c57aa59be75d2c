"""What a router and its process for large requests send each other."""

import gc
from typing import Any

from deployments.large_requests.wire import PIECE, HeldContent, Unplanned, pieces, written
from graph.plan import Step
from graph.prompt import Source


def planned(nodes: int) -> tuple[dict[str, Any], dict[str, Step]]:
    """A body and its steps, which share what the body holds."""
    given = {str(i): {"seed": i, "items": [i, {"of": i}]} for i in range(nodes)}
    steps = {
        name: Step(name, "A", one, {"x": Source(name, 0)}, name) for name, one in given.items()
    }
    return {"workflow": given}, steps


def test_what_was_planned_is_read_as_it_was() -> None:
    body, steps = planned(3_000)
    types: Any = {"A": object}
    raw = written((body, steps, types, HeldContent.of(0)), types)
    read_body, read_steps, read_types, content = Unplanned(
        raw, types, [b"content"].__getitem__
    ).load()
    assert (read_body, read_steps, content) == (body, steps, b"content")
    assert read_types is types
    assert read_steps["7"].constants is read_body["workflow"]["7"]
    assert gc.isenabled()


def test_it_is_read_in_pieces_that_let_others_go_on() -> None:
    nodes = 3_000
    sizes = [len(piece) for piece in pieces(planned(nodes), {})]
    assert sum(sizes) > 5 * nodes  # each is in one piece: inputs, a list, what is in it, a step ...
    assert len(sizes) > 5 * nodes // PIECE
    assert max(sizes) <= PIECE
