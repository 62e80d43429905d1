"""What a compiled function returns is the caller's own; and it may be called from several threads, and inside other
transforms and compiled functions."""

import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from compiler_emitters import EMITTERS, emitting, flat
from primitives.table import rows

F = tg.nn.functional
jit = partial(tg.jit, emitter="numpy")


def t(*values: Any) -> Any:
    return tg.tensor(np.array(values, dtype="float64"))


# ---- results alias nothing ----
def inside(compiled: Any) -> list[np.ndarray]:
    """Every array that a compiled function keeps: buffers, views and constants of the emitted step."""
    found: list[np.ndarray] = []
    for variant in [case.runner for case in compiled.cases if case.ready]:
        step = variant.step
        cells = [c.cell_contents for c in step.__closure__ or ()]
        found += [
            a for a in (*cells, *step.__globals__.values(), *variant.bound) if isinstance(a, np.ndarray)
        ]
        found += [g.data for _, g in variant.gradients]
    return found


def check_own(compiled: Any, arguments: list[Any]) -> None:
    """No result shares memory with anything inside, with an argument, or with another result."""
    results = [r.data for r in tensors_in(compiled(*arguments))]
    others = [*inside(compiled), *(a.data for a in arguments if isinstance(a, tg.Tensor))]
    for i, r in enumerate(results):
        assert r.flags.writeable or any(r is a for a in others)
        # What was one tensor is one tensor: a result twice, or an argument.
        apart = [a for a in (*others, *results[:i]) if a is not r]
        assert not any(np.shares_memory(r, a) for a in apart), compiled.source()


def tensors_in(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    return [x for v in value for x in tensors_in(v)] if isinstance(value, (list, tuple)) else [value]


ROWS = {row.name: row for row in rows() if row.primitive != "move"}


@pytest.mark.parametrize("emitter", EMITTERS)
@pytest.mark.parametrize("name", ROWS)
def test_of_every_row(name: str, emitter: str) -> None:
    """All of a row's samples in one program: their results share no memory with each other either."""
    row = ROWS[name]
    xs = [tg.tensor(a) for sample in row.inputs for a in sample]

    def function(*xs: Any) -> Any:
        rest = iter(xs)
        return [row.call(*(next(rest) for _ in sample)) for sample in row.inputs]

    wrap = emitting(emitter)
    with tg.no_grad():
        compiled = wrap(function)
        check_own(compiled, xs)
        check_own(compiled, xs)


B, W = t(1, 2, 3), t(1, 2, 3).requires_grad_()
CONSTANT = np.arange(3.0)
KINDS: dict[str, Callable[[Any], Any]] = {
    "an argument": lambda x: x,
    "a view of an argument": lambda x: (x[1:], x.reshape(3, 1), x[None].T, x[::-1]),
    "a captured tensor": lambda x: (B, x + B),
    "a view of a captured tensor": lambda x: (B[1:], B.reshape(3, 1), B[None], B.detach()),
    "a captured tensor that is written to": lambda x: (B.assign(B + x), B, B[1:], +B)[1:],
    "a result twice": lambda x: [y := x * 2.0, y, {"again": y}],
    "a result and views of it": lambda x: (y := x * 2.0, y[1:], y.reshape(3, 1), tg.broadcast_to(y, (2, 3))),
    "constants": lambda x: (tg.zeros(3), tg.tensor(CONSTANT), tg.ones_like(x), tg.zeros_like(x) + 1.0),
    "a number": lambda x: (x.sum(), (x * 2.0).max(), tg.argmax(x)),
    "random numbers": lambda x: F.dropout(x, 0.5),
    "a selection": lambda x: (x[x > 0.0], x[tg.tensor([0, 2])]),
    "gradients": lambda x: tg.value_and_grad(lambda x, w: (x * w).sum(), argnums=(0, 1))(x, B),
    "gradients of leaves": lambda x: (setattr(W, "grad", None), (W * x).sum().backward(), W.grad, W.grad[1:])[2:],
}  # fmt: skip


@pytest.mark.parametrize("emitter", EMITTERS)
@pytest.mark.parametrize("kind", KINDS)
def test_of_every_kind(kind: str, emitter: str) -> None:
    """Also by their values: what is done to a result is not seen by the next call, and the next call changes none."""
    function, x, y = KINDS[kind], t(3, 4, 5), t(6, 8, 7)
    grad = tg.enable_grad() if "gradients" in kind else tg.no_grad()
    wrap = emitting(emitter)
    with grad:
        compiled = wrap(function)
        for _ in range(3):
            check_own(compiled, [x])
        assert compiled.stats()["programs"][-1].startswith(emitter), compiled.stats()
        assert compiled.stats()["recordings"] <= 2
        first = compiled(x)
        kept = flat(first)
        compiled(y)
        assert all(np.array_equal(a, b) for a, b in zip(flat(first), kept, strict=True))
        for r in tensors_in(first):
            r.data[...] = -99
        B.assign(t(1, 2, 3))
        tg.manual_seed(0)
        got = flat(compiled(x))
        B.assign(t(1, 2, 3))
        tg.manual_seed(0)
        assert all(np.array_equal(a, b) for a, b in zip(got, flat(function(x)), strict=True))
        check_own(compiled, [x])


# ---- threads ----
@pytest.fixture
def contention() -> Iterator[None]:
    """Threads that take turns as often as they can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def in_threads(n: int, work: Callable[[int], None]) -> None:
    errors: list[BaseException] = []
    start = threading.Barrier(n)

    def run(i: int) -> None:
        try:
            start.wait()
            work(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("emitter", EMITTERS)
def test_threads_that_predict(emitter: str, contention: None) -> None:
    """The first call included: one recording for each shape."""
    inputs = [tg.tensor(np.random.default_rng(i).normal(size=(3 + i % 2, 4))) for i in range(4)]
    f = lambda x: (tg.exp(-x) @ x.T, x.sum())
    wanted = [flat(f(x)) for x in inputs]
    wrap = emitting(emitter)
    compiled = wrap(f)

    def work(i: int) -> None:
        for k in range(40):
            j = (i + k) % 4
            got = flat(compiled(inputs[j]))
            assert all(np.allclose(a, b, 1e-13, 1e-13) for a, b in zip(got, wanted[j], strict=True))

    in_threads(4, work)
    assert compiled.stats()["recordings"] == 2 and compiled.stats()["calls"] == 160


@pytest.mark.parametrize("emitter", EMITTERS)
def test_threads_that_train(emitter: str, contention: None) -> None:
    """Steps from several threads are done one after the other: together the same as one thread does. Gradients are on
    or off for each thread by itself."""

    def run(threads: int, wrap: Any) -> tuple[list[float], list[bytes], list[float]]:
        tg.manual_seed(0)
        model = tg.nn.Sequential(tg.nn.Dense(4, "tanh", in_features=3), tg.nn.Dense(1))
        opt, count = tg.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), t(0)
        x = tg.tensor(np.random.default_rng(0).normal(size=(8, 3)).astype("float32"))

        def step(x: Any) -> Any:
            opt.zero_grad()
            loss = (model(x) ** 2).mean()
            loss.backward()
            opt.step()
            count.assign(count + 1.0)
            return loss.detach(), count

        compiled, losses, counts = wrap(step), [], []

        def work(i: int) -> None:
            for _ in range(60 // threads):
                with tg.enable_grad() if i % 2 else tg.no_grad():
                    model(x)
                with tg.enable_grad():
                    loss, n = compiled(x)
                losses.append(loss.item())
                counts.append(n.item())

        in_threads(threads, work)
        return sorted(losses), [p.numpy().tobytes() for p in model.parameters()], sorted(counts)

    wrap = emitting(emitter)
    several, one = run(4, wrap), run(1, wrap)
    assert several == one and one[2] == [float(i + 1) for i in range(60)]


# ---- inside of each other ----
inner = lambda x: tg.sin(x) * x + (x * x).sum()
COMBINED: dict[str, Callable[[Any], Callable[[Any], Any]]] = {
    "jit of jit": lambda jit: jit(lambda x: jit(inner)(x) * jit(tg.exp)(x)),
    "jit of jit of jit": lambda jit: jit(jit(jit(inner))),
    "grad of jit": lambda jit: tg.grad(lambda x: jit(inner)(x).sum()),
    "jit of grad": lambda jit: jit(tg.grad(lambda x: inner(x).sum())),
    "jit of grad of jit": lambda jit: jit(tg.grad(lambda x: jit(inner)(x).sum())),
    "grad of jit of grad": lambda jit: tg.grad(lambda x: (jit(tg.grad(lambda x: inner(x).sum()))(x) ** 2).sum()),
    "jit of grad of grad": lambda jit: jit(tg.grad(lambda x: (tg.grad(lambda x: inner(x).sum())(x) ** 2).sum())),
    "jit of value_and_grad": lambda jit: jit(tg.value_and_grad(lambda x: inner(x).sum())),
    "jit of vjp": lambda jit: jit(lambda x: tg.vjp(inner, x)[1](tg.ones_like(x))),
    "vjp of jit": lambda jit: lambda x: tg.vjp(jit(inner), x)[1](tg.ones_like(x)),
    "jit of jvp": lambda jit: jit(lambda x: tg.jvp(inner, (x,), (tg.ones_like(x),))),
    "jvp of jit": lambda jit: lambda x: tg.jvp(jit(inner), (x,), (tg.ones_like(x),)),
    "jit of jacobian": lambda jit: jit(tg.jacobian(inner)),
    "hessian of jit": lambda jit: tg.hessian(lambda x: jit(inner)(x).sum()),
    "jit of hvp": lambda jit: jit(lambda x: tg.hvp(lambda x: inner(x).sum(), (x,), (x,))),
    "jit of checkpoint": lambda jit: jit(tg.grad(lambda x: tg.checkpoint(inner)(x).sum())),
    "checkpoint of jit": lambda jit: tg.grad(lambda x: tg.checkpoint(jit(inner))(x).sum()),
    "jit under no_grad": lambda jit: tg.no_grad()(jit(inner)),
    "jit under anomaly detection": lambda jit: tg.detect_anomaly()(jit(inner)),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::tapegrad.JitWarning")
@pytest.mark.parametrize("emitter", EMITTERS)
@pytest.mark.parametrize("name", COMBINED)
def test_combined(name: str, emitter: str) -> None:
    want, inputs = COMBINED[name](lambda f: f), [t(0.3, -0.7, 1.1), t(0.1, 0.2, 0.3)]
    wrap = emitting(emitter)
    got = COMBINED[name](wrap)
    for x in (*inputs, *inputs):
        for a, b in zip(flat(got(x)), flat(want(x)), strict=True):
            assert np.allclose(a, b, 1e-13, 1e-14)


def test_a_compiled_step_inside_another_one() -> None:
    """It becomes a part of the outer one, and can still be called by itself."""

    def run(wrap: Any) -> list[bytes]:
        w = t(1, 2, 3).requires_grad_()
        opt = tg.optim.SGD([w], lr=0.1, momentum=0.5)

        def step(x: Any) -> Any:
            opt.zero_grad()
            loss = ((w - x) ** 2).sum()
            loss.backward()
            opt.step()
            return loss.detach()

        step = wrap(step)
        twice = wrap(lambda x: step(x) + step(x * 2.0))
        found = [f(x) for x in (t(1, 1, 1), t(2, 0, 1), t(0, 0, 0)) for f in (step, twice, step)]
        return [a.tobytes() for a in flat(found)] + [w.numpy().tobytes()]

    assert run(jit) == run(lambda f: f)


def test_results_that_can_be_differentiated_are_part_of_the_graph() -> None:
    w = t(2, 3).requires_grad_()
    f = jit(lambda x: x * w)
    with pytest.warns(tg.JitWarning, match="its result can be differentiated"):
        for _ in range(3):
            f(t(1, 2)).sum().backward()
    assert w.grad is not None and w.grad.tolist() == [3.0, 6.0]
    assert "can be differentiated" in f.stats()["programs"][0]
