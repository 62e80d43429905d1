"""What is copied first for a product, which form it gets, and who computes it."""

import ctypes
import dataclasses
import itertools
import sys

import numpy as np
import pytest

import tapegrad as tg

pytest.importorskip("llvmlite")

from native_kernels import DTYPES, FORMS, WIDTHS, Kernels, matrix, plain
from tapegrad.compiler.emit.native import emitter, machine, packing, parts, product_table
from tapegrad.compiler.emit.native.product_table import best
from tapegrad.compiler.emit.native.product_text import declarations, panels_text, product_text
from tapegrad.compiler.emit.native.product_tiles import spans, tile_size
from tapegrad.compiler.emit.native.products import Matrix, Product, packable, steps


@pytest.mark.parametrize(("written", "again"), [("w", True), ("half", True), ("other", False)])
def test_an_operand_is_another_one_once_its_memory_was_written_to(written, again):
    w = np.zeros((8, 8), "float32")
    arrays = {name: np.zeros((8, 8), "float32") for name in ("x", "y", "out", "other")}
    arrays |= {"w": w, "half": w[4:]}
    reading = [emitter.Product("x", "w", "out", []), emitter.Product("y", "w", "out", [])]
    calls = [*reading, emitter.Product("x", "y", written, []), *reading]
    keys = [given.get("b") for given in packing.shared_operands(calls, arrays)]
    assert keys[0] == keys[1] and keys[3] == keys[4] and keys[0] is not None and keys[2] is None
    assert (keys[0] != keys[3]) == again


def dense(*shape: int) -> Matrix:
    return matrix(np.empty(shape, "float32"))


def swapped(m: Matrix) -> Matrix:
    return Matrix((*m.shape[:-2], *m.shape[:-3:-1]), (*m.strides[:-2], *m.strides[:-3:-1]), m.dtype)


def test_equal_products_are_one_key():
    first, second = (steps(dense(8, 16), dense(16, 4), dense(8, 4)) for _ in range(2))
    assert first == second and len({*first, *second}) == 1
    assert product_text(first[0], "f", 256) == product_text(second[0], "f", 256)
    # A batch of one, and a vector, are the same product as the matrix.
    assert steps(dense(1, 8, 16), dense(16, 4), dense(1, 8, 4)) == first
    assert steps(dense(16), dense(16, 4), dense(4)) == steps(dense(1, 16), dense(16, 4), dense(1, 4))


def test_a_batch_with_one_right_operand_is_one_larger_product():
    (product,) = steps(dense(2, 3, 8, 16), dense(16, 4), dense(2, 3, 8, 4))
    assert product == steps(dense(48, 16), dense(16, 4), dense(48, 4))[0]
    (product,) = steps(dense(3, 8, 16), dense(3, 16, 4), dense(3, 8, 4))
    assert product.batch == ((3, 128, 64, 32),) and product.rows == (8, 16, 4)


def test_which_operand_is_worth_a_copy_that_products_share():
    weight = swapped(dense(20, 16))
    for a, c, wanted in (
        (dense(8, 16), dense(8, 20), "b"),
        (dense(200, 16), dense(200, 20), ""),  # the kernel's own copy costs little
        (dense(3, 8, 16), dense(3, 8, 20), "b"),
    ):
        (product,) = steps(a, weight, c)
        assert product.panels and packable(product) == wanted
    (product,) = steps(dense(8, 16), dense(16, 20), dense(8, 20))
    assert not product.panels and packable(product) == ""
    (product,) = steps(dense(3, 8, 16), swapped(dense(3, 20, 16)), dense(3, 8, 20))
    assert product.panels and packable(product) == ""  # a batch of right operands


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("vectors", ["columns", "rows"])
def test_panels_that_are_copied_ahead_give_the_same_bits(vectors, dtype, bits):
    """And their copy writes nothing behind the memory that it asks for."""
    shapes = [
        (5, 7, 11),
        (9, 600, 18),
        (1, 900, 3),
        (40, 400, 71),
        (33, 384, 48),
        (8, 770, 130),
        (90, 17, 513),
    ]
    cases = []
    for m, k, n in shapes:
        product, (a, b, c) = plain(m, k, n, vectors, panels=True)
        a, b, c = (np.asarray(np.random.default_rng(5).standard_normal(x.shape), dtype) for x in (a, b, c))
        if vectors == "rows":
            a, c = (np.ascontiguousarray(x.T).T for x in (a, c))
        else:
            b = np.ascontiguousarray(b.T).T if k % 2 else b
        (am, ak), (bk, bn), (cm, cn) = (matrix(x).strides for x in (a, b, c))
        product = Product((), (m, am, cm), (n, bn, cn), ((k, ak, bk),), dtype, vectors, panels=True)
        cases.append((product, (a, b, c)))
    fused = machine.fused()
    texts = [panels_text(p, f"copy_{i}", bits, fused) for i, (p, _) in enumerate(cases)]
    packed = [dataclasses.replace(product, packed=True) for product, _ in cases]
    kernels = Kernels([*(p for p, _ in cases), *packed], bits)
    code = machine.Code("\n".join([*declarations(bits), *(text for text, _ in texts)]))
    for i, ((product, (a, b, c)), (_, size), other) in enumerate(zip(cases, texts, packed)):
        kernels.run(product, a, b, c)
        wanted = c.tobytes()
        copy = np.full(size + 64, np.nan, dtype)
        source = b if vectors == "columns" else a
        table = (ctypes.c_void_p * 2)(*(x.__array_interface__["data"][0] for x in (source, copy)))
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
        assert kind(code.address(f"copy_{i}"))(table, None) == 0
        assert np.isnan(copy[size:]).all()
        c[...] = np.nan
        kernels.run(other, *((a, copy, c) if vectors == "columns" else (copy, b, c)))
        assert c.tobytes() == wanted, product


@pytest.mark.parametrize(
    "a, b, c, vectors",
    [
        (dense(4096, 100), dense(100, 1), dense(4096, 1), "depth"),
        (swapped(dense(4096, 100)), dense(4096, 1), dense(100, 1), "rows"),
        (dense(1, 100), dense(100, 50), dense(1, 50), "columns"),
        (dense(1, 100), swapped(dense(50, 100)), dense(1, 50), "depth"),
        (dense(100), dense(100), dense(), "depth"),
        (dense(32, 30), dense(30, 64), dense(32, 64), "columns"),
        (swapped(dense(30, 32)), swapped(dense(64, 30)), swapped(dense(64, 32)), "rows"),
    ],
)
def test_the_form_suits_the_strides(a, b, c, vectors):
    (product,) = steps(a, b, c)
    assert product.vectors == vectors


def test_nothing_to_do_and_zeros():
    assert steps(dense(0, 4), dense(4, 3), dense(0, 3)) == []
    (product,) = steps(dense(2, 0), dense(0, 3), dense(2, 3))
    c = np.ones((2, 3), "float32")
    Kernels([product], 256).run(product, np.empty(0, "float32"), np.empty(0, "float32"), c)
    assert not c.any()


@pytest.mark.parametrize(
    "shapes", [((2, 3), (4, 5), (2, 5)), ((2, 3), (3, 5), (2, 4)), ((2, 2, 3), (3, 3, 5), (2, 2, 5))]
)
def test_shapes_that_do_not_match(shapes):
    with pytest.raises(ValueError, match="matmul: shapes"):
        steps(*(dense(*shape) for shape in shapes))


@pytest.mark.parametrize("vectors", FORMS)
def test_a_kernel_that_would_read_other_elements_is_refused(vectors):
    strided = Product((), (4, 20, 12), (6, 2, 2), ((10, 2, 12),), "float32", vectors)
    with pytest.raises(ValueError, match=r"need strides of 1\nWrite arranged"):
        product_text(strided, "f", 256)


def test_spans_and_tiles():
    assert spans(32, 6) == [(2, 6), (4, 5)] and spans(7, 7) == [(1, 7)]
    for registers in (15, 16, 32):
        for rows, vectors in itertools.product((1, 2, 7, 32, 1000), (1, 2, 5, 13, 100)):
            r, v = tile_size(rows, vectors, registers)
            assert r * v + 1 <= registers


def test_the_table_leaves_to_blas_what_blas_does_faster(monkeypatch):
    monkeypatch.setattr(product_table, "RATIOS", {(256, "float32"): ((1e6, 1.2), (1e9, 0.7), (1e11, 0.95))})
    asked = [best(size, "float32", 256) for size in (10**5, 10**8, 10**10)]
    assert asked == ["own", "blas", "own"]
    assert best(10**8, "float64", 256) == best(10**8, "float32", 512) == "own"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert [best(size, "float32", 128) for size in (10**5, 10**8)] == ["own", "blas"]


def test_a_product_of_blas_reads_the_arguments_of_each_call(monkeypatch):
    monkeypatch.setattr(parts, "best", lambda *_: "blas")
    f = tg.jit(lambda x, y: (tg.tanh(x * 1.0) @ y, x @ y + 1), emitter="native")
    with tg.no_grad():
        for seed in range(6):
            numbers = np.random.default_rng(seed).standard_normal
            x, y = numbers((100, 90)).astype("float32"), numbers((90, 80)).astype("float32")
            first, second = f(tg.tensor(x), tg.tensor(y))
            assert np.allclose(first.numpy(), np.tanh(x) @ y, atol=1e-4)
            assert np.allclose(second.numpy(), x @ y + 1, atol=1e-4)
    assert f.stats()["programs"] == ["native"]
    assert "x 2  100 x 90 x 80, float32: BLAS" in f.explain()


def test_explain_names_the_kernel_of_each_product():
    a, b = (np.ones(shape, "float32") for shape in ((40, 50), (50, 60)))
    x, y = tg.tensor(a), tg.tensor(b)
    f = tg.jit(lambda: ((x @ y) @ y.T, (x * 2 @ y) @ y.T), emitter="native")
    with tg.no_grad():
        for _ in range(4):
            f()
    lines = [line for line in f.explain().splitlines() if "vectors of" in line]
    for line, size in zip(lines, ["40 x 50 x 60, float32", "40 x 60 x 50, float32"], strict=True):
        assert f"x 2  {size}: vectors of" in line
    assert "copied once" in lines[1] and "read as they lie" in lines[0]
