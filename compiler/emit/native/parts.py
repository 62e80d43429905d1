"""The calls of a program with their arrays: functions of nests and products, cut into parts, and what NumPy does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np

from tapegrad.backends.aliases import Array
from tapegrad.compiler.emit.native import convolution, pool, products
from tapegrad.compiler.emit.native.alike import Loops, Shared
from tapegrad.compiler.emit.native.calls import Part
from tapegrad.compiler.emit.native.convolution import Convolution
from tapegrad.compiler.emit.native.cuts import parts_of_nest, parts_of_product
from tapegrad.compiler.emit.native.emitter import Call, NativeEmitter, Product
from tapegrad.compiler.emit.native.forms import named
from tapegrad.compiler.emit.native.index_nests import Bounds
from tapegrad.compiler.emit.native.interpreted import put
from tapegrad.compiler.emit.native.llvm_text import Text
from tapegrad.compiler.emit.native.machine import fused, vector_bits
from tapegrad.compiler.emit.native.packing import shared_operands, written_by
from tapegrad.compiler.emit.native.product_table import best
from tapegrad.compiler.emit.native.product_text import (
    declarations,
    kernel_of,
    pack_text,
    panels_text,
    product_text,
    scratch_bytes,
)
from tapegrad.compiler.emit.native.products import Matrix, steps
from tapegrad.compiler.ir.operations import Kind

Cut = tuple[int, slice] | None  # the axis along which an array is cut, and the range


@dataclass
class Parts:
    """The functions that calls need, equal ones once, and the calls in order: lists of stages for the machine, and what
    calls NumPy between these.

    nests     signature of a nest -> the texts of its parts, and how each of its arrays is cut for them
    cut       a product -> its parts
    scratch   bytes that the function which takes most writes copies to
    threads   among which large ones are shared
    packed    copies of operands that are made ahead
    bounds    (which list of calls, which call) that looks at an index array -> what it looks at
    kernels   of each product, how many operations it is and what tells which kernel it got
    ends      after each call of the program: (how many lists and calls of NumPy there are, how many stages in the last)
    of_blas   arrays that NumPy's matmul reads and writes
    writes    how many lists and calls of NumPy there are before the one in which the program begins to write to what
              outlives a call; None: it writes nothing
    """

    names: dict[str, str] = field(default_factory=dict)  # text of a function, as NAME -> its name
    declarations: set[str] = field(default_factory=set)
    nests: dict[Any, list[tuple[str, list[Cut]]]] = field(default_factory=dict)
    cut: dict[products.Product, Any] = field(default_factory=dict)
    calls: list[Any] = field(default_factory=list)
    scratch: int = 0
    threads: int = field(default_factory=pool.threads)
    packed: dict[Any, Part] = field(default_factory=dict)
    bounds: dict[tuple[int, int], Bounds] = field(default_factory=dict)
    kernels: list[tuple[int, Callable[[], str]]] = field(default_factory=list)
    ends: list[tuple[int, int]] = field(default_factory=list)
    of_blas: list[Any] = field(default_factory=list)
    writes: int | None = None

    def add(self, kind: str, parts: list[tuple[str, list[Part]]]) -> None:
        """A stage of calls, each of a function's text and what its table points to."""
        if not self.calls or not isinstance(self.calls[-1], list):
            self.calls.append([])
        name = lambda text: self.names.setdefault(text, f"{kind}_{len(self.names) + 1}")
        self.calls[-1].append([(name(text), pointers) for text, pointers in parts])

    def begin_to_write(self) -> None:
        """What comes now writes to what outlives a call."""
        if self.writes is None:
            if self.calls and isinstance(self.calls[-1], list):
                self.calls[-1].append([])
            self.writes = len(self.calls)

    def nest(self, shared: Shared, arrays: list[Any]) -> None:
        """A stage of a nest's parts, which equal nests have in common."""
        nest = shared.nest
        key = shared.signature, tuple((a.shape, a.strides) for a in arrays)
        if key not in self.nests:
            self.nests[key] = []
            for part, cut in parts_of_nest(nest, self.threads):
                cuts = [cut.get(slot) for slot in nest.arrays]
                given = cut_up(arrays, cuts)
                text = Text(part, {slot: a.strides for slot, a in zip(nest.arrays, given)})
                self.nests[key].append((text.function("NAME"), cuts))
                self.declarations |= text.intrinsics
        self.add("loops", [(text, [Part(a) for a in cut_up(arrays, cuts)]) for text, cuts in self.nests[key]])

    def product(self, a: object, b: object, out: object, shared: dict[str, object]) -> None:
        """`out = a @ b`. shared: keys of the operands whose copies other products have a use for."""
        operands = {"a": a, "b": b}
        listed = steps_of(matrix(a), matrix(b), matrix(out))
        if not listed:
            self.kernels.append((0, lambda: "no elements"))
        if any(isinstance(s, products.Product) and by_blas(s) for s in listed):
            self.by_blas(a, b, out)
            return
        self.run_steps(listed, operands, out, shared)

    def run_steps(
        self,
        listed: list[products.Step],
        operands: dict[str, object],
        out: object,
        shared: dict[str, object],
        bias: Sequence[Any] = (),
    ) -> None:
        """Stages of the copies that a product needs, and of its parts."""
        for step in listed:
            if isinstance(step, products.Pack):
                text, key = pack_text(step, "NAME", vector_bits()), shared.get(step.operand)
                copy = self.copy(text, Part(operands[step.operand]), step.source.shape, key)
                operands[step.operand] = copy.array
                continue
            stage = []
            if step not in self.cut:
                self.cut[step] = parts_of_product(step, self.threads)
            for part, offsets in self.cut[step]:
                table = (*operands.items(), ("c", out), *(("bias", x) for x in bias))
                given = {n: Part(x, offsets.get(n, 0) * x.itemsize) for n, x in table}
                operand = products.packable(part)
                if operand in shared:
                    text, size = panels(part)
                    key = (shared[operand], given[operand].offset)
                    given[operand] = self.copy(text, given[operand], (size,), key)
                    part = replace(part, packed=True)
                text, scratch = kernel(part)
                stage.append((text, [*given.values()]))
                self.scratch = max(self.scratch, scratch)
            self.add("product", stage)
            self.note(step, len(stage), part.packed)
        self.declarations |= set(declarations(vector_bits()))

    def convolution(self, call: Convolution, arrays: dict[str, object]) -> None:
        a, b, out = (arrays[name] for name in (call.a, call.b, call.out))
        listed = convolution.steps(call.form, matrix(a), matrix(b), matrix(out), call.axes, call.epilogue)
        self.run_steps(listed, {"a": a, "b": b}, out, {}, [arrays[call.bias]] if call.bias else [])

    def by_blas(self, a: Any, b: Any, out: Any) -> None:
        self.calls.append(lambda: np.matmul(a, b, out=out) is None)
        self.of_blas += [a, b, out]
        m, k = a.shape[-2:] if a.ndim > 1 else (1, *a.shape)
        n = b.shape[-1] if b.ndim > 1 else 1
        self.kernels.append((2 * out.size * k, lambda: f"{m} x {k} x {n}, {a.dtype}: BLAS"))

    def note(self, product: products.Product, parts: int, packed: bool) -> None:
        """Count a product for `explain`, which is told its kernel."""
        shared = f", in {parts} parts" if parts > 1 else ""
        title = lambda: kernel_of(product, vector_bits(), fused()).title(packed) + shared
        self.kernels.append((product.operations, title))

    def copy(self, text: str, operand: Part, shape: tuple[int, ...], key: object) -> Part:
        """The copy of an operand that a function makes: by this call, or by one before with the same key."""
        if key is not None and (key, text) in self.packed:
            return self.packed[key, text]
        copy = Part(np.empty(shape, operand.array.dtype))
        self.add("pack", [(text, [operand, copy])])
        if key is not None:
            self.packed[key, text] = copy
        return copy

    def functions(self) -> list[str]:
        return [text.replace("@NAME", f"@{name}", 1) for text, name in self.names.items()]


def cut_up(arrays: list[Any], cuts: list[Cut]) -> list[Any]:
    """The parts of arrays along an axis, of those that are cut."""
    return [a if cut is None else a[(slice(None),) * cut[0] + (cut[1],)] for a, cut in zip(arrays, cuts)]


steps_of = lru_cache(1024)(steps)  # of layers and steps that are alike


@lru_cache(1024)
def kernel(product: products.Product) -> tuple[str, int]:
    """The text of a product's kernel for this machine, called NAME, and how many bytes it writes copies to."""
    bits = vector_bits()
    return product_text(product, "NAME", bits, fused()), scratch_bytes(product, bits, fused())


@lru_cache(1024)
def panels(product: products.Product) -> tuple[str, int]:
    """The text of the function that copies an operand of a product into panels, and how many elements these have."""
    return panels_text(product, "NAME", vector_bits(), fused())


def by_blas(product: products.Product) -> bool:
    return best(product.operations, product.dtype, vector_bits()) == "blas"


def matrix(array: Array) -> Matrix:
    return Matrix(array.shape, tuple(s // array.itemsize for s in array.strides), named(array.dtype))


def parts_of(emitter: NativeEmitter, arrays: dict[str, object]) -> Parts:
    parts, scope = Parts(), library_scope(emitter, arrays)
    outlives = [arrays[name] for name in emitter.written()]
    for call, shared in zip(emitter.calls, shared_operands(emitter.calls, arrays)):
        if outlives and writes_to(call, arrays, outlives):
            parts.begin_to_write()
        if isinstance(call, Loops):
            parts.nest(call.shared, [arrays[slot.name] for slot in call.arrays])
            if call.bounds is not None:
                row = sum(max(len(stage), 1) for stage in parts.calls[-1]) - 1
                parts.bounds[len(parts.calls) - 1, row] = call.bounds
        elif isinstance(call, Convolution):
            parts.convolution(call, arrays)
        elif isinstance(call, Product):
            parts.product(arrays[call.a], arrays[call.b], arrays[call.out], shared)
        else:
            code = compile(f"def call():\n  {call.text}", "<native tg.jit>", "exec")
            exec(code, scope, made := {})  # type: ignore[var-annotated]
            parts.calls.append(made["call"])
        last = parts.calls[-1] if parts.calls else None
        parts.ends.append((len(parts.calls), len(last) if isinstance(last, list) else 0))
    return parts


def writes_to(call: Call, arrays: dict[str, object], some: list[object]) -> bool:
    """Whether a call writes to the memory of some arrays."""
    written = written_by(call, arrays)
    if written is None:
        return any(op.kind is Kind.WRITE for op in call.ops)
    return any(np.may_share_memory(a, b) for a in written for b in some)


def library_scope(emitter: NativeEmitter, arrays: dict[str, object]) -> dict[str, Any]:
    """What calls of NumPy between compiled parts find by name."""
    scope = {**vars(np), "np": np, "float": float, **arrays, "put": put}
    for helper in emitter.helpers():
        exec(helper, scope)
    for module, name in emitter.modules.items():
        exec(f"from {module} import {name}", scope)
    return scope
