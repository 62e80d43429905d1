"""CuPy's ElementwiseKernel and ReductionKernel on the CPU: the source of each kernel is compiled by a C compiler, and
run.

A kernel's parameters become macros that stand for an element in memory, so that they are references, as on the device:
a body that writes to one before it has read another at the same place goes wrong here, too. Elements are worked through
from the last to the first, and arrays that overlap otherwise than element by element are refused, since on the device
there is no order. All kernels that were defined since the last compilation are compiled together, once.
"""

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

COMPILER = shutil.which("gcc") or shutil.which("cc")
MISSING = "needs a C compiler (gcc), which is not installed: apt install gcc"
TYPES = {
    "bool": "bool", "int8": "signed char", "int16": "short", "int32": "int", "int64": "long long",
    "uint8": "unsigned char", "uint16": "unsigned short", "uint32": "unsigned int", "uint64": "unsigned long long",
    "float16": "float16", "float32": "float", "float64": "double",
}  # fmt: skip
HEADER = """
#include <stdbool.h>
#include <tgmath.h>
#define __device__ static inline
typedef _Float16 float16;
typedef long long _I;
static inline void go_on(_I *_index, const _I *_shape, int _ndim, char **_at, const _I *_strides, int _n) {
    for (int d = _ndim - 1; d >= 0; d--) {  /* one element back */
        const bool more = _index[d] > 0;
        const _I by = more ? -1 : _shape[d] - 1;
        _index[d] += by;
        for (int p = 0; p < _n; p++) _at[p] += by * _strides[p * _ndim + d];
        if (more) return;
    }
}
static inline void last(_I *_index, const _I *_shape, int _ndim, char **_at, const _I *_strides, int _n) {
    for (int d = 0; d < _ndim; d++) {
        _index[d] = _shape[d] - 1;
        for (int p = 0; p < _n; p++) _at[p] += _index[d] * _strides[p * _ndim + d];
    }
}
"""
ELEMENTWISE = """
void NAME(const _I *_shape, int _ndim, _I _size, char **_base, const _I *_strides) {
    _I _index[32];
    char *_at[COUNT];
    for (int p = 0; p < COUNT; p++) _at[p] = _base[p];
    last(_index, _shape, _ndim, _at, _strides, COUNT);
    for (_I i = _size - 1; i >= 0; i--) {
        TYPEDEF
        {
DEFINES
BODY;
UNDEFINES
        }
        go_on(_index, _shape, _ndim, _at, _strides, COUNT);
    }
}
"""
REDUCTION = """
void NAME(const _I *_shape, int _ndim, _I _size, const _I *_inner, int _depth, _I _length, char **_base,
          const _I *_strides, const _I *_steps) {
    _I _index[32], _within[32];
    char *_at[COUNT], *_outer[COUNT];
    for (int p = 0; p < COUNT; p++) _outer[p] = _base[p];
    last(_index, _shape, _ndim, _outer, _strides, COUNT);
    for (_I o = 0; o < _size; o++) {
        for (int p = 0; p < COUNT; p++) _at[p] = _outer[p];
        last(_within, _inner, _depth, _at, _steps, COUNT);
        KIND _total = (KIND)(START);
        for (_I r = 0; r < _length; r++) {
DEFINES
            const KIND _b = (KIND)(TERM);
UNDEFINES
            const KIND a = _total, b = _b;
            _total = (KIND)(COMBINE);
            go_on(_within, _inner, _depth, _at, _steps, COUNT);
        }
        for (int p = 0; p < COUNT; p++) _at[p] = _outer[p];
        const KIND a = _total;
DEFINES
        AFTER;
UNDEFINES
        go_on(_index, _shape, _ndim, _outer, _strides, COUNT);
    }
}
"""
pending: list["Kernel"] = []
launched: list[str] = []  # names, in order


class Parameter:
    def __init__(self, text: str) -> None:
        *raw, kind, self.name = text.split()
        assert not raw and self.name not in ("i", "n"), text
        self.dtype = None if len(kind) == 1 else np.dtype(kind)
        self.letter = kind if len(kind) == 1 else ""


def parameters(text: str) -> list[Parameter]:
    return [Parameter(part) for part in text.split(",")] if text.strip() else []


class Kernel:
    """Either kind. `run` is given NumPy arrays; what calls it takes the device's apart."""

    def __init__(self, in_params: str, out_params: str, name: str, preamble: str) -> None:
        assert re.fullmatch(r"[a-zA-Z_]\w*", name, re.ASCII), name
        self.ins, self.outs, self.name, self.preamble = (
            parameters(in_params),
            parameters(out_params),
            name,
            preamble,
        )
        self.params = [*self.ins, *self.outs]
        names = [p.name for p in self.params]
        assert len(set(names)) == len(names), f"{name}: a parameter occurs twice in {names}"
        self.compiled: dict[tuple[str, ...], Any] = {}
        self.types: tuple[str, ...] | None = None
        if all(p.dtype is not None for p in self.params):
            pending.append(self)

    def text(self, types: tuple[str, ...]) -> str:
        """Its C source for parameters of these dtypes."""
        label = self.label(types)
        defines, undefines = [], [f"#undef {p.name}" for p in self.params]
        for k, (p, t) in enumerate(zip(self.params, types)):
            const = "const " if k < len(self.ins) else ""
            defines.append(f"#define {p.name} (*({const}{TYPES[t]} *)_at[{k}])")
        letters = {
            p.letter: f"typedef {TYPES[t]} {p.letter};" for p, t in zip(self.params, types) if p.letter
        }
        marks = {"NAME": label, "COUNT": str(max(len(self.params), 1)), "TYPEDEF": " ".join(letters.values()),
                 "UNDEFINES": "\n".join(undefines), "DEFINES": "\n".join(defines)}  # fmt: skip
        body = self.filled()
        for mark, value in marks.items():
            body = body.replace(mark, value)
        inside = re.findall(r"__device__ [\w ]+ (\w+)\(", self.preamble)
        functions = [f"#define {f} {label}_{f}" for f in inside]
        return "\n".join([*functions, self.preamble, body, *(f"#undef {f}" for f in inside)])

    def label(self, types: tuple[str, ...]) -> str:
        unique = repr((self.name, self.preamble, self.filled(), types, [p.name for p in self.params]))
        return f"k_{hashlib.sha256(unique.encode()).hexdigest()[:16]}"

    def filled(self) -> str:
        raise NotImplementedError

    def function(self, arrays: list[np.ndarray]) -> Any:
        types = tuple(str(a.dtype) for a in arrays)
        if types not in self.compiled:
            self.types = types
            if self not in pending:
                pending.append(self)
            compile_pending()
        return self.compiled[types]

    def check(self, arrays: list[np.ndarray], shape: tuple[int, ...]) -> None:
        """Refuse what CuPy refuses, and what has no order on a device."""
        for p, a in zip(self.params, arrays):
            if p.dtype is not None and a.dtype != p.dtype:
                raise TypeError(f"Type is mismatched. {p.name} {a.dtype} {p.dtype}")
        for p, out in zip(self.outs, arrays[len(self.ins) :]):
            if out.shape != shape:
                raise ValueError(f"Out shape is mismatched: {self.name} {p.name} {out.shape} {shape}")
            if (
                out.size
                and min(out.strides, default=1) == 0
                and 0 in [s for s, n in zip(out.strides, out.shape) if n > 1]
            ):
                raise AssertionError(f"{self.name}: several threads write to one element of {p.name}")
            for q, other in zip(self.params, arrays):
                alike = (other.ctypes.data, other.strides, other.shape) == (
                    out.ctypes.data, out.strides, out.shape
                )  # fmt: skip
                if q is not p and not (alike and q in self.ins) and np.shares_memory(out, other):
                    raise AssertionError(f"{self.name}: {p.name} overlaps {q.name}: a race")


def compile_pending() -> None:
    """One shared object with every kernel that waits, kept by its source in the folder for temporary files."""
    todo: dict[str, tuple[Kernel, tuple[str, ...]]] = {}
    for kernel in pending:
        types = kernel.types or tuple(str(p.dtype) for p in kernel.params)
        todo[kernel.label(types)] = kernel, types
    source = HEADER + "\n".join(kernel.text(types) for kernel, types in todo.values())
    folder = Path(tempfile.gettempdir()) / f"tapegrad-kernels-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    library = folder / f"{hashlib.sha256(source.encode()).hexdigest()[:32]}.so"
    if not library.exists():
        code, part = library.with_suffix(f".{os.getpid()}.c"), library.with_suffix(f".{os.getpid()}.part")
        code.write_text(source)
        flags = ["-std=gnu11", "-O1", "-fwrapv", "-ffp-contract=off", "-fPIC", "-shared", "-w"]
        done = subprocess.run(
            [str(COMPILER), *flags, str(code), "-o", str(part), "-lm"], capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"the kernels do not compile:\n{done.stderr[:3000]}\n{source}")
        code.unlink()
        os.replace(part, library)
    loaded = ctypes.CDLL(str(library))
    for kernel in pending:
        types = kernel.types or tuple(str(p.dtype) for p in kernel.params)
        kernel.compiled[types] = getattr(loaded, kernel.label(types))
    pending.clear()


def longs(values: Any) -> Any:
    values = list(values)
    return (ctypes.c_longlong * max(len(values), 1))(*values)


def pointers(arrays: list[np.ndarray]) -> Any:
    return (ctypes.c_void_p * max(len(arrays), 1))(*[a.ctypes.data for a in arrays])


class Elementwise(Kernel):
    def __init__(self, in_params: str, out_params: str, operation: str, name: str, preamble: str) -> None:
        self.operation = operation
        super().__init__(in_params, out_params, name, preamble)

    def filled(self) -> str:
        return ELEMENTWISE.replace("BODY", self.operation)

    def prepare(self, arrays: list[np.ndarray]) -> Callable[[], None]:
        """A launch on these arrays, checked."""
        shape = np.broadcast_shapes(*(a.shape for a in arrays))
        self.check(arrays, shape)
        spread = [np.broadcast_to(a, shape) for a in arrays]
        function = self.function(arrays)

        def run() -> None:
            launched.append(self.name)
            strides = longs(s for a in spread for s in a.strides)
            size = ctypes.c_longlong(int(np.prod(shape)))
            function(longs(shape), len(shape), size, pointers(spread), strides)

        return run


class Reduction(Kernel):
    def __init__(
        self,
        in_params: str,
        out_params: str,
        term: str,
        combine: str,
        after: str,
        start: str,
        name: str,
        kind: str,
        preamble: str,
    ) -> None:
        self.parts = {"KIND": kind, "TERM": term, "COMBINE": combine, "AFTER": after, "START": start}
        super().__init__(in_params, out_params, name, preamble)

    def filled(self) -> str:
        text = REDUCTION
        for mark, value in self.parts.items():
            text = text.replace(mark, value)
        return text

    def prepare(self, arrays: list[np.ndarray], axis: Any, keepdims: bool) -> Callable[[], None]:
        *ins, out = arrays
        shape = np.broadcast_shapes(*(a.shape for a in ins))
        axes = range(len(shape)) if axis is None else (axis,) if isinstance(axis, int) else axis
        inner = sorted(a % len(shape) for a in axes)
        outer = [a for a in range(len(shape)) if a not in inner]
        kept = tuple(1 if a in inner else n for a, n in enumerate(shape))
        self.check(arrays, kept if keepdims else tuple(shape[a] for a in outer))
        spread = [np.broadcast_to(a, shape) for a in ins]
        function = self.function(arrays)
        left = out.reshape(tuple(shape[a] for a in outer))
        assert np.shares_memory(left, out) or not out.size

        def run() -> None:
            launched.append(self.name)
            strides = longs([s for a in spread for s in (a.strides[k] for k in outer)] + list(left.strides))
            steps = longs([s for a in spread for s in (a.strides[k] for k in inner)] + [0] * len(inner))
            sizes = [
                ctypes.c_longlong(int(np.prod([shape[a] for a in axes], dtype=np.int64)))
                for axes in (outer, inner)
            ]
            function(
                longs(shape[a] for a in outer), len(outer), sizes[0], longs(shape[a] for a in inner), len(inner),
                sizes[1], pointers([*spread, left]), strides, steps,
            )  # fmt: skip

        return run
