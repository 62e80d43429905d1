"""Operations that are no part of a loop nest: products, joins, and reading and writing at an index."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tapegrad.autograd.ops.indexing import Slot
from tapegrad.compiler.emit.numba.loops import indices_of, lengths_of, nest, subscript
from tapegrad.compiler.emit.numba.scalars import number
from tapegrad.compiler.ir.program import Op, Shape, Var


class Unsupported(Exception):
    """A program holds an operation that this emitter does not know."""


class Names(Protocol):
    """What these functions need of the emitter: a Var's array; a place for a result; a Var's array, contiguous; and
    0-d results that are plain variables."""

    numbers: dict[Var, str]

    def name(self, v: Var) -> str: ...
    def place(self, v: Var) -> str: ...
    def dense(self, v: Var) -> str: ...


def element(names: Names, v: Any, indices: list[str], dtype: np.dtype) -> str:
    if not isinstance(v, Var):
        return number(v, dtype)
    return names.numbers.get(v) or f"{names.name(v)}[{subscript(v.shape, indices)}]"


# ---- products ----
def matmul(op: Op, names: Names) -> list[str]:
    """Through BLAS; matrices beyond the last two axes one by one; integers, which BLAS does not know, in loops."""
    a, b = op.vars
    out = names.place(op.out)
    if a.ndim == b.ndim == 1:
        return [f"{out}[()] = np.dot({names.dense(a)}, {names.dense(b)})"] if a.dtype.kind == "f" else [
            f"{out}[()] = 0", *nest([("i_k", a.size)], [f"{out}[()] += {names.name(a)}[i_k] * {names.name(b)}[i_k]"])
        ]  # fmt: skip
    rows, columns = (a.shape[-2:-1], b.shape[-1:]) if b.ndim > 1 else (a.shape[-2:-1], ())
    if a.ndim == 1:
        rows = ()
    outer = op.out.shape[: op.out.ndim - len(rows) - len(columns)]
    indices = indices_of(outer)
    x, y, z = (
        f"{names.name(v)}[{subscript(v.shape[: v.ndim - inner], indices)}]"
        if v.ndim > inner else None
        for v, inner in ((a, min(a.ndim, 2)), (b, min(b.ndim, 2)), (op.out, len(rows) + len(columns)))
    )  # fmt: skip
    if a.dtype.kind != "f":
        return integer_product(op, names, out, outer, rows, columns)
    if not outer and b.shape[1:] == (1,) and a.ndim == 2:  # a matrix and a vector
        return [f"dot({names.dense(a)}, {names.dense(b)}.reshape({b.size}), {out}.reshape({op.out.size}))"]
    left = f"np.ascontiguousarray({x})" if x else names.dense(a)
    right = f"np.ascontiguousarray({y})" if y else names.dense(b)
    return nest(lengths_of(outer), [f"dot({left}, {right}, {z or out})"])


def integer_product(op: Op, names: Names, out: str, outer: Shape, rows: Shape, columns: Shape) -> list[str]:
    a, b = op.vars
    ri, ci = (["i_r"] if rows else []), (["i_c"] if columns else [])
    indices = indices_of(outer)

    def at(v: Var, last: list[str]) -> str:
        ahead = subscript(v.shape[: v.ndim - len(last)], indices)
        return ", ".join([*([] if ahead == "()" else [ahead]), *last])

    target = f"{out}[{at(op.out, [*ri, *ci]) or '()'}]"
    x = f"{names.name(a)}[{at(a, [*ri, 'i_k'])}]"
    y = f"{names.name(b)}[{at(b, ['i_k', *ci])}]"
    over = [*lengths_of(outer), *zip(ri, rows), *zip(ci, columns)]
    return nest(over, [f"{target} = 0", f"for i_k in range({a.shape[-1]}):", f"    {target} += {x} * {y}"])


# ---- at an index ----
def in_bounds(at: str, n: int) -> list[str]:
    """Lines that check an index, since numba does not, and count a negative one from the end."""
    return [
        f"if {at} < -{n} or {at} >= {n}:",
        "    raise LookupError('guard: an index is out of bounds')",
        f"{at} = {at} + {n} if {at} < 0 else {at}",
    ]


@dataclass
class Index:
    """How the elements of a result lie in the array that is read or written at an index.

    shape       of the result
    subscripts  one for each axis of the array
    lines       that find those which are given by arrays, negative ones counted from the end
    """

    shape: Shape
    subscripts: list[str]
    lines: list[str]


def indexed(template: tuple[Any, ...], shape: Shape, arrays: list[Var], names: Names) -> Index:
    """NumPy's rules: axes taken by arrays come first in the result, unless they stand side by side."""
    if any(v.dtype.kind == "b" for v in arrays) or any(isinstance(i, bool) for i in template):
        raise Unsupported("a choice by mask is left to NumPy")
    taken = sum(i is not None and i is not Ellipsis for i in template)
    parts: list[Any] = []
    for i in template if Ellipsis in template else (*template, Ellipsis):
        parts += [slice(None)] * (len(shape) - taken) if i is Ellipsis else [i]
    advanced = [k for k, i in enumerate(parts) if arrays and isinstance(i, int)]
    together = np.broadcast_shapes(*(v.shape for v in arrays))
    aside = bool(advanced) and advanced != list(range(advanced[0], advanced[-1] + 1))

    result: list[int] = list(together) if aside else []
    axis_of: dict[int, int] = {}  # part -> its axis of the result
    start = 0  # of the arrays' axes
    axis = 0
    for k, i in enumerate(parts):
        if k in advanced:
            if not aside and k == advanced[0]:
                start = len(result)
                result += together
        elif isinstance(i, slice):
            axis_of[k] = len(result)
            result.append(len(range(*i.indices(shape[axis]))))
        elif i is None:
            result.append(1)
        axis += i is not None
    indices = indices_of(tuple(result))
    own = indices[start : start + len(together)]
    subscripts: list[str] = []
    lines: list[str] = []
    axis = 0
    for k, i in enumerate(parts):
        if i is None:
            continue
        n = shape[axis]
        if isinstance(i, Slot):
            at = f"at_{axis}"
            lines.append(f"{at} = {names.name(arrays[i])}[{subscript(arrays[i].shape, own)}]")
            lines += in_bounds(at, n)
            subscripts.append(at)
        elif isinstance(i, int):
            subscripts.append(str(i % n))
        else:
            first, _, by = i.indices(n)
            j = indices[axis_of[k]]
            subscripts.append(j if (first, by) == (0, 1) else f"{first} + {by} * {j}")
        axis += 1
    return Index(tuple(result), subscripts, lines)


def take_at(op: Op, names: Names) -> list[str]:
    x = op.vars[0]
    found = indexed(op.params["index"], x.shape, op.vars[1:], names)
    out = names.place(op.out)
    target = f"{out}[{subscript(op.out.shape, indices_of(found.shape))}]"
    source = f"{names.name(x)}[{', '.join(found.subscripts) or '()'}]"
    return nest(lengths_of(found.shape), [*found.lines, f"{target} = {source}"])


def changed_at(op: Op, names: Names) -> list[str]:
    """A copy with values written ("put_at") or added ("add_at") at an index."""
    x, values, *arrays = op.inputs
    found = indexed(op.params["index"], x.shape, arrays, names)
    out = names.place(op.out)
    value = element(names, values, indices_of(found.shape), op.out.dtype)
    sign = "+=" if op.name == "add_at" else "="
    uniform = x.uniform()
    first = names.name(x) if uniform is None else number(uniform, x.dtype)
    change = f"{out}[{', '.join(found.subscripts) or '()'}] {sign} {value}"
    return [f"{out}[...] = {first}", *nest(lengths_of(found.shape), [*found.lines, change])]


def take_along_axis(op: Op, names: Names) -> list[str]:
    x, where = op.vars
    axis = op.params["axis"] % x.ndim
    out, indices = names.place(op.out), indices_of(op.out.shape)
    at = element(names, where, indices, where.dtype)
    inner = ", ".join("0" if k != axis and n == 1 else "at" if k == axis else i
                      for k, (i, n) in enumerate(zip(indices, x.shape)))  # fmt: skip
    body = [
        f"at = {at}",
        *in_bounds("at", x.shape[axis]),
        f"{out}[{', '.join(indices)}] = {names.name(x)}[{inner}]",
    ]
    return nest(lengths_of(op.out.shape), body)


def first_extreme(op: Op, names: Names) -> list[str]:
    """argmax and argmin: the first of equal ones; a NaN counts as the most extreme."""
    x, axis = op.vars[0], op.params.get("axis")
    name, shape = names.name(x), x.shape
    if axis is None:
        name, shape, axis = f"{names.dense(x)}.reshape({x.size})", (x.size,), 0
    axis %= len(shape)
    sign = ">" if op.name == "argmax" else "<"
    outer = tuple(1 if k == axis else n for k, n in enumerate(shape))
    indices = indices_of(outer)
    at = [", ".join([*indices[:axis], i, *indices[axis + 1 :]]) for i in ("0", "i_k")]
    keep = bool(op.params.get("keepdims"))
    target = ", ".join(i for k, i in enumerate(indices) if keep or k != axis) or "()"
    if keep and op.params.get("axis") is None:
        target = ", ".join("0" * x.ndim) or "()"
    body = [
        f"best, first = values[{at[0]}], 0",
        f"for i_k in range({shape[axis]}):",
        f"    value = values[{at[1]}]",
        f"    if value {sign} best or (value != value and best == best):",
        "        best, first = value, i_k",
        f"{names.place(op.out)}[{target}] = first",
    ]
    return [f"values = {name}", *nest(lengths_of(outer), body)]


# ---- other ----
def concat(op: Op, names: Names) -> list[str]:
    out, start, axis = names.place(op.out), 0, op.params["axis"] % op.out.ndim
    lines = []
    for v in op.vars:
        stop = start + v.shape[axis]
        lines.append(f"{out}[{':, ' * axis}{start}:{stop}] = {names.name(v)}")
        start = stop
    return lines


def einsum(op: Op, names: Names) -> list[str]:
    """Loops over the letters of the result, and inside over the others."""
    terms, arrow, result = op.params["subscripts"].replace(" ", "").partition("->")
    if not arrow or "." in terms:
        raise Unsupported("an einsum without '->' or with '...' is left to NumPy")
    sizes: dict[str, int] = {}
    for letters, v in zip(terms.split(","), op.vars):
        for letter, n in zip(letters, v.shape):
            sizes[letter] = n if n != 1 else sizes.get(letter, 1)
    product = " * ".join(
        f"{names.name(v)}[{', '.join('0' if n == 1 else f'i_{x}' for x, n in zip(letters, v.shape)) or '()'}]"
        for letters, v in zip(terms.split(","), op.vars)
    )
    target = f"{names.place(op.out)}[{', '.join(f'i_{x}' for x in result) or '()'}]"
    inside = [(f"i_{x}", n) for x, n in sizes.items() if x not in result]
    body = [f"{target} = 0", *nest(inside, [f"{target} += {product}"])]
    return nest([(f"i_{x}", sizes[x]) for x in result], body)


def guard(op: Op, names: Names) -> list[str]:
    test = "not " if op.params["expected"] else ""
    return [
        f"if {test}{element(names, op.vars[0], [], op.vars[0].dtype)}:",
        f"    raise LookupError('guard: {op.origin.part}: another case than recorded')",
    ]


def write(op: Op, names: Names) -> list[str]:
    target, value = op.inputs
    return [f"{names.name(target)}[...] = {names.name(value)}"]


SINGLE: dict[str, Callable[[Op, Names], list[str]]] = {
    "matmul": matmul, "take_at": take_at, "put_at": changed_at, "add_at": changed_at, "concat": concat,
    "take_along_axis": take_along_axis, "argmax": first_extreme, "argmin": first_extreme, "einsum": einsum,
    "guard": guard, "write": write,
}  # fmt: skip
