"""Every elementwise operation in a kernel, on every dtype, at values where C and NumPy could differ: the signs of
quotients and remainders, NaN, infinities, -0.0, the ends of the integers' ranges.
"""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from compiler_emitters import flat
from compiler_gpu import on_gpu

FLOATS = ("float16", "float32", "float64")
SIGNED, UNSIGNED = ("int8", "int16", "int32", "int64"), ("uint8", "uint16", "uint32", "uint64")
ARITHMETIC = {
    **{n: getattr(tg, n) for n in ("add", "subtract", "multiply", "maximum", "minimum", "floor_divide", "remainder")},
    **{n: getattr(tg, n) for n in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")},
    "where": lambda a, b: tg.where(a > b, a, b), "negative": lambda a, b: -a, "square": lambda a, b: a * a,
    "abs": lambda a, b: tg.abs(a), "sign": lambda a, b: tg.sign(a), "clip": lambda a, b: tg.clip(a, 1, 3),
    "floor": lambda a, b: tg.floor(a), "round": lambda a, b: tg.round(a), "trunc": lambda a, b: tg.trunc(a),
    "ceil": lambda a, b: tg.ceil(a), "isnan": lambda a, b: tg.isnan(a), "isinf": lambda a, b: tg.isinf(a),
    "isfinite": lambda a, b: tg.isfinite(a), "max": lambda a, b: tg.max(a * 1), "min": lambda a, b: tg.min(a * 1),
    "any": lambda a, b: tg.any(a > b), "all": lambda a, b: tg.all(a > b), "less than 2": lambda a, b: a < 2,
}  # fmt: skip
UNARY = ("exp expm1 log log1p log2 log10 sqrt sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf sigmoid "
         "softplus")  # fmt: skip
FLOATING = {
    **{n: lambda a, b, n=n: getattr(tg, n)(a) for n in UNARY.split()},
    **{n: getattr(tg, n) for n in ("divide", "hypot", "atan2", "power")},
    "clip below": lambda a, b: tg.clip(a, 0.5, None), "clip above": lambda a, b: tg.clip(a, None, 0.5),
    "where a number": lambda a, b: tg.where(a > b, a, 0.25), "mean": lambda a, b: tg.mean(b * 0.5),
}  # fmt: skip
INTEGRAL = {
    "and": lambda a, b: a & b, "or": lambda a, b: a | b, "xor": lambda a, b: a ^ b, "not": lambda a, b: ~a,
    "sum": lambda a, b: tg.sum(a * 1), "prod": lambda a, b: tg.prod(b * 1),
}  # fmt: skip
TRUTHS = {
    "truth of both": tg.logical_and, "truth of one": tg.logical_or, "truth of either": tg.logical_xor,
    "no truth": lambda a, b: tg.logical_not(a),
}  # fmt: skip
TRUTH = {
    "and": tg.logical_and, "or": tg.logical_or, "xor": tg.logical_xor, "not": lambda a, b: ~a,
    "equal": lambda a, b: a == b, "any": lambda a, b: tg.any(a & b), "all": lambda a, b: tg.all(a | b),
    "where": lambda a, b: tg.where(a, b, ~b), "sum": lambda a, b: tg.sum(a ^ b),
}  # fmt: skip
SHIFTED = {
    "max below 0": lambda a, b: tg.max((b > 0).astype(b.dtype) - 2),
    "min above 0": lambda a, b: tg.min((b > 0).astype(b.dtype) + 2),
}
CASTS = {f"as {d}": lambda a, b, d=d: a.astype(d) for d in (*FLOATS, *SIGNED, *UNSIGNED, "bool")}


def values(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of some numbers."""
    if dtype == "bool":
        some: Any = [False, True]
    elif dtype in FLOATS:
        some = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, 7.25, np.inf, -np.inf, np.nan]
    else:
        ends = np.iinfo(dtype)
        some = [0, 1, 2, 3, 7, 11, ends.max] + ([-1, -2, -7, ends.min] if dtype in SIGNED else [])
    a, b = np.meshgrid(np.array(some, dtype), np.array(some, dtype))
    return a.ravel(), b.ravel()


def functions(dtype: str) -> dict[str, Any]:
    if dtype == "bool":
        return TRUTH | TRUTHS
    kind = (FLOATING if dtype in FLOATS else INTEGRAL) | TRUTHS
    return ARITHMETIC | SHIFTED | kind | (CASTS if dtype not in FLOATS else {})


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dtype", [*FLOATS, *SIGNED, *UNSIGNED, "bool"])
def test_every_operation(dtype: str, gpu: Any) -> None:
    a, b = values(dtype)
    wanted = functions(dtype)

    def f(a: Any, b: Any) -> Any:
        return [function(a, b) for function in wanted.values()]

    compiled = tg.jit(f, emitter="cupy")
    with tg.no_grad(), on_gpu(), np.errstate(all="ignore"):
        eager = flat(f(tg.tensor(a), tg.tensor(b)))
        compiled.prepare(tg.tensor(a), tg.tensor(b))
        got = flat(compiled(tg.tensor(a), tg.tensor(b)))
        assert all(program.startswith("cupy") for program in compiled.stats()["programs"])
    with tg.no_grad(), np.errstate(all="ignore"):
        want = flat(f(tg.tensor(a), tg.tensor(b)))
    for found in (eager, got):
        check_values(dict(zip(wanted, zip(found, want, strict=True), strict=True)), dtype, a, b)


def check_values(pairs: dict[str, tuple[Any, Any]], dtype: str, a: Any, b: Any) -> None:
    """What a GPU gives for a and b, against NumPy's."""
    tolerance = {"float16": 2e-3, "float32": 1e-6}.get(dtype, 1e-14)
    for name, (g, w) in pairs.items():
        assert (g.dtype, g.shape) == (w.dtype, w.shape), name
        if w.dtype.kind != "f":
            assert np.array_equal(g, w), (name, a[g != w], b[g != w], g[g != w], w[g != w])
            continue
        near = np.isclose(g, w, rtol=tolerance, atol=0, equal_nan=True)
        assert near.all(), (name, a[~near], b[~near], g[~near], w[~near])
        if name in ("maximum", "minimum", "max", "min"):
            continue  # which zero is the larger one is open, in NumPy as well
        zero = w == 0
        assert np.array_equal(np.signbit(g[zero]), np.signbit(w[zero])), (name, a[zero], b[zero])
