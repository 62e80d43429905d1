"""`tg.scan` against the same loop in Python: values and gradients to the bit, second order, compiled, refusals."""

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.compiler.record.recording import record

F = nn.functional
R = np.random.default_rng(5)
W, B = tg.tensor(R.normal(size=(3, 3)) * 0.5), tg.tensor(R.normal(size=3))
XS, H = R.normal(size=(5, 2, 3)), R.normal(size=(2, 3))
N = np.arange(5)


@pytest.fixture(autouse=True)
def constants() -> None:
    """What the loops close over requires no grad, unless a test says so."""
    for t in (W, B):
        t.requires_grad_(False)


def unrolled(f: Any, init: Any, xs: Any = None, length: Any = None, reverse: bool = False) -> Any:
    """The loop that scan stands for."""
    carry, ys = init, []
    count = length if xs is None else len(tg.tree.leaves(xs)[0])
    steps = list(range(count))
    for t in reversed(steps) if reverse else steps:
        carry, y = f(carry, None if xs is None else tg.tree.map(lambda a, t=t: a[t], xs))
        ys.append(y)
    ys = ys[::-1] if reverse else ys
    return carry, tg.tree.map(lambda *rows: tg.stack(rows), *ys) if ys else None


def rnn(h: Any, x: Any) -> Any:
    h = tg.tanh(h @ W + x + B)
    return h, h * 2.0


def lstm(carry: Any, x: Any) -> Any:
    h, c = carry["h"], carry["c"]
    c = tg.sigmoid(x["a"]) * c + tg.tanh(h @ W)
    h = tg.sigmoid(x["b"]) * tg.tanh(c)
    return {"h": h, "c": c}, (h, [c])


def counted(carry: Any, x: Any) -> Any:
    """An integer in the carry, and integers in xs and ys."""
    n, s = carry
    return (n + x[0], s + x[1] * n), {"n": n * 2, "s": s}


# name, f, init, xs, more
LOOPS: Any = [
    ("rnn", rnn, H, XS, {}),
    ("rnn from behind", rnn, H, XS, {"reverse": True}),
    ("structures", lstm, {"h": H, "c": H + 1}, {"a": XS, "b": XS[::-1].copy()}, {}),
    ("integers", counted, (np.array(1), H), (N, XS), {}),
    ("no xs", lambda h, x: (tg.sin(h @ W), h), H, None, {"length": 4}),
    ("no ys", lambda h, x: (tg.tanh(h * x), None), H, XS, {}),
    ("no carry", lambda _, x: (None, x * x), None, XS, {}),
    ("one step", rnn, H, XS[:1], {}),
    ("what it was given", lambda h, x: (h, x), H, XS, {}),
]
loops = pytest.mark.parametrize(
    "f, init, xs, more", [row[1:] for row in LOOPS], ids=[row[0] for row in LOOPS]
)


def floats(tree: Any) -> list[Any]:
    return [t for t in tg.tree.leaves(tree) if tg.isdtype(t.dtype, "real floating")]


def run(loop: Callable[..., Any], f: Any, init: Any, xs: Any, more: Any) -> list[Any]:
    """The results, and the gradients of a function of them for init, xs and what f closes over."""
    init, xs = (tg.tree.map(lambda a: tg.tensor(a), tree) for tree in (init, xs))
    inputs = [*floats(init), *floats(xs), W, B]
    for t in inputs:
        t.grad = None
        t.requires_grad_()
    carry, ys = loop(f, init, xs, **more)
    sum((tg.sin(t).sum() for t in floats((carry, ys))), tg.zeros(())).backward()
    return [*tg.tree.leaves((carry, ys)), *(t.grad for t in inputs if t.grad is not None)]


@loops
def test_values_and_gradients_are_the_loops_to_the_bit(f: Any, init: Any, xs: Any, more: Any) -> None:
    got, want = (run(loop, f, init, xs, more) for loop in (tg.scan, unrolled))
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@loops
def test_second_order(f: Any, init: Any, xs: Any, more: Any) -> None:
    def total(w: Any, *leaves: Any) -> Any:
        h, x = built(leaves)
        carry, ys = tg.scan(lambda c, x: closed(f, w, c, x), h, x, **more)
        return sum((tg.sin(t).sum() for t in floats((carry, ys))), tg.zeros(()))

    leaves, rebuild = tg.tree.flatten((init, xs))
    at = [i for i, a in enumerate(leaves) if a.dtype.kind == "f"]

    def built(given: Any) -> Any:
        whole = list(leaves)
        for i, t in zip(at, given, strict=True):
            whole[i] = t
        return rebuild([t if isinstance(t, tg.Tensor) else tg.tensor(t) for t in whole])

    tg.check_grads(total, [tg.tensor(W.numpy()), *(tg.tensor(leaves[i]) for i in at)], order=2)


def closed(f: Any, w: Any, carry: Any, x: Any) -> Any:
    """f, whose floats go through w as well, which is a closure's."""
    carry, y = f(carry, x)
    return tg.tree.map(lambda t: t * w[0, 0] if tg.isdtype(t.dtype, "real floating") else t, carry), y


def test_parameters_and_transforms() -> None:
    """A Module's parameters get their gradients, by backward and by transforms; hvp goes through a scan."""
    cell = nn.GRUCell(3, in_features=3, dtype="float64")
    step = lambda h, x: (lambda y: (y, y))(cell(x, [h])[0])
    found = []
    for loop in (tg.scan, unrolled):
        total = lambda m, x, loop=loop: tg.sin(loop(step, tg.tensor(H), x)[1]).sum()
        found.append([
            *tg.tree.leaves(tg.grad(total, argnums=(0, 1))(cell, tg.tensor(XS))),
            *tg.hvp(lambda x, total=total: total(cell, x), (tg.tensor(XS),), (tg.ones((5, 2, 3), dtype="float64"),))[1],
        ])  # fmt: skip
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=1e-15)


def test_loops_in_loops() -> None:
    inner = lambda loop: lambda h, x: (lambda c: (c[0], c[1].sum()))(loop(rnn, h, x))
    x = tg.tensor(R.normal(size=(2, 3, 2, 3)), requires_grad=True)
    slopes = [
        tg.grad(lambda x, loop=loop: loop(inner(loop), tg.tensor(H), x)[1].sum())(x).numpy()
        for loop in (tg.scan, unrolled)
    ]
    np.testing.assert_allclose(*slopes, rtol=1e-12)


def test_one_call_of_the_tape_whatever_the_length() -> None:
    for length in (3, 300):
        _, ys = tg.scan(rnn, tg.tensor(H), tg.zeros((length, 2, 3), dtype="float64", requires_grad=True))
        assert str(tg.tape(ys)).count("scan(rnn)") >= 1 and len(tg.tape(ys).nodes) == 1


def test_no_steps() -> None:
    h, w = tg.tensor(H, requires_grad=True), tg.tensor(W.numpy(), requires_grad=True)
    x = tg.tensor(XS[:0], requires_grad=True)
    carry, ys = tg.scan(lambda h, x: (h @ w + x, {"y": h[0]}), h, x)
    assert ys["y"].shape == (0, 3) and ys["y"].dtype == "float64"
    np.testing.assert_array_equal(carry.numpy(), H)
    (carry.sum() + ys["y"].sum()).backward()
    np.testing.assert_array_equal(h.grad.numpy(), np.ones((2, 3)))
    assert x.grad is None and w.grad is None, "as after a loop in Python that never runs"
    compiled = tg.jit(lambda h, x: tg.scan(rnn, h, x)[1], strict=True)
    assert [compiled(tg.tensor(H), tg.tensor(XS[:0])).shape for _ in range(3)] == [(0, 2, 3)] * 3


def test_memory_is_that_of_the_carries() -> None:
    """Of a step with ten results inside, the loop keeps eleven, the scan a few."""

    def deep(h: Any, x: Any) -> Any:
        for _ in range(10):
            h = tg.tanh(h + x)
        return h, None

    peaks = []
    for loop in (tg.scan, unrolled):
        h, x = tg.zeros((20000,), requires_grad=True), tg.ones((20, 1))
        tracemalloc.start()
        loop(deep, h, x)[0].sum().backward()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] < 0.4 * peaks[1], peaks


@pytest.mark.parametrize("emitter", ["numpy", "native"])
def test_compiled_steps_and_changing_closures(emitter: str) -> None:
    """A train step with a scan is eager's; other parameters, numbers of steps and constants are other programs."""
    w, scale = tg.tensor(W.numpy(), requires_grad=True), [1.0]
    optimizer = tg.optim.SGD([w], lr=0.1)

    def step(h: Any, x: Any) -> Any:
        optimizer.zero_grad()
        carry, ys = tg.scan(lambda h, x: (tg.tanh(h @ w + x) * scale[0], h), h, x)
        loss = (ys * ys).sum() + carry.sum()
        loss.backward()
        optimizer.step()
        return loss.detach()

    compiled = tg.jit(step, emitter=emitter, strict=True)
    start = W.numpy().copy()
    for length, factor in ((5, 1.0), (5, 1.0), (5, 0.5), (3, 0.5), (5, 1.0)):
        scale[0] = factor
        found = []
        for f in (step, compiled):
            w.data[...] = start
            found.append([f(tg.tensor(H), tg.tensor(XS[:length])).numpy(), w.numpy().copy()])
        for a, b in zip(*found, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)


def compiled_total(loop: Any, f: Any, more: Any) -> Any:
    def total(init: Any, xs: Any) -> Any:
        carry, ys = loop(f, init, xs, **more)
        return sum((tg.sin(t).sum() for t in floats((carry, ys))), tg.zeros(()))

    return total


@pytest.mark.parametrize("emitter", ["numpy", "native"])
@loops
def test_compiled_gradients_are_eagers(f: Any, init: Any, xs: Any, more: Any, emitter: str) -> None:
    if emitter == "native":
        pytest.importorskip("llvmlite", reason="llvmlite is not installed")
    total = compiled_total(tg.scan, f, more)
    at = [i for i, tree in enumerate((init, xs)) if tree is not None and f is not counted]
    slope = (lambda *args: tg.grad(total, argnums=at)(*args)) if at else total
    args = [tg.tree.map(tg.tensor, tree) for tree in (init, xs)]
    compiled = tg.jit(slope, emitter=emitter, strict=True)
    with tg.no_grad():
        for _ in range(3):
            for a, b in zip(tg.tree.leaves(compiled(*args)), tg.tree.leaves(slope(*args)), strict=True):
                np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=1e-14)


def test_a_compiled_scan_is_one_operation_whatever_its_length() -> None:
    slope = tg.grad(lambda h, x: sum(tg.sin(t).sum() for t in tg.scan(rnn, h, x)))
    sizes = set()
    for length in (2, 40):
        compiled = tg.jit(slope, emitter="numpy", strict=True)
        x = tg.tensor(R.normal(size=(length, 2, 3)))
        for _ in range(2):
            np.testing.assert_array_equal(compiled(tg.tensor(H), x).numpy(), slope(tg.tensor(H), x).numpy())
        sizes.add(len(compiled.program().splitlines()))
        assert compiled.source().count("    for t in") == 2
    assert len(sizes) == 1 and max(sizes) < 40


def test_recording_runs_the_body_no_more_often_than_for_one_step() -> None:
    ran = []

    def body(h: Any, x: Any) -> Any:
        ran.append(1)
        return rnn(h, x)

    counts = []
    for length in (1, 50):
        ran.clear()
        f = lambda h, x: tg.grad(lambda h: tg.scan(body, h, x)[1].sum())(h)
        _, _ = record(f, (HT, tg.tensor(R.normal(size=(length, 2, 3)))), {})
        counts.append(len(ran))
    assert counts[0] == counts[1] < 10


def test_compiled_second_order_nested_and_mixed() -> None:
    """A compiled Hessian-vector product, a loop in a loop, and a carry of two dtypes, whose steps are written out."""
    x = tg.tensor(XS)
    total = lambda x: tg.sin(tg.scan(rnn, HT, x)[1]).sum()
    product = lambda x: tg.hvp(total, (x,), (tg.ones_like(x),))[1]
    inner = lambda h, x: (lambda c: (c[0], c[1].sum()))(tg.scan(rnn, h, x))
    nested = tg.grad(lambda x: tg.scan(inner, HT, tg.stack([x, x * 2.0]))[1].sum())
    mixed = lambda x: tg.scan(counted, (tg.tensor(1), HT), (tg.tensor(N), x))[1]["s"]
    for f in (product, nested, mixed):
        compiled = tg.jit(f, emitter="numpy", strict=True)
        for _ in range(2):
            for a, b in zip(tg.tree.leaves(compiled(x)), tg.tree.leaves(f(x)), strict=True):
                np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=1e-14)


def test_a_saved_step_runs_without_tapegrad(tmp_path: Any) -> None:
    compiled = tg.jit(lambda h, x: tg.scan(rnn, h, x)[1], strict=True)
    want = [compiled(HT, XT).numpy() for _ in range(2)][-1]
    compiled.save(str(tmp_path / "step.py"))
    code = (
        "import numpy as np, sys; sys.path.insert(0, '.'); import step; a = np.load('in.npz'); "
        "np.save('out.npy', step.open_step()(a['h'], a['x'])[0]); assert 'tapegrad' not in sys.modules"
    )
    np.savez(tmp_path / "in.npz", h=H, x=XS)
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env={})
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), want)


# ---- what is refused ----
BUFFER = tg.zeros((2, 3), dtype="float64")
HT, XT = tg.tensor(H), tg.tensor(XS)


def writing(h: Any, x: Any) -> Any:
    h += x
    return h, None


def writing_outside(h: Any, x: Any) -> Any:
    BUFFER[...] = h.detach()
    return h, None


REFUSED: Any = [
    ("no function", lambda: tg.scan(HT, HT, XT), TypeError, "tg.scan takes a function"),
    ("no pair", lambda: tg.scan(lambda h, x: h, HT, XT), TypeError, "must return a pair"),
    ("dtype", lambda: tg.scan(lambda h, x: (h.astype("float32"), x), HT, XT), TypeError, "leaf 0 .*float64.*astype"),
    ("dtype of a number", lambda: tg.scan(lambda s, x: (s + x.sum(), x), 0, XT), TypeError, "leaf 0 .*int64"),
    ("shape", lambda: tg.scan(lambda h, x: (h[0], x), HT, XT), ValueError, r"keep its shape.*\[2, 3\]"),
    ("structure", lambda: tg.scan(lambda h, x: ((h, h), x), HT, XT), ValueError, "carry that f returned"),
    ("lengths", lambda: tg.scan(rnn, HT, (XT, XT[:2])), ValueError, r"one length, got \[5, 2\]"),
    ("length", lambda: tg.scan(rnn, HT, XT, 4), ValueError, "length=4, but xs has 5 slices"),
    ("no length", lambda: tg.scan(rnn, HT), ValueError, "length=10"),
    ("negative", lambda: tg.scan(rnn, HT, length=-1), ValueError, "at least 0"),
    ("no axis", lambda: tg.scan(rnn, HT, tg.tensor(1.0)), ValueError, "first axis"),
    ("no tensor", lambda: tg.scan(rnn, HT, "abc"), TypeError, "expected tensors"),
    ("writes", lambda: tg.no_grad()(tg.scan)(writing, HT, XT), RuntimeError, "c = c \\+ x for c \\+= x"),
    ("writes outside", lambda: tg.scan(writing_outside, HT, XT), RuntimeError, "return it in the carry"),
    ("draws", lambda: tg.scan(lambda h, x: (F.dropout(h, 0.5), x), HT, XT), RuntimeError, "draw them before"),
]  # fmt: skip


@pytest.mark.parametrize("call, kind, words", [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused(call: Any, kind: Any, words: str) -> None:
    with pytest.raises(kind, match=words):
        call()


def test_another_closure_at_each_run_is_refused() -> None:
    many = iter([tg.tensor(W.numpy(), requires_grad=True) for _ in range(40)])
    _, ys = tg.scan(lambda h, x: (lambda y: (y, y))(h @ next(many) + x), HT, XT)
    with pytest.raises(RuntimeError, match="used other tensors"):
        ys.sum().backward()
    constant = tg.tensor(W.numpy())
    _, ys = tg.scan(lambda h, x: (lambda y: (y, y))(h @ constant), tg.tensor(H, requires_grad=True), XT)
    with tg.no_grad():
        constant *= 2.0
    with pytest.raises(RuntimeError, match="was written to"):
        ys.sum().backward()


@pytest.mark.parametrize("steps", ["eager", "numpy"])
def test_a_weight_of_float16_adds_up_its_gradient_in_float32(steps: str) -> None:
    """In float16 the sum of 5000 times 0.1 ends at 256."""
    xs = tg.full((5000,), 0.1, dtype="float16")

    def loss(w: tg.Tensor) -> tg.Tensor:
        return tg.scan(lambda carry, x: (carry, w * x), tg.zeros((), dtype="float16"), xs)[1].sum()

    gradient = tg.grad(loss) if steps == "eager" else tg.jit(tg.grad(loss), emitter=steps)
    for _ in range(3):
        g = gradient(tg.ones((), dtype="float16"))
        assert g.dtype == "float16" and g.item() == pytest.approx(500, rel=1e-3)
