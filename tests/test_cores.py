"""Threads give what one thread gives, in order, and leave the linear algebra library as they found it."""

import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from ase_phonax import cores


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
