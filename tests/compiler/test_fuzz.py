"""Random programs: what the recorded program gives is what the function gives, at each call, also where it writes."""

import re
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.compiler.emit_numba import NumbaEmitter, Unsupported
from tapegrad.compiler.files import load

UNARY = [
    lambda a: -a, lambda a: +a, lambda a: a * 1.0, lambda a: a * 0.5, lambda a: a + 3.0, tg.tanh, tg.sin,
    lambda a: a**2,
    lambda a: tg.maximum(a, 0.1), lambda a: tg.where(a > 0.2, a, a * 0.3), lambda a: tg.clip(a, -0.5, 0.7),
    lambda a: tg.exp(-(a * a)), lambda a: a.T, lambda a: a.reshape((-1,))[::-1].reshape(a.shape),
    lambda a: a - a.mean(), lambda a: a * a.sum(axis=0, keepdims=True) if a.ndim else a, lambda a: tg.abs(a) / 2.0,
    lambda a: a[1:] if a.ndim and a.shape[0] > 2 else a, lambda a: tg.concat([a, a * 2.0]) if a.ndim else a,
    lambda a: a.sum(axis=-1) if a.ndim > 1 else a, lambda a: (a > 0).astype(a.dtype), lambda a: tg.floor(a),
    lambda a: a.max(axis=0) if a.ndim and a.shape[0] else a,
    lambda a: a[tg.tensor([0, 0])] if a.ndim and a.shape[0] else a,
    lambda a: a + a.T if a.ndim == 2 and a.shape[0] == a.shape[1] else a, lambda a: a.astype("float32").astype(a.dtype),
]  # fmt: skip
BINARY = [
    lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / (b * b + 1.0), tg.maximum, tg.minimum,
    lambda a, b: tg.where(a > b, a, b * 0.5), lambda a, b: a @ b,
]  # fmt: skip
SHAPES = [(3, 3), (3, 3), (3,), (1, 3), (), (2, 3), (0, 3)]


def program(seed: int, dtype: str) -> tuple[Any, Any, list[Any]]:
    """(the function, its state, shapes of its arguments)."""
    rng = np.random.default_rng(seed)
    shapes = [SHAPES[i] for i in rng.integers(0, len(SHAPES), 3)]
    held = [tg.tensor(rng.normal(size=SHAPES[i]).astype(dtype)) for i in rng.integers(0, len(SHAPES) - 1, 3)]
    leaves, buffers = held[:2], held[2:]
    for t in leaves:
        t.requires_grad_()
    optimizer = tg.optim.Adam(leaves, lr=0.01) if seed % 3 else tg.optim.SGD(leaves, lr=0.1, momentum=0.5)
    plan = [(rng.random(), *rng.integers(0, 10**6, 3)) for _ in range(rng.integers(5, 40))]
    train, adds = seed % 2 == 0, seed % 5 == 0

    def f(*xs: Any) -> Any:
        known = [*xs, *held]
        if train and not adds:
            optimizer.zero_grad()
        for kind, which, i, j in plan:
            a, b = known[i % len(known)], known[j % len(known)]
            if kind < 0.08:
                with tg.no_grad():
                    buffers[0].assign(tg.tanh(buffers[0] + a.detach().sum()))
                continue
            try:
                new = BINARY[which % len(BINARY)](a, b) if kind < 0.45 else UNARY[which % len(UNARY)](a)
            except (ValueError, IndexError, TypeError, RuntimeError):
                continue
            known += [new] if new.size < 100 else []
        # Buffers may have been written to since: what reads them has no gradient to go back through.
        if train:
            loss = sum(((t * t).mean() for t in leaves), tg.tensor(0.0, dtype=dtype))
            for t in known[-6:]:
                if t.size:
                    loss = loss + tg.tanh(t).mean()
            try:
                loss.backward()
            except RuntimeError:
                return tuple(t.detach() + 0.0 for t in known[-4:])
            optimizer.step()
            return loss.detach(), *(t.detach() + 0.0 for t in known[-4:])
        with tg.no_grad():
            return [+known[-1], known[-1], {"a": known[-2], "b": known[0]}]

    return f, [*held, optimizer], shapes


def flat(value: Any) -> list[np.ndarray]:
    if isinstance(value, dict):
        value = list(value.values())
    return (
        [x for v in value for x in flat(v)] if isinstance(value, (list, tuple)) else [value.detach().numpy()]
    )


def outcomes(seed: int, dtype: str, wrap: Any) -> tuple[list[np.ndarray], Any]:
    f, (*held, optimizer), shapes = program(seed, dtype)
    wrapped, seen = wrap(f), []
    with tg.no_grad() if seed % 2 else tg.enable_grad(), np.errstate(all="ignore"):
        for call in range(4):
            rng = np.random.default_rng(call)
            seen += flat(wrapped(*[tg.tensor(rng.normal(size=s).astype(dtype)) for s in shapes]))
            seen += [t.detach().numpy() for t in held]
            seen += [t.grad.numpy() for t in held if t.grad is not None]
            seen += [t.numpy() for t in optimizer.state_dict().values()]
    return seen, wrapped


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("seed", range(60))
def test_random_programs(seed: int, dtype: str) -> None:
    want, _ = outcomes(seed, dtype, lambda f: f)
    got, compiled = outcomes(seed, dtype, lambda f: tg.jit(f, emitter="numpy"))
    tolerance = 1e-11 if dtype == "float64" else 1e-5
    assert len(got) == len(want)
    for a, b in zip(got, want):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        assert np.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True), (
            compiled.stats(),
            compiled.source(),
        )
    assert compiled.stats()["recordings"] <= 3


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("seed", range(1, 60, 2))
def test_random_programs_in_loops(seed: int) -> None:
    """The source for numba, run as plain Python."""
    f, _, shapes = program(seed, "float64")
    compiled = tg.jit(f, emitter="numpy")
    xs = [tg.tensor(np.random.default_rng(9).normal(size=s)) for s in shapes]
    with tg.no_grad():
        compiled(*xs)
        variant = compiled.variant()
        try:
            source = NumbaEmitter(variant.program, "").source()
        except Unsupported:
            return
        plain = re.sub(r"(?m)^@njit.*$|^from numba import njit$", "", source)
        step, _ = load(plain, "program", on_disk=False)(*[np.array(a) for a in variant.bound])
        want = flat(f(*xs)) if not variant.written else None
        got = step(*[x.data for x in xs])
        for a, b in zip(got, want or []):
            assert np.allclose(a, b, rtol=1e-11, atol=1e-11, equal_nan=True), source
