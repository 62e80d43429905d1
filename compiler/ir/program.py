"""What is recorded: a flat list of operations on named arrays, in the order they run."""

from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from tapegrad.autograd.aliases import Params
from tapegrad.compiler.ir.operations import Kind, Operation, operation

Shape = tuple[int, ...]


@dataclass(eq=False)
class Var:
    """An array of the program. kind:

    argument   given at each call
    captured   a parameter, buffer or piece of optimizer state: read where it is, and written in place
    constant   the same at each call: `value`
    made       the result of an operation
    """

    name: str
    shape: Shape
    dtype: np.dtype
    kind: str = "made"
    value: Any = None
    span: tuple[int, int] = (0, 0)  # of a captured array: where its memory begins and ends
    dense: bool = True  # its elements lie one after another, the last axis running fastest
    # Its axes by their steps in memory, the largest first; None: as they come.
    order: tuple[int, ...] | None = None
    # Of a result: the order that the pass `layouts` wants.
    laid_out: tuple[int, ...] | None = None

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def text(self) -> str:
        """As it stands among the inputs of an operation: its name, or the value of a constant."""
        return self.name if self.kind != "constant" else constant_text(self.value)

    @property
    def kind_text(self) -> str:
        """Its dtype and shape, and the order of its axes in memory where that is another one."""
        order = f" as {self.laid_out}" if self.laid_out else ""
        return f"{self.dtype}{list(self.shape)}{order}"

    def overlaps(self, other: "Var") -> bool:
        """Whether two captured arrays share memory."""
        return self.span[0] < other.span[1] and other.span[0] < self.span[1]

    def uniform(self) -> Any:
        """The number that all elements of a constant are, or None."""
        return self.value.flat[0].item() if self.kind == "constant" and one_number(self.value) else None


@dataclass(frozen=True)
class Origin:
    """Where an operation comes from: the user's line, and the primitive or gradient rule that it is part of.

    module   the path of the Module whose forward ran, as "layers.0"; empty outside of all
    """

    line: str
    part: str
    module: str = ""


@dataclass(eq=False)
class Op:
    """`out = name(*inputs, **params)`. What the name means stands in its row, `operation`. Inputs are Vars and Python
    numbers."""

    name: str
    inputs: list[Any]
    params: Params
    out: Var
    origin: Origin

    # An operation never changes: a pass makes another one.
    operation: Operation = field(init=False, repr=False)
    kind: Kind = field(init=False, repr=False)
    vars: list[Var] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.operation = operation(self.name)
        self.kind = self.operation.kind
        self.vars = [i for i in self.inputs if isinstance(i, Var)]

    def __str__(self) -> str:
        given = [i.text if isinstance(i, Var) else repr(i) for i in self.inputs]
        params = {k: str(v) if isinstance(v, np.dtype) else v for k, v in self.params.items()}
        given += [f"{k}={v!r}" for k, v in params.items() if v is not None and v is not False]
        return f"{self.out.name} = {self.name}({', '.join(given)})"


@dataclass(eq=False)
class Program:
    """arguments and captured arrays in, `ops` run in order, `results` out. `gradients` are kept for `.grad`."""

    arguments: list[Var] = field(default_factory=list)
    captured: list[Var] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)
    results: list[Any] = field(default_factory=list)  # Vars, in the order of the flattened return value
    gradients: list[Var] = field(default_factory=list)

    def with_ops(self, ops: list[Op]) -> "Program":
        return Program(self.arguments, self.captured, ops, list(self.results), list(self.gradients))

    def kept(self) -> list[Var]:
        """What must be there at the end."""
        return [r for r in (*self.results, *self.gradients) if isinstance(r, Var)]

    def __str__(self) -> str:
        lines = [(str(op), op.out.kind_text, op.origin.part) for op in self.ops]
        wide = [max((len(line[k]) for line in lines if len(line[k]) < 90), default=0) for k in (0, 1)]
        return "\n".join(f"{text:{wide[0]}}  {kind:{wide[1]}}  [{part}]" for text, kind, part in lines)

    def cost(self) -> tuple[int, int]:
        """(operations that compute, bytes of the arrays they make)."""
        real = [op for op in self.ops if op.kind is not Kind.VIEW]
        return len(real), sum(op.out.nbytes for op in real if op.kind is not Kind.WRITE)


def one_number(value: np.ndarray) -> bool:
    """Whether all elements have the same bits, and there are any."""
    if not value.size or not any(value.strides):
        return bool(value.size)
    size = value.itemsize
    bits = np.ascontiguousarray(value).reshape(-1).view(f"u{size}" if size in (1, 2, 4, 8) else f"V{size}")
    return bool(np.all(bits == bits[0]))


def constant_text(value: np.ndarray) -> str:
    """A constant as the printed list shows it: its number, its few numbers, or else its dtype and shape."""
    if one_number(value):
        return repr(value.flat[0].item())
    return repr(value.tolist()) if value.size <= 8 else f"{value.dtype}{list(value.shape)}"


def spelled(value: np.ndarray) -> str:
    """The source of an array, short for one full of one number."""
    if value.size > 8 and one_number(value):
        return f"np.full({value.shape}, {value.flat[0].item()!r}, {str(value.dtype)!r})"
    return f"np.array({value.tolist()!r}, {str(value.dtype)!r}).reshape({value.shape})"


def spelled_view(value: np.ndarray) -> str:
    """The source of an array that was broadcast: NumPy adds up in another order over a step of 0 bytes."""
    part = value[tuple(slice(1) if step == 0 else slice(None) for step in value.strides)]
    return f"np.broadcast_to({spelled(part)}, {value.shape})"


def chosen_by_mask(op: Op) -> bool:
    """Whether the shape of the result is a matter of values."""
    return (
        op.kind is Kind.INDEX
        and op.operation.index_from == 1
        and any(v.dtype.kind == "b" for v in op.vars[1:])
    )


def index_arrays(op: Op) -> tuple[Any, ...]:
    """The index arrays of an operation, whose elements may be out of bounds."""
    first = op.operation.index_from
    return () if first is None else tuple(i for i in op.inputs[first:] if i.kind != "constant")


def index_inputs(op: Op) -> list[Var]:
    """The arrays, constants among them, that stand in the index of an operation."""
    first = op.operation.index_from
    return op.inputs[first:] if first is not None and "index" in op.params else []


def is_check(op: Op) -> bool:
    """Whether it may stop a call: one of another case than was recorded, or with an index that is out of bounds."""
    return op.kind is Kind.GUARD or bool(index_arrays(op))


def before_last_check(program: Program) -> list[Op]:
    """The operations that run before it is certain that this call is of the kind that was recorded."""
    last, seen = 0, set()
    for i, op in enumerate(program.ops):
        same = (index_arrays(op), op.inputs[0].shape, repr(op.params)) if index_arrays(op) else None
        if is_check(op) and (chosen_by_mask(op) or same is None or same not in seen):
            last = i
        seen.add(same)
    return program.ops[:last]
