"""A cotangent of 0 stays 0, docs/conventions.md: every row of the tables with values that are not taken, in each way in
which a gradient is computed."""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from compiler_emitters import EMITTERS, emitting
from primitives.table import Case, Row, rows
from primitives.untaken import BAD, FEW, Arrays, check, eager, floating, of_tensors, transformed

# The gradient of one operand is a sum of products with the other one, in which the BLAS takes 0 * NaN as NaN.
PRODUCTS = ("matmul", "linear", "dense", "tensordot", "einsum", "convolution")
# Both operands are the bad one.
ALIKE = ("@ itself",)


@pytest.fixture(autouse=True)
def quiet() -> Any:
    """NumPy warns of what these inputs ask for."""
    with np.errstate(all="ignore"):
        yield


def others(row: Row) -> bool:
    """Whether a bad argument leaves the gradients of the other arguments alone."""
    return not row.name.startswith(PRODUCTS)


def usable(row: Row) -> list[Any]:
    """The inputs of which an element can be bad."""
    return [a for a in row.inputs if floating(a) and all(x.size for x in a)] if row.grad else []


CASES = [Case(row, usable(row)[0]) for row in rows() if usable(row) and row.name not in ALIKE]
PRIMITIVES = [case for case in CASES if case.row.primitive not in (None, "move")]
of_each = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
of_primitives = pytest.mark.parametrize("case", PRIMITIVES, ids=lambda case: case.id)


@of_each
def test_first_order(case: Case) -> None:
    check(case.row.call, case.arrays, eager(case.row.call), BAD, others(case.row))


@of_each
def test_second_order(case: Case) -> None:
    check(case.row.call, case.arrays, eager(case.row.call, order=2), FEW, others(case.row))


@pytest.mark.parametrize("emitter", EMITTERS)
@of_primitives
def test_compiled(case: Case, emitter: str) -> None:
    compiled = emitting(emitter)(transformed(case.row.call, case.arrays))
    check(case.row.call, case.arrays, of_tensors(compiled), FEW, others(case.row))
    assert all(program.startswith(emitter) for program in compiled.stats()["programs"])


@of_primitives
def test_on_another_device(case: Case, elsewhere: str) -> None:
    check(case.row.call, case.arrays, eager(case.row.call, device=elsewhere), FEW, others(case.row))


# ---- where rules run in another way ----
X = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.5], [-0.75, 1.0, 0.125]])


def scanned(x: Any) -> Any:
    """The states of a loop, of which the last carry is not taken."""
    return tg.scan(lambda c, v: (tg.tanh(c + v), c * tg.sigmoid(c)), tg.zeros((3,), dtype=x.dtype), x)[1]


def looped(x: Any) -> Any:
    c, states = tg.zeros((3,), dtype=x.dtype), []
    for v in x:
        states.append(c * tg.sigmoid(c))
        c = tg.tanh(c + v)
    return tg.stack(states)


def kept(weights: np.ndarray, arrays: Arrays) -> Arrays:
    with tg.keep_lines():
        return eager(scanned)(weights, arrays)


def checkpointed(x: Any) -> Any:
    return tg.checkpoint(lambda x: tg.softmax(tg.tanh(x), axis=-1))(x)


def compiled_scan(emitter: str) -> Any:
    return of_tensors(emitting(emitter)(transformed(scanned, [X])))


# f, and what gives its gradients
WAYS: dict[str, tuple[Any, Any]] = {
    "scan": (scanned, lambda: eager(scanned)),
    "scan, kept lines": (scanned, lambda: kept),
    "loop": (looped, lambda: eager(looped)),
    "checkpoint": (checkpointed, lambda: eager(checkpointed)),
    **{f"scan, {e}": (scanned, lambda e=e: compiled_scan(e)) for e in EMITTERS},
}


@pytest.mark.parametrize("way", WAYS)
def test_ways(way: str) -> None:
    f, gradients = WAYS[way]
    check(f, [X], gradients(), FEW)


@pytest.mark.parametrize("take", [
    lambda y, taken: tg.where(taken, y, 0.0),
    lambda y, taken: y[np.flatnonzero(taken.numpy())],
    lambda y, taken: y[taken],
    lambda y, taken: tg.index_update(y, ~taken, 0.0),
    lambda y, taken: y * taken,
], ids=["where", "index", "mask", "index_update", "a product with 0"])  # fmt: skip
def test_ways_not_to_take(take: Any) -> None:
    x = tg.tensor([np.nan, 2.0, np.inf], dtype="float64", requires_grad=True)
    take(tg.tanh(x) * tg.sin(x), tg.tensor([False, True, False])).sum().backward()
    slope = np.cos(2) * np.tanh(2) + np.sin(2) / np.cosh(2) ** 2
    np.testing.assert_allclose(x.grad.numpy(), [0, slope, 0], rtol=1e-14)


def test_the_price_of_products_of_matrices() -> None:
    """docs/conventions.md names the exception, and what to write."""
    x, taken = tg.tensor([[np.nan], [2.0]]), tg.tensor([[False], [True]])
    slopes = []
    for clean in (x, tg.where(taken, x, 0.0)):
        w = tg.tensor([[3.0]], requires_grad=True)
        tg.where(taken, clean @ w, 0.0).sum().backward()
        slopes.append(w.grad.item())
    assert np.isnan(slopes[0]) and slopes[1] == 2


# The cotangents of many and of few elements, which are checked in different ways: of x[0], of x[1], of the others
COTANGENTS: dict[str, tuple[float, float, float]] = {
    "0 at NaN": (0.0, 1.0, 1.0),
    "not 0 at NaN": (1.0, 0.0, 1.0),
    "a sum that overflows": (0.0, 1.0, 3e38),
    "sums that cancel": (0.0, -3e38, 1.0),
    "an infinite one": (0.0, np.inf, 1.0),
    "one number for all": (2.0, 2.0, 2.0),
    "all 0": (0.0, 0.0, 0.0),
}


@pytest.mark.parametrize("way", ["eager", *EMITTERS])
@pytest.mark.parametrize("size", [4, 5000])
@pytest.mark.parametrize("name", COTANGENTS)
def test_few_and_many(name: str, size: int, way: str) -> None:
    values = np.linspace(-1, 1, size, dtype="float32")
    values[0] = np.nan
    weights = np.full(size, COTANGENTS[name][2], "float32")
    weights[:2] = COTANGENTS[name][:2]
    slopes = np.cos(values)
    want = np.where((weights == 0) & np.isnan(slopes), 0, weights * slopes)
    same = name in ("one number for all", "all 0")
    factor = float(weights[0]) if same else tg.tensor(weights)
    f = tg.grad(lambda x: (tg.sin(x) * factor).sum())
    run = f if way == "eager" else emitting(way)(f)
    np.testing.assert_allclose(run(tg.tensor(values)).numpy(), want, rtol=1e-6)


@pytest.mark.parametrize("subscripts", ["ii->", "ii->i", "ii", "ii,ij->j"])
def test_a_diagonal_takes_nothing_that_stands_beside_it(subscripts: str) -> None:
    x = np.array([[1.0, np.inf], [np.nan, 3.0]])
    others = [np.array([[1.0, 2.0], [3.0, 4.0]])] * subscripts.count(",")
    t = tg.tensor(x, requires_grad=True)
    y = tg.einsum(subscripts, t, *others)
    assert y.tolist() == np.einsum(subscripts, x, *others).tolist()
    y.sum().backward()
    assert t.grad is not None and t.grad.numpy()[[0, 1], [1, 0]].tolist() == [0.0, 0.0]
    assert np.isfinite(t.grad.numpy()).all()
