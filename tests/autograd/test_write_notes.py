"""Notes on when memory was written to: their spans, how long they last, and threads."""

import sys
import threading
from typing import Any

import numpy as np

import tapegrad as tg
from tapegrad.autograd import writes
from tapegrad.autograd.writes import next_serial


def test_spans_of_every_form() -> None:
    a = np.zeros((4, 6), "float32")
    start = a.__array_interface__["data"][0]
    for view, first, end in (
        (a, 0, 96), (a[1], 24, 48), (a[::-1], 0, 96), (a[:, 2], 8, 84), (a[1:3, ::-2], 28, 72), (a.T[::-1], 0, 96),
        (a[2:2], 0, 0), (a[3, 5:], 92, 96), (np.broadcast_to(a[0, :1], (3, 1)), 0, 4),
    ):  # fmt: skip
        low, high = writes.span(view)
        assert (low - start, high - start) == (first, end) or (low == high and first == end), view.shape


def test_what_was_written_is_forgotten_with_the_memory() -> None:
    before = len(writes._alive)
    for _ in range(500):
        a = np.zeros(3)
        writes.wrote(a[1:], next_serial())
    assert len(writes._alive) == before + 1
    del a
    assert len(writes._alive) == before


def test_an_array_in_the_place_of_another_has_no_notes() -> None:
    begun = next_serial()
    for _ in range(500):
        a = np.zeros(3)
        assert not writes.since(a, begun)
        writes.wrote(a, next_serial())


def test_many_spans_of_one_array_are_joined_and_none_is_lost() -> None:
    a, begun = np.zeros(5000), next_serial()
    for i in range(0, 5000, 2):
        writes.wrote(a[i : i + 1], next_serial())
    assert len(writes.place(a)[0]) <= writes.MANY
    assert all(writes.since(a[i : i + 1], begun) for i in range(0, 5000, 2))
    assert not writes.since(a[4999:], begun) and not writes.since(a, next_serial())


def test_arrays_of_a_gpu_are_told_apart_by_their_interface() -> None:
    class Flags:
        c_contiguous = False

    class OnGpu:
        dtype, itemsize, flags = np.dtype("float32"), 4, Flags()

        def __init__(self, base: Any, start: int, shape: Any, strides: Any) -> None:
            self.base, self.shape, self.strides = base, shape, strides
            self.__cuda_array_interface__ = {"data": (start, False)}

    whole = OnGpu(None, 4096, (4, 4), (16, 4))
    row, other = OnGpu(whole, 4096 + 16, (4,), (4,)), OnGpu(whole, 4096 + 32, (4,), (4,))
    begun = next_serial()
    writes.wrote(row, next_serial())
    assert writes.since(whole, begun) and writes.since(row, begun) and not writes.since(other, begun)


def test_threads_that_write_to_new_arrays() -> None:
    failures: list[BaseException] = []

    def write() -> None:
        try:
            for _ in range(3000):
                t = tg.zeros(2)
                t[0] = 1.0
        except BaseException as error:
            failures.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=write) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert not failures


def test_threads_that_train_do_not_disturb_each_other() -> None:
    failures: list[BaseException] = []

    def train(seed: int) -> None:
        try:
            rng = np.random.default_rng(seed)
            model = tg.nn.Sequential(tg.nn.Dense(8, "tanh", in_features=4), tg.nn.Dense(1, in_features=8))
            opt = tg.optim.Adam(model.parameters())
            seen = tg.zeros((4,))
            for i in range(150):
                x = tg.tensor(rng.normal(size=(5, 4)))
                seen[i % 4] = 1.0
                opt.zero_grad()
                loss = (model(x) ** 2).mean()
                loss.backward()
                opt.step()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=train, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
