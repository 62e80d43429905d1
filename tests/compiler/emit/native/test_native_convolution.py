"""Convolutions as kernels that read windows where they lie: right for odd shapes, at each width, on any threads."""

from math import prod
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from native_kernels import DTYPES, WIDTHS, Kernels, integers, matrix, run_steps
from native_programs import bits, interpreted, native
from tapegrad.compiler.emit.native import convolution, cuts
from tapegrad.compiler.emit.native.products import Product
from tapegrad.compiler.ir.windows import convolve_input, convolve_kernel, convolve_windows, windows_of

pytest.importorskip("llvmlite", reason="the emitter native needs llvmlite")
F = tg.nn.functional

# The shape of x, window, filters, strides, dilation.
SHAPES: dict[str, tuple[Any, ...]] = {
    "plain": ((2, 13, 13, 8), (3, 3), 16, (1, 1), (1, 1)),
    "one element": ((3, 5, 4, 6), (1, 1), 7, (1, 1), (1, 1)),
    "one element, apart": ((3, 5, 7, 6), (1, 1), 9, (2, 3), (1, 1)),
    "as large as x": ((2, 4, 5, 3), (4, 5), 5, (1, 1), (1, 1)),
    "stride above the window": ((1, 11, 12, 5), (2, 2), 6, (3, 4), (1, 1)),
    "overlap at strides": ((2, 9, 9, 4), (3, 4), 6, (2, 2), (1, 1)),
    "dilated": ((2, 9, 10, 5), (3, 2), 12, (1, 1), (2, 3)),
    "one channel": ((4, 12, 12, 1), (3, 3), 32, (1, 1), (1, 1)),
    "one filter": ((2, 8, 8, 9), (3, 3), 1, (1, 1), (1, 1)),
    "batch of 1": ((1, 10, 19, 17), (3, 3), 33, (1, 1), (1, 1)),
    "many channels": ((2, 5, 5, 130), (3, 3), 20, (1, 1), (1, 1)),
    "many filters": ((2, 4, 6, 9), (2, 3), 390, (1, 1), (1, 1)),
    "many windows": ((5, 14, 15, 3), (2, 2), 5, (1, 1), (1, 1)),
    "one axis": ((3, 20, 7), (5,), 10, (1,), (1,)),
    "three axes": ((2, 4, 5, 6, 3), (2, 2, 3), 5, (1, 2, 1), (1, 1, 1)),
}
FORMS = ("windows", "kernel", "input")


def case(name: str, form: str, dtype: str) -> tuple[Any, Any, Any, Any]:
    """a, b and out as a kernel sees them, the last one in the middle of other memory, and what it should be."""
    shape, window, filters, strides, dilation = SHAPES[name]
    spans = [(k - 1) * d + 1 for k, d in zip(window, dilation)]
    counts = tuple((n - k) // s + 1 for n, k, s in zip(shape[1:-1], spans, strides))
    starts = (0,) * len(window)
    layout = {"starts": starts, "strides": strides, "counts": counts, "window": window, "dilation": dilation}
    numbers = integers(0)
    x, kernel = numbers(shape).astype(dtype), numbers((*window, shape[-1], filters)).astype(dtype)
    y = numbers((shape[0], *counts, filters)).astype(dtype)
    rows, terms = prod(y.shape[:-1]), prod(kernel.shape[:-1])
    seen, flat = windows_of(x, **layout), kernel.reshape(terms, filters)
    if form == "windows":
        return seen, kernel, empty(y.shape, dtype), convolve_windows(seen, flat).reshape(y.shape)
    if form == "kernel":
        want = convolve_kernel(seen, y.reshape(rows, filters))
        return seen, y, empty(kernel.shape, dtype), want.reshape(kernel.shape)
    turned = flat.T.reshape(filters, *window, shape[-1])
    out, want = empty(shape, dtype), convolve_input(y.reshape(rows, filters), flat.T, shape=shape, **layout)
    out[...] = 0
    return y, turned, windows_of(out, **layout), windows_of(want, **layout)


def empty(shape: tuple[int, ...], dtype: str) -> Any:
    """An array of NaN with as much memory before and behind it."""
    size = prod(shape)
    return np.full(3 * size, np.nan, dtype)[size : 2 * size].reshape(shape)


def outside(out: Any) -> Any:
    """The memory around what `empty` gave."""
    while out.base is not None:
        out = out.base
    size = len(out) // 3
    return np.concatenate([out[:size], out[2 * size :]])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
def test_exact_at_each_width(form: str, dtype: str) -> None:
    """All sums are small integers; nothing else is written."""
    cases = {name: case(name, form, dtype) for name in SHAPES}
    listed = {
        name: convolution.steps(form, matrix(a), matrix(b), matrix(out), len(SHAPES[name][1]))
        for name, (a, b, out, _) in cases.items()
    }
    start = {name: given[2].copy() for name, given in cases.items()}
    for width in WIDTHS:
        kernels = Kernels([step for steps in listed.values() for step in steps], width)
        for name, (a, b, out, want) in cases.items():
            out[...] = start[name]
            run_steps(kernels, listed[name], a, b, out)
            assert np.array_equal(out, want), f"{name}, {width} bits: {listed[name]}"
            if form != "input":
                assert np.isnan(outside(out)).all(), f"written around: {name}, {width} bits"


@pytest.mark.parametrize("form", FORMS)
def test_parts_have_the_bits_of_the_whole(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PRODUCT": 1, "COLUMNS": 1}.items():
        monkeypatch.setattr(cuts, name, value)
    for name in ("plain", "overlap at strides", "batch of 1", "one axis"):
        a, b, out, _ = case(name, form, "float32")
        out[...] = 0
        b = (b / 3).astype("float32")
        (step,) = convolution.steps(form, matrix(a), matrix(b), matrix(out), len(SHAPES[name][1]))
        assert isinstance(step, Product)
        kernels = Kernels([step], 256)
        kernels.run(step, a, b, out)
        whole = out.copy()
        parts = cuts.parts_of_product(step, 3)
        assert len(parts) > 1, name
        kernels = Kernels([part for part, _ in parts], 256)
        out[...] = 0
        for part, offsets in parts:
            moved = [x.reshape(-1) if x.flags.c_contiguous else x for x in (a, b, out)]
            addresses = [shifted(x, offsets.get(n, 0)) for n, x in zip("abc", moved)]
            kernels.run(part, *addresses)
        assert bits(out) == bits(whole), (name, parts)


def shifted(x: Any, elements: int) -> Any:
    """An array of one element, so many elements behind the first."""
    start = x[(slice(1),) * x.ndim]
    address = start.__array_interface__["data"][0] + elements * x.itemsize
    view = type("Pointer", (), {})()
    view.__array_interface__ = {"data": (address, False), "shape": (1,), "typestr": x.dtype.str, "version": 3}
    return view


# ---- whole steps ----
def step_of(strides: Any = 1, padding: Any = "valid", dilation: Any = 1) -> Any:
    def step(x: Any, k: Any) -> Any:
        return tg.grad(
            lambda x, k: (F.conv(x, k, strides, padding, dilation_rate=dilation) ** 2).sum(), argnums=(0, 1)
        )(x, k)

    return step


# The shapes of x and of the kernel, and options.
STEPS: dict[str, tuple[Any, ...]] = {
    "plain": ((2, 9, 9, 5), (3, 3, 5, 6), {}),
    "same": ((2, 6, 7, 4), (4, 3, 4, 3), {"padding": "same"}),
    "larger than x": ((2, 3, 4, 4), (7, 6, 4, 3), {"padding": ((2, 3), (2, 2))}),
    "apart and dilated": ((2, 11, 12, 4), (2, 3, 4, 3), {"strides": (2, 1), "dilation": (3, 1)}),
    "one element": ((3, 5, 4, 6), (1, 1, 6, 7), {}),
    "one axis": ((2, 12, 4), (3, 4, 5), {"padding": "causal"}),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", STEPS)
def test_steps_as_eager(name: str, dtype: str) -> None:
    shape, kernel, options = STEPS[name]
    rng = np.random.default_rng(0)
    x, k = rng.normal(size=shape).astype(dtype), rng.normal(size=kernel).astype(dtype)
    f, compiled = step_of(**options), native(step_of(**options))
    limit = {"float32": 2e-5, "float64": 1e-13}[dtype]
    want = [a.numpy() for a in f(tg.tensor(x), tg.tensor(k))]
    for _ in range(3):
        got = [a.numpy() for a in compiled(tg.tensor(x), tg.tensor(k))]
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=limit, atol=limit * abs(b).max())
    runner = compiled.shown().runner
    for (_, _, text), b in zip(interpreted(runner, [x, k]), want, strict=True):
        a = np.frombuffer(text, dtype).reshape(b.shape)
        np.testing.assert_allclose(a, b, rtol=limit, atol=limit * abs(b).max())
    assert "concat" not in str(compiled.program()), compiled.program()


def test_nothing_is_gathered_and_the_kernels_are_named() -> None:
    compiled = native(step_of())
    x, k = tg.ones((2, 13, 13, 8)), tg.ones((3, 3, 8, 16))
    for _ in range(3):
        compiled(x, k)
    source, explained = compiled.source(), compiled.explain()
    assert "_windows[i0, i1, :, k0, k1] @" in source and "_windows[i0, i1, :, k0, k1] +=" in source
    assert "_windows[i0, i1, :, k0, k1].T @" in source and "matmul(" not in source
    for kernel in (
        "2 of 11 of 11 x 3*24 x 16",
        "3 of 24 x 2*11*11 x 16",
        "2 of 11 x 16 x 8, at 11*3*3 places",
    ):
        assert kernel in explained, explained


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf, 1e-42, -0.0], ids=str)
def test_special_values(special: float) -> None:
    """Where one element is special, so are the same sums as in eager."""
    rng = np.random.default_rng(0)
    x, k = rng.normal(size=(2, 6, 6, 4)).astype("f"), rng.normal(size=(3, 2, 4, 9)).astype("f")
    for array, at in ((x, (1, 2, 3, 1)), (k, (1, 0, 2, 5))):
        given = [a.copy() for a in (x, k)]
        given[array is k][at] = special
        compiled = native(step_of())
        with np.errstate(all="ignore"):
            want = [a.numpy() for a in step_of()(*map(tg.tensor, given))]
            for _ in range(3):
                got = [a.numpy() for a in compiled(*map(tg.tensor, given))]
        for a, b in zip(got, want, strict=True):
            finite = np.isfinite(b)
            assert np.array_equal(np.isfinite(a), finite)
            assert np.array_equal(a[~finite], b[~finite], equal_nan=True)
            np.testing.assert_allclose(a[finite], b[finite], rtol=1e-4, atol=1e-4)


# ---- what is done with a convolution, and pooling ----
def network(pool: Any, window: int, strides: Any = None) -> Any:
    def step(x: Any, k: Any, bias: Any) -> Any:
        def loss(x: Any, k: Any, bias: Any) -> Any:
            y = tg.relu(F.conv(x, k) + bias)
            return (pool(y, window, strides) ** 2).sum()

        return tg.grad(loss, argnums=(0, 1, 2))(x, k, bias)

    return step


@pytest.mark.parametrize("window, strides", [(2, None), (3, None), (2, 3), (3, 2), (1, 2)])
@pytest.mark.parametrize("pool", [F.max_pool, F.average_pool], ids=lambda f: f.__name__)
def test_bias_relu_and_pooling_as_eager(pool: Any, window: int, strides: Any) -> None:
    """Windows that cover all, leave gaps and borders out, and overlap."""
    rng = np.random.default_rng(0)
    given = [rng.normal(size=shape).astype("float64") for shape in ((2, 9, 8, 4), (2, 2, 4, 5), (5,))]
    f, compiled = network(pool, window, strides), native(network(pool, window, strides))
    want = [a.numpy() for a in f(*map(tg.tensor, given))]
    for _ in range(3):
        got = [a.numpy() for a in compiled(*map(tg.tensor, given))]
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12 * abs(b).max())
    runner = compiled.shown().runner
    for (_, _, text), b in zip(interpreted(runner, given), want, strict=True):
        np.testing.assert_allclose(
            np.frombuffer(text).reshape(b.shape), b, rtol=1e-12, atol=1e-12 * abs(b).max()
        )
    program = str(compiled.program())
    assert "relu=True" in program and "maximum(y" not in program
    assert ("put_windows" in program) == (strides is None or strides >= window > 1), program


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_gradient_of_max_pool_has_the_bits_of_eager(dtype: str) -> None:
    """Equal elements, NaN, infinities, and -0 among the gradients: nothing is added, so all is exact."""
    rng = np.random.default_rng(0)
    x = rng.choice([0.0, -0.0, 1.0, -1.0, np.nan, np.inf, -np.inf], size=(3, 7, 8, 5)).astype(dtype)
    g = rng.choice([1.0, -0.0, 0.0, -2.5, np.inf, np.nan], size=(3, 3, 4, 5)).astype(dtype)

    def step(x: Any, g: Any) -> Any:
        y, pull = tg.vjp(lambda x: F.max_pool(x, 2), x)
        return y, pull(g)

    compiled = native(step)
    flat = lambda value: [
        bits(a.numpy()) for a in (value[0], *(value[1] if isinstance(value[1], tuple) else [value[1]]))
    ]
    with np.errstate(all="ignore"):
        for _ in range(3):
            got = compiled(tg.tensor(x), tg.tensor(g))
        assert flat(got) == flat(step(tg.tensor(x), tg.tensor(g)))
    assert "put_windows" in str(compiled.program())
