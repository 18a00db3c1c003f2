"""Work beside each other keeps its order, does not run ahead, and ends where it fails."""

import threading
import time

import pytest

from memgen_jax.cores import in_order


def test_results_come_in_the_order_of_the_items_however_long_each_takes():
    wait = [0.0, 0.05, 0.0, 0.03, 0.0, 0.0]
    assert list(in_order(lambda i: (time.sleep(wait[i]), i)[1], range(6), 3)) == list(range(6))
    assert list(in_order(str, [], 3)) == []
    assert list(in_order(str, [7], 3)) == ["7"]


def test_the_first_is_made_alone_and_so_many_of_the_others_at_once():
    meeting = threading.Barrier(3)  # passed only by three who are there together
    main = threading.get_ident()
    threads = []

    def make(item: int) -> int:
        threads.append(threading.get_ident())
        if item:
            meeting.wait(timeout=60)
        return item

    assert list(in_order(make, range(7), 3)) == list(range(7))
    assert threads[0] == main
    assert main not in threads[1:] and len(set(threads[1:])) == 3


def test_no_item_is_taken_long_before_its_turn():
    taken = []
    many = in_order(lambda item: item, (taken.append(i) or i for i in range(100)), 2)
    assert next(many) == 0 and taken == [0]
    assert next(many) == 1 and len(taken) <= 4


def test_what_fails_is_raised_in_its_turn_and_ends_the_rest():
    made = []

    def make(item: int) -> int:
        if item == 3:
            raise ValueError("three")
        made.append(item)
        return item

    many = in_order(make, range(100), 2)
    assert [next(many) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(many)
    assert max(made) <= 6
    with pytest.raises(StopIteration):
        next(many)
