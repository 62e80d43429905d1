"""Random numbers of the host belong to all threads: what is drawn while a step is recorded may be another thread's."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.compiler.record import recording

CALLS = 40


@contextmanager
def another_thread() -> Iterator[None]:
    """While one is there, which does nothing."""
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


# Whether something is drawn during the n-th recording -> at which call that is told, or None.
DRAWN: dict[str, tuple[Callable[[int], bool], int | None]] = {
    "never": (lambda n: False, None),
    "in the first": (lambda n: n < 1, None),
    "in the second": (lambda n: n == 1, None),
    "in most of the first": (lambda n: n < 8 and n != 4, None),
    "in each": (lambda n: True, 10),
    "in every other": (lambda n: n % 2 == 0, 19),
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_step_is_recorded_again_where_another_thread_may_have_drawn(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, told_at = DRAWN[name]
    looks, streams = count(), [0]

    def host_streams() -> tuple[Any, ...]:
        n = next(looks)
        streams[0] += bool(n % 2 and drawn(n // 2))  # the second look of a recording
        return tuple(streams)

    monkeypatch.setattr(recording, "host_streams", host_streams)
    step, told = tg.jit(lambda x: x * 2.0, strict=True), None
    with another_thread():
        for call in range(1, CALLS):
            try:
                assert step(tg.tensor(float(call))).item() == 2.0 * call
            except tg.TraceError as error:
                told = call, str(error)
                break
    assert (told and told[0]) == told_at
    assert told is None or "by it, or by another thread. Draw with" in told[1]
    assert told is not None or step.stats()["compiled"] > CALLS - 15


def test_a_fit_names_no_line_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = count()
    model = tg.models.Sequential([tg.nn.Dense(2), tg.nn.Dense(1)])
    model.compile(loss="mse")
    x = np.ones((8, 3), "float32")
    monkeypatch.setattr(recording, "host_streams", lambda: next(looks))
    with (
        another_thread(),
        pytest.warns(tg.JitWarning, match="drawn while it ran: by it, or by another thread"),
    ):
        model.fit(x, x[:, :1], epochs=100, batch_size=4, verbose=0)


def test_where_no_other_thread_is_it_is_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = count()
    monkeypatch.setattr(recording, "host_streams", lambda: next(looks))
    monkeypatch.setattr(recording, "runs_alone", lambda: True)  # a test runner has threads
    step = tg.jit(lambda x: x * 2.0, strict=True)
    step(tg.ones(2))
    with pytest.raises(tg.TraceError, match="it draws random numbers on the host"):
        step(tg.ones(2))


def test_what_is_drawn_for_initial_weights_is_heard() -> None:
    """In this thread, whatever others there are."""
    initial = tg.nn.init.get("glorot_uniform")
    step = tg.jit(lambda x: x + initial((2, 2)), strict=True)
    with another_thread():
        step(tg.zeros((2, 2)))
        with pytest.raises(tg.TraceError, match="it draws random numbers on the host"):
            step(tg.zeros((2, 2)))


def flipped(x: Any, rng: Any = np.random) -> Any:
    return x * 2.0 if rng.rand() < 0.5 else x * 1.0


@pytest.mark.filterwarnings("ignore::tapegrad.JitWarning")
@pytest.mark.parametrize("seed", range(6))
def test_what_the_step_draws_is_never_lost(seed: int) -> None:
    """Whatever other threads there are: it draws by a name of its own, which C code answers."""

    def results(how: Callable[[Any], Any]) -> list[float]:
        np.random.seed(seed)
        step = how(lambda x: flipped(x))
        return [step(tg.ones(())).item() for _ in range(CALLS)]

    with another_thread():
        assert results(tg.jit) == results(lambda f: f)
