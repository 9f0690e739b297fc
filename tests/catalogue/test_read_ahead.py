"""Items that are read ahead in a thread."""

from __future__ import annotations

import threading
import time

import pytest

from mmae.catalogue.read_ahead import read_ahead


def test_items_keep_their_order():
    assert list(read_ahead(iter(range(50)), depth=3)) == list(range(50))
    assert list(read_ahead([])) == []


def test_an_exception_comes_after_the_items_before_it():
    def items():
        yield 1
        yield 2
        raise OSError("disk")

    found = read_ahead(items())
    assert [next(found), next(found)] == [1, 2]
    with pytest.raises(OSError, match="disk"):
        next(found)


def test_not_more_than_the_depth_is_read_ahead_and_the_thread_ends():
    made = []
    found = read_ahead((made.append(i) or i for i in range(100)), depth=2)
    assert next(found) == 0
    time.sleep(0.3)
    assert len(made) <= 4  # one used, two ready, one waiting
    n_threads = threading.active_count()
    found.close()
    time.sleep(0.3)
    assert threading.active_count() == n_threads - 1
