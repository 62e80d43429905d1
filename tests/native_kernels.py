"""Kernels of products, compiled by llvmlite for this machine, and the steps of a product run on NumPy arrays."""

import ctypes
from collections.abc import Iterable
from math import prod

import numpy as np

from tapegrad.compiler.emit.native import machine
from tapegrad.compiler.emit.native.parts import matrix as matrix
from tapegrad.compiler.emit.native.product_text import declarations, pack_text, product_text, scratch_bytes
from tapegrad.compiler.emit.native.products import Matrix, Pack, Product, Step, steps

GUARDED = 256  # bytes behind a kernel's scratch memory, which it must not write to

WIDTHS = (128, 256, 512)  # LLVM writes vectors that the machine lacks as several narrower ones
DTYPES = ("float32", "float64")
FORMS = ("columns", "rows", "depth")


class Kernels:
    """Kernels of one module, compiled as the emitter does: `run(step, *arrays)`."""

    def __init__(self, listed: Iterable[Step], bits: int, fused: bool | None = None) -> None:
        fused = machine.fused() if fused is None else fused
        self.names = {step: f"kernel_{i}" for i, step in enumerate(dict.fromkeys(listed))}
        texts = [
            product_text(step, name, bits, fused)
            if isinstance(step, Product)
            else pack_text(step, name, bits)
            for step, name in self.names.items()
        ]
        self.text = "\n".join([*declarations(bits), *texts])
        self.code = machine.Code(self.text)
        sizes = [scratch_bytes(step, bits, fused) for step in self.names if isinstance(step, Product)]
        self.size = max(sizes, default=0)

    def run(self, step: Step, *arrays: np.ndarray) -> None:
        table = (ctypes.c_void_p * len(arrays))(*(x.__array_interface__["data"][0] for x in arrays))
        scratch = machine.scratch_of(self.size + GUARDED)
        scratch[self.size :] = 255
        address = self.code.address(self.names[step])
        function = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(address)
        assert function(table, scratch.ctypes.data) == 0
        assert (scratch[self.size :] == 255).all(), f"written behind the scratch memory: {step}"


def steps_of(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> list[Step]:
    return steps(matrix(a), matrix(b), matrix(c))


def view(x: np.ndarray, m: Matrix) -> np.ndarray:
    return np.lib.stride_tricks.as_strided(x, m.shape, [s * x.itemsize for s in m.strides])


def run_steps(
    kernels: Kernels, listed: list[Step], a: np.ndarray, b: np.ndarray, c: np.ndarray, *bias: np.ndarray
) -> None:
    """What an emitter does with the steps of a product."""
    operands = {"a": a, "b": b}
    for step in listed:
        if isinstance(step, Pack):
            size = prod(step.source.shape)
            memory = np.full(size + 64, np.nan, step.source.dtype)
            packed = memory[:size].reshape(step.source.shape)
            kernels.run(step, operands[step.operand], packed)
            assert np.array_equal(packed, view(operands[step.operand], step.source), equal_nan=True)
            assert np.isnan(memory[size:]).all(), f"written outside: {step}"
            operands[step.operand] = packed
        else:
            kernels.run(step, operands["a"], operands["b"], c, *bias)


def integers(seed: int):
    generator = np.random.default_rng(seed)
    return lambda shape: generator.integers(-4, 5, shape)


def plain(m: int, k: int, n: int, vectors: str, panels: bool = False) -> tuple[Product, list[np.ndarray]]:
    """A product in a form with operands that suit it, and c."""
    numbers = integers(1)
    a = numbers((k, m)).astype("float32").T if vectors == "rows" else numbers((m, k)).astype("float32")
    b = numbers((n, k)).astype("float32").T if vectors == "depth" else numbers((k, n)).astype("float32")
    c = numbers((n, m)).astype("float32").T if vectors == "rows" else numbers((m, n)).astype("float32")
    (am, ak), (bk, bn), (cm, cn) = (matrix(x).strides for x in (a, b, c))
    return Product((), (m, am, cm), (n, bn, cn), ((k, ak, bk),), "float32", vectors, panels), [a, b, c]
