"""Reading, writing and adding at an index, places of extremes and joins as loops: eager's bits, and its errors."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from native_programs import bits, interpreted, left_to_numpy, machine_code, native

pytest.importorskip("llvmlite", reason="the emitter native needs llvmlite")
RNG = np.random.default_rng(0)


def agrees(f: Callable[..., Any], *arrays: np.ndarray) -> Any:
    """The compiled function gives eager's bits, without NumPy, and so does the source that it prints."""
    tensors = [tg.tensor(a) for a in arrays]
    compiled = native(lambda *xs: f(*xs))
    with tg.no_grad():
        want = f(*tensors).numpy()
        for _ in range(3):
            got = compiled(*tensors).numpy()
    assert left_to_numpy(compiled) == [""]
    assert bits(got) == bits(want), (got, want, compiled.source())
    (case,) = compiled.cases
    assert interpreted(case.runner, list(arrays)) == machine_code(case.runner, list(arrays)), (
        compiled.source()
    )
    return compiled


def of(shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
    return (RNG.normal(size=shape) * 9).astype(dtype)


def places(n: int, *shape: int, dtype: str = "int64") -> np.ndarray:
    """Places of an axis of length n, many of them twice, half of them counted from the end."""
    low = 0 if dtype.startswith("u") else -n
    return RNG.integers(low, n, shape).astype(dtype)


# name -> (shape, index arrays, index of x)
INDICES: dict[str, tuple[tuple[int, ...], list[np.ndarray], Callable[..., Any]]] = {
    "rows": ((9, 20), [places(9, 40)], lambda i: i),
    "a table of rows": ((9, 3), [places(9, 4, 5)], lambda i: i),
    "elements": ((50,), [places(50, 100)], lambda i: i),
    "one": ((50, 3), [places(50)], lambda i: i),
    "columns": ((4, 9), [places(9, 33)], lambda i: (slice(None), i)),
    "the middle": ((4, 9, 5), [places(9, 3, 2)], lambda i: (slice(None), i)),
    "two": ((9, 8, 5), [places(9, 6), places(8, 6)], lambda i, j: (i, j)),
    "two that broadcast": ((9, 8, 5), [places(9, 6, 1), places(8, 4)], lambda i, j: (i, j)),
    "two apart": ((9, 8, 5), [places(9, 6), places(5, 6)], lambda i, j: (i, slice(None), j)),
    "a number and an array apart": ((4, 8, 5), [places(5, 6)], lambda i: (1, slice(None), i)),
    "a number beside an array": ((7, 4, 8, 5), [places(8, 6)], lambda i: (slice(None), 1, i)),
    "a slice, a new axis and the last": ((9, 8), [places(8, 3)], lambda i: (slice(1, 8, 2), None, i)),
    "after an ellipsis": ((2, 3, 9), [places(9, 5)], lambda i: (..., i)),
    "of a turned part": ((9, 20), [places(4, 40)], lambda i: (slice(None, None, -2), i)),
    "short integers": ((100, 3), [places(100, 20, dtype="int8")], lambda i: i),
    "unsigned": ((100, 3), [places(100, 20, dtype="uint8")], lambda i: i),
    "unsigned and long": ((100, 3), [places(100, 20, dtype="uint64")], lambda i: i),
    "one of one": ((1, 3), [places(1, 20)], lambda i: i),
}
PLAIN: dict[str, tuple[tuple[int, ...], Any]] = {
    "a row": ((9, 20), 3),
    "the last": ((9, 20), (..., -1)),
    "an element": ((9, 20), (3, -2)),
    "every other": ((9, 21), (slice(None, None, 2), slice(1, None, 3))),
    "backwards": ((9,), slice(None, None, -1)),
    "a new axis": ((9, 20), (2, None)),
}


@pytest.mark.parametrize("dtype", ["float64", "int16", "bool", "float16"])
@pytest.mark.parametrize("name", INDICES)
def test_take(name: str, dtype: str) -> None:
    shape, index, parts = INDICES[name]
    agrees(lambda x, *i: x[parts(*i)], of(shape, dtype), *index)


@pytest.mark.parametrize("dtype", ["float32", "int16"])
@pytest.mark.parametrize("name", [*INDICES, *PLAIN])
def test_put_and_add(name: str, dtype: str) -> None:
    """Of two values for one element the last stays, or both are added, in eager's order."""
    shape, index, parts = INDICES[name] if name in INDICES else (PLAIN[name][0], [], lambda: PLAIN[name][1])
    x = of(shape, dtype)
    values = of(x[parts(*index)].shape, dtype)
    for change in (tg.index_update, tg.index_add):
        agrees(lambda x, v, *i, change=change: change(x, parts(*i), v), x, values, *index)
        agrees(lambda x, *i, change=change: change(x, parts(*i), 3), x, *index)
    if values.ndim:
        agrees(lambda x, v, *i: tg.index_add(x, parts(*i), v), x, values[..., :1], *index)


def test_put_of_another_dtype() -> None:
    agrees(lambda x, v, i: tg.index_update(x, i, v), of((9, 3)), of((4, 3), "float64"), places(9, 4))


@pytest.mark.parametrize("shape, axis", [((5, 20), 1), ((5, 20), 0), ((7,), 0), ((3, 4, 5), -2)], ids=str)
def test_take_along_axis(shape: tuple[int, ...], axis: int) -> None:
    picked = list(shape)
    picked[axis] = 3
    i = places(shape[axis], *picked)
    agrees(lambda x, i: tg.take_along_axis(x, i, axis=axis), of(shape), i)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "uint16", "bool"])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_place_of_an_extreme(name: str, keepdims: bool, axis: int | None, dtype: str) -> None:
    """The first of equal ones; the first NaN, if there is one; of zeros with different signs the first."""
    x = (RNG.normal(size=(5, 37, 3)) * 2).astype(dtype)
    if dtype.startswith("float"):
        x[1, 5, 0], x[2, 3, 1], x[2, 30, 1], x[3], x[4] = np.nan, np.inf, np.inf, -np.inf, 0.0
        x[4, 7:] = -0.0
    for part in (x, x[3:], x[:1, :1, :1]):
        agrees(lambda x: getattr(tg, name)(x, axis=axis, keepdims=keepdims), part)


@pytest.mark.parametrize("dtype", ["float32", "int8", "bool", "float16"])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_concat(axis: int, dtype: str) -> None:
    shapes = [(3, 4, 5), (3, 4, 5), (3, 4, 5)]
    shapes = [tuple(n + k * (a == axis % 3) for a, n in enumerate(s)) for k, s in enumerate(shapes)]
    agrees(lambda *xs: tg.concat(xs, axis=axis), *(of(s, dtype) for s in shapes))
    agrees(lambda x, y: tg.concat([x, y[:0], x, y], axis=0), of((2, 3), dtype), of((4, 3), dtype))


def wrong_places() -> list[Any]:
    return [([0, 9], 9), ([-10, 1], -10), ([3, 2**40], 2**40)]


@pytest.mark.parametrize("wrong, which", wrong_places(), ids=str)
def test_out_of_bounds(wrong: list[int], which: int) -> None:
    """IndexError in NumPy's words, and nothing was changed; the next call runs the program again."""
    total, table = tg.nn.Buffer(np.zeros(3)), tg.tensor(np.arange(27.0).reshape(9, 3))

    def f(i: Any) -> Any:
        total.assign(total + 1.0)
        rows = table[i]
        total.assign(total + rows.sum(axis=0))
        return rows

    step = native(f)
    with tg.no_grad():
        for _ in range(4):
            step(tg.tensor(np.array([1, -1])))
        before = total.numpy().copy()
        with pytest.raises(
            IndexError, match=f"index {which} is out of bounds for axis 0 with size 9"
        ) as raised:
            step(tg.tensor(np.array(wrong)))
        assert raised.value.__notes__ == ["in the program: take_at = take_at(table, i, index=(array0,))"]
        assert np.array_equal(total.numpy(), before)
        assert np.array_equal(step(tg.tensor(np.array([2, -9]))).numpy(), table.numpy()[[2, 0]])
    assert step.stats()["recordings"] == 1


def test_out_of_bounds_in_a_large_argument() -> None:
    """One that is read where it is, and of which a part is the index."""
    step = native(lambda x, i: x[i[1000:]])
    x, i = tg.tensor(np.arange(100.0)), places(100, 9000)
    for _ in range(4):
        assert np.array_equal(step(x, tg.tensor(i)).numpy(), x.numpy()[i[1000:]])
    i[5000] = 123
    with pytest.raises(IndexError, match="index 123 is out of bounds for axis 0 with size 100"):
        step(x, tg.tensor(i))


def test_an_index_of_64_bits_without_a_sign_counts_as_one_with() -> None:
    """As NumPy has it: the largest is the last."""
    agrees(lambda x, i: x[i], of((5,)), np.array([4, 0, 2**64 - 1, 2**64 - 5], "uint64"))


def test_an_embedding_and_its_gradient() -> None:
    table = tg.nn.Parameter(of((50, 24)) / 50)
    w = tg.tensor(of((24, 24)) / 9)

    def loss(i: Any) -> Any:
        table.grad = None
        y = (tg.tanh(table[i] @ w)).sum()
        y.backward()
        return y

    step = native(loss)
    for _ in range(4):
        i = tg.tensor(places(50, 6, 7))
        want_loss, want = loss(i).numpy(), table.grad.numpy().copy()
        got = step(i).numpy()
        assert np.allclose(got, want_loss, rtol=1e-5) and np.allclose(table.grad.numpy(), want, atol=1e-5)
    assert left_to_numpy(step) == [""]
