"""What the source of the CuPy emitter calls where nvmath-python is installed: a step as one launch, and matrix products
that can be part of it.

CuPy's own products go through cuBLAS, which CuPy refuses to call while a stream is being captured. cublasLt takes the
stream, the workspace and the epilogue as arguments.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from tapegrad.autograd.aliases import Array

# Workspace of one product in bytes: NVIDIA's advice for Hopper.
MOST_WORKSPACE = 32 * 2**20


class Captured:
    """A program that runs once as it is, in which its kernels are compiled and its memory is found, is then captured
    from a stream of its own as a CUDA graph, and from then on launched on the caller's stream.

    What it allocates comes from a pool of its own, so that the graph's memory is nobody else's. A program that cannot
    be captured after all runs as it is; `why_not` says why.
    """

    def __init__(self, program: Callable[[], tuple[Array, ...]]) -> None:
        import cupy

        self.cuda, self.program = cupy.cuda, program
        self.stream = cupy.cuda.Stream(non_blocking=True)
        self.pool = cupy.cuda.MemoryPool()
        self.graph: Any = None
        self.results: tuple[Array, ...] = ()
        self.why_not = ""

    def __call__(self) -> tuple[Array, ...]:
        """Run it; its results, which the next run writes to again."""
        if self.graph is not None:
            self.graph.launch()
            return self.results
        if self.why_not:
            return self.program()
        here = self.cuda.get_current_stream()
        self.stream.wait_event(here.record())
        with self.stream, self.cuda.using_allocator(self.pool.malloc):
            results = self.program()
            self.capture()
        here.wait_event(self.stream.record())
        return results

    def capture(self) -> None:
        self.stream.begin_capture()
        try:
            self.results = self.program()
            self.graph = self.stream.end_capture()
        except Exception as error:
            self.why_not = f"no graph: {error}"
            with suppress(Exception):  # a capture that went wrong says so once more when it ends
                self.stream.end_capture()


class Products:
    """Matrix products through cublasLt. How each is done is chosen once for its sizes, dtype, layout and epilogue."""

    COMPUTE = {"float16": "COMPUTE_32F", "float32": "COMPUTE_32F", "float64": "COMPUTE_64F"}
    DATA = {"float16": "CUDA_R_16F", "float32": "CUDA_R_32F", "float64": "CUDA_R_64F"}

    def __init__(self) -> None:
        import cupy
        import nvmath
        from nvmath.bindings import cublas, cublasLt

        self.cupy, self.lt = cupy, cublasLt
        self.data = {d: int(getattr(nvmath.CudaDataType, name)) for d, name in self.DATA.items()}
        self.compute = {d: int(getattr(cublas.ComputeType, name)) for d, name in self.COMPUTE.items()}
        if int(os.environ.get("CUPY_TF32", "0")):  # as for CuPy's own products
            self.compute["float32"] = int(cublas.ComputeType.COMPUTE_32F_FAST_TF32)
        self.handle = cublasLt.create()
        self.plans: dict[object, Plan | None] = {}

    def __del__(self) -> None:
        self.plans.clear()
        self.lt.destroy(self.handle)

    def matmul(self, a: Array, b: Array, out: Array) -> None:
        """out = a @ b for matrices; out is C-contiguous."""
        if not a.size or not b.size:
            out.fill(0)
            return
        if not self.run(a, b, out, "DEFAULT", None):
            raise RuntimeError(
                f"cublasLt knows no way to multiply {a.dtype}{list(a.shape)} by {list(b.shape)}"
            )

    def matmul_and_sum(self, a: Array, b: Array, out: Array, total: Array) -> None:
        """out = a @ b and total = b.sum(axis=0), in one kernel where cublasLt has one: the gradients of a linear map's
        matrix and bias."""
        if not a.size or not b.size or not self.run(a, b, out, "BGRADA", total):
            self.matmul(a, b, out)
            self.cupy.sum(b, axis=0, out=total)

    def run(self, a: Array, b: Array, out: Array, epilogue: str, vector: Array | None) -> bool:
        """cublasLt counts columns first, so that it is given out.T = b.T @ a.T. False: it knows no way."""
        (left, left_t, left_ld), (right, right_t, right_ld) = self.laid_out(b), self.laid_out(a)
        arrays = (left, right, out, *(() if vector is None else (vector,)))
        pointers = [int(x.data.ptr) for x in arrays]
        aligned = tuple(min(256, p & -p) for p in pointers)
        key = (*a.shape, b.shape[1], str(out.dtype), left_t, right_t, left_ld, right_ld, epilogue, aligned)
        if key not in self.plans:
            self.plans[key] = self.choose(key)
        plan = self.plans[key]
        if plan is None:
            return False
        if vector is not None:
            plan.set("BIAS_POINTER", pointers[3])
        stream = self.cupy.cuda.get_current_stream().ptr
        self.lt.matmul(
            self.handle, plan.operation, plan.one.ctypes.data, pointers[0], plan.layouts[0], pointers[1],
            plan.layouts[1], plan.zero.ctypes.data, pointers[2], plan.layouts[2], pointers[2], plan.layouts[2],
            plan.algorithm.ctypes.data, plan.workspace.data.ptr, plan.workspace.size, stream,
        )  # fmt: skip
        return True

    def laid_out(self, x: Array) -> tuple[Array, bool, int]:
        """(an array that cublasLt can read, whether it is to be read transposed, the length of its lines)."""
        if not (x.flags.c_contiguous or x.flags.f_contiguous):
            x = self.cupy.ascontiguousarray(x)
        rows, columns = x.shape
        return (x, False, max(columns, 1)) if x.flags.c_contiguous else (x, True, max(rows, 1))

    def choose(self, key: Any) -> "Plan | None":
        m, k, n, dtype, left_t, right_t, left_ld, right_ld, epilogue, aligned = key
        lt, kind = self.lt, self.data[dtype]
        plan = Plan(lt, self.compute[dtype], self.data["float64" if dtype == "float64" else "float32"])
        plan.set("TRANSA", int(left_t))
        plan.set("TRANSB", int(right_t))
        plan.set("EPILOGUE", int(getattr(lt.Epilogue, epilogue)))
        if epilogue != "DEFAULT":
            plan.set("BIAS_DATA_TYPE", kind)
        shapes = ((k, n) if left_t else (n, k), (m, k) if right_t else (k, m), (n, m))
        plan.layouts = [
            lt.matrix_layout_create(kind, rows, columns, ld)
            for (rows, columns), ld in zip(shapes, (left_ld, right_ld, n))
        ]
        preference = lt.matmul_preference_create()
        wanted: dict[str, tuple[Any, int]] = {"MAX_WORKSPACE_BYTES": (np.uint64, MOST_WORKSPACE)}
        wanted |= {f"MIN_ALIGNMENT_{x}_BYTES": (np.uint32, aligned[i]) for x, i in zip("ABCD", (0, 1, 2, 2))}
        for name, (scalar, value) in wanted.items():
            held = np.array([value], scalar)
            attribute = int(getattr(lt.MatmulPreferenceAttribute, name))
            lt.matmul_preference_set_attribute(preference, attribute, held.ctypes.data, held.nbytes)
        found, count = np.zeros(1, lt.matmul_heuristic_result_dtype), np.zeros(1, np.int32)
        try:
            lt.matmul_algo_get_heuristic(
                self.handle, plan.operation, *plan.layouts, plan.layouts[2], preference, 1, found.ctypes.data,
                count.ctypes.data,
            )  # fmt: skip
        except Exception:  # not supported: no algorithm at all, or none with this epilogue
            count[0] = 0
        finally:
            lt.matmul_preference_destroy(preference)
        if not count[0]:
            return None
        plan.algorithm = np.array(found["algo"][:1])
        plan.workspace = self.cupy.empty(max(int(found["workspace_size"][0]), 1), "uint8")
        return plan


class Plan:
    """One way to multiply: what cublasLt calls the operation, the layouts, the algorithm and its workspace."""

    def __init__(self, lt: Any, compute: int, scale: int) -> None:
        self.lt = lt
        self.operation = lt.matmul_desc_create(compute, scale)
        self.layouts: list[int] = []
        self.algorithm: Any = None
        self.workspace: Any = None
        kind = np.float64 if scale == 1 else np.float32
        self.one, self.zero = np.ones(1, kind), np.zeros(1, kind)

    def set(self, name: str, value: int) -> None:
        attribute = getattr(self.lt.MatmulDescAttribute, name)
        held = np.array([value], self.lt.get_matmul_desc_attribute_dtype(int(attribute)))
        self.lt.matmul_desc_set_attribute(self.operation, int(attribute), held.ctypes.data, held.nbytes)

    def __del__(self) -> None:
        for layout in self.layouts:
            self.lt.matrix_layout_destroy(layout)
        self.lt.matmul_desc_destroy(self.operation)
