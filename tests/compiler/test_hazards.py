"""Aliases, writes, and what changes around a recorded function: the same as without `tg.jit`."""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from call_cases import CASES
from compiler_emitters import EMITTERS, emitting
from hazard_cases import same_as_without, t
from tapegrad.autograd import random


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::tapegrad.JitWarning")
@pytest.mark.parametrize(("emitter", "name"), [(e, n) for e in EMITTERS for n in CASES])
def test_case(emitter: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPEGRAD_JIT_CHECK", "3" if emitter == "numpy" else "0")
    jit = emitting(emitter)
    same_as_without(name, jit)


def test_an_element_is_an_array() -> None:
    f = tg.jit(lambda x, i: x[i], emitter="numpy")
    for i in range(3):
        assert type(f(t(1, 2, 3), tg.tensor(i)).data) is np.ndarray


@pytest.mark.parametrize("fault", ["a value is read", "a shape is wrong"])
def test_a_call_that_raises_has_changed_nothing(fault: str) -> None:
    """Whatever was written before a recording ends in an error: the step can be done again, as it is."""
    model = tg.nn.Sequential(tg.nn.Dense(3, in_features=2), tg.nn.Dropout(0.5), tg.nn.Dense(1))
    opt = tg.optim.Adam(model.parameters())
    counter, replaced, x = t(1, 2), t(1, 2), tg.tensor(np.ones((4, 2), dtype="float32"))
    model(x).sum().backward()

    def f(x: Any) -> Any:
        counter.assign(counter + 1.0)
        replaced.assign(counter)
        replaced[0] = 7.0
        loss = model(x).sum()
        opt.zero_grad()
        loss.backward()
        opt.step()
        return float(loss) if fault == "a value is read" else loss @ x

    def state() -> list[Any]:
        tensors = [counter, replaced, *model.parameters(), *opt.state_dict().values()]
        tensors += [p.grad for p in model.parameters()]
        return [*(a.numpy().tobytes() for a in tensors), random.get_state()]

    before = state()
    with pytest.raises((tg.TraceError, ValueError)):
        tg.jit(f, emitter="numpy", strict=True)(x)
    assert state() == before


@pytest.mark.parametrize("c", [-2.0, 3.0, 0.0])
def test_a_where_that_makes_zeros_keeps_their_sign(c: float) -> None:
    """where(x == 0, 0, x * c) is not x * c, which is -0 for some zeros."""
    x = t(0.0, -0.0, 1.0, np.nan, np.inf)
    f = lambda x: tg.where(x == 0.0, 0.0, x * c)
    with np.errstate(invalid="ignore"):
        want = f(x).numpy()
        compiled = tg.jit(f, emitter="numpy")
        for _ in range(2):
            got = compiled(x).numpy()
    assert np.array_equal(got, want, equal_nan=True) and (np.signbit(got[:2]) == [False, False]).all()


def test_an_index_that_changes_no_shape() -> None:
    x = t([[1, 2, 3]])
    f = tg.jit(lambda x: (x[None, 0] * 1.0, x[...], x[:, :]), emitter="numpy")
    for _ in range(2):
        assert all(y.tolist() == x.tolist() for y in f(x))


@pytest.mark.parametrize("emitter", EMITTERS)
@pytest.mark.parametrize("given", ["argument", "captured"])
def test_memory_in_another_order(given: str, emitter: str) -> None:
    """A column of a matrix, or a matrix in Fortran's order, is an array like any other."""
    k = t([[0, 1, 2], [3, 4, 5]])
    f = (lambda x, k: k * x + k.reshape(3, 2).sum()) if given == "argument" else lambda x: k * x
    args = (t(2), k) if given == "argument" else (t(2),)
    want = f(*args).tolist()
    for order in (np.ascontiguousarray, np.asfortranarray):
        k.data = order(k.data)
        compiled = emitting(emitter)(f)
        assert [compiled(*args).tolist() for _ in range(3)] == [want] * 3
        assert compiled.stats()["programs"] == [emitter]


@pytest.mark.parametrize("emitter", EMITTERS)
def test_a_program_that_raises_has_changed_nothing(emitter: str) -> None:
    """The error is the function's own, which ran in its place; values, gradients and draws are those of before."""
    total, w = tg.nn.Buffer(np.zeros(3)), tg.nn.Parameter(np.ones(3))
    table = tg.tensor(np.arange(27.0).reshape(9, 3))

    def f(i: Any) -> Any:
        total.assign(total + 1.0)
        w.grad = None
        (w * tg.nn.functional.dropout(table, 0.5)[i]).sum().backward()
        return table[i]

    step = emitting(emitter)(f)
    for _ in range(4):
        step(tg.tensor([1, -1]))
    state = lambda: [total.tolist(), w.grad.tolist(), random.get_state()]
    before, gradient = state(), w.grad
    with pytest.raises(IndexError, match="index 9 is out of bounds"):
        step(tg.tensor([0, 9]))
    assert state() == before and w.grad is gradient
    assert step(tg.tensor([2, -9])).tolist() == table.numpy()[[2, 0]].tolist()
    assert step.stats()["recordings"] == 1
