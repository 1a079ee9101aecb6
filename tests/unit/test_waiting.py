"""The queue that is fair to clients."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_api.waiting import FairQueue, Overloaded

CLIENTS = st.lists(st.sampled_from("abc"), max_size=30)


def filled(clients: Sequence[str], limit: int | None = None) -> FairQueue[tuple[str, int]]:
    """Return a queue in which each item is its client and its number among all."""
    queue: FairQueue[tuple[str, int]] = FairQueue(limit)
    for number, client in enumerate(clients):
        queue.put(client, (client, number))
    return queue


@given(CLIENTS)
def test_nothing_is_lost_and_every_client_keeps_its_order(clients: list[str]) -> None:
    """What was put in comes out once, and of each client in the order in which it came."""
    queue = filled(clients)
    assert (len(clients), sorted(enumerate(clients))) == (len(queue), sorted((n, client) for client, n in queue))
    taken = [queue.take() for _ in clients]
    assert not queue
    for client in "abc":
        assert [(c, n) for n, c in enumerate(clients) if c == client] == [item for item in taken if item[0] == client]


@given(CLIENTS)
def test_no_client_is_taken_twice_while_another_waits(clients: list[str]) -> None:
    """Between two items of a client there is one of every other client that still has some afterwards."""
    queue = filled(clients)
    taken = [queue.take()[0] for _ in clients]
    for first, client in enumerate(taken):
        if client in taken[first + 1 :]:
            second = taken.index(client, first + 1)
            assert set(taken[second:]) - {client} <= set(taken[first + 1 : second])


def test_a_full_queue_refuses_who_filled_it() -> None:
    """Who has an equal share may not add to it; others may, until they have theirs."""
    queue = filled("aaaab", limit=5)
    with pytest.raises(Overloaded):
        queue.put("a", ("a", 5))
    for number in range(5, 7):
        queue.put("b", ("b", number))
    with pytest.raises(Overloaded):
        queue.put("b", ("b", 7))
    queue.put("c", ("c", 7))
    assert [("a", 0), ("b", 4), ("c", 7), ("a", 1)] == [queue.take() for _ in range(4)]
