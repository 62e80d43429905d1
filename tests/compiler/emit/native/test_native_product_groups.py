"""Products whose panels are copied in groups: the bits of one panel at a time, and nothing else is written."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from native_kernels import DTYPES, WIDTHS, Kernels, matrix
from tapegrad.compiler.emit.native import product_groups, product_text
from tapegrad.compiler.emit.native.products import Product, steps

# m, k, n: one group, several, a narrow last panel, rows that do not fill a strip; blocks of the depth, even and not.
SHAPES = [(70, 40, 300), (131, 300, 70), (40, 512, 200), (205, 17, 130), (33, 770, 65), (7, 390, 500)]
LAYOUTS = ("plain", "a transposed", "b transposed", "a strided")


def operands(m: int, k: int, n: int, layout: str, dtype: str) -> list[np.ndarray]:
    """a, b, an unwritten c and a bias."""
    numbers = np.random.default_rng(m).standard_normal
    a = numbers((k, m) if layout == "a transposed" else (2 * m, 3 * k)).astype(dtype)
    a = a.T if layout == "a transposed" else a[::2, ::3] if layout == "a strided" else a[:m, :k]
    b = numbers((n, k) if layout == "b transposed" else (k, n)).astype(dtype)
    return [
        a,
        b.T if layout == "b transposed" else b,
        np.full((m, n), np.nan, dtype),
        numbers(n).astype(dtype),
    ]


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("group_bytes", "strip"), [(1, 16), (40_000, 48), (10**6, 96)])
def test_the_bits_of_one_panel_at_a_time(group_bytes, strip, dtype, bits, monkeypatch):
    monkeypatch.setattr(product_groups, "GROUP_BYTES", group_bytes)
    monkeypatch.setattr(product_groups, "STRIP", strip)
    monkeypatch.setattr(product_groups, "FAR_BYTES", 100)
    cases: list[tuple[Product, list[np.ndarray]]] = []
    for number, shape in enumerate(SHAPES):
        for layout in LAYOUTS:
            arrays = operands(*shape, layout, dtype)
            (product,) = steps(*map(matrix, arrays[:3]), epilogue=("bias", "relu") * (number % 2))
            if product_groups.is_grouped(product, bits):
                cases.append((product, arrays if product.epilogue else arrays[:3]))
    assert len(cases) > len(SHAPES)
    grouped = Kernels([product for product, _ in cases], bits)
    monkeypatch.setattr(product_text, "is_grouped", lambda product, bits: False)
    single = Kernels([product for product, _ in cases], bits)
    for product, (a, b, c, *bias) in cases:
        grouped.run(product, a, b, c, *bias)
        found = c.copy()
        single.run(product, a, b, c, *bias)
        assert found.tobytes() == c.tobytes(), product


def kernel(a: tuple[int, ...], b: tuple[int, ...], transposed: bool = False) -> product_groups.GroupedKernel:
    left, right = np.empty(a, "float32"), np.empty(b, "float32")
    left = left.T if transposed else left
    (product,) = steps(matrix(left), matrix(right), matrix(np.empty((len(left), right.shape[1]), "float32")))
    return product_groups.GroupedKernel(product, 512, True)


def test_what_is_copied():
    for made, strip in (
        (kernel((1024, 512), (512, 128)), 0),
        (kernel((1024, 128), (1024, 128), transposed=True), 0),
        (kernel((1024, 512), (1024, 128), transposed=True), 96),  # 2048 bytes from term to term
        (kernel((1024, 2048), (1024, 80), transposed=True), 96),
    ):
        assert made.strip == strip
    widths = {(count, columns) for count, columns, _ in kernel((512, 2048), (2048, 2048)).groups}
    assert widths == {(4, 512)}  # 256 terms of 512 columns are GROUP_BYTES
    assert [count for count, _, _ in kernel((1024, 128), (128, 65)).groups] == [1]
    assert kernel((512, 2048), (2048, 2048)).scratch < 2 * product_groups.GROUP_BYTES
