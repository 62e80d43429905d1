"""A program as Python source on NumPy: buffers and views are made once, then each call runs down the list."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from math import prod

import numpy as np

from tapegrad.autograd.aliases import Array
from tapegrad.compiler.emit.folding import Body
from tapegrad.compiler.emit.module import SourceModule, assembled, imported, tuple_items
from tapegrad.compiler.emit.numpy.chunks import LARGE, emit_run, runs
from tapegrad.compiler.emit.numpy.loops import loop_source
from tapegrad.compiler.ir.operations import Kind, allocating
from tapegrad.compiler.ir.program import Op, Program, Var, chosen_by_mask, spelled, spelled_view
from tapegrad.compiler.ir.spelling import number
from tapegrad.compiler.plan.blocks import Block
from tapegrad.compiler.plan.buffers import Plan, Planner


class NumpyEmitter:
    """Writes the source of one program: a module whose `build(captured arrays)` makes the buffers and returns the step
    and the arrays in which it leaves the gradients."""

    target = "numpy"

    def __init__(self, program: Program, title: str) -> None:
        self.title = title
        self.program, self.blocks = program, self.blocks_of(program)
        planner = Planner(program, self.blocks, allocating(self.target))
        self.plan: Plan = planner.run()
        self.base = planner.base
        self.names: dict[Var, str] = {}
        self.module = SourceModule(title, self.program)
        self.constants: dict[str, Array] = {}
        self.broadcast: set[str] = set()  # the constants that eager has as views of fewer elements
        self.full: set[str] = set()  # names of arrays that are a number all over
        self.at_build: set[Var] = {v for v in program.captured}
        # Module -> the function of it that the program calls, if not NumPy's.
        self.modules: dict[str, str] = {}
        self.bits: set[str] = set()  # names of arrays seen as integers
        self.run_count = 0
        self.operations_by_line: list[tuple[int, list[Op]]] = []  # of the source, once it is written

    def blocks_of(self, program: Program) -> list[Block]:
        """What is emitted together."""
        return runs(program, allocating(self.target))

    # ---- names ----
    def place(self, v: Var | object) -> str:
        """The expression for an input."""
        if not isinstance(v, Var):
            return number(v)
        if v.kind == "constant":
            if v not in self.names:
                self.names[v] = f"constant_{len(self.constants) + 1}"
                self.constants[self.names[v]] = v.value
                if not v.dense and v.size:
                    self.broadcast.add(self.names[v])
            return self.names[v]
        if v in self.names:
            return self.names[v]
        if v.kind in ("argument", "captured"):
            return v.name
        return self.names.setdefault(v, v.name)

    def scalar(self, value: float, dtype: str) -> str:
        """The name of a 0-d array that holds a number."""
        text = "".join(c if c.isalnum() else "_" for c in f"{float(value):g}".replace("-", "minus_"))
        array = np.array(value, dtype)
        name, more = f"c_{text}", count(2)
        while (known := self.constants.setdefault(name, array)) is not array:
            if (known.dtype, known.shape, known.tobytes()) == (array.dtype, (), array.tobytes()):
                break
            name = f"c_{text}_{dtype}_{next(more)}"
        return name

    def home(self, v: Var) -> str | None:
        """The name of the array that a result is made in, or None if it is made afresh."""
        if v in self.plan.parts:
            joined, a, b = self.plan.parts[v]
            name = self.names.setdefault(v, v.name)
            buffer = self.plan.home[joined].name
            self.module.define(name, f"{buffer}[{a}:{b}].reshape({v.shape})")
            self.at_build.add(v)
            return name
        buffer_var = self.plan.home.get(v)
        if buffer_var is None:
            return None
        self.names[v] = buffer_var.name
        self.at_build.add(v)
        return buffer_var.name

    # ---- operations ----
    def emit(self, op: Op) -> None:
        if id(op) in self.plan.skipped:
            if op.kind is Kind.JOIN:
                self.names[op.out] = self.plan.home[op.out].name
                self.at_build.add(op.out)
            self.module.absorbed(op, [self.base.get(v, v) for v in op.vars])
            return
        args = self.operands(op, [self.number_in(op, i) for i in op.inputs])
        if op.kind in (Kind.WRITE, Kind.GUARD):
            self.add(op.operation.source(op, args), op)
            return
        if op.kind is Kind.VIEW:
            self.view(op, args)
            return
        out = self.home(op.out)
        if out is None:
            self.names[op.out] = op.out.name
            self.add(f"{op.out.name} = {self.fresh(op, args)}", op)
            if chosen_by_mask(op):
                other = f"{op.out.name}.shape != {op.out.shape}"
                self.add(f"if {other}: raise LookupError('guard: the mask chooses another number')", op)
        else:
            self.add(self.into(op, args, out), op)

    def operands(self, op: Op, args: list[str], shape: tuple[int, ...] | None = None) -> list[str]:
        """The inputs' names, numbers as 0-d arrays: NumPy is faster with those than with Python's. shape: of the part
        of the result that is made at once; None: all of it."""
        if op.kind is not Kind.ELEMENTWISE or len(op.vars) == len(args):
            return args
        # A condition says nothing about the dtype, and both branches may be numbers.
        typed = [op.out] if op.operation.typed_from else op.vars
        floats = [v for v in typed if v.dtype.kind == "f"]
        if not floats:
            return args
        dtype = str(floats[0].dtype)
        shape = op.out.shape if shape is None else shape
        hold: Callable[[float, str], str] = self.scalar
        if op.operation.filled and FEW < prod(shape) <= LARGE:
            hold = partial(self.filled, shape=shape)
        return [a if isinstance(i, Var) else hold(i, dtype) for i, a in zip(op.inputs, args)]

    def number_in(self, op: Op, v: Var | object) -> str:
        """The expression for an input. One element that stays, such as the bias of one unit, is seen without its axes:
        added to many, it then takes a third of the time."""
        text = self.place(v)
        steady = isinstance(v, Var) and v in self.at_build and bool(v.shape) and v.size == 1
        others = [i for i in op.vars if i is not v and i.shape == op.out.shape]
        arithmetic = op.kind is Kind.ELEMENTWISE and op.operation.operator
        if not (steady and others and arithmetic and op.out.size > 1):
            return text
        self.module.define(f"{text}_number", f"{text}.reshape(())")
        return f"{text}_number"

    def filled(self, value: float, dtype: str, shape: tuple[int, ...]) -> str:
        """The name of an array that is a number all over."""
        name = f"{self.scalar(value, dtype)}_{'x'.join(map(str, shape))}"
        self.module.define(name, f"np.full({shape}, {number(value)}, {dtype!r})")
        self.full.add(name)
        return name

    def view(self, op: Op, args: list[str]) -> None:
        """A view of memory that stays where it is, is made once; of others, at each call."""
        text = op.operation.source(op, args)
        name = self.names.setdefault(op.out, op.out.name)
        source = op.vars[0]
        steady = source in self.at_build and not (op.name == "reshape" and not self.contiguous(source))
        if steady:
            self.module.define(name, text, op)
            self.at_build.add(op.out)
        else:
            self.add(f"{name} = {text}", op)

    def contiguous(self, v: Var) -> bool:
        """Whether a reshape of it is sure to be a view: it is no view itself."""
        return self.base.get(v, v) is v and v.dense and v.order is None

    def into(self, op: Op, args: list[str], out: str) -> str:
        """The call that puts the result into the array `out`."""
        if op.operation.module != "numpy":
            self.modules[op.operation.module] = op.operation.name
        bits = op.operation.bits
        args = [self.as_bits(arg, op.inputs[k]) if k in bits else arg for k, arg in enumerate(args)]
        return op.operation.source(op, args, self.as_bits(out, op.out) if -1 in bits else out)

    def as_bits(self, text: str, v: Var) -> str:
        """An array seen as integers of the same length; of one that stays, once."""
        kind = f"int{8 * v.dtype.itemsize}"
        if v not in self.at_build or text.endswith("_part"):  # or it is another array at each turn of a loop
            return f"{text}.view({kind!r})"
        name = f"{text}_bits"
        if name not in self.bits:
            self.bits.add(name)
            self.module.define(name, f"{text}.view({kind!r})")
        return name

    def fresh(self, op: Op, args: list[str]) -> str:
        """An expression for a result that is a new array at each call."""
        return op.operation.source(op, args)

    def add(self, text: str, op: Op, others: Sequence[Op] = ()) -> None:
        self.module.add(text, op, others)

    # ---- the whole ----
    def emit_all(self) -> None:
        for block in self.blocks:
            if block.shape is None:
                self.emit(block.ops[0])
            else:
                emit_run(block, self)

    def body(self) -> Body:
        """What the module consists of."""
        self.emit_all()
        results = [self.result(r) for r in self.program.results]
        gradients = [self.place(g) for g in self.program.gradients]
        made = self.module.definitions
        buffers = {b.name: allocated(b) for b in self.plan.buffers}
        self.module.definitions = self.constant_definitions() | buffers | made
        self.module.constants = set(self.constants)
        return self.module.body(results, gradients)

    def source(self) -> str:
        body = self.body()
        frame = self.module.frame(body, tuple_items(body.results) or "()")
        helpers = self.helpers(frame)
        imports = self.imports("\n".join([*helpers, *frame]))
        text = assembled(self.title, imports, helpers, frame)
        self.operations_by_line = self.module.operations_by_line(text, body)
        return text

    def result(self, r: object) -> str:
        if not isinstance(r, Var):
            return number(r)
        text = self.place(r)
        return f"{text}.copy('K')"  # the buffers are ours; the caller's copy has their order in memory

    def constant_definitions(self) -> dict[str, str]:
        return {
            name: (spelled_view if name in self.broadcast else spelled)(value)
            for name, value in self.constants.items()
        }

    def imports(self, text: str) -> list[str]:
        names = used([*functions_in(text), *OTHER], text)
        lines = [imported("numpy", names)] if names else []
        return lines + [f"from {module} import {name}" for module, name in self.modules.items()]

    def helpers(self, lines: list[str]) -> list[str]:
        """The functions that lines of code call and the module defines itself."""
        text = "\n".join(lines)
        rows = {op.name: op.operation for op in self.program.ops}.values()
        sources = dict.fromkeys(loop_source(row, row.body) if row.body else row.helper for row in rows)
        return [source for source in sources if source and f"{defined_in(source)}(" in text]


FEW = 256  # elements; up to here a call takes the same time whatever they are
OTHER = ("empty", "inf", "nan", "s_")


def defined_in(helper: str) -> str:
    """The name of the function that source defines."""
    name = re.search(r"def (\w+)\(", helper)
    assert name is not None
    return name[1]


def functions_in(text: str) -> list[str]:
    """NumPy's functions that lines of code call by their plain names."""
    called = set(
        re.findall(r"(?<![\w.'])([a-z]\w*)(?=\(|\.(?:reduce|accumulate|at)\()", re.sub("#.*", "", text))
    )
    return sorted(name for name in called - set(OTHER) if hasattr(np, name))


def used(names: list[str], text: str) -> list[str]:
    """Those of the names that stand in lines of code by themselves."""
    found = set(re.findall(r"(?<![\w.'])[a-z]\w*", re.sub("#.*", "", text)))
    return [n for n in names if n in found]


def allocated(buffer: Var) -> str:
    """The expression for a new array, its axes in memory in the order that eager's array has."""
    if buffer.order is None:
        return f"empty({buffer.shape}, {str(buffer.dtype)!r})"
    slowest_first = tuple(buffer.shape[axis] for axis in buffer.order)
    back = tuple(buffer.order.index(axis) for axis in range(buffer.ndim))
    return f"empty({slowest_first}, {str(buffer.dtype)!r}).transpose({back})"
