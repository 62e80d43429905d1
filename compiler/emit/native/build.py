"""The emitted calls bound to arrays: `build(captured arrays)` makes what stays and returns the step."""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import numpy as np

from tapegrad.compiler.emit.native import pool, products
from tapegrad.compiler.emit.native.calls import Calls, Part, address
from tapegrad.compiler.emit.native.cuts import parts_of_nest, parts_of_product
from tapegrad.compiler.emit.native.emitter import Loops, NativeEmitter, Product
from tapegrad.compiler.emit.native.forms import Nest
from tapegrad.compiler.emit.native.interpreted import put
from tapegrad.compiler.emit.native.llvm_text import Text
from tapegrad.compiler.emit.native.machine import (
    FLAGS,
    STOPPED,
    Code,
    fused,
    module_text,
    scratch_of,
    vector_bits,
)
from tapegrad.compiler.emit.native.product_text import declarations, pack_text, product_text, scratch_bytes
from tapegrad.compiler.emit.native.products import Matrix, steps
from tapegrad.compiler.ir.program import Var

Step = Callable[..., tuple[Any, ...]]


class Builder:
    """Binds a program to captured arrays, again when they have moved. `text`: the LLVM IR that it was compiled from."""

    def __init__(self, emitter: NativeEmitter) -> None:
        self.emitter, self.text = emitter, ""
        self.code: Code

    def __call__(self, *captured: Any) -> tuple[Step, tuple[Any, ...]]:
        arrays = arrays_of(self.emitter, captured)
        parts = parts_of(self.emitter, arrays)
        text = module_text(parts.functions(), parts.declarations)
        if text != self.text:  # arrays of other strides
            self.text, self.code = text, Code(text)
        scratch = scratch_of(parts.scratch)
        calls = [
            Calls(self.code, part, scratch, parts.threads) if isinstance(part, list) else part
            for part in parts.calls
        ]
        step = step_of(self.emitter, arrays, calls, captured)
        return step, tuple(arrays[name] for name in self.emitter.gradients)


def arrays_of(emitter: NativeEmitter, captured: Any) -> dict[str, Any]:
    """Every array that stays, by its name."""
    arrays: dict[str, Any] = {
        "np": np,
        **{name: getattr(np, name) for name in ("broadcast_to", "inf", "nan")},
    }
    for v, array in zip(emitter.program.captured, captured):
        arrays.setdefault(v.name, array)
    for name, text in emitter.definitions.items():
        arrays[name] = eval(text, arrays)
    return arrays


@dataclass
class Parts:
    """The functions that calls need, equal ones once, and the calls in order: lists of stages for the machine, and what
    calls NumPy between these.

    scratch   bytes that the function which takes most writes copies to
    threads   among which large ones are shared
    """

    names: dict[str, str] = field(default_factory=dict)  # text of a function, as NAME -> its name
    declarations: set[str] = field(default_factory=set)
    calls: list[Any] = field(default_factory=list)
    scratch: int = 0
    threads: int = field(default_factory=pool.threads)

    def add(self, kind: str, parts: list[tuple[str, list[Part]]]) -> None:
        """A stage of calls, each of a function's text and what its table points to."""
        if not self.calls or not isinstance(self.calls[-1], list):
            self.calls.append([])
        name = lambda text: self.names.setdefault(text, f"{kind}_{len(self.names) + 1}")
        self.calls[-1].append([(name(text), pointers) for text, pointers in parts])

    def nest(self, nest: Nest, arrays: list[Any]) -> None:
        stage = []
        for part, cut in parts_of_nest(nest, self.threads):
            given = [part_of(a, *cut[slot]) if slot in cut else a for slot, a in zip(nest.arrays, arrays)]
            text = Text(part, {slot: a.strides for slot, a in zip(nest.arrays, given)})
            stage.append((text.function("NAME"), [Part(a) for a in given]))
            self.declarations |= text.intrinsics
        self.add("loops", stage)

    def product(self, a: Any, b: Any, out: Any) -> None:
        operands = {"a": a, "b": b}
        for step in steps(matrix(a), matrix(b), matrix(out)):
            if isinstance(step, products.Pack):
                copy = np.empty(step.source.shape, a.dtype)
                self.add("pack", [(kernel(step)[0], [Part(operands[step.operand]), Part(copy)])])
                operands[step.operand] = copy
                continue
            stage = []
            for part, offsets in parts_of_product(step, self.threads):
                text, scratch = kernel(part)
                given = {**operands, "c": out}
                pointers = [Part(x, offsets.get(n, 0) * x.itemsize) for n, x in given.items()]
                stage.append((text, pointers))
                self.scratch = max(self.scratch, scratch)
            self.add("product", stage)
        self.declarations |= set(declarations(vector_bits()))

    def functions(self) -> list[str]:
        return [text.replace("@NAME", f"@{name}", 1) for text, name in self.names.items()]


def part_of(array: Any, axis: int, cut: slice) -> Any:
    """A part of an array along an axis."""
    return array[(slice(None),) * axis + (cut,)]


@lru_cache(1024)
def kernel(step: products.Step) -> tuple[str, int]:
    """The text of a step's kernel for this machine, called NAME, and how many bytes it writes copies to."""
    if isinstance(step, products.Pack):
        return pack_text(step, "NAME", vector_bits()), 0
    return product_text(step, "NAME", vector_bits(), fused()), scratch_bytes(step, vector_bits(), fused())


def matrix(array: Any) -> Matrix:
    return Matrix(array.shape, tuple(s // array.itemsize for s in array.strides), str(array.dtype))


def parts_of(emitter: NativeEmitter, arrays: dict[str, Any]) -> Parts:
    parts, scope = Parts(), library_scope(emitter, arrays)
    for call in emitter.calls:
        if isinstance(call, Loops):
            parts.nest(call.nest, [arrays[slot.name] for slot in call.nest.arrays])
        elif isinstance(call, Product):
            parts.product(*(arrays[name] for name in (call.a, call.b, call.out)))
        else:
            code = compile(f"def call():\n  {call.text}", "<native tg.jit>", "exec")
            exec(code, scope, made := {})  # type: ignore[var-annotated]
            parts.calls.append(made["call"])
    return parts


def library_scope(emitter: NativeEmitter, arrays: dict[str, Any]) -> dict[str, Any]:
    """What calls of NumPy between compiled parts find by name."""
    scope = {**vars(np), "np": np, "float": float, **arrays, "put": put}
    for helper in emitter.helpers():
        exec(helper, scope)
    for module, name in emitter.modules.items():
        exec(f"from {module} import {name}", scope)
    return scope


LARGE = 1 << 14  # bytes: a smaller argument is copied to its place in less time than pointers are set


def taker(array: Any, parts: list[Calls], by_library: bool) -> Callable[[Any], None]:
    """Puts the argument of a call where the program reads it: into an array of ours or, where it is large, by setting
    the pointers to where it is."""
    found = [] if by_library or array.nbytes < LARGE else [(p, *p.looking_into(array)) for p in parts]
    pointers = [(part.pointers, which, offsets) for part, which, offsets in found if len(which)]
    if not pointers:
        return partial(np.copyto, array)

    def take(given: Any) -> None:
        if given.strides != array.strides:
            np.copyto(array, given)
            given = array
        start = address(given)
        for table, which, offsets in pointers:
            table[which] = offsets + start

    return take


def step_of(emitter: NativeEmitter, arrays: dict[str, Any], parts: list[Any], captured: Any) -> Step:
    """What runs at each call."""
    compiled = [part for part in parts if isinstance(part, Calls)]
    takes = [taker(arrays[v.name], compiled, emitter.by_library(v)) for v in emitter.program.arguments]
    results = [giver(v, arrays.get(n)) for v, n in zip(emitter.program.results, emitter.results)]
    runs = [part.run if isinstance(part, Calls) else part for part in parts]
    written = [arrays[name] for name in emitter.written()]
    steady = [a for a in captured if not any(a is w for w in written)]
    left = [*emitted_arrays(emitter, arrays), *captured]

    def step(*given: Any) -> tuple[Any, ...]:
        for array in written:
            if not array.flags.writeable:
                raise ValueError("output array is read-only")
        for take, array in zip(takes, given):
            take(array)
        flags = 0
        for run in runs:
            if code := run():
                if code >= STOPPED:
                    raise ValueError("guard: another case than recorded")
                flags |= code
        if flags and not finite(left) and finite((*given, *steady)):
            tell(flags, emitter.title)
        return tuple(result() for result in results)

    return step


def giver(v: Any, array: Any) -> Callable[[], Any]:
    """Gives a result at each call: a copy of its array, or the number that it is."""
    return array.copy if isinstance(v, Var) else lambda: v


def finite(arrays: Iterable[Any]) -> bool:
    return all(a.dtype.kind != "f" or np.isfinite(a).all() for a in arrays)


def emitted_arrays(emitter: NativeEmitter, arrays: dict[str, Any]) -> list[Any]:
    """What a call leaves: results and gradients."""
    results = [n for v, n in zip(emitter.program.results, emitter.results) if isinstance(v, Var)]
    return [arrays[name] for name in (*results, *emitter.gradients)]


def tell(flags: int, title: str) -> None:
    """A warning or an error, as NumPy's settings ask, of what the processor noted in a call that made values which are
    not finite of such that are. (It also notes what comes of the branch of a choice that is not taken, of which eager
    says nothing.)"""
    asked: dict[str, Any] = {**np.geterr()}
    for name, flag in FLAGS.items():
        if flags & flag and asked[name] != "ignore":
            text = f"{WORDS[name]} encountered in {title}"
            if asked[name] == "raise":
                raise FloatingPointError(text)
            warnings.warn(text, RuntimeWarning, stacklevel=2)


WORDS = {"invalid": "invalid value", "divide": "divide by zero", "over": "overflow"}
