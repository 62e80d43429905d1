"""What a compiled function says of itself and of what it cannot do, and copies of it."""

import copy
import inspect
import pickle
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import tapegrad as tg
from surroundings import JitWarning, T, ones_layer

nn, optim, F = tg.nn, tg.optim, tg.nn.functional
jit = partial(tg.jit, emitter="numpy")
ROOT = Path(__file__).resolve().parents[3]
one = T([1.0])


def thrice(f: Any, *args: Any) -> Any:
    return [f(*args) for _ in range(3)][-1]


def layer(units: int = 1) -> Any:
    return nn.Dense(units, in_features=units)


# ---- what it says ----
def test_a_learning_rate_set_from_a_number_of_the_step() -> None:
    """Works as in eager, and the remedy works in that place."""
    m = layer()
    o = optim.SGD(m, lr=0.1)

    def step(x: Any) -> Any:
        loss = m(x).sum()
        o.zero_grad()
        loss.backward()
        o.lr = o.lr * 0.5
        o.step()

    f = jit(step)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for _ in range(5):
            f(tg.ones((1, 1)))
    assert o.lr == pytest.approx(0.1 * 0.5**5)
    told = [str(w.message) for w in warned if w.category is JitWarning]
    assert f.stats()["compiled"] > 0 or (len(told) == 1 and "lr" in told[0] and "outside" in told[0]), told
    with pytest.raises(tg.TraceError, match=r"lr.* outside"):
        thrice(tg.jit(step, strict=True), tg.ones((1, 1)))


def test_a_number_that_is_read_names_the_tensor() -> None:
    loss_of = lambda x: x.sum()

    def step(x: Any) -> Any:
        total = loss_of(x)
        return float(total)

    f = jit(step)
    with pytest.warns(JitWarning, match=r"number in \w+, float32\[\].*return float\(total\)") as told:
        assert [f(T([1.0, 2.0])) for _ in range(4)] == [3.0] * 4
    assert len(told) == 1 and "test_rows_of_messages.py:" in str(told[0].message)
    with pytest.raises(tg.TraceError, match="float32"):
        thrice(jit(step, strict=True), one)


def test_a_print_is_called_a_print(capsys: pytest.CaptureFixture[str]) -> None:
    f = jit(lambda x: (print(x), x * 2)[1])
    with pytest.warns(JitWarning, match="print") as told:
        for k in range(4):
            f(T([float(k)]))
    assert len(told) == 1 and "needs a number" not in str(told[0].message)
    assert [line.count(".") for line in capsys.readouterr().out.splitlines()] == [1] * 4


def test_a_signature_and_a_repr() -> None:
    def step(x: Any, y: Any) -> Any:
        """Doc."""
        return x

    f = jit(step)
    assert list(inspect.signature(f).parameters) == ["x", "y"]
    assert (f.__wrapped__, f.__module__, f.__doc__, f.__name__) == (step, step.__module__, "Doc.", "step")
    thrice(f, one, one)
    assert all(part in repr(f) for part in ("step(", "numpy", "3 calls", "1 program,", "1 recording>")), repr(
        f
    )
    assert "0 programs, emitter 'numpy', 0 calls, 0 recordings>" in repr(jit(step))
    with pytest.raises(TypeError, match="3"):
        tg.jit(3)


def test_a_compiled_module_takes_what_its_forward_takes() -> None:
    class Scaled(nn.Module):
        def forward(self, x: Any, by: float = 2.0) -> Any:
            return x * by

    class Called(Scaled):
        def __call__(self, y: Any) -> Any:
            return self.forward(y)

    f = jit(Scaled())
    assert list(inspect.signature(f).parameters) == ["x", "by"] and "Scaled(x:" in repr(f)
    assert list(inspect.signature(jit(Called())).parameters) == ["y"]
    assert list(inspect.signature(jit(nn.ReLU())).parameters) == ["x"]
    thrice(f, one)
    assert f(x=one).item() == 2.0 and f.stats()["recordings"] == 1
    f(tg.ones((2,)))
    assert f.stats()["reasons"][-1] == "x: a tensor of shape (2,) instead of (1,)"


def test_names_of_captured_arrays_are_the_users() -> None:
    m = layer()
    h = lambda x: m(x)
    f = jit(lambda x: h(x))
    with tg.no_grad():
        thrice(f, tg.ones((1, 1)))
    (line,) = [line for line in f.source().splitlines() if line.startswith("def build")]
    assert "kernel" in line and "bias" in line


def test_a_step_that_runs_eagerly_says_so() -> None:
    def g(x: Any) -> Any:
        x.data[0] += 7.0
        return x * 1

    f = jit(g)
    with pytest.warns(JitWarning):
        for _ in range(4):
            assert f(tg.ones(2)).tolist() == [8.0, 1.0]
    stats = f.stats()
    assert stats["refused"] and stats["eager"] == 4 and stats["compiled"] == 0, stats
    for said in (f.source(), f.explain()):
        assert "Python" in said and ".data" in said, said


def test_a_write_into_an_argument_is_made_in_place() -> None:
    """Compiled, or eagerly and told."""

    def g(x: Any) -> Any:
        x[0] = 7.0
        return x * 1

    f = jit(g)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(4):
            x = tg.ones(2)
            assert f(x).tolist() == x.tolist() == [7.0, 1.0]
    stats = f.stats()
    assert stats["compiled"] or ("argument" in stats["refused"] and "argument" in f.source()), stats


# ---- copies ----
def twice(x: Any) -> Any:
    return x * 2


@pytest.mark.parametrize("how", [copy.deepcopy, copy.copy, lambda f: pickle.loads(pickle.dumps(f))])
def test_a_copy_of_a_compiled_function_is_a_fresh_one(how: Any) -> None:
    f = tg.jit(twice, emitter="numpy")
    thrice(f, one)
    g = how(f)
    assert g.stats()["calls"] == 0 and thrice(g, T([3.0])).item() == 6.0
    assert f.stats()["calls"] == 3


def test_a_copy_of_a_model_that_holds_its_compiled_method() -> None:
    m = ones_layer(1, 1)
    m.run = jit(lambda x: m(x).detach())
    thrice(m.run, tg.ones((1, 1)))
    n = copy.deepcopy(m)
    n.kernel.assign(tg.full((1, 1), 5.0))
    assert (n.run(tg.ones((1, 1))).item(), n(tg.ones((1, 1))).item()) == (1.0, 5.0)
