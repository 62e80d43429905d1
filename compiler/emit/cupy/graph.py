"""A program as source on CuPy that runs as one CUDA graph: one launch for the whole step.

A graph reads and writes the same memory at each launch, and nothing waits for the host inside it. So arguments and
random draws are copied to where it reads them, and what needs a value (a check, the bounds of an index) is looked at
before it, by itself. A program that does not come apart in this way is left to the plain emitter, with the reason.
"""

import numpy as np

from tapegrad.compiler.emit.cupy.emitter import CupyEmitter
from tapegrad.compiler.emit.module import commented
from tapegrad.compiler.ir.memory import Spans, written
from tapegrad.compiler.ir.operations import Kind
from tapegrad.compiler.ir.program import Op, Program, Var, index_inputs
from tapegrad.compiler.ir.spelling import index_text
from tapegrad.compiler.passes.dead_code import remove_dead_code

ATOMIC = ("int32", "uint32", "uint64", "float16", "float32", "float64")  # what cupy.add.at takes


class NotAGraph(Exception):
    """Why a program cannot run as a graph."""


def taken_apart(program: Program) -> tuple[Program, Program]:
    """(what is looked at before the graph, the graph itself)."""
    needed: list[tuple[Var, str]] = []  # what must be known before the step, and for what
    looked_at: dict[int, Op] = {}
    for op in program.ops:
        suits(op)
        if op.kind is Kind.GUARD:
            needed.append((op.vars[0], f"a check in {op.origin.part}"))
            looked_at[id(op)] = op
        elif arrays := index_inputs(op):
            needed += [(v, f"an index in {op.origin.part}") for v in arrays]
            params = {"shape": op.vars[0].shape, "index": op.params["index"]}
            flag = Var(f"bounds_{len(looked_at) + 1}", (), np.dtype("bool"))
            looked_at[id(op)] = Op("bounds", list(arrays), params, flag, op.origin)
    before = makers_of(needed, program)
    checks = program.with_ops([])
    checks.results, checks.gradients = [], []
    for op in program.ops:
        checks.ops += [op] if id(op) in before else []
        checks.ops += [looked_at[id(op)]] if id(op) in looked_at else []
    inside = remove_dead_code(program.with_ops([op for op in program.ops if op.kind is not Kind.GUARD]))
    inside.captured = program.captured  # both are given all of them
    return checks, inside


def makers_of(needed: list[tuple[Var, str]], program: Program) -> set[int]:
    """The ids of all operations that values follow from; NotAGraph if they follow from what the step itself does."""
    maker = {op.out: op for op in program.ops}
    targets = Spans(written(program))
    ids: set[int] = set()
    todo = list(needed)
    while todo:
        v, what = todo.pop()
        op = maker.get(v)
        if op is None:
            if v.kind == "captured" and targets.overlap(v):
                raise NotAGraph(f"{what} depends on what the step writes to")
        elif op.kind in (Kind.RANDOM, Kind.WRITE):
            raise NotAGraph(f"{what} depends on random numbers")
        elif id(op) not in ids:
            ids.add(id(op))
            todo += [(u, what) for u in op.vars]
    return ids


def suits(op: Op) -> None:
    """NotAGraph for an operation that cannot be captured."""
    shapes = " and ".join(f"{v.dtype}{list(v.shape)}" for v in op.vars)
    if any(v.dtype.kind == "b" for v in index_inputs(op)):
        raise NotAGraph("how many elements a mask chooses is known on the device alone")
    if op.name == "matmul" and not (
        all(v.ndim == 2 for v in op.vars)
        and len({v.dtype for v in op.vars}) == 1
        and op.out.dtype.kind == "f"
    ):
        raise NotAGraph(f"the product of {shapes} is left to cuBLAS, which cannot be captured")
    if op.name == "put_at" and len(op.vars) > 1 + isinstance(op.inputs[1], Var):
        raise NotAGraph("values are written at an index array, of which the last is to stay")
    if op.name == "add_at" and str(op.out.dtype) not in ATOMIC:
        raise NotAGraph(f"there is no atomic addition of {op.out.dtype}")


def sums_rows(op: Op) -> bool:
    """Whether it adds up the rows of a matrix that the program made."""
    over_rows = op.params.get("axis") in ((0,), 0) and not op.params.get("keepdims")
    return op.name == "sum" and over_rows and op.vars[0].ndim == 2 and op.vars[0].kind == "made"


class CheckEmitter(CupyEmitter):
    """What is looked at before the graph, as a function of its own: `build_checks(captured arrays)`."""

    def single(self, op: Op) -> None:
        if op.name != "bounds":
            super().single(op)
            return
        self.waits.append(f"the bounds of an index in {op.origin.part}")
        where = index_text(op.params["index"], [self.place(v) for v in op.vars])
        self.add(f"check_bounds({op.params['shape']}, s_[{where},])  # waits for the device", op)


class GraphEmitter(CupyEmitter):
    """Writes the source of one program: `build(captured arrays)` returns the step and the arrays of the gradients."""

    def __init__(self, program: Program, title: str) -> None:
        checks, inside = taken_apart(program)
        super().__init__(inside, title)
        self.checks = CheckEmitter(checks, title) if checks.ops else None
        self.before: list[str] = []  # lines that run before each launch
        self.paired: dict[int, Op] = self.pairs()
        self.left_out = {id(op) for op in self.paired.values()}

    def pairs(self) -> dict[int, Op]:
        """id of a product x.T @ g -> the sum of g over its rows, which the same kernel can make: the gradients of a
        linear map's matrix and bias. The sum comes first, and nothing reads it in between."""
        paired: dict[int, Op] = {}
        sums: dict[Var, Op] = {}  # what is summed -> the sum that nothing has read yet
        summed: dict[Var, Var] = {}  # the sum -> what is summed
        for block in self.blocks:
            for v in (v for op in block.ops for v in op.vars):
                if v in summed:
                    sums.pop(summed.pop(v), None)
            op = block.ops[-1]
            x = op.vars[-1] if op.vars else None
            if x is not None and len(block.ops) == 1 and sums_rows(op):
                sums[x], summed[op.out] = op, x
            elif op.name == "matmul" and x in sums and x.dtype == sums[x].out.dtype:
                paired[id(op)] = sums.pop(x)
        return paired

    def place(self, v: object) -> str:
        if isinstance(v, Var) and v.kind == "argument" and v not in self.names:
            self.here(v)
        return super().place(v)

    def here(self, v: Var) -> None:
        """Give something that comes from outside a place that stays."""
        self.names[v] = f"{v.name}_here"
        self.at_build.add(v)
        self.module.define(f"{v.name}_here", f"empty({v.shape}, {str(v.dtype)!r})")

    def emit_all(self) -> None:
        for v in self.program.arguments:
            self.here(v)
            self.before.append(f"copyto({v.name}_here, {v.name})")
        super().emit_all()

    def single(self, op: Op) -> None:
        if op.kind is Kind.RANDOM:
            self.here(op.out)
            p = op.params
            self.before.append(
                f"copyto({op.out.name}_here, draw({p['shape']}, {str(p['dtype'])!r}, {p['place']!r}))"
            )
        elif id(op) not in self.left_out:
            super().single(op)

    def into(self, op: Op, args: list[str], out: str) -> str:
        if op.name != "matmul":
            return super().into(op, args, out)
        total = self.paired.get(id(op))
        if total is None:
            return f"products.matmul({', '.join(args)}, {out})"
        return f"products.matmul_and_sum({', '.join(args)}, {out}, {self.home(total.out)})"

    def fresh(self, op: Op, args: list[str]) -> str:
        if "index" not in op.params:
            return super().fresh(op, args)
        where = index_text(op.params["index"], args[op.operation.index_from :])  # looked at before the graph
        if op.name == "add_at":
            return f"added(cupy, {args[0]}, {args[1]}, s_[{where},])"
        return f"{args[0]}[{where}]"

    def note(self) -> str:
        waits = self.checks.note() if self.checks is not None else ""
        return "one CUDA graph" + (f", before which it {waits}" if waits else "")

    def source(self) -> str:
        self.emit_all()
        gradients = [self.place(g) for g in self.program.gradients]
        results = [self.place(r) for r in self.program.results]
        arguments = ", ".join(v.name for v in self.program.arguments)
        captured = ", ".join(dict.fromkeys(v.name for v in self.program.captured))
        body = commented(self.module.lines)
        first = [] if self.checks is None else self.check_lines(arguments, captured)
        check = [f"check({arguments})"] * bool(first)
        code = [f'"""{self.title}"""', "", "import cupy"]
        code += self.head("\n".join([*first, *body, *self.buffers(), *self.before]))
        code += ["", *first, f"def build({captured}):"]
        code += ["    # buffers, used again at each call, and views of what stays in place"]
        code += [*self.indented(self.buffers()), "    products = Products()"]
        code += [f"    check = build_checks({captured})"] * bool(check)
        code += ["", "    def program():", *self.indented(body, 2)]
        code += [f"        return ({', '.join(results)}{',' if len(results) == 1 else ''})", ""]
        code += ["    replay = Captured(program)  # a CUDA graph after the first call", ""]
        code += [f"    def step({arguments}):", *self.indented([*check, *self.before], 2)]
        code += ["        return tuple([result.copy() for result in replay()])", ""]
        code += ["    step.why_not = lambda: replay.why_not"]
        code += [f"    return step, ({', '.join(gradients)}{',' if len(gradients) == 1 else ''})", ""]
        return "\n".join(code)

    def check_lines(self, arguments: str, captured: str) -> list[str]:
        """The function that looks at what needs a value, before each launch."""
        assert self.checks is not None
        self.checks.kernels, self.checks.known = self.kernels, self.known
        self.checks.emit_all()
        lines = [f"def build_checks({captured}):", *self.indented(self.checks.buffers()), ""]
        lines += [f"    def check({arguments}):", *self.indented(commented(self.checks.module.lines), 2)]
        return [*lines, "", "    return check", "", ""]

    def head(self, text: str) -> list[str]:
        """Imports, kernels and helpers that lines of code need."""
        lines = self.imports_of(text)
        lines += ["from tapegrad.backends.cupy_backend import added"] * ("added(" in text)
        lines += ["from tapegrad.backends.indexing import check_bounds"] * ("check_bounds(" in text)
        lines += ["from tapegrad.compiler.emit.cupy.runtime import Captured, Products", ""]
        return [*lines, *self.kernels.values()]

    def indented(self, lines: list[str], times: int = 1) -> list[str]:
        return [f"{'    ' * times}{line}" for line in lines]
