"""Rows about the program itself: its dtype, how often it is recorded, its time and memory, resuming."""

import gc
import linecache
import os
import subprocess
import sys
import time
import warnings
import weakref
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from surroundings import JitWarning, T

nn, optim, F = tg.nn, tg.optim, tg.nn.functional
jit = partial(tg.jit, emitter="numpy")
ROOT = Path(__file__).resolve().parents[3]
one = T([1.0])


def thrice(f: Any, *args: Any) -> Any:
    return [f(*args) for _ in range(3)][-1]


def layer(units: int = 1) -> Any:
    return nn.Dense(units, in_features=units)


# ---- dtype ----
OF_ONE_DTYPE = {
    "relu": tg.relu, "relu6": F.relu6, "hard_tanh": F.hard_tanh, "hard_shrink": F.hard_shrink,
    "clip": lambda z: tg.clip(z, -0.5, 0.5), "where": lambda z: tg.where(z > 0, z, 0.5 * z),
    "maximum": lambda z: tg.maximum(z, 0.0), "mean of relu": lambda z: tg.mean(tg.relu(z)),
    "float16": lambda z: z,
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", OF_ONE_DTYPE)
def test_a_gradient_has_eagers_dtype_and_bits(name: str, dtype: str) -> None:
    x, g = tg.tensor(np.array([1.0, -1.0, 0.25], dtype)), tg.grad(lambda z: OF_ONE_DTYPE[name](z).sum())
    want, got = g(x).numpy(), thrice(jit(g), x).numpy()
    assert got.dtype == want.dtype == np.dtype(dtype) and got.tobytes() == want.tobytes()


# ---- how often it is recorded ----
def recordings(f: Any) -> tuple[int, int]:
    """Recordings and programs."""
    return f.stats()["recordings"], len(f.stats()["programs"])


def test_accumulation_has_two_programs() -> None:
    m = layer(2)
    o = optim.SGD(m, lr=0.01)

    def micro(x: Any) -> Any:
        loss = (m(x) ** 2).mean()
        loss.backward()
        return loss.detach()

    f = jit(micro)
    for k in range(80):
        f(tg.ones((1, 2)))
        if k % 4 == 3:
            o.step()
            o.zero_grad()
    assert recordings(f) <= (2, 2) and f.stats()["compiled"] >= 70, f.stats()


def test_retain_grad_has_one_program() -> None:
    m = layer(2)

    def g(x: Any) -> Any:
        h = m(x).retain_grad()
        (h * h).sum().backward()
        return h.grad * 1

    f = jit(g)
    for _ in range(12):
        m.zero_grad()
        h = m(tg.ones((1, 2)))
        np.testing.assert_allclose(f(tg.ones((1, 2))).numpy(), 2 * h.detach().numpy(), rtol=1e-5)
    assert recordings(f) == (1, 1) and f.stats()["compiled"] >= 8, f.stats()


def test_retain_grad_that_adds_up_has_two_programs() -> None:
    m = layer(2)

    def g(x: Any) -> Any:
        h = m(x).retain_grad()
        (h * h).sum().backward()
        return h.grad * 1

    f = jit(g)
    [f(tg.ones((1, 2))) for _ in range(12)]
    assert recordings(f) <= (2, 2) and f.stats()["compiled"] >= 6, f.stats()


def test_alternate_freezing_has_two_programs() -> None:
    a, b = layer(2), layer(2)
    o = optim.SGD([*a.parameters(), *b.parameters()], lr=0.01)

    def step(x: Any) -> Any:
        loss = (b(a(x)) ** 2).mean()
        o.zero_grad()
        loss.backward()
        o.step()
        return loss.detach()

    f = jit(step)
    for k in range(24):
        a.requires_grad_(k % 2 == 0)
        b.requires_grad_(k % 2 == 1)
        f(tg.ones((1, 2)))
    assert len(f.stats()["programs"]) == 2 and f.stats()["compiled"] >= 16, f.stats()


def test_an_element_of_a_buffer_has_one_program() -> None:
    buf = tg.zeros(2)

    def g(x: Any) -> Any:
        buf[0] = x[0]
        return x * 1

    f = jit(g)
    for k in range(5):
        f(tg.full((2,), float(k)))
        assert buf.tolist() == [float(k), 0.0]
    assert recordings(f) == (1, 1), f.stats()


def test_a_replaced_array_is_told_as_one() -> None:
    w = T([1.0, 2.0])
    f = jit(lambda x: w.assign(w * x))
    thrice(f, T([1.0, 1.0]))
    w.data = w.data.copy()
    thrice(f, T([2.0, 2.0]))
    assert w.tolist() == [8.0, 16.0]
    assert not any("structure" in reason for reason in f.stats()["reasons"]), f.stats()


def test_a_view_of_a_captured_tensor_ends_nothing() -> None:
    """Later calls run compiled, and results that are kept stay."""
    b = nn.Buffer(tg.ones((2, 2)))

    def g(x: Any) -> Any:
        b.assign(b * 0.5 + x)
        return b

    f = jit(g)
    f(tg.Tensor(b.data[:, ::-1]))
    kept = [f(tg.ones((2, 2))) for _ in range(5)]
    want = [1.0 + 0.5 * 1.5, 1.875, 1.9375, 1.96875, 1.984375]
    assert [k.numpy().tolist() for k in kept] == [[[w, w], [w, w]] for w in want]
    assert f.stats()["compiled"] >= 3, f.stats()


def test_a_function_that_keeps_recording_is_told_once_and_runs_eagerly() -> None:
    """By the guard that fails, and the line."""
    scale = SlowlyChanging()
    f = jit(lambda x: x * scale.factor)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for k in range(300):
            scale.factor = float(k)
            assert f(one).item() == float(k)
    told = [str(w.message) for w in warned if w.category is JitWarning]
    assert len(told) == 1 and "scale.factor" in told[0] and "test_rows_of_programs.py:" in told[0], told
    stats = f.stats()
    assert stats["recordings"] <= 64 and stats["eager"] >= 200 and "scale.factor" in stats["refused"], stats


class SlowlyChanging:
    factor = 0.0


# ---- time, memory, fork ----
def recording_time(layers: int) -> float:
    m = nn.Sequential(*[layer(2) for _ in range(layers)])
    f, x = jit(lambda x: (m(x) ** 2).mean().backward()), tg.ones((1, 2))
    before = time.process_time()
    f(x), m.zero_grad(), f(x)
    return time.process_time() - before


@pytest.mark.slow
def test_recording_is_linear_in_the_layers() -> None:
    recording_time(5)
    small, large = min(recording_time(50) for _ in range(3)), min(recording_time(500) for _ in range(2))
    assert large <= 30 * small, (small, large)  # each with each would take 100 times as long


def test_the_first_batch_and_what_a_dropped_function_held_are_given_back() -> None:
    f = jit(lambda x: tg.tanh(x))
    x = tg.ones((100,))
    alive = weakref.ref(x)
    thrice(f, x)
    del x
    gc.collect()
    assert alive() is None
    before = len(linecache.cache)
    for _ in range(20):
        thrice(jit(lambda x: tg.tanh(x) * 2.0), tg.ones((3,)))
    gc.collect()
    assert len(linecache.cache) <= before + 5


FORK = """
import os, threading, time, numpy as np, tapegrad as tg
f, x = tg.jit(lambda x: tg.tanh(x @ x), emitter="numpy"), tg.ones((300, 300))
for _ in range(3): f(x)
stop, hung = [], 0
t = threading.Thread(target=lambda: [f(x) for _ in iter(lambda: bool(stop), True)])
t.start(); time.sleep(0.05)
for _ in range(3):
    if not (pid := os.fork()):
        try: f(tg.ones((3, 3)))
        except RuntimeError: pass
        os._exit(0)
    for _ in range(60):
        if os.waitpid(pid, os.WNOHANG)[0]: break
        time.sleep(0.05)
    else: hung += 1; os.kill(pid, 9); os.waitpid(pid, 0)
stop.append(1); t.join(); print(hung)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_child_forked_during_a_step_does_not_hang() -> None:
    """It runs, or raises."""
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", FORK], env=env, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "0", done.stdout + done.stderr


# ---- operations, resuming ----
def test_an_einsum_of_one_operand() -> None:
    w, x = T(np.ones((3, 2))).requires_grad_(), T(np.ones((4, 3)))

    def step(x: Any) -> Any:
        loss = tg.einsum("ij->", (x @ w) ** 2)
        w.grad = None
        loss.backward()
        return loss.detach()

    f = jit(step)
    assert [f(x).item() for _ in range(4)] == [72.0] * 4 and w.grad.tolist() == [[24.0] * 2] * 3
    assert f.stats()["compiled"] >= 2, f.stats()


def ten_steps(n: int, state: Any = None) -> Any:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(80, 4)).astype("f"), rng.normal(size=(80, 1)).astype("f")
    tg.manual_seed(0)
    m = nn.Sequential(nn.Dense(8, "tanh", in_features=4), nn.Dropout(0.0), nn.Dense(1, in_features=8))
    o = optim.Adam(m, lr=0.01)
    if state:
        m.load_state_dict(state[0]), o.load_state_dict(state[1])

    @jit
    def step(x: Any, y: Any) -> None:
        loss = F.mse_loss(m(x), y)
        o.zero_grad()
        loss.backward()
        o.step()

    before = [a.numpy().tobytes() for a in (*m.state_dict().values(), *o.state_dict().values())]
    step.prepare(T(x[:8]), T(y[:8]))
    assert before == [a.numpy().tobytes() for a in (*m.state_dict().values(), *o.state_dict().values())]
    assert step.stats()["compiled"] == 0
    for i in range(5 * (state is not None), n):
        step(T(x[i * 8 : i * 8 + 8]), T(y[i * 8 : i * 8 + 8]))
    return m.state_dict(), o.state_dict(), step.stats()


def test_ten_steps_are_five_a_saved_state_and_five() -> None:
    """To the byte: a prepared step is compiled from its first call on."""
    whole, resumed = ten_steps(10), ten_steps(10, ten_steps(5))
    for a, b in zip(whole[:2], resumed[:2]):
        assert {k: t.numpy().tobytes() for k, t in a.items()} == {
            k: t.numpy().tobytes() for k, t in b.items()
        }
    assert whole[2]["compiled"] == 10 and resumed[2]["compiled"] == 5, (whole[2], resumed[2])
