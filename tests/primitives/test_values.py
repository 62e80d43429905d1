"""Each row's value and gradient: against NumPy, in every dtype, from any memory layout, always the same bits."""

import numpy as np
import pytest

import tapegrad as tg
from primitives.harness import close, cotangent, run, tensors
from primitives.table import FLOATS, Case, Row, cases, rows
from tapegrad.autograd.primitive import REGISTRY
from tapegrad.autograd.recorder import Recorder

by_id = {"ids": lambda case: case.id}
every_case = pytest.mark.parametrize("case", cases(), **by_id)
every_gradient = pytest.mark.parametrize("case", cases(lambda row: row.grad), **by_id)


# ---- the table itself ----
def test_every_primitive_has_a_row():
    stood_for = {row.primitive for row in rows()}
    missing = set(REGISTRY) - stood_for
    assert not missing, f"primitives without a row in tests/primitives: {sorted(missing)}"
    assert stood_for - {None} <= set(REGISTRY), "rows of primitives that do not exist"


def test_every_primitive_is_compared_with_numpy_and_tensorflow():
    drawn = {"random_uniform"}
    assert {row.name for row in rows() if row.primitive and row.ref is None} == drawn
    assert {row.name for row in rows() if row.primitive and row.tf is None} == drawn


def test_row_names_are_unique():
    names = [row.name for row in rows()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("row", [row for row in rows() if row.primitive], ids=lambda row: row.name)
def test_row_calls_its_primitive(row: Row):
    called = set()
    listener = Recorder()
    listener.primitive = lambda primitive, *_: called.add(primitive.name)
    with tg.autograd.flags.changed_flags(recorder=listener):
        # Of astype, an input that has another dtype.
        given = [a.astype("float32") if row.name == "astype" else a for a in row.inputs[0]]
        row.call(*tensors(given))
    assert row.primitive in called


# ---- the values ----
@every_case
def test_value_is_numpys(case: Case):
    y = run(case).y
    if case.row.ref is None:
        return
    want = np.asarray(case.row.ref(*case.arrays))
    assert y.dtype == want.dtype
    close(y, want)


@every_case
def test_dtype_in_is_dtype_out(case: Case):
    """And the values are those of float64 within the dtype's precision: gradients, too."""
    fixed = {tg.bool, tg.int32, tg.int64} | ({tg.float64, tg.float32} if case.row.name in FIXED else set())
    for dtype in FLOATS:
        low = run(case, dtype)
        assert low.y.dtype == dtype or low.y.dtype in fixed
        assert [g.dtype for g in low.grads] == [dtype] * len(low.grads)
        if case.row.ref is None:
            continue
        high = run(Case(case.row, tuple(widened(a) for a in case.cast(dtype))))
        close(low.y, high.y, dtype)
        for got, want in zip(low.grads, high.grads, strict=True):
            close(got, want, dtype)


def widened(a: np.ndarray) -> np.ndarray:
    return a.astype("float64") if a.dtype.kind == "f" else a


# Rows that say which dtype they return.
RUNNING = ("cumulative_sum as float64", "cumulative_prod as float64")
FIXED = ("astype", "sum as float64", *RUNNING, "one_hot", "one_hot along 0")


def integers(a: np.ndarray, dtype: str) -> np.ndarray:
    return np.ceil(np.abs(a)).astype(dtype) if a.dtype.kind == "f" else a


@pytest.mark.parametrize("case", cases(lambda row: row.ints), **by_id)
def test_integers(case: Case):
    for dtype in ("int32", "int64", "uint8"):
        arrays = tuple(integers(a, dtype) for a in case.arrays)
        y = case.row.call(*(tg.tensor(a) for a in arrays))
        sums = "uint64" if dtype == "uint8" else "int64"
        assert y.dtype == {"same": dtype, "float": "float32", "sum": sums}.get(case.row.ints, case.row.ints)
        want = case.row.ref(*(a.astype("float64") if case.row.ints == "float" else a for a in arrays))
        close(y, np.asarray(want), "float32")


# ---- the gradients, however they are asked for ----
@every_gradient
def test_recorded_backward_is_the_raw_one(case: Case):
    for raw, recorded in zip(run(case).grads, run(case, record=True).grads, strict=True):
        close(recorded, raw)


@every_gradient
def test_twice_backward_gives_the_same_bits(case: Case):
    xs = tensors(case.cast("float32"))
    y = case.row.call(*xs)
    bits = []
    for _ in range(2):
        y.backward(cotangent(y), retain_graph=True)
        bits.append([x.grad.numpy().tobytes() for x in xs if x.requires_grad])
        for x in xs:
            x.grad = None
    assert bits[0] == bits[1]


@every_gradient
def test_gradients_share_no_memory(case: Case):
    """Whoever writes into a gradient must not change another one, nor an input, the result or the cotangent."""
    xs = tensors(case.arrays)
    y = case.row.call(*xs)
    g = tg.tensor(cotangent(y))
    y.backward(g)
    grads = [x.grad.data for x in xs if x.requires_grad]
    for i, grad in enumerate(grads):
        others = [*grads[:i], g.data, y.data, *(x.data for x in xs)]
        assert not any(np.shares_memory(grad, other) for other in others)
        assert grad.flags.writeable


def turned(a: np.ndarray) -> np.ndarray:
    return a.T.copy().T


def strided(a: np.ndarray) -> np.ndarray:
    """Every second element of a larger array, backwards."""
    wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1]), a.dtype) if a.ndim else np.zeros((), a.dtype)
    view = wide[..., ::-2] if a.ndim else wide
    view[...] = a
    return view


def read_only(a: np.ndarray) -> np.ndarray:
    return np.broadcast_to(a, a.shape)


@every_gradient
def test_memory_layout_does_not_matter(case: Case):
    plain = run(case)
    for layout in (turned, strided, read_only):
        xs = [tg.asarray(layout(a)) for a in case.arrays]
        for x in xs:
            x.requires_grad_(x.dtype == "float64")
        y = case.row.call(*xs)
        close(y, plain.y)
        y.backward(tg.asarray(layout(cotangent(y))))
        for got, want in zip((x.grad for x in xs if x.requires_grad), plain.grads, strict=True):
            close(got, want)
