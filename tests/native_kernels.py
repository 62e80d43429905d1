"""Kernels of products, compiled by llvmlite for this machine, and the steps of a product run on NumPy arrays."""

import ctypes
from collections.abc import Iterable
from functools import cache
from math import prod
from typing import Any

import numpy as np

from tapegrad.compiler.emit.native.product_text import declarations, pack_text, product_text
from tapegrad.compiler.emit.native.products import Matrix, Pack, Product, Step, steps


@cache
def target() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple()


def machine() -> Any:
    """This machine, for one engine, which owns it."""
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features().flatten()
    return target().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=1, codemodel="default"
    )


def has_fma() -> bool:
    import llvmlite.binding as llvm

    return bool(llvm.get_host_cpu_features().get("fma", llvm.get_host_cpu_features().get("neon", False)))


class Kernels:
    """Kernels of one module: `run(step, *arrays)`. Optimized a little, which takes half the time."""

    def __init__(self, listed: Iterable[Step], bits: int, fused: bool | None = None) -> None:
        import llvmlite.binding as llvm

        fused = has_fma() if fused is None else fused
        self.names = {step: f"kernel_{i}" for i, step in enumerate(dict.fromkeys(listed))}
        texts = [
            product_text(step, name, bits, fused)
            if isinstance(step, Product)
            else pack_text(step, name, bits)
            for step, name in self.names.items()
        ]
        self.text = "\n".join([*declarations(bits), *texts])
        module = llvm.parse_assembly(self.text)
        module.verify()
        here = machine()
        module.triple, module.data_layout = here.triple, str(here.target_data)
        options = llvm.create_pipeline_tuning_options(speed_level=1)
        options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
        builder = llvm.create_pass_builder(here, options)
        builder.getModulePassManager().run(module, builder)
        self.engine = llvm.create_mcjit_compiler(module, here)
        self.engine.finalize_object()

    def run(self, step: Step, *arrays: np.ndarray) -> None:
        table = (ctypes.c_void_p * len(arrays))(*(x.__array_interface__["data"][0] for x in arrays))
        address = self.engine.get_function_address(self.names[step])
        assert ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(address)(table) == 0


def matrix(x: np.ndarray) -> Matrix:
    return Matrix(x.shape, tuple(s // x.itemsize for s in x.strides), str(x.dtype))


def steps_of(a: np.ndarray, b: np.ndarray, c: np.ndarray, shared: str = "") -> list[Step]:
    return steps(matrix(a), matrix(b), matrix(c), shared=shared)


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
