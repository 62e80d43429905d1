"""Matrix products: kernels compiled for shapes and strides (copies of operands included), NumPy's matmul, PyTorch's.

One core. The shapes are those of a step, forward and of both gradients, of the MLPs 30-64-32-1 with 32 rows,
784-512-256-10 with 128 and 1024-2048-2048-1000 with 512; of Dense(16) and a recurrent network with 8 rows; of attention
with 8 heads of 64 x 32; of a logistic regression with 4096 x 100.

`python -m benchmarks.products table` prints the rows of the compiler's `product_table`, from these and larger ones.
"""

import ctypes
import json
import statistics
import sys
import time
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from benchmarks.harness import Case, Contestant, Promise
from tapegrad.cli import blas

Shape = tuple[int, ...]

# a and b of the products as they lie in memory, and which of them are transposed before they are multiplied.
PRODUCTS: dict[str, tuple[Shape, Shape, str]] = {
    **{
        f"{m}x{k}x{n} {name}": product
        for m, k, n in (
            *((32, 30, 64), (32, 64, 32), (32, 32, 1), (8, 16, 16)),
            *((128, 784, 512), (128, 512, 256), (128, 256, 10)),
            *((512, 1024, 2048), (512, 2048, 2048), (512, 2048, 1000)),
        )
        for name, product in (
            ("forward", ((m, k), (k, n), "")),
            ("weights", ((m, k), (m, n), "a")),
            ("input", ((m, n), (k, n), "b")),
        )
    },
    "8 of 64x32x64 scores": ((8, 64, 32), (8, 64, 32), "b"),
    "8 of 64x64x32 values": ((8, 64, 64), (8, 64, 32), ""),
    "4096x100x1 logistic": ((4096, 100), (100, 1), ""),
    "100x4096x1 logistic": ((4096, 100), (4096, 1), "a"),
}
LARGE: dict[str, tuple[Shape, Shape, str]] = {
    f"{m}x{k}x{n} {transposed}": (
        (k, m) if transposed == "a" else (m, k),
        (n, k) if transposed == "b" else (k, n),
        transposed,
    )
    for m, k, n, transposed in (
        *((1024, 1024, 1024, ""), (2048, 2048, 2048, ""), (2048, 2048, 2048, "a"), (2048, 2048, 2048, "b")),
        *(
            (64, 4096, 64, ""),
            (4096, 64, 64, ""),
            (64, 64, 4096, ""),
            (1000, 1000, 1, ""),
            (1, 1000, 1000, ""),
        ),
    )
}
CLASSES = (1e5, 1e6, 1e7, 1e8, 1e9, 1e11)  # operations up to which products are one row of the table
SECONDS = 0.02

DRIVER = """
define i32 @repeat(ptr %calls, i64 %count, i64 %times, ptr %scratch) {
entry:
  br label %turn
turn:
  %t = phi i64 [0, %entry], [%t.next, %turned]
  br label %call
call:
  %i = phi i64 [0, %turn], [%i.next, %call]
  %at = getelementptr {ptr, ptr}, ptr %calls, i64 %i
  %function = load ptr, ptr %at
  %place = getelementptr {ptr, ptr}, ptr %calls, i64 %i, i32 1
  %table = load ptr, ptr %place
  %result = call i32 %function(ptr %table, ptr %scratch)
  %i.next = add i64 %i, 1
  %more = icmp slt i64 %i.next, %count
  br i1 %more, label %call, label %turned
turned:
  %t.next = add i64 %t, 1
  %again = icmp slt i64 %t.next, %times
  br i1 %again, label %turn, label %done
done:
  ret i32 0
}
"""


def compiled(a: np.ndarray, b: np.ndarray, c: np.ndarray, bits: int) -> Callable[[int], Any]:
    """A function that computes c = a @ b as often as it is told, without going through Python."""
    from tapegrad.compiler.emit.native.machine import Code, scratch_of
    from tapegrad.compiler.emit.native.parts import matrix
    from tapegrad.compiler.emit.native.product_text import (
        declarations,
        pack_text,
        product_text,
        scratch_bytes,
    )
    from tapegrad.compiler.emit.native.products import Pack, steps

    operands, tables, texts = {"a": a, "b": b, "c": c}, [], [*declarations(bits), DRIVER]
    scratch = scratch_of(0)
    for i, step in enumerate(steps(*map(matrix, (a, b, c)))):
        if isinstance(step, Pack):
            copy = np.empty(step.source.shape, a.dtype)
            tables.append([operands[step.operand], copy])
            operands[step.operand] = copy
            texts.append(pack_text(step, f"f{i}", bits))
        else:
            tables.append(list(operands.values()))
            texts.append(product_text(step, f"f{i}", bits))
            scratch = scratch_of(scratch_bytes(step, bits))
    code = Code("\n".join(texts))
    pointers = [np.array([x.ctypes.data for x in arrays], np.uint64) for arrays in tables]
    calls = np.array([[code.address(f"f{i}"), p.ctypes.data] for i, p in enumerate(pointers)], np.uint64)
    integer, pointer = ctypes.c_int64, ctypes.c_void_p
    repeat = ctypes.CFUNCTYPE(ctypes.c_int, pointer, integer, integer, pointer)(code.address("repeat"))
    kept = (code, tables, pointers)
    return lambda times: (repeat(calls.ctypes.data, len(calls), times, scratch.ctypes.data), kept)


def contestant(name: str, bits: int, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> Callable[[int], Any]:
    """A function that computes c = a @ b a number of times."""
    if name == "own":
        return compiled(a, b, c, bits)
    if name == "PyTorch":
        import torch

        torch.set_num_threads(1)
        x, y, z = map(torch.from_numpy, (a, b, c))
        return lambda times: [torch.matmul(x, y, out=z) for _ in range(times)]
    return lambda times: [np.matmul(a, b, out=c) for _ in range(times)]


def rate(run: Callable[[int], Any], operations: int) -> float:
    """Billions of operations a second, the best of five times about SECONDS / 5."""
    run(1)
    times, best = 1, float("inf")
    while (seconds := timed(run, times)) < SECONDS / 10:
        times *= 2
    times = max(1, round(times * SECONDS / 5 / seconds))
    for _ in range(5):
        best = min(best, timed(run, times) / times)
    return operations / best / 1e9


def timed(run: Callable[[int], Any], times: int) -> float:
    start = time.thread_time()  # a core that others use, too, does not count as slow
    run(times)
    return time.thread_time() - start


def arrays_of(product: tuple[Shape, Shape, str], dtype: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """a, b and an unwritten c."""
    left, right, transposed = product
    numbers = np.random.default_rng(0).standard_normal
    a, b = numbers(left).astype(dtype), numbers(right).astype(dtype)
    a, b = a.swapaxes(-1, -2) if "a" in transposed else a, b.swapaxes(-1, -2) if "b" in transposed else b
    return a, b, np.empty((*a.shape[:-1], b.shape[-1]), dtype)


def table() -> None:
    """Print the least ratio of our speed to NumPy's for products of each class: medians of five in turn."""
    for bits in widths():
        for dtype in ("float32", "float64"):
            least = dict.fromkeys(CLASSES, float("inf"))
            for product in (*PRODUCTS.values(), *LARGE.values()):
                a, b, c = arrays_of(product, dtype)
                operations = 2 * prod(c.shape) * a.shape[-1]
                own, numpy = (contestant(name, bits, a, b, c) for name in ("own", "NumPy"))
                ratios = [rate(own, operations) / rate(numpy, operations) for _ in range(5)]
                row = next(most for most in CLASSES if operations <= most)
                least[row] = min(least[row], statistics.median(ratios))
            rows = ", ".join(f"({most:.0e}, {ratio:.2f})" for most, ratio in least.items())
            print(f'    ({bits}, "{dtype}"): ({rows}),', flush=True)


def figures(name: str, dtype: str, bits: int) -> dict[str, float]:
    result = {}
    for title, product in PRODUCTS.items():
        a, b, c = arrays_of(product, dtype)
        run = contestant(name, bits, a, b, c)
        run(1)
        np.testing.assert_allclose(c, np.matmul(a, b), rtol=1e-3, atol=1e-2)
        result[title] = rate(run, 2 * prod(c.shape) * a.shape[-1])
    return result


def widths() -> tuple[int, ...]:
    """The vector widths that this CPU has, in bits."""
    flags = blas.cpu()[1]
    return (512, 256) if flags >= blas.NEEDED else (256,) if "avx2" in flags else (128,)


def case(dtype: str) -> Case:
    own = [f"own, {bits} bits" for bits in widths()]
    entries = [
        *((name, "own", bits, "llvmlite") for name, bits in zip(own, widths())),
        ("NumPy", "NumPy", 0, "numpy"),
        ("PyTorch", "PyTorch", 0, "torch"),
    ]
    return Case(
        title=f"Matrix products, {dtype}, one core, GFLOP/s",
        contestants=tuple(
            Contestant(name, ("-m", "benchmarks.products", which, dtype, str(bits)), needs)
            for name, which, bits, needs in entries
        ),
        columns={title: title for title in PRODUCTS},
        promises=tuple(Promise(title, name, "NumPy", None) for name in own for title in PRODUCTS),
        cores=1,
        note="m x k x n: c (m, n) = a (m, k) times b (k, n). `weights` and `input` are the gradients of the product "
        "m x k x n: the transposed a (k, m) times (m, n), and (m, n) times the transposed b (n, k). "
        "The calls of NumPy and PyTorch include Python's part, about 1 µs, which decides the smallest products.",
        upright=True,
    )


CASES = (case("float32"), case("float64"))

if __name__ == "__main__" and sys.argv[1:] == ["table"]:
    table()
elif __name__ == "__main__":
    print(json.dumps(figures(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
