import pytest

from api.errors import ServiceFullError
from api.job_queue import JobQueue, Ticket


def _order(queue: JobQueue, tickets: dict[str, Ticket]) -> list[str]:
    """The names by their place in line."""
    return sorted(tickets, key=lambda name: queue.position(tickets[name]))


def test_priority_reorders_one_owners_jobs_and_nobody_elses() -> None:
    queue = JobQueue(running=1, queued=9)
    queue.enter("me", 0)
    wanted = [("a1", "a", 0), ("b1", "b", 0), ("a2", "a", 9), ("b2", "b", -1), ("a3", "a", 9)]
    tickets = {name: queue.enter(owner, priority) for name, owner, priority in wanted}
    assert _order(queue, tickets) == ["a2", "b1", "a3", "b2", "a1"]


def test_a_place_is_passed_on_when_it_is_left() -> None:
    queue = JobQueue(running=1, queued=2)
    first, second = queue.enter("me", 0), queue.enter("me", 0)
    assert (queue.position(first), queue.position(second)) == (0, 1)
    queue.leave(first)
    assert second.turn.is_set()
    assert (queue.running, queue.waiting) == (1, 0)


def test_leaving_twice_or_while_waiting_is_harmless() -> None:
    queue = JobQueue(running=1, queued=2)
    first, second = queue.enter("me", 0), queue.enter("me", 0)
    for ticket in (second, second, first, first):
        queue.leave(ticket)
    assert (queue.running, queue.waiting) == (0, 0)


def test_a_full_queue_takes_nobody() -> None:
    queue = JobQueue(running=1, queued=1)
    queue.enter("me", 0)
    queue.enter("me", 0)
    with pytest.raises(ServiceFullError):
        queue.enter("you", 10)
    assert queue.waiting == 1
