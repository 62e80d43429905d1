"""Whole or not at all: an interrupt or an error at any point leaves parameters, state and gradients of one step."""

import linecache
import os
import random
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.autograd import whole
from tapegrad.autograd.flags import DEFAULT, current

OWN = os.path.dirname(os.path.dirname(os.path.realpath(whole.__file__)))


@cache
def own(file: str) -> bool:
    return os.path.realpath(file).startswith(OWN)


@contextmanager
def interrupted_at(line: int) -> Iterator[list[int]]:
    """A real SIGINT as the line of this number in tapegrad's own code begins. Yields a list of one: lines that ran."""
    ran = [0]

    def trace(frame: Any, event: str, arg: Any) -> Any:
        if not own(frame.f_code.co_filename):
            return None
        if event == "line" and not put_back(frame):
            ran[0] += 1
            if ran[0] == line:
                signal.raise_signal(signal.SIGINT)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield ran
    finally:
        sys.settrace(before)


def put_back(frame: Any) -> bool:
    """Whether the line puts the flags back, in a `finally`: one call in C, before which Python asks for no signals."""
    return (
        linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip().startswith("current.set(flags)")
    )


class Training:
    """A model of two dtypes with an optimizer of several groups, and each part of a step."""

    def __init__(self, kind: Callable[..., Any] = tg.optim.Adam, **options: Any) -> None:
        tg.manual_seed(0)
        self.a = tg.nn.Dense(3, "tanh", in_features=2)
        self.b = tg.nn.Dense(1, in_features=3, dtype="float64")
        self.params = [*self.a.parameters(), *self.b.parameters()]
        self.opt = kind(
            [{"params": self.a.parameters()}, {"params": self.b.parameters(), "lr": 0.3}], lr=0.1, **options
        )
        self.x = tg.tensor([[1.0, 2.0], [3.0, 4.0]])

    def loss(self) -> Any:
        return (self.b(self.a(self.x)) ** 2).sum()

    def state(self) -> list[bytes]:
        tensors = [*self.params, *self.opt.state_dict().values()]
        return [t.numpy().tobytes() for t in tensors] + [
            b"none" if p.grad is None else p.grad.numpy().tobytes() for p in self.params
        ]

    def step(self) -> None:
        self.opt.step()

    def clip(self) -> None:
        tg.optim.clip_by_global_norm(self.params, 0.01)

    def clip_each(self) -> None:
        tg.optim.clip_by_norm(self.params, 0.01)

    def load(self) -> None:
        state = self.opt.state_dict()
        taken = {name: t for name, t in state.items() if name.startswith(("steps", "lr")) or name[-1] in "mv"}
        self.opt.load_state_dict({name: value + 1.0 for name, value in taken.items()})

    def move(self) -> None:
        for module in (self.a, self.b):  # each is whole
            module.load_state_dict({name: t + 1.0 for name, t in module.state_dict().items()})
            break


def ready(kind: Any = tg.optim.Adam, **options: Any) -> Training:
    t = Training(kind, **options)
    for _ in range(2):
        t.opt.zero_grad()
        t.loss().backward()
        t.opt.step()
    return t


def chosen(lines: int) -> list[int]:
    """Some lines of so many, and of the last thirty, where things are written, all."""
    return [*range(1, lines - 30, max(1, lines // 25)), *range(max(1, lines - 30), lines + 1)]


def every_point(make: Callable[[], tuple[Training, Callable[[], Any]]]) -> tuple[int, int]:
    """Interrupt a part of a step at each of its lines. Returns how often it was not done, and how often it was."""
    make()[1]()  # what is worked out once, is
    training, part = make()
    before = training.state()
    with interrupted_at(-1) as ran:
        part()
    lines, after = ran[0], training.state()
    assert before != after
    counts, missed = [0, 0], 0
    for line in chosen(lines):
        training, part = make()
        assert training.state() == before
        with suppress(KeyboardInterrupt), interrupted_at(line) as ran:
            part()
        missed += ran[0] < line  # how many lines there are depends a little on what was forgotten when
        state = training.state()
        assert state in (before, after), f"half of it was done when line {line} of {lines} was interrupted"
        counts[state == after] += 1
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler and not whole._depth
        current.set(DEFAULT)  # an interrupt at the first line of an __exit__ is one that Python itself loses
    assert missed < len(chosen(lines)) / 2
    return counts[0], counts[1]


@pytest.mark.parametrize(
    ("part", "kind", "options"),
    [
        ("step", tg.optim.Adam, {}),
        ("step", tg.optim.Adam, {"global_clipnorm": 0.1, "weight_decay": 0.1}),
        ("step", tg.optim.SGD, {"momentum": 0.9, "clipnorm": 0.1}),
        *((part, tg.optim.Adam, {}) for part in ("clip", "clip_each", "load", "move")),
    ],
)
def test_an_interrupt_at_any_line(part: str, kind: Any, options: dict[str, Any]) -> None:
    def make() -> tuple[Training, Callable[[], Any]]:
        t = ready(kind, **options)
        return t, getattr(t, part)

    undone, done = every_point(make)
    assert undone and done


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("create_graph", [False, True])
def test_backward_interrupted_at_any_line(there: bool, create_graph: bool) -> None:
    def make() -> tuple[Training, Callable[[], Any]]:
        t = ready()
        if not there:
            t.opt.zero_grad()
        loss = t.loss()
        return t, lambda: loss.backward(create_graph=create_graph)

    undone, done = every_point(make)
    assert undone and done


def test_taking_up_moved_parameters_interrupted_at_any_line() -> None:
    def make() -> tuple[Training, Callable[[], Any]]:
        t = ready()
        t.params[0].data = t.params[0].data + 1.0
        t.a.to("float64")
        t.opt.zero_grad()
        t.loss().backward()
        return t, t.step

    every_point_of_a_moved_one(make)


def every_point_of_a_moved_one(make: Callable[[], tuple[Training, Callable[[], Any]]]) -> None:
    """The state may be taken along already, in the other dtype: what counts is what one more step gives."""

    def values(t: Training) -> list[Any]:
        return [p.numpy() for p in t.params] + [v.numpy() for v in t.opt.state_dict().values()]

    training, part = make()
    with interrupted_at(-1) as ran:
        part()
    want = values(training)
    for line in chosen(ran[0]):
        training, part = make()
        with suppress(KeyboardInterrupt), interrupted_at(line):
            part()
        current.set(DEFAULT)
        if training.opt.steps == 2:
            part()
        for a, b in zip(values(training), want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, err_msg=f"line {line}")


@pytest.mark.parametrize("error", [MemoryError, FloatingPointError, KeyboardInterrupt])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_an_error_in_an_update(
    number: int, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    t = ready()
    before, update, calls = t.state(), tg.optim.Adam.update, [0]

    def failing(self: Any, *args: Any) -> Any:
        calls[0] += 1
        if calls[0] > number:
            raise error
        return update(self, *args)

    monkeypatch.setattr(tg.optim.Adam, "update", failing)
    if number < 2:
        with pytest.raises(error):
            t.opt.step()
        assert t.state() == before
    else:
        t.opt.step()
        assert t.opt.steps == 3


@pytest.mark.parametrize("how", ["errstate", "warnings"])
@pytest.mark.parametrize("size", [3, 200_000])
def test_a_number_out_of_range(size: int, how: str) -> None:
    """The last elements overflow, after others could have been written."""
    p, q = tg.Parameter(tg.ones(size)), tg.Parameter(tg.ones(3, dtype="float64"))
    opt = tg.optim.SGD([p, q], lr=1e10, momentum=0.5)
    p.grad, q.grad = tg.ones(size), tg.ones(3, dtype="float64")
    opt.step()
    p.grad, q.grad = tg.ones(size), tg.ones(3, dtype="float64")
    p.grad[-1] = 1e30  # lr times this is no number of float32
    before = [t.numpy() for t in (p, q, *opt.state_dict().values())]
    with warnings.catch_warnings():
        warnings.simplefilter("error" if how == "warnings" else "ignore")
        raised = pytest.raises((FloatingPointError, RuntimeWarning))
        with np.errstate(over="raise" if how == "errstate" else "warn"), raised:
            opt.step()
    for a, b in zip(before, (p, q, *opt.state_dict().values()), strict=True):
        assert np.array_equal(a, b.numpy(), equal_nan=True)
    for g in (p, q):
        g.grad = tg.ones_like(g)
    opt.step()
    assert opt.steps == 2


def test_gradients_whose_sum_is_out_of_range() -> None:
    a, b = (tg.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    a.grad, b.grad = tg.ones(2), tg.tensor([3e38, 1.0])
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        ((a + b) * 3e38).sum().backward()
    assert a.grad.tolist() == [1.0, 1.0] and b.grad[1].item() == 1.0
    small = tg.tensor([0.0, 0.0], requires_grad=True)
    small.grad = tg.tensor([1.0, 1e-38])
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        tg.optim.clip_by_norm([a, small], 1e-10)
    assert a.grad.tolist() == [1.0, 1.0]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no setitimer")
def test_interrupts_at_random_times() -> None:
    """Each part of a loop is whole: after an interrupt the loop goes on to the numbers of one that had none."""
    steps = 40
    undisturbed = Training()
    states = {0: parameters_of(undisturbed)}
    for n in range(steps):
        undisturbed.opt.zero_grad()
        undisturbed.loss().backward()
        undisturbed.opt.step()
        states[n + 1] = parameters_of(undisturbed)
    training = False  # an alarm that comes outside the loop's `try` does nothing
    before = signal.signal(
        signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT) if training else None
    )
    rng, came, ends = random.Random(0), 0, time.perf_counter() + 2.0
    try:
        while time.perf_counter() < ends:
            t = Training()
            while t.opt.steps < steps:
                try:
                    training = True
                    signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-3, 2e-2))
                    while t.opt.steps < steps:
                        t.opt.zero_grad()
                        t.loss().backward()
                        t.opt.step()
                    training = False
                except KeyboardInterrupt:
                    training = False
                    came += 1
                signal.setitimer(signal.ITIMER_REAL, 0)
                assert parameters_of(t) == states[t.opt.steps]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert came > 20


def parameters_of(t: Training) -> list[bytes]:
    return [x.numpy().tobytes() for x in (*t.params, *t.opt.state_dict().values())]
