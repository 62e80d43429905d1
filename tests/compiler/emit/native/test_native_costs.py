"""`explain()` lists what the loops and products of a native program cost and, if asked, how long they take."""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from native_programs import bits, native

pytest.importorskip("llvmlite", reason="the emitter native needs llvmlite")


def training(how: Any) -> tuple[Any, Any]:
    """A step with all that a call changes: parameters, gradients, moments, a random stream."""
    tg.manual_seed(0)
    layers = [tg.nn.Dense(8, "relu", in_features=4), tg.nn.Dropout(0.5), tg.nn.Dense(3, in_features=8)]
    model = tg.nn.Sequential(layers)
    opt = tg.optim.Adam(model.parameters(), lr=0.1)
    x = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")

    def step(x: Any, labels: Any) -> Any:
        opt.zero_grad()
        loss = tg.nn.functional.cross_entropy(model(x), labels)
        loss.backward()
        opt.step()
        return loss

    step = how(step)
    call = lambda: step(tg.tensor(x), tg.tensor(np.array([0, 2, 1, 1, 0, 2])))
    state = lambda: [bits(a) for a in (call().numpy(), *(p.numpy() for p in model.parameters()))]
    return step, state


def rows_of(text: str) -> list[list[str]]:
    _, table, _ = text.split("\n\n")
    return [line.split() for line in table.splitlines()[1:]]


def times(row: list[str], at: int) -> int:
    return int(row[at + 1]) if row[at] == "x" else 1


def test_a_timed_run_changes_nothing() -> None:
    def run(explained: bool) -> list[Any]:
        step, state = training(native)
        found = [state() for _ in range(4)]
        if explained:
            step.explain(timed=True)
        return found + [state() for _ in range(3)]

    assert run(True) == run(False)


def test_every_call_has_its_share() -> None:
    step, state = training(native)
    for _ in range(4):
        state()
    calls = step.shown().runner.build.emitter.calls
    plain, timed = rows_of(step.explain()), rows_of(step.explain(timed=True))
    assert sum(times(row, 2) for row in plain) == len(calls) == sum(times(row, 4) for row in timed)
    assert sum(float(row[0].rstrip("%")) for row in timed) == pytest.approx(100, abs=0.1 * len(timed))
    micros = [float(row[1].replace(",", "")) for row in timed]
    assert micros == sorted(micros, reverse=True) and micros[0] > 0
    assert {tuple(row) for row in plain} == {tuple(row[2:]) for row in timed}


def test_layers_that_do_the_same_are_one_line() -> None:
    model = tg.nn.Sequential([tg.nn.Dense(16, "tanh", in_features=16) for _ in range(7)])
    f = native(lambda x: model(x))
    x = tg.tensor(np.ones((4, 16), "float32"))
    with tg.no_grad():
        for _ in range(3):
            f(x)
    product, loop = rows_of(f.explain())
    assert product[:4] == ["2,048", "1,536", "x", "7"] and loop[2:4] == ["x", "7"]
    # A product's operations; its operands and its result. Loops: what they read and write, once each.
    assert int(loop[1].replace(",", "")) == 4 * (16 + 4 * 16)


def test_sizes_that_double_cost_twice() -> None:
    def counts(rows: int) -> list[int]:
        f = native(lambda x, i: (tg.exp(x) @ x.T, x[i]))
        x = tg.tensor(np.ones((rows, 8), "float32"))
        with tg.no_grad():
            for _ in range(3):
                f(x, tg.tensor(np.zeros(rows, "int64")))
        f.explain(timed=True)
        return [int(row[0].replace(",", "")) for row in rows_of(f.explain())]

    small, large = counts(16), counts(32)
    assert len(small) == len(large) and {b / a for a, b in zip(small, large) if a > 9} == {2.0, 4.0}


def test_what_numpy_does_is_listed_too() -> None:
    f = native(lambda x: tg.cumulative_sum(x * 2.0, axis=1) + 1.0)
    with tg.no_grad():
        for _ in range(3):
            f(tg.tensor(np.ones((3, 3), "float32")))
    assert any("NumPy's cumulative_sum" in line for line in f.explain(timed=True).splitlines())


def test_only_a_native_program_is_timed() -> None:
    f = tg.jit(lambda x: x * 2.0, emitter="numpy")
    for _ in range(3):
        f(tg.tensor(1.0))
    assert "arithmetic" not in f.explain()
    with pytest.raises(ValueError, match="needs a native program, this one is run by numpy"):
        f.explain(timed=True)
