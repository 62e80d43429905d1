"""Which dtype comes of which, and the operators, each way round."""

import enum
import operator
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.autograd.namespace import BY_UFUNC
from tapegrad.autograd.operators import BINARY, COMPARISONS, METHODS, UNARY
from tapegrad.autograd.primitive import Primitive

F16, F32, F64, I32, I64, U8, BOOL = "float16", "float32", "float64", "int32", "int64", "uint8", "bool"


def t(dtype: str, values: Any = (1, 2, 3)) -> tg.Tensor:
    return tg.tensor(np.array(values).astype(dtype))


# What stands left and right of +, and the dtype of the sum.
SUMS: tuple[tuple[Any, Any, str], ...] = (
    (F32, I64, F32),
    (F32, I32, F32),
    (F16, I64, F16),
    (F64, I32, F64),
    (F32, F64, F64),
    (F16, F32, F32),
    (I32, I64, I64),
    (U8, I32, I32),
    (BOOL, F32, F32),
    (BOOL, I64, I64),
    (BOOL, U8, U8),
    (BOOL, BOOL, BOOL),
    (F32, 2, F32),
    (F32, 2.5, F32),
    (F32, True, F32),
    (F16, 2.5, F16),
    (F64, 2, F64),
    (F32, np.float64(2.5), F32),
    (F16, np.float32(2.5), F16),
    (F32, np.int64(2), F32),
    (F32, np.array([1.0, 2, 3]), F64),  # an array keeps its dtype
    (F32, np.array([1, 2, 3]), F32),
    (F32, [1.0, 2.0, 3.0], F32),
    (F64, [1.0, 2.0, 3.0], F64),
    (F16, [1, 2, 3], F16),
    (I64, [0.5, 1.0, 2.0], F32),
    (I64, 2, I64),
    (I32, 2, I32),
    (U8, 2, U8),
    (I64, 2.5, F32),
    (I32, 2.5, F32),
    (I64, np.float64(2.5), F32),
    (BOOL, 2, I64),
    (BOOL, 2.5, F32),
)  # fmt: skip


def name(a: Any) -> str:
    return a if isinstance(a, str) else f"{type(a).__name__} {a}"


@pytest.mark.parametrize(("left", "right", "dtype"), SUMS, ids=[f"{name(a)} + {name(b)}" for a, b, _ in SUMS])
def test_sum(left: str, right: Any, dtype: str):
    x, other = t(left), t(right) if isinstance(right, str) else right
    values = other.numpy() if isinstance(other, tg.Tensor) else np.asarray(other)
    for got in (
        x + other,
        other + x,
        tg.add(x, other),
        tg.where(t(BOOL), x, other),
        tg.where(t(BOOL), other, x),
    ):
        assert isinstance(got, tg.Tensor)
        assert got.dtype == dtype
    assert (x * other).dtype == dtype
    expected = np.add(x.numpy().astype(dtype), values.astype(dtype))
    np.testing.assert_array_equal((x + other).numpy(), expected)


@pytest.mark.parametrize("left", [I64, I32, U8, BOOL])
@pytest.mark.parametrize("right", [I64, U8, BOOL, 2, True])
def test_division_of_integers_is_the_default_float(left: str, right: Any):
    x, other = t(left), t(right) if isinstance(right, str) else right
    assert (x / other).dtype == F32
    assert (other / x).dtype == F32
    np.testing.assert_allclose(
        (other / x).numpy(), np.asarray(other.numpy() if isinstance(right, str) else other) / x.numpy()
    )


def test_kinds_and_limits_of_dtypes():
    assert tg.isdtype(F32, "real floating") and tg.isdtype("int8", ("bool", "integral"))
    assert (
        not tg.isdtype(F16, tg.float32) and tg.isdtype(F32, tg.float32) and not tg.isdtype(tg.bool, "numeric")
    )
    assert tg.iinfo(tg.int8).max == 127 and tg.iinfo(tg.tensor([1])).bits == 64
    assert tg.finfo(t(F16)).max == 65504


def test_the_default_float_can_be_set():
    assert tg.get_default_dtype() == F32
    try:
        tg.set_default_dtype(F64)
        assert (
            (t(I64) / 2).dtype == (t(I64) + 0.5).dtype == tg.exp(t(I32)).dtype == tg.mean(t(U8)).dtype == F64
        )
        assert tg.tensor(0.1).item() == 0.1
    finally:
        tg.set_default_dtype(F32)
    with pytest.raises(ValueError, match="float16, float32 or float64"):
        tg.set_default_dtype("int64")


def test_a_list_is_read_in_the_precision_of_the_tensor_beside_it():
    assert (t(F64, [0.0]) + [0.1]).item() == 0.1
    assert (tg.matmul([[0.1]], t(F64, [[1.0]]))).item() == 0.1


def test_gradients_keep_the_dtype_of_their_own_tensor():
    a, b = (tg.tensor(np.ones(3), dtype=d, requires_grad=True) for d in (F16, F64))
    (a * b * t(I64)).sum().backward()
    assert a.grad.dtype == F16 and b.grad.dtype == F64


def test_what_is_a_kind_of_number_counts_as_one():
    class Level(enum.IntEnum):
        TWO = 2

    assert (t(F32) * Level.TWO).dtype == F32 and (t(I64) * Level.TWO).dtype == I64
    assert tg.add(np.float64(0.5), 2).dtype == tg.exp(np.float64(0.5)).dtype == F32


def test_clip_keeps_the_dtype():
    assert tg.clip(t(F32), np.float64(1.5), 2.5).dtype == F32
    assert tg.clip(t(F16), 1, None).dtype == F16
    assert tg.clip(t(I64), 1, 2).dtype == I64
    np.testing.assert_array_equal(
        tg.clip(t(I64), 1.5, 2).numpy(), np.array([1.5, 2, 2], dtype=F32), strict=True
    )


def test_sum_in_another_dtype():
    for f in (tg.sum, tg.prod):
        assert f(t(U8)).dtype == "uint64" and f(t(I32)).dtype == f(t(BOOL)).dtype == I64
        assert f(t(I32), dtype=I32).dtype == I32 and f(t(F16), dtype=F32).dtype == F32


# ---- operators ----
X, Y = np.array([[3.0, 1.0], [2.0, 5.0]]), np.array([[2.0, 4.0], [1.0, 3.0]])
LOGICAL = ("and", "or", "xor")


def of(symbol: str) -> Any:
    return getattr(operator, f"__{symbol}__")


def raw(symbol: str, a: np.ndarray) -> np.ndarray:
    return a > 2 if symbol in LOGICAL else a


@pytest.mark.parametrize("symbol", [*BINARY, *COMPARISONS])
def test_operator_each_way_round(symbol: str):
    """Tensor with tensor, array and list, left and right, is what NumPy makes of it."""
    x, y = raw(symbol, X), raw(symbol, Y)
    want = of(symbol)(x, y)
    for a, b in ((tg.tensor(x), tg.tensor(y)), (tg.tensor(x), y), (x, tg.tensor(y)), (tg.tensor(x), y.tolist()),
                 (x.tolist(), tg.tensor(y))):  # fmt: skip
        got = of(symbol)(a, b)
        assert isinstance(got, tg.Tensor)
        np.testing.assert_array_equal(got.numpy(), want, strict=True)


@pytest.mark.parametrize("symbol", [s for s in (*BINARY, *COMPARISONS) if s != "matmul"])
def test_operator_with_a_number(symbol: str):
    x, number = raw(symbol, X), True if symbol in LOGICAL else 2
    for scalar in (number, np.float64(number)) if number == 2 else (number, np.bool_(True)):
        np.testing.assert_array_equal(
            of(symbol)(tg.tensor(x), scalar).numpy(), of(symbol)(x, scalar), strict=True
        )
        np.testing.assert_array_equal(
            of(symbol)(scalar, tg.tensor(x)).numpy(), of(symbol)(scalar, x), strict=True
        )


@pytest.mark.parametrize("symbol", [s for s in BINARY if s not in (*LOGICAL, "floordiv")])
def test_reflected_operator_has_the_gradient(symbol: str):
    """`array <op> tensor` differentiates with respect to the tensor on the right."""
    plain, reflected = (tg.tensor(Y, requires_grad=True) for _ in range(2))
    of(symbol)(tg.tensor(X), plain).sum().backward()
    of(symbol)(X, reflected).sum().backward()
    np.testing.assert_array_equal(plain.grad.numpy(), reflected.grad.numpy())
    assert plain.grad.numpy().any()


@pytest.mark.parametrize("symbol", UNARY)
def test_unary_operator(symbol: str):
    x = raw("and", X) if symbol == "invert" else -X
    np.testing.assert_array_equal(of(symbol)(tg.tensor(x)).numpy(), of(symbol)(x), strict=True)


def test_chained_and_in_place_operators():
    x = tg.tensor(X, requires_grad=True)
    y = 1 - 2 * x + x**2 / 4 - (-x) @ Y
    np.testing.assert_allclose(y.numpy(), 1 - 2 * X + X**2 / 4 + X @ Y)
    z = y
    z += 1
    assert z is y
    np.testing.assert_allclose(y.numpy(), 2 - 2 * X + X**2 / 4 + X @ Y)
    z.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), -2 + X / 2 + Y.sum(axis=1))
    assert bool(((x > 1) & (x < 4) | (x == 5)).any()) and not bool((x != x).any())


@pytest.mark.parametrize("other", ["text", None, pytest.param(object(), id="object"), {1: 2}, 1j], ids=repr)
def test_operator_with_what_is_no_number(other: Any):
    x = tg.tensor(X)
    for f in (operator.add, operator.truediv, operator.matmul, operator.lt):
        with pytest.raises(TypeError):
            f(x, other)
        with pytest.raises(TypeError):
            f(other, x)
    assert (x == other) is False and (x != other) is True


@pytest.mark.parametrize("ufunc", BY_UFUNC)
def test_ufunc_of_a_tensor(ufunc: str):
    """np.exp(t) is tg.exp(t)."""
    f = getattr(np, ufunc)
    logical = ufunc.startswith(("logical", "bitwise", "invert"))
    arrays = [a > 2 if logical else a / 8 for a in (X, Y)][: f.nin]
    arrays = [a + 1 for a in arrays] if ufunc in ("acosh", "arccosh") else arrays
    got = f(*(tg.tensor(a) for a in arrays))
    assert isinstance(got, tg.Tensor)
    np.testing.assert_allclose(got.numpy(), f(*arrays), rtol=1e-14)


@pytest.mark.parametrize("method", METHODS)
def test_method_is_the_function(method: str):
    arguments = {"astype": ("float32",), "broadcast_to": ((3, 2, 2),), "clip": (2, 3), "split": (2,), "take": ([1, 0],),
                 "tile": (2,), "moveaxis": (0, 1), "permute_dims": ((1, 0),), "index_add": (0, 1.0),
                 "index_update": (0, 1.0), "take_along_axis": (tg.tensor([[0], [1]]),),
                 "top_k": (1,), "pad": (1,), "roll": (1,),
                 "tensordot": (Y,), "vecdot": (Y,), "outer": (Y,)}.get(method, ())  # fmt: skip
    along = {"cumulative_sum": 0, "cumulative_prod": 0, "squeeze": 0, "expand_dims": 1}
    keywords = {"axis": along[method]} if method in along else {}
    function = getattr(tg, method)
    if isinstance(function, Primitive) and function.arrays == 2:
        arguments = (tg.tensor(X > 2) if method.startswith("bitwise") else Y,)
    x = tg.tensor(X / 8 + (method == "acosh"))
    if method.startswith(("bitwise", "squeeze", "outer")):
        x = {"b": x > 0.2, "s": x[None], "o": x[0]}[method[0]]
        arguments = (Y[0],) if method == "outer" else arguments
    got, want = (
        f(*arguments, **keywords)
        for f in (getattr(x, method), lambda *a, **kw: getattr(tg, method)(x, *a, **kw))
    )
    for g, w in zip(*((r if isinstance(r, tuple) else (r,)) for r in (got, want)), strict=True):
        np.testing.assert_array_equal(g.numpy(), w.numpy(), strict=True)
