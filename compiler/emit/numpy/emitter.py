"""A program as Python source on NumPy: buffers and views are made once, then each call runs down the list."""

import re
from itertools import count
from typing import Any

import numpy as np

from tapegrad.autograd.ops.indexing import Slot
from tapegrad.backends.numpy_backend import BITS
from tapegrad.compiler.emit.numpy.chunks import emit_run, runs
from tapegrad.compiler.ir.program import ELEMENTWISE, VIEWS, Op, Program, Var, chosen_by_mask, spelled
from tapegrad.compiler.passes import make_room, rewritten
from tapegrad.compiler.plan.blocks import Block
from tapegrad.compiler.plan.buffers import Plan, Planner

REDUCTIONS = {
    "sum": "add",
    "prod": "multiply",
    "max": "maximum",
    "min": "minimum",
    "any": "logical_or",
    "all": "logical_and",
}
# Made afresh at each call, by functions of NumPy that take no `out`.
FRESH = frozenset(
    {"where", "take_at", "add_at", "take_along_axis", "argmax", "argmin", "random_uniform", "guard"}
)
RENAMED = {"bitwise_invert": "invert"}


def number(value: Any) -> str:
    text = repr(value)
    return {"inf": "float('inf')", "-inf": "-float('inf')", "nan": "float('nan')"}.get(text, text)


MANY = 512  # from so many elements on, two calls on bits are faster than np.where


def on_bits(program: Program) -> Program:
    """where(condition, x, 0), of many elements, by the bits of x: "keep" is x & "all_or_none" of the condition.
    np.where branches at each element, and takes longer the less the processor can guess."""

    def change(op: Op, new: Program) -> Op | Var:
        if op.name != "where":
            return op
        condition, x, zero = op.inputs
        plain = not isinstance(zero, Var) and repr(zero) in ("0", "0.0")
        alike = (
            isinstance(x, Var) and isinstance(condition, Var) and condition.shape == x.shape == op.out.shape
        )
        if not (plain and alike and x.dtype == op.out.dtype and x.dtype.kind == "f" and x.size >= MANY):
            return op
        if x.dtype.itemsize not in BITS or condition.dtype.kind != "b":
            return op
        bits = Var(f"{condition.name}_bits", condition.shape, np.dtype("int8"))
        new.ops.append(Op("all_or_none", [condition], {}, bits, op.origin))
        return Op("keep", [x, bits], {}, op.out, op.origin)

    return rewritten(program, change)


class NumpyEmitter:
    """Writes the source of one program: a module whose `build(captured arrays)` makes the buffers and returns the step
    and the arrays in which it leaves the gradients."""

    fresh_ops = FRESH

    def __init__(self, program: Program, title: str) -> None:
        self.title = title
        self.program, self.blocks = self.arranged(program)
        planner = Planner(self.program, self.blocks, self.fresh_ops)
        self.plan: Plan = planner.run()
        self.base = planner.base
        self.names: dict[Var, str] = {}
        self.constants: dict[str, Any] = {}
        self.once: list[str] = []  # lines that run when the step is built
        self.lines: list[tuple[str, Op]] = []  # lines that run at each call
        self.at_build: set[Var] = {v for v in program.captured}
        self.scipy = False
        self.bits: set[str] = set()  # names of arrays seen as integers
        self.run_count = 0

    def arranged(self, program: Program) -> tuple[Program, list[Block]]:
        """The program as this library is best asked for it, and what is emitted together."""
        program = make_room(on_bits(program))
        return program, runs(program, self.fresh_ops)

    # ---- names ----
    def place(self, v: Any) -> str:
        """The expression for an input."""
        if not isinstance(v, Var):
            return number(v)
        if v.kind == "constant":
            if v not in self.names:
                self.names[v] = f"constant_{len(self.constants) + 1}"
                self.constants[self.names[v]] = v.value
            return self.names[v]
        if v in self.names:
            return self.names[v]
        if v.kind in ("argument", "captured"):
            return v.name
        return self.names.setdefault(v, v.name)

    def scalar(self, value: Any, dtype: str) -> str:
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
            self.once.append(f"{name} = {buffer}[{a}:{b}].reshape({v.shape})")
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
            if op.name == "concat":
                self.names[op.out] = self.plan.home[op.out].name
                self.at_build.add(op.out)
            elif op.name == "write":
                pass
            return
        args = self.operands(op, [self.place(i) for i in op.inputs])
        p = op.params
        if op.name == "write":
            self.add(f"copyto({args[0]}, {args[1]})", op)
            return
        if op.name == "guard":
            test = "not " if p["expected"] else ""
            self.add(
                f"if {test}{args[0]}: raise ValueError('guard: {op.origin.part}: another case than recorded')",
                op,
            )
            return
        if op.name in VIEWS:
            self.view(op, args)
            return
        out = self.home(op.out)
        if out is None:
            self.names[op.out] = op.out.name
            self.add(f"{op.out.name} = {self.fresh(op, args)}", op)
            if chosen_by_mask(op):
                other = f"{op.out.name}.shape != {op.out.shape}"
                self.add(f"if {other}: raise ValueError('guard: the mask chooses another number')", op)
        else:
            self.add(self.into(op, args, out), op)

    def operands(self, op: Op, args: list[str]) -> list[str]:
        """The inputs' names, numbers as 0-d arrays: NumPy is faster with those than with Python's."""
        # The condition says nothing about the dtype, and both branches may be numbers.
        typed = [op.out] if op.name == "where" else op.vars
        floats = [v for v in typed if v.dtype.kind == "f"]
        if op.name not in ELEMENTWISE or op.name == "power" or not floats:
            return args
        dtype = str(floats[0].dtype)
        return [a if isinstance(i, Var) else self.scalar(i, dtype) for i, a in zip(op.inputs, args)]

    def view(self, op: Op, args: list[str]) -> None:
        """A view of memory that stays where it is, is made once; of others, at each call."""
        x, p = args[0], op.params
        if op.name == "reshape":
            text = f"{x}.reshape({p['shape']})"
        elif op.name == "permute_dims":
            text = (
                f"{x}.T"
                if list(p["axes"]) == list(range(len(p["axes"])))[::-1]
                else f"{x}.transpose({tuple(p['axes'])})"
            )
        elif op.name == "broadcast_to":
            text = f"broadcast_to({x}, {tuple(p['shape'])})"
        else:
            text = f"{x}[{index_text(p['index'], [])}]"
        name = self.names.setdefault(op.out, op.out.name)
        source = op.vars[0]
        steady = source in self.at_build and not (op.name == "reshape" and not self.contiguous(source))
        if steady:
            self.once.append(f"{name} = {text}")
            self.at_build.add(op.out)
        else:
            self.add(f"{name} = {text}", op)

    def contiguous(self, v: Var) -> bool:
        """Whether a reshape of it is sure to be a view: it is no view itself."""
        return self.base.get(v, v) is v and v.dense and v.order is None

    def into(self, op: Op, args: list[str], out: str) -> str:
        p = op.params
        name = RENAMED.get(op.name, op.name)
        if op.name in ("astype", "copy"):
            return f"copyto({out}, {args[0]}, casting='unsafe')"
        if op.name == "all_or_none":  # True is 1, and -1 is all bits
            return f"negative({self.as_bits(args[0], op.vars[0], 'int8')}, out={out})"
        if op.name == "keep":
            kind = BITS[op.out.dtype.itemsize].__name__
            x, result = self.as_bits(args[0], op.vars[0], kind), self.as_bits(out, op.out, kind)
            return f"bitwise_and({x}, {args[1]}, out={result})"
        if op.name == "erf":
            self.scipy = True
            return f"erf({args[0]}, out={out})"
        if op.name in ELEMENTWISE or op.name == "matmul":
            return f"{name}({', '.join(args)}, out={out})"
        over = f"axis={p.get('axis')}" + (", keepdims=True" if p.get("keepdims") else "")
        if op.name in REDUCTIONS:
            return f"{REDUCTIONS[op.name]}.reduce({args[0]}, {over}, dtype={str(op.out.dtype)!r}, out={out})"
        if op.name == "mean" and op.out.dtype.itemsize > 2:  # NumPy's own adds float16 in float32
            count = op.vars[0].size // max(op.out.size, 1)
            return f"add.reduce({args[0]}, {over}, out={out}); divide({out}, {count}, out={out})"
        if op.name == "concat":
            return f"concatenate(({', '.join(args)},), axis={p['axis']}, out={out})"
        if op.name == "put_at":
            where = index_text(p["index"], args[2:])
            same = "" if args[0] == out else f"copyto({out}, {args[0]}); "
            return f"{same}{out}[{where}] = {args[1]}"
        if op.name == "einsum":
            order = ", optimize=True" if len(args) > 2 else ""  # of the products, by their cost
            # Given `out`, NumPy adds up in another order; and one operand alone may come back as a view.
            return f"copyto({out}, einsum({p['subscripts']!r}, {', '.join(args)}{order}))"
        if op.name == "clip":
            return f"clip({args[0]}, {number(p['min'])}, {number(p['max'])}, out={out})"
        options = "".join(f", {k}={v!r}" for k, v in p.items())
        return f"copyto({out}, np.{name}({', '.join(args)}{options}))"

    def as_bits(self, text: str, v: Var, kind: str) -> str:
        """An array seen as integers of the same length; of one that stays, once."""
        if v not in self.at_build or text.endswith("_part"):  # or it is another array at each turn of a loop
            return f"{text}.view({kind!r})"
        name = f"{text}_bits"
        if name not in self.bits:
            self.bits.add(name)
            self.once.append(f"{name} = {text}.view({kind!r})")
        return name

    def fresh(self, op: Op, args: list[str]) -> str:
        p = op.params
        if op.name == "take_at":
            found = f"{args[0]}[{index_text(p['index'], args[1:])}]"
            return found if op.out.shape else f"asarray({found})"
        if op.name == "add_at":
            return f"index_add({args[0]}, {args[1]}, s_[{index_text(p['index'], args[2:])}])"
        if op.name == "random_uniform":
            return f"draw({p['shape']}, {str(p['dtype'])!r}, {p['place']!r})"
        if op.name == "take_along_axis":
            return f"take_along_axis({args[0]}, {args[1]}, axis={p['axis']})"
        if op.name in ("argmax", "argmin"):
            return f"asarray({op.name}({args[0]}, axis={p.get('axis')}, keepdims={bool(p.get('keepdims'))}))"
        return f"{op.name}({', '.join(args)})"

    def add(self, text: str, op: Op) -> None:
        self.lines.append((text, op))

    # ---- the whole ----
    def source(self) -> str:
        for block in self.blocks:
            if block.shape is None:
                self.emit(block.ops[0])
            else:
                emit_run(block, self)
        results = [self.result(r) for r in self.program.results]
        gradients = [self.place(g) for g in self.program.gradients]
        arguments = ", ".join(v.name for v in self.program.arguments)
        build = ", ".join(dict.fromkeys(v.name for v in self.program.captured))
        body = self.commented()
        buffers = [f"{b.name} = {allocated(b)}" for b in self.plan.buffers]
        inner = [f"def step({arguments}):", *(f"    {line}" for line in body)]
        inner.append(
            f"    return {', '.join(results)}{',' if len(results) == 1 else ''}"
            if results
            else "    return ()"
        )
        before, helpers = [*self.constant_lines(), *buffers, *self.once], self.helpers(body)
        imports = self.imports("\n".join([*helpers, *before, *inner]))
        code = [f'"""{self.title}"""', "", "import numpy as np", *imports, ""]
        code += [*helpers, "", f"def build({build}):"]
        code += ["    # buffers, used again at each call, and views of what stays in place"]
        code += [f"    {line}" for line in before]
        code += ["", *(f"    {line}" for line in inner), ""]
        grads = f"({', '.join(gradients)}{',' if len(gradients) == 1 else ''})"
        return "\n".join([*code, f"    return step, {grads}", ""])

    def commented(self) -> list[str]:
        """The lines of a call, with where they come from above them, and what they make behind them."""
        body: list[str] = []
        last = None
        wide = max((len(text) for text, _ in self.lines if len(text) < 90), default=0)
        for text, op in self.lines:
            if op.origin != last:
                where = (
                    f"{op.origin.line}   "
                    if op.origin.line and (last is None or op.origin.line != last.line)
                    else ""
                )
                inside = " " * (len(text) - len(text.lstrip()))
                body.append(f"{inside}# {where}[{op.origin.part}]")
                last = op.origin
            body.append(f"{text:{wide}}  # {op.out.dtype}{list(op.out.shape)}")
        return body

    def result(self, r: Any) -> str:
        if not isinstance(r, Var):
            return number(r)
        text = self.place(r)
        return f"{text}.copy('K')"  # the buffers are ours; the caller's copy has their order in memory

    def constant_lines(self) -> list[str]:
        return [f"{name} = {spelled(value)}"
                for name, value in self.constants.items()]  # fmt: skip

    def imports(self, text: str) -> list[str]:
        lines = [f"from numpy import {', '.join(n)}"] if (n := used([*sorted(CALLED), *OTHER], text)) else []
        return lines + (["from scipy.special import erf"] if self.scipy else [])

    def helpers(self, body: list[str]) -> list[str]:
        text = "\n".join(body)
        return [helper for name, helper in HELPERS.items() if f"{name}(" in text]


HELPERS = {
    "index_add": """

def index_add(x, values, index):
    total = x.copy()
    add.at(total, index, values)
    return total
""",
    "draw": """
try:
    from tapegrad.autograd.random import draw
except ImportError:  # away from tapegrad: other random numbers, from the same distribution

    def draw(shape, dtype, place):
        return np.random.default_rng().random(shape).astype(dtype)
""",
}
NO_FUNCTION = {"copy", "astype", "erf", "take_at", "add_at", "random_uniform", "guard"}
CALLED = {RENAMED.get(n, n) for n in (ELEMENTWISE | FRESH) - NO_FUNCTION} | set(
    "copyto matmul concatenate broadcast_to einsum clip asarray logical_or logical_and".split()  # noqa: SIM905
)


OTHER = ["empty", "inf", "nan", "s_"]


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


def index_text(template: tuple[Any, ...], arrays: list[str]) -> str:
    def part(i: Any) -> str:
        if isinstance(i, Slot):
            return arrays[int(i)]
        if isinstance(i, slice):
            return ":".join(
                "" if e is None else str(e)
                for e in ((i.start, i.stop) if i.step is None else (i.start, i.stop, i.step))
            )
        return "..." if i is Ellipsis else "None" if i is None else str(i)

    return ", ".join(part(i) for i in template) or "()"
