"""Products as machine code: right for all shapes and strides, as exact as NumPy's, and nothing else is written."""

import dataclasses
import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from native_kernels import DTYPES, FORMS, WIDTHS, Kernels, integers, plain, run_steps, steps_of
from tapegrad.compiler.emit.native.products import Product, arranged

ROOT = Path(__file__).resolve().parents[4]

# m, k, n. The last ones have blocks of the depth, panels, and a copy of the left operand.
SHAPES = [
    (1, 1, 1), (3, 4, 5), (8, 16, 16), (32, 30, 64), (1, 100, 50), (100, 50, 1), (1, 3000, 1), (7, 513, 19),
    (33, 9, 10), (64, 385, 3), (40, 300, 70), (5, 9000, 2), (131, 800, 130),
]  # fmt: skip
LAYOUTS = (
    "plain",
    "a transposed",
    "b transposed",
    "both transposed",
    "c transposed",
    "a strided",
    "b strided",
    "c strided",
)


def operands(
    m: int, k: int, n: int, layout: str, dtype: str, numbers
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """a (m, k), b (k, n) and an unwritten c (m, n) in a layout."""

    def made(rows: int, columns: int, name: str) -> np.ndarray:
        if layout == f"{name} transposed" or (layout == "both transposed" and name != "c"):
            return numbers((columns, rows)).astype(dtype).T
        if layout == f"{name} strided":
            return numbers((2 * rows, 3 * columns)).astype(dtype)[::-2, ::3]
        return numbers((rows, columns)).astype(dtype)

    return made(m, k, "a"), made(k, n, "b"), made(m, n, "c")


def truth(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The product in a format of more digits."""
    wide = np.float64 if a.dtype == np.float32 else np.longdouble
    return np.matmul(a.astype(wide), b.astype(wide))


def error(c: np.ndarray, wanted: np.ndarray, magnitudes: np.ndarray) -> float:
    """The root of the mean square error, in units of the last place of the sums of magnitudes."""
    return float(np.sqrt(np.mean(((c - wanted) / (magnitudes * np.finfo(c.dtype).eps)) ** 2)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_as_exact_as_numpy(shape, dtype):
    numbers = np.random.default_rng(0).standard_normal
    cases = [operands(*shape, layout, dtype, numbers) for layout in LAYOUTS]
    listed = [steps_of(*case) for case in cases]
    kernels = {bits: Kernels(itertools.chain(*listed), bits) for bits in WIDTHS}
    for (a, b, c), steps_here, layout in zip(cases, listed, LAYOUTS):
        against = truth(a, b), truth(abs(a), abs(b))
        limit = 2 * error(np.matmul(a, b), *against) + 0.2
        for bits in WIDTHS:
            c[...] = np.nan
            run_steps(kernels[bits], steps_here, a, b, c)
            assert error(c, *against) <= limit, f"{layout}, {bits} bits"


@pytest.mark.parametrize("dtype", DTYPES)
def test_without_fused_multiply_add(dtype):
    case = operands(20, 400, 40, "b transposed", dtype, integers(0))
    listed = steps_of(*case)
    kernels = Kernels(listed, 256, fused=False)
    assert "call <8 x float> @llvm.fma" not in kernels.text
    run_steps(kernels, listed, *case)
    assert np.array_equal(case[2], case[0] @ case[1])


# ---- any shapes and strides ----
LENGTHS = (0, 1, 1, 2, 3, 5, 8, 9, 17, 33)


class RandomCase:
    """Operands of a product with random axes: permuted, reversed, with steps, repeated (stride 0) and broadcast."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.dtype = self.random.choice(DTYPES)
        m, k, n = (int(self.random.choice(LENGTHS)) for _ in range(3))
        if self.random.random() < 0.3:
            k = int(self.random.choice([100, 390, 700]))
        batch = tuple(int(self.random.choice((1, 2, 3))) for _ in range(self.random.integers(0, 3)))
        left, right = (
            (k,) if self.random.random() < 0.15 else (m, k),
            (k,) if self.random.random() < 0.15 else (k, n),
        )
        self.a = self.array(self.part_of(batch) + left if len(left) > 1 else left, repeat=True)
        self.b = self.array(self.part_of(batch) + right if len(right) > 1 else right, repeat=True)
        self.wanted = np.matmul(self.a, self.b)
        self.c = self.array(self.wanted.shape, repeat=False)
        self.memory = self.c if self.c.base is None else self.c.base
        while self.memory.base is not None:
            self.memory = self.memory.base

    def part_of(self, batch: tuple[int, ...]) -> tuple[int, ...]:
        """A shape that broadcasts to the batch."""
        start = self.random.integers(0, len(batch) + 1)
        return tuple(1 if self.random.random() < 0.3 else n for n in batch[start:])

    def array(self, shape: tuple[int, ...], repeat: bool) -> np.ndarray:
        """A view with gaps and guard bands in memory of its own."""
        order = self.random.permutation(len(shape)) if self.random.random() < 0.6 else np.arange(len(shape))
        gaps = [int(self.random.choice((1, 1, 1, 2, 3))) for _ in shape]
        outer = [shape[i] * gaps[i] + 2 * 3 * (gaps[i] > 1) for i in order]
        flat = self.random.integers(-3, 4, int(np.prod(outer)) + 64).astype(self.dtype)
        whole = flat[32 : flat.size - 32].reshape(outer).transpose(np.argsort(order))
        cuts = [slice(3, 3 + n * gap, gap) if gap > 1 else slice(None) for n, gap in zip(shape, gaps)]
        result = whole[(..., *cuts)][
            (..., *(slice(None, None, self.random.choice((1, 1, -1))) for _ in shape))
        ]
        if repeat and shape and self.random.random() < 0.1:
            axis = self.random.integers(len(shape))
            if shape[axis]:
                result = np.broadcast_to(np.take(result, [0], axis), shape)
        return result


@pytest.mark.parametrize("group", range(16))
def test_random_shapes_and_strides(group):
    """Exact, for all sums are small integers; and no element of the result's memory but its own changes."""
    cases = [RandomCase(1000 * group + i) for i in range(25)]
    listed = [steps_of(case.a, case.b, case.c) for case in cases]
    kernels = Kernels(itertools.chain(*listed), WIDTHS[group % 3])
    for case, steps_here in zip(cases, listed):
        before = case.memory.copy()
        run_steps(kernels, steps_here, case.a, case.b, case.c)
        description = (
            f"{case.a.shape}{case.a.strides} {case.b.shape}{case.b.strides} {case.c.strides} {steps_here}"
        )
        assert np.array_equal(case.c, case.wanted), description
        case.c[...] = 0
        after = case.memory.copy()
        case.memory[...] = before
        case.c[...] = 0
        assert np.array_equal(case.memory, after), f"written outside: {description}"


READ_TO_THE_END = """
import ctypes, itertools, mmap, sys
import numpy as np
from native_kernels import Kernels, run_steps, steps_of
libc, page = ctypes.CDLL(None, use_errno=True), mmap.PAGESIZE
kept = []
def at_the_edge(shape, dtype, end):
    "An array that begins, or ends, where memory that cannot be read does."
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    pages = -(-size // page) * page
    memory = mmap.mmap(-1, pages + 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    kept.append(memory)
    for forbidden in (start, start + page + pages):
        assert libc.mprotect(ctypes.c_void_p(forbidden), ctypes.c_size_t(page), 0) == 0
    x = np.frombuffer(memory, dtype, int(np.prod(shape)), page + (pages - size if end else 0)).reshape(shape)
    x[...] = 1
    return x
cases = []
shapes = [(3, 5, 7), (1, 37, 1), (37, 13, 1), (1, 13, 37), (40, 300, 70), (101, 1000, 131), (33, 390, 10)]
for dtype, (m, k, n), left, right, end in itertools.product(("float32", "float64"), shapes, *[(False, True)] * 3):
    a = at_the_edge((k, m) if left else (m, k), dtype, end)
    b = at_the_edge((n, k) if right else (k, n), dtype, end)
    cases.append((a.T if left else a, b.T if right else b, at_the_edge((m, n), dtype, end)))
listed = [steps_of(*case) for case in cases]
kernels = Kernels(itertools.chain(*listed), int(sys.argv[1]))
for case, steps in zip(cases, listed):
    run_steps(kernels, steps, *case)
    assert (case[2] == case[0].shape[1]).all(), steps
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="protects pages through Linux's C library")
@pytest.mark.parametrize("bits", WIDTHS)
def test_reads_nothing_outside_its_operands(bits):
    done = subprocess.run(
        [sys.executable, "-c", READ_TO_THE_END, str(bits)],
        cwd=ROOT / "tests",
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{done.returncode}\n{done.stderr}"


def test_other_columns_do_not_see_infinities():
    a, b, c = operands(6, 20, 21, "plain", "float32", integers(0))
    a[2, 3] = np.inf
    b[5, 7] = np.nan
    listed = steps_of(a, b, c)
    run_steps(Kernels(listed, 256), listed, a, b, c)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(c, a @ b)


# ---- what a product may say beside its loops ----


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("epilogue", [(), ("bias",), ("relu",), ("bias", "relu")], ids=str)
@pytest.mark.parametrize("vectors", FORMS)
def test_accumulate_and_epilogue(vectors, epilogue, accumulate):
    shapes = [(5, 7, 11), (9, 600, 18), (1, 5000, 3), (6, 0, 4), (40, 400, 1)]
    cases = []
    for m, k, n in shapes:
        product, arrays = plain(m, k, n, vectors)
        cases.append((dataclasses.replace(product, accumulate=accumulate, epilogue=epilogue), arrays))
    kernels = Kernels([product for product, _ in cases], 256)
    for product, (a, b, c) in cases:
        bias = np.arange(c.shape[1], dtype="float32") - 5
        wanted = a @ b + (c if accumulate else 0) + (bias if "bias" in epilogue else 0)
        wanted = np.maximum(wanted, 0) if "relu" in epilogue else wanted
        kernels.run(product, a, b, c, *([bias] if "bias" in epilogue else []))
        assert np.array_equal(c, wanted), product


def test_relu_keeps_nan():
    product, (a, b, c) = plain(3, 4, 5, "columns")
    product = dataclasses.replace(product, epilogue=("relu",))
    a[1, 1] = np.nan
    Kernels([product], 256).run(product, a, b, c)
    np.testing.assert_array_equal(c, np.maximum(a @ b, 0))


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("channels", [1, 3, 64, 150])
def test_several_depth_loops_are_a_convolution(channels, bits):
    """y[h, w, o] = sum over i, j, c of x[h + i, w + j, c] * weights[i, j, c, o], the image's rows 12 wide."""
    x = integers(2)((9, 12, channels)).astype("float32")
    weights = integers(3)((3, 3, channels, 20)).astype("float32")
    y = np.full((7, 10, 20), np.nan, "float32")
    rows, wide, out = 12 * channels, channels, 20
    depth = ((3, rows, 3 * channels * out), (3, wide, channels * out), (channels, 1, out))
    product = Product(((7, rows, 0, 10 * out),), (10, wide, out), (out, 1, 1), depth, "float32")
    listed = arranged(product)
    forms = [dataclasses.replace(p, panels=panels) for p in listed for panels in (False, True)]
    assert len(listed) == 1 and listed[0].depth == ((3, rows, 3 * channels * out), (3 * channels, 1, out))
    kernels = Kernels([*forms, product], bits)
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(0, 1))
    wanted = np.einsum("hwcij,ijco->hwo", windows, weights)
    for form in (*forms, product):
        y[...] = np.nan
        kernels.run(form, x, weights, y)
        assert np.array_equal(y, wanted), form


@pytest.mark.parametrize(
    "vectors, panels", [*((form, False) for form in FORMS), ("columns", True), ("rows", True)]
)
def test_a_part_of_the_rows_has_the_same_bits(vectors, panels):
    """So that any number of threads may share the rows, or the columns."""
    product, (a, b, c) = plain(37, 900, 45, vectors, panels)
    a[...] = np.random.default_rng(0).standard_normal(a.shape)
    b[...] = np.random.default_rng(1).standard_normal(b.shape)
    pieces = []
    for rows, columns in ((1, 45), (5, 45), (37, 1), (37, 9), (2, 3)):
        row, column = (rows, *product.rows[1:]), (columns, *product.columns[1:])
        pieces.append(dataclasses.replace(product, rows=row, columns=column))
    kernels = Kernels([product, *pieces], 256)
    kernels.run(product, a, b, c)
    whole = c.copy()
    for part in pieces:
        c[...] = 0
        kernels.run(part, a, b, c)
        assert np.array_equal(c[: part.rows[0], : part.columns[0]], whole[: part.rows[0], : part.columns[0]])
