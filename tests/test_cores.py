"""Threads give what one thread gives, in order, and leave the linear algebra library as they found it."""

import os
import threading
import time

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from ase_phonax.base import cores


def blas_threads() -> list[int]:
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


@pytest.mark.parametrize("n", [1, 3])
def test_results_come_in_order_from_several_threads(monkeypatch, n):
    monkeypatch.setattr(cores, "n_cores", lambda: n)
    before, names = blas_threads(), set()

    def work(k):
        names.add(threading.get_ident())
        assert set(blas_threads()) == {1}
        return np.linalg.norm(np.full(50_000 * (7 - k), 1.0)) ** 2

    assert list(cores.on_cores(work, range(7))) == pytest.approx([50_000 * (7 - k) for k in range(7)])
    assert (threading.get_ident() in names) == (n == 1)
    assert blas_threads() == before


def test_an_error_in_a_piece_reaches_the_caller(monkeypatch):
    monkeypatch.setattr(cores, "n_cores", lambda: 2)
    before = blas_threads()
    with pytest.raises(ZeroDivisionError):
        list(cores.on_cores(lambda k: 1 / k, [1, 0, 2]))
    assert blas_threads() == before


def test_blocks_of_two_threads_that_overlap_leave_the_setting_as_it_was():
    # Kills: each restores what it found, the one that ends last what the first had set.
    before, inside, go = blas_threads(), threading.Event(), threading.Event()

    def first():
        with cores.one_blas_thread():
            inside.set()
            go.wait(10)

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(10)
    with cores.one_blas_thread():
        assert set(blas_threads()) == {1}
        go.set()
        thread.join(10)
    assert blas_threads() == before
    with cores.one_blas_thread(), cores.one_blas_thread():
        assert set(blas_threads()) == {1}
    assert blas_threads() == before


def test_a_block_counts_until_the_last_thread_has_left_it():
    # Kills: the first one in restores the setting while another still computes.
    before, inside, go = blas_threads(), threading.Event(), threading.Event()
    seen = []

    def second():
        with cores.one_blas_thread():
            inside.set()
            go.wait(10)
            seen.extend(blas_threads())

    with threadpool_limits(2, user_api="blas"):
        thread = threading.Thread(target=second)
        with cores.one_blas_thread():
            thread.start()
            inside.wait(10)
        go.set()
        thread.join(10)
        assert set(seen) == {1}
        assert set(blas_threads()) == {2}
    assert blas_threads() == before


@pytest.mark.parametrize(("value", "expected"), [("1", 1), ("3,2", 3), (" 2 , 1", 2), ("100", 8), ("", 8), (None, 8)])
def test_no_more_cores_are_used_than_the_environment_says(monkeypatch, value, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(os, "process_cpu_count", lambda: 8, raising=False)
    if value is None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert cores.n_cores() == expected
    names = set(cores.on_cores(lambda _: time.sleep(0.01) or threading.get_ident(), range(20)))
    assert len(names) <= expected


@pytest.mark.parametrize("value", ["0", "-2", "four", "2.5", ",2"])
def test_a_number_of_threads_that_is_none_is_named_and_ignored(monkeypatch, value):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    everything = cores.n_cores()
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    with pytest.warns(RuntimeWarning, match=f"OMP_NUM_THREADS is '{value}', which begins with no number of threads"):
        assert cores.n_cores() == everything
