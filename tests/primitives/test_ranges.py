"""Nothing overflows or vanishes on the way to an ordinary number: values and slopes near both ends of float16 and
float32, against the same in float64."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from compiler_emitters import EMITTERS, emitting, flat, same_bits
from tapegrad.nn import functional as F

SAMPLE = np.array([1.0, 2.0, 3.0, -1.0, 0.5, 0.7])
TOWARDS = np.array([1.0, 0.5, 0.1, 0.2, -1.0, 2.0])


def cosine(x: tg.Tensor) -> tg.Tensor:
    """With a vector of the same size as x, whatever that is."""
    other = TOWARDS * float(np.abs(x.detach().numpy().astype("float64")).max()) / 2
    return F.cosine_similarity(x[None], tg.tensor(other, dtype=x.dtype)[None])


# name, f: statistics, norms and their like of one vector
STATISTICS: tuple[tuple[str, Callable[[tg.Tensor], tg.Tensor]], ...] = (
    ("sum", tg.sum),
    ("mean", tg.mean),
    ("var", tg.var),
    ("std", tg.std),
    ("std, corrected", lambda x: tg.std(x, correction=1)),
    ("std, kept", lambda x: tg.std(x, axis=0, keepdims=True)),
    ("logsumexp", tg.logsumexp),
    ("softmax", lambda x: tg.softmax(x)[0]),
    ("log_softmax", lambda x: tg.log_softmax(x)[0]),
    ("max", tg.max),
    ("min", tg.min),
    ("prod", tg.prod),
    ("cosine similarity", cosine),
)
LIMITS = {d: (float(np.finfo(d).max), float(np.finfo(d).tiny)) for d in ("float16", "float32")}
SIZES = {
    "top": lambda top, low: top / 3.3,
    "near the top": lambda top, low: top / 20,
    "root of the top": lambda top, low: top**0.5,
    "one": lambda top, low: 1.0,
    "root of the bottom": lambda top, low: low**0.5,
    "near the bottom": lambda top, low: low * 30,
}
# The sum overflows where the mean would not, as in NumPy, PyTorch and JAX: docs/conventions.md.
OVERFLOWS = {("mean", "float32", "top")}


def values_and_slopes(f: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    t = tg.tensor(x, requires_grad=True)
    with np.errstate(all="ignore"):
        y = f(t)
        y.sum().backward()
    assert y.dtype == x.dtype and t.grad is not None and t.grad.dtype == x.dtype
    return np.atleast_1d(y.numpy()).astype("float64"), t.grad.numpy().astype("float64")


def wrong(got: np.ndarray, true: np.ndarray, dtype: str) -> np.ndarray:
    """Where a number of that dtype was to be given and another one was."""
    info = np.finfo(dtype)
    with np.errstate(all="ignore"):
        representable = np.isfinite(true) & np.isfinite(true.astype(dtype).astype("float64"))
        near = np.abs(got - true) <= 16 * info.eps * np.abs(true).max() + 2 * float(info.smallest_subnormal)
    return representable & ~near


@pytest.mark.parametrize("size", list(SIZES))
@pytest.mark.parametrize("dtype", list(LIMITS))
@pytest.mark.parametrize(("name", "f"), STATISTICS, ids=[row[0] for row in STATISTICS])
def test_statistics(name: str, f: Any, dtype: str, size: str) -> None:
    x = (SAMPLE * SIZES[size](*LIMITS[dtype])).astype(dtype)
    (y, g), (true, slopes) = values_and_slopes(f, x), values_and_slopes(f, x.astype("float64"))
    assert wrong(y, true, dtype).any() == ((name, dtype, size) in OVERFLOWS), (y, true)
    assert not wrong(g, slopes, dtype).any(), (g, slopes)


@pytest.mark.parametrize(
    "size", ["top", "near the top", "root of the top", "one", "root of the bottom", "near the bottom"]
)
@pytest.mark.parametrize("f", [tg.std, tg.var], ids=["std", "var"])
def test_float64_is_scaled_too(f: Any, size: str) -> None:
    """In float64, against the same of numbers near 1."""
    info = np.finfo("float64")
    factor = 2.0 ** np.round(np.log2(SIZES[size](float(info.max), float(info.tiny))))
    y, g = values_and_slopes(f, SAMPLE * factor)
    plain, slopes = values_and_slopes(f, SAMPLE)
    power = 1 if f is tg.std else 2
    with np.errstate(all="ignore"):
        expected = plain * factor**power
    keep = np.isfinite(expected) & (expected > info.tiny * 100)
    np.testing.assert_allclose(y[keep], expected[keep], rtol=1e-14)
    np.testing.assert_allclose(g, slopes * factor ** (power - 1), rtol=1e-13)


def test_float16_statistics_of_many() -> None:
    x = np.tile(np.array([0.0, 600.0], "float16"), 50_000)
    (y, _), (v, g) = values_and_slopes(tg.std, x), values_and_slopes(tg.var, x / np.float16(100))
    assert y == 300 and v == 9 and np.isfinite(g).all()


# name, f, x, f'(x): slopes of elementwise functions near the ends
NAMES = "log log1p log2 log10 sqrt atan asinh acosh relu softplus abs square"
ELEMENTWISE: tuple[tuple[str, Any], ...] = (
    *((name, getattr(tg, name)) for name in NAMES.split()),
    ("1 / x", lambda x: 1 / x),
    ("x ** 1.5", lambda x: x**1.5),
    ("x ** -1", lambda x: x**-1),
    ("x / x", lambda x: x / (x * 0.5)),
)


@pytest.mark.parametrize("dtype", list(LIMITS))
@pytest.mark.parametrize(("name", "f"), ELEMENTWISE, ids=[row[0] for row in ELEMENTWISE])
def test_elementwise(name: str, f: Any, dtype: str) -> None:
    top, low = LIMITS[dtype]
    for x in (top * 0.9, top * 0.4, top**0.5, top**0.25, 2.0, 1.5, low**0.25, low**0.5, low * 20):
        if name == "acosh" and x < 1:
            continue
        given = np.array([x], dtype)
        (y, g), (true, slope) = values_and_slopes(f, given), values_and_slopes(f, given.astype("float64"))
        assert not wrong(y, true, dtype).any(), (x, y, true)
        assert not wrong(g, slope, dtype).any(), (x, g, slope)


@pytest.mark.parametrize("emitter", EMITTERS)
@pytest.mark.parametrize("dtype", [*LIMITS, "float64"])
def test_compiled_statistics_are_eagers(emitter: str, dtype: str) -> None:
    def slopes(x: tg.Tensor) -> Any:
        return [tg.value_and_grad(lambda x, f=f: f(x).sum())(x) for _, f in COMPILED]

    info = np.finfo(dtype)
    step = emitting(emitter)(slopes)
    for size in SIZES.values():
        x = tg.tensor((SAMPLE * size(float(info.max), float(info.tiny))).astype(dtype))
        with np.errstate(all="ignore"):
            got, want = flat(step(x)), flat(slopes(x))
        if emitter == "numpy":
            assert same_bits(got, want)
        for a, b in zip(got, want, strict=True):  # machine code adds in another order
            assert np.array_equal(np.isfinite(a), np.isfinite(b)) and not np.isnan(a).any()
            np.testing.assert_allclose(a, b, rtol=0, atol=8 * info.eps * np.abs(b).max())
    assert step.stats()["recordings"] == 1


# The cosine here takes numbers from x, which a program cannot; and exp is not NumPy's in machine code.
COMPILED = [
    row
    for row in STATISTICS
    if row[1] is not cosine and row[0] not in ("logsumexp", "softmax", "log_softmax")
]


# name, f of many float16 numbers, what it is
MANY: tuple[tuple[str, Callable[[], Any], Any], ...] = (
    ("sum of columns", lambda: tg.sum(ONES, axis=0), [5000, 5000]),
    ("sum of rows", lambda: tg.sum(ONES.T, axis=1), [5000, 5000]),
    ("mean of columns", lambda: tg.mean(ONES, axis=0), [1, 1]),
    ("matmul", lambda: (ONES.T @ ONES)[0], [5000, 5000]),
    ("einsum", lambda: tg.einsum("ij->j", ONES), [5000, 5000]),
    ("einsum of two", lambda: tg.einsum("ij,ik->jk", ONES, ONES)[0], [5000, 5000]),
    ("index_add", lambda: tg.index_add(ZERO, np.zeros(5000, int), ONES[:, 0]), [5000]),
    ("gradient of a row that is added",
     lambda: tg.grad(lambda b: (ONES + b).sum(axis=1).mean() * 5000)(ONES[0]), [5000, 5000]),
    ("gradient of an element taken often",
     lambda: tg.grad(lambda x: (tg.take(x, np.zeros(5000, int))).sum())(ONES[0]), [5000, 0]),
    ("logsumexp", lambda: tg.logsumexp(tg.zeros((70_000,), dtype="float16")), np.log(70_000)),
    ("softmax", lambda: tg.softmax(tg.zeros((70_000,), dtype="float16"))[:1], [1 / 70_000]),
    ("log_softmax", lambda: tg.log_softmax(tg.zeros((70_000,), dtype="float16"))[:1], [-np.log(70_000)]),
)  # fmt: skip
ONES, ZERO = tg.ones((5000, 2), dtype="float16"), tg.zeros((1,), dtype="float16")


@pytest.mark.parametrize(("f", "right"), [row[1:] for row in MANY], ids=[row[0] for row in MANY])
def test_float16_adds_up_many(f: Any, right: Any) -> None:
    """In float16 itself, 2048 + 1 is 2048."""
    for _, y in ((0, f()), *((i, step()) for step in (tg.jit(f, emitter="numpy"),) for i in range(3))):
        assert y.dtype == "float16"
        np.testing.assert_allclose(y.numpy().astype("float64"), right, rtol=1e-2)
