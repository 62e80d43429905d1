"""The NumPy program has eager's bits: every row of the table of primitives, value, gradients and second-order
gradients, in every dtype, at special values and for any memory order of the arguments."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from compiler_bits import (
    FLOATS,
    INTEGERS,
    backwards,
    columns_first,
    difference,
    every_second,
    outcome,
    special_values,
    with_special_values,
)
from primitives.harness import cotangent
from primitives.table import Case, Row, rows

ROWS = {row.name: row for row in rows() if row.primitive != "move"}
# What the calls of a program are given: the row's own inputs, others near them, then special values.
CALLS: tuple[Callable[[list[np.ndarray]], list[np.ndarray]], ...] = (
    lambda arrays: arrays,
    lambda arrays: [(a * 0.9).astype(a.dtype) if a.dtype.kind == "f" else a for a in arrays],
    lambda arrays: special(arrays, 0),
    lambda arrays: special(arrays, 3),
    lambda arrays: special(arrays, 7),
)
MEMORY_ORDERS = (columns_first, every_second, backwards)


def in_odd_order(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """The same values, no argument in the memory order of its neighbour."""
    return [MEMORY_ORDERS[i % len(MEMORY_ORDERS)](np.asarray(a)) for i, a in enumerate(arrays)]


def special(arrays: list[np.ndarray], shift: int) -> list[np.ndarray]:
    """Special values in place of the floating-point ones; of integers, which may be indices, none."""
    changed = iter(with_special_values((a for a in arrays if a.dtype.kind == "f"), shift))
    return [next(changed) if a.dtype.kind == "f" else a for a in arrays]


def compare(function: Callable[..., Any], calls: list[list[np.ndarray]]) -> str | None:
    """Call `function` as it is and compiled, in turn; the first difference, in words, with the source."""
    compiled = tg.jit(lambda *xs: function(*xs), emitter="numpy")
    for number, arrays in enumerate(calls):
        want, got = outcome(function, arrays), outcome(compiled, arrays)
        if isinstance(want, str) or isinstance(got, str):
            found = None if want == got else f"{got} for {want}"
        else:
            found = difference(got, want)
        if found:
            return f"call {number + 1}: {found}\n{compiled.source()}"
    programs = compiled.stats()["programs"]
    return None if set(programs) == {"numpy"} else f"not compiled: {programs}"


def value_and_gradients(row: Row, order: int) -> Callable[..., Any]:
    """A function of the row's inputs, and for an order above 0 of a cotangent, that returns the row's value, the
    gradients of its sum, and the gradients for the cotangent, up to that order."""

    def total(*xs: Any) -> Any:
        return row.call(*xs).sum()

    def function(*xs: Any) -> Any:
        if not order:
            with tg.no_grad():
                return row.call(*xs)
        *inputs, weights = xs
        floating = [i for i, x in enumerate(inputs) if x.dtype.kind == "f"]

        def weighted(*xs: Any) -> Any:
            y = row.call(*xs)
            return (y * weights).sum(), y.detach()

        first = tg.grad(weighted, argnums=floating, has_aux=True)

        def again(*xs: Any) -> Any:
            gradients, y = first(*xs)
            return sum((g * cotangent(g)).sum() for g in gradients), ([g.detach() for g in gradients], y)

        once = first if order == 1 else tg.grad(again, argnums=floating, has_aux=True)
        return once(*inputs), tg.grad(total, argnums=floating)(*inputs)

    return function


def with_cotangent(row: Row, arrays: list[np.ndarray]) -> tuple[list[np.ndarray], int]:
    """The inputs, with a cotangent where the row has gradients, and up to which order it has them in eager."""
    if not row.grad or not any(a.dtype.kind == "f" for a in arrays):
        return arrays, 0
    (y,) = outcome(value_and_gradients(row, 0), arrays)
    arrays = [*arrays, cotangent(y)]
    return arrays, 1 if isinstance(outcome(value_and_gradients(row, 2), arrays), str) else 2


@pytest.mark.parametrize(("dtype", "arranged"), [*((dtype, list) for dtype in FLOATS), ("float32", in_odd_order)],
                         ids=[*FLOATS, "odd memory order"])  # fmt: skip
@pytest.mark.parametrize("name", ROWS)
def test_floats(name: str, dtype: str, arranged: Any) -> None:
    """All of a row's samples in one program, value and gradients; those of the second order, whose programs take
    longest to record, in float32."""
    row = ROWS[name]
    most = 2 if (dtype, arranged) == ("float32", list) else 1
    samples = [list(Case(row, sample).cast(dtype)) for sample in row.inputs]
    with_orders = [with_cotangent(row, sample) for sample in samples]
    parts = [(value_and_gradients(row, min(order, most)), len(sample)) for sample, order in with_orders]

    def function(*xs: Any) -> Any:
        found, start = [], 0
        for part, count in parts:
            found.append(part(*xs[start : start + count]))
            start += count
        return found

    calls = [[a for sample, _ in with_orders for a in arranged(change(sample))] for change in CALLS]
    with np.errstate(all="ignore"):
        found = compare(function, calls)
    assert found is None, found


@pytest.mark.parametrize("name", ROWS)
def test_integers(name: str) -> None:
    """All samples in all integer dtypes, and booleans, that the row takes in eager."""
    row = ROWS[name]
    taken: list[list[np.ndarray]] = []
    function = value_and_gradients(row, 0)
    with np.errstate(all="ignore"):
        for dtype in INTEGERS:
            for sample in row.inputs:
                arrays = [np.asarray(a * 3).astype(dtype) if a.dtype.kind == "f" or row.ints is None else a
                          for a in sample]  # fmt: skip
                if not isinstance(outcome(function, arrays), str):
                    taken.append(arrays)
        if not taken:
            assert row.ints is None, f"{row.name} takes no integers in eager"
            return
        sizes = [len(arrays) for arrays in taken]

        def every(*xs: Any) -> Any:
            rest = iter(xs)
            return [function(*(next(rest) for _ in range(n))) for n in sizes]

        indices = row.name.startswith(("take", "getitem", "index_", "sparse", "one_hot", "minus_one"))

        def extreme(arrays: list[np.ndarray], shift: int) -> list[np.ndarray]:
            changed = with_special_values(arrays, shift)
            return [a if i and indices else b for i, (a, b) in enumerate(zip(arrays, changed))]

        calls = [taken, taken, *([extreme(a, shift) for a in taken] for shift in (0, 1, 3))]
        found = compare(every, [[a for arrays in call for a in arrays] for call in calls])
    assert found is None, found


FLOATING = [name for name, row in ROWS.items() if any(a.dtype.kind == "f" for a in row.inputs[0])]


@pytest.mark.parametrize("name", FLOATING)
def test_floating_point_errors(name: str) -> None:
    """np.errstate makes the program raise where eager raises, and nowhere else. All that eager computes is returned:
    what nobody needs is not computed by a program, and so raises nothing."""
    row = ROWS[name]
    arrays, order = with_cotangent(row, list(Case(row, row.inputs[0]).cast("float32")))
    plain = value_and_gradients(row, 0)

    def with_gradients(*xs: Any) -> Any:
        *inputs, weights = xs

        def weighted(*xs: Any) -> Any:
            y = row.call(*xs)
            weighed = y * weights
            return weighed.sum(), (y.detach(), weighed.detach())

        floating = [i for i, x in enumerate(inputs) if x.dtype.kind == "f"]
        return tg.value_and_grad(weighted, argnums=floating, has_aux=True)(*inputs)

    function = with_gradients if order else plain
    compiled = tg.jit(lambda *xs: function(*xs), emitter="numpy")
    with np.errstate(all="ignore"):
        for _ in range(3):
            outcome(compiled, arrays)
    places = [i for i, a in enumerate(arrays[: len(row.inputs[0])]) if a.dtype.kind == "f" and a.size]
    # One among ordinary ones, in each argument in turn.
    for value in special_values("float32")[[0, 2, 4, 6, 8, 9, 10]]:
        for i in places:
            given = [a.copy() for a in arrays]
            given[i].ravel()[given[i].size // 2] = value
            for kind in ("divide", "over", "invalid"):
                with np.errstate(all="ignore", **{kind: "raise"}):
                    want, got = outcome(function, given), outcome(compiled, given)
                raised = [x if isinstance(x, str) else "nothing" for x in (want, got)]
                assert raised[0] == raised[1], (kind, value, raised, compiled.source())
