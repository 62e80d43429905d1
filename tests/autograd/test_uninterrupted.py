"""`uninterrupted()`: the block that Ctrl-C does not end in the middle."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tapegrad.autograd import whole
from tapegrad.autograd.whole import uninterrupted


@contextmanager
def handler(value: Any) -> Iterator[None]:
    before = signal.signal(signal.SIGINT, value)
    try:
        yield
        assert signal.getsignal(signal.SIGINT) is value
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_interrupt_inside_comes_at_the_end() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt):
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            done.append(1)
            with uninterrupted():
                signal.raise_signal(signal.SIGINT)
                done.append(2)
            done.append(3)
        done.append(4)
    assert done == [1, 2, 3]
    with uninterrupted():
        done.append(5)  # it came once
    assert done[-1] == 5


def test_whichever_handler_the_user_had() -> None:
    seen: list[Any] = []

    def own(number: int, frame: Any) -> None:
        seen.append((number, frame))

    with handler(own):
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            assert not seen
        assert (
            len(seen) == 1
            and seen[0][0] == signal.SIGINT
            and seen[0][1].f_code.co_name == "test_whichever_handler_the_user_had"
        )
    for value in (signal.SIG_IGN, signal.SIG_DFL):
        with handler(value), uninterrupted():
            assert signal.getsignal(signal.SIGINT) is value


def test_a_handler_that_is_set_inside_stays() -> None:
    before = signal.getsignal(signal.SIGINT)
    try:
        with uninterrupted():
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_error_inside_keeps_its_place_and_the_handler_comes_back() -> None:
    with pytest.raises(ZeroDivisionError), uninterrupted():
        _ = 1 / 0
    with pytest.raises(KeyboardInterrupt) as caught, uninterrupted():
        signal.raise_signal(signal.SIGINT)
        _ = 1 / 0
    assert isinstance(caught.value.__context__, ZeroDivisionError)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler and not whole._depth


def test_other_threads_hold_nothing() -> None:
    inside, leave = threading.Event(), threading.Event()

    def work() -> None:
        with uninterrupted():
            inside.set()
            leave.wait()

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait()
    try:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        leave.set()
        thread.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_forked_by_another_thread_can_be_interrupted() -> None:
    status: list[int] = []

    def fork() -> None:
        child = os.fork()
        if child == 0:
            ok = signal.getsignal(signal.SIGINT) is signal.default_int_handler
            try:
                with uninterrupted():
                    signal.raise_signal(signal.SIGINT)
                ok = False
            except KeyboardInterrupt:
                pass
            os._exit(0 if ok else 1)
        status.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    with uninterrupted():
        thread = threading.Thread(target=fork)
        thread.start()
        thread.join()
    assert status == [0]
