"""Convolutions as calls of the product kernel, which reads windows where they lie.

    windows      (batch, *counts, *window, channels), a view of x
    kernel       (*window, channels, filters)
    y            (batch, *counts, filters)

    windows   y += windows @ kernel, over the elements of a window: the depth
    kernel    kernel += windows @ y, over the places of windows: the depth
    input     windows += y @ kernel, over the filters: the depth; where windows overlap, one turn after the other

Each is one nest of loops, with a length and strides for each axis, of which `products` makes a kernel.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from tapegrad.compiler.emit.native.products import Loop, Matrix, Product, Step, arranged
from tapegrad.compiler.ir.program import Op, Var

# With fewer windows than this along the last axis, rows are taken along the longest one.
SHORT = 4


@dataclass
class Convolution:
    """A call: names of the arrays as above, whose windows have so many `axes`. `form` says which."""

    form: str
    a: str
    b: str
    out: str
    axes: int
    ops: list[Op]
    bias: str = ""
    epilogue: tuple[str, ...] = ()


class Arrays(Protocol):
    """What a convolution needs of the emitter."""

    def name(self, v: Var) -> str:
        """What the array of a Var is called."""

    def defined(self, expression: str, wanted: str) -> str:
        """The name of a view that stays."""


def convolution(op: Op, arrays: Arrays) -> Convolution:
    """The call of an operation. That of the form "input" adds to what is there."""
    form = op.name.removeprefix("convolve_")
    a, b, *more = op.vars
    if form == "input":
        layout = {name: value for name, value in op.params.items() if name != "shape"}
        counts, window = layout["counts"], layout["window"]
        places, elements = (op.out.shape[0], *counts), (*window, op.out.shape[-1])
        options = ", ".join(f"{name}={value}" for name, value in layout.items())
        out = arrays.defined(f"windows_of({arrays.name(op.out)}, {options})", f"{op.out.name}_windows")
        left = reshaped(a, (*places, a.shape[1]), arrays)
        right = reshaped(b, (b.shape[0], *elements), arrays)
        return Convolution(form, left, right, out, len(window), [op])
    half = a.ndim // 2
    places, elements = a.shape[:half], a.shape[half:]
    right = reshaped(b, (*(places if form == "kernel" else elements), b.shape[1]), arrays)
    other = elements if form == "kernel" else places
    out = reshaped(op.out, (*other, op.out.shape[1]), arrays)
    bias = arrays.name(more[0]) if more else ""
    epilogue = ("bias",) * bool(more) + ("relu",) * bool(op.params.get("relu"))
    return Convolution(form, arrays.name(a), right, out, half - 1, [op], bias, epilogue)


def reshaped(v: Var, shape: tuple[int, ...], arrays: Arrays) -> str:
    """A matrix with its rows, or columns, as several axes: a view, whatever its strides are."""
    return arrays.defined(f"{arrays.name(v)}.reshape({shape})", f"{v.name}_by_axes")


# ---- to be read ----
def lines(call: Convolution) -> list[str]:
    """Loops over places and the elements of windows, around products of matrices of NumPy."""
    places = [f"i{k}" for k in range(call.axes)]
    elements = [f"k{k}" for k in range(call.axes)]
    at, inside = ", ".join(places), ", ".join(elements)
    windows = f"{at}, :, {inside}"
    whole = {
        "windows": f"{call.out}[{at}] += {call.a}[{windows}] @ {call.b}[{inside}]",
        "kernel": f"{call.out}[{inside}] += {call.a}[{windows}].T @ {call.b}[{at}]",
        "input": f"{call.out}[{windows}] += {call.a}[{at}] @ {call.b}[:, {inside}]",
    }[call.form]
    array = call.out if call.form == "input" else call.a
    text = [] if call.form == "input" else [f"{call.out}[...] = 0"]
    depth = 0
    for n, index in enumerate([*places, *elements]):
        axis = n if n < call.axes else n + 1
        text.append(f"{'    ' * depth}for {index} in range({array}.shape[{axis}]):")
        depth += 1
    ends = {
        "bias": f"np.add({call.out}, {call.bias}, out={call.out})",
        "relu": f"np.maximum({call.out}, 0, out={call.out})",
    }
    return [*text, f"{'    ' * depth}{whole}", *(ends[name] for name in call.epilogue)]


# ---- to be run ----
def steps(
    form: str, a: Matrix, b: Matrix, out: Matrix, axes: int, epilogue: tuple[str, ...] = ()
) -> list[Step]:
    """The calls that compute it: one product, and the copies that it needs."""
    make: Any = {
        "windows": over_elements,
        "kernel": over_places,
        "input": into_windows,
    }[form]
    return arranged(replace(make(a, b, out, axes + 1), epilogue=epilogue))


def along(x: Matrix, y: Matrix, axes: Sequence[int], others: Sequence[int]) -> list[Loop]:
    """A loop for each axis of x, with the strides of x and y."""
    return [(x.shape[i], x.strides[i], y.strides[k]) for i, k in zip(axes, others)]


def over_elements(windows: Matrix, kernel: Matrix, y: Matrix, half: int) -> Product:
    around, rows = places_of(along(windows, y, range(half), range(half)))
    depth = along(windows, kernel, range(half, 2 * half), range(half))
    columns = (kernel.shape[-1], kernel.strides[-1], y.strides[-1])
    return Product(tuple((n, a, 0, c) for n, a, c in around), rows, columns, tuple(depth), y.dtype)


def over_places(windows: Matrix, y: Matrix, kernel: Matrix, half: int) -> Product:
    *around, rows = along(windows, kernel, range(half, 2 * half), range(half))
    depth = along(windows, y, range(half), range(half))
    columns = (y.shape[-1], y.strides[-1], kernel.strides[-1])
    return Product(tuple((n, a, 0, c) for n, a, c in around), rows, columns, tuple(depth), y.dtype)


def into_windows(y: Matrix, kernel: Matrix, windows: Matrix, half: int) -> Product:
    batch, *places = along(y, windows, range(half), range(half))
    around, rows = places_of(places)
    elements = along(windows, kernel, range(half, 2 * half - 1), range(1, half))
    spread = [(n, a, 0, c) for n, a, c in around] + [(n, 0, b, c) for n, c, b in elements]
    columns = (kernel.shape[-1], kernel.strides[-1], windows.strides[-1])
    depth = ((kernel.shape[0], y.strides[-1], kernel.strides[0]),)
    n, a, c = batch
    return Product(((n, a, 0, c),), rows, columns, depth, y.dtype, accumulate=True, spread=tuple(spread))


def places_of(loops: list[Loop]) -> tuple[list[Loop], Loop]:
    """The loops around, and the one whose turns are the rows: the last, or the longest where that one is short."""
    last = len(loops) - 1
    if loops[last][0] < SHORT:
        last = max(range(len(loops)), key=lambda k: loops[k][0])
    return loops[:last] + loops[last + 1 :], loops[last]
