"""nvmath's bindings of cublasLt without a GPU, for tests: descriptors are kept, products are worked out by NumPy from
the pointers, sizes and layouts that it is given, and every call is written down in `calls`.
"""

import ctypes
from types import SimpleNamespace
from typing import Any

import numpy as np

from gpu_standin import module
from gpu_stream import launch

DATA = {0: np.float32, 1: np.float64, 2: np.float16}
ATTRIBUTES = ("TRANSA", "TRANSB", "EPILOGUE", "BIAS_POINTER", "BIAS_DATA_TYPE")
PREFERENCES = ("MAX_WORKSPACE_BYTES", "MIN_ALIGNMENT_A_BYTES", "MIN_ALIGNMENT_B_BYTES", "MIN_ALIGNMENT_C_BYTES",
               "MIN_ALIGNMENT_D_BYTES")  # fmt: skip
SIZES = {"BIAS_POINTER": 8, "MAX_WORKSPACE_BYTES": 8}
EPILOGUES = {"DEFAULT": 1, "BGRADA": 256}
calls: list[tuple[Any, ...]] = []
objects: dict[int, dict[str, Any]] = {}
refused: set[str] = set()  # epilogues for which there is no algorithm


def made(kind: str, **contents: Any) -> int:
    number = max(objects, default=100) + 1
    objects[number] = {"kind": kind, **contents}
    return number


def destroyed(kind: str) -> Any:
    def destroy(number: int) -> None:
        assert objects.pop(number)["kind"] == kind

    return destroy


def set_attribute(names: tuple[str, ...]) -> Any:
    def set_one(number: int, attribute: int, pointer: int, size: int) -> None:
        name = names[attribute]
        assert size == SIZES.get(name, 4), (name, size)
        objects[number][name] = int.from_bytes(ctypes.string_at(pointer, size), "little")

    return set_one


def get_heuristic(handle: int, operation: int, a: int, b: int, c: int, d: int, preference: int, wanted: int,
                  results: int, count: int) -> None:  # fmt: skip
    assert objects[handle]["kind"] == "handle" and wanted == 1
    epilogue = next(n for n, e in EPILOGUES.items() if e == objects[operation]["EPILOGUE"])
    calls.append(("choose", epilogue, objects[preference]))
    found = 0 if epilogue in refused else 1
    ctypes.c_int32.from_address(count).value = found
    if found:
        result = np.frombuffer(
            (ctypes.c_char * heuristic_dtype.itemsize).from_address(results), heuristic_dtype
        )
        result["workspace_size"] = 64
        result["algo"]["data_"] = 7


def matrix(pointer: int, layout: dict[str, Any]) -> np.ndarray:
    """The matrix at a pointer, columns first, as a view."""
    dtype = np.dtype(DATA[layout["type"]])
    rows, columns, ld = layout["rows"], layout["cols"], layout["ld"]
    assert ld >= rows
    memory = (ctypes.c_char * ((ld * (columns - 1) + rows) * dtype.itemsize)).from_address(pointer)
    return np.ndarray((rows, columns), dtype, memory, strides=(dtype.itemsize, ld * dtype.itemsize))


def matmul(handle: int, operation: int, alpha: int, a: int, a_layout: int, b: int, b_layout: int, beta: int, c: int,
           c_layout: int, d: int, d_layout: int, algorithm: int, workspace: int, size: int,
           stream: int) -> None:  # fmt: skip
    asked = dict(objects[operation])
    layouts = [objects[layout] for layout in (a_layout, b_layout, d_layout)]
    scale = ctypes.c_double if layouts[2]["type"] == 1 else ctypes.c_float
    assert (scale.from_address(alpha).value, scale.from_address(beta).value, c, c_layout) == (
        1.0,
        0.0,
        d,
        d_layout,
    )
    assert workspace and size >= 64 and ctypes.c_uint64.from_address(algorithm).value == 7
    calls.append(("matmul", asked["EPILOGUE"], stream))

    def work() -> None:
        left, right, out = (matrix(p, x) for p, x in zip((a, b, d), layouts))
        left = left.T if asked["TRANSA"] else left
        right = right.T if asked["TRANSB"] else right
        assert (left.shape[0], right.shape[1]) == out.shape and left.shape[1] == right.shape[0]
        out[...] = left @ right
        if asked["EPILOGUE"] == EPILOGUES["BGRADA"]:
            assert asked["BIAS_DATA_TYPE"] == layouts[2]["type"]
            layout = {"type": layouts[2]["type"], "rows": left.shape[0], "cols": 1, "ld": left.shape[0]}
            matrix(asked["BIAS_POINTER"], layout)[:, 0] = left.sum(axis=1)

    launch(work)


def numbered(names: tuple[str, ...]) -> Any:
    return SimpleNamespace(**{name: number for number, name in enumerate(names)})


heuristic_dtype = np.dtype([("algo", [("data_", "<u8", (8,))]), ("workspace_size", "<u8"), ("state", "<i4"),
                            ("waves_count", "<f4"), ("reserved", "<i4", (4,))])  # fmt: skip
cublasLt = module(
    "nvmath.bindings.cublasLt",
    create=lambda: made("handle"),
    destroy=destroyed("handle"),
    matmul=matmul,
    matmul_algo_get_heuristic=get_heuristic,
    matmul_desc_create=lambda compute, scale: made("operation", compute=compute, scale=scale),
    matmul_desc_destroy=destroyed("operation"),
    matmul_desc_set_attribute=set_attribute(ATTRIBUTES),
    get_matmul_desc_attribute_dtype=lambda a: np.int64 if ATTRIBUTES[a] == "BIAS_POINTER" else np.int32,
    matrix_layout_create=lambda type, rows, cols, ld: made("layout", type=type, rows=rows, cols=cols, ld=ld),
    matrix_layout_destroy=destroyed("layout"),
    matmul_preference_create=lambda: made("preference"),
    matmul_preference_destroy=destroyed("preference"),
    matmul_preference_set_attribute=set_attribute(PREFERENCES),
    matmul_heuristic_result_dtype=heuristic_dtype,
    MatmulDescAttribute=numbered(ATTRIBUTES),
    MatmulPreferenceAttribute=numbered(PREFERENCES),
    Epilogue=SimpleNamespace(**EPILOGUES),
)
cublas = module("nvmath.bindings.cublas", ComputeType=SimpleNamespace(
    COMPUTE_32F=68, COMPUTE_64F=70, COMPUTE_32F_FAST_TF32=77))  # fmt: skip
bindings = module("nvmath.bindings", cublas=cublas, cublasLt=cublasLt)
nvmath = module(
    "nvmath", bindings=bindings, CudaDataType=SimpleNamespace(CUDA_R_32F=0, CUDA_R_64F=1, CUDA_R_16F=2)
)
MODULES = {m.__name__: m for m in (nvmath, bindings, cublas, cublasLt)}
