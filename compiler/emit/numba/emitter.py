"""A program as one function for numba: matrix products through BLAS, everything else in fused loops.

All buffers are parts of one array for each dtype, and parameters that look into an optimizer's buffer are cut out of it
inside the function, since each array that is passed costs as much as a small loop. A loop over many elements is a
function of its own, whose turns are shared among the cores.
"""

from typing import Any

import numpy as np

from tapegrad.compiler.emit.numba.calls import SINGLE, Unsupported
from tapegrad.compiler.emit.numba.loops import Loop
from tapegrad.compiler.emit.numpy.emitter import used
from tapegrad.compiler.ir.operations import Kind
from tapegrad.compiler.ir.program import Op, Program, Var, spelled
from tapegrad.compiler.ir.spelling import index_text
from tapegrad.compiler.plan.blocks import Block, blocks
from tapegrad.compiler.plan.buffers import Planner

FRESH = frozenset({"guard", "random_uniform"})
LOOPS = (Kind.ELEMENTWISE, Kind.REDUCTION, Kind.VIEW)  # besides what SINGLE spells
LEFT_TO_NUMPY = frozenset({"clip", "mask_bits", "and_bits"})
# Sums may be added up in any order, and x / c be x * (1 / c); NaN and Inf stay what they are.
OPTIONS = 'fastmath={"reassoc", "contract", "arcp", "nsz"}, error_model="numpy", nogil=True, cache=True'


class NumbaEmitter:
    """Writes the source of one program: `build(captured arrays)` returns the step and the arrays of the gradients.

    cores   among how many the large loops are shared
    """

    def __init__(self, program: Program, title: str, cores: int = 1) -> None:
        self.title, self.cores = title, cores
        self.program = program
        for v in (*program.arguments, *program.captured, *program.kept()):
            check_dtype(v, "a program")
        for op in self.program.ops:
            check(op)
        self.blocks = blocks(self.program, numbers=True)
        planner = Planner(self.program, self.blocks, FRESH)
        self.plan, self.base = planner.run(), planner.base
        # Views and captured arrays whose elements do not lie one after another; of an argument, a copy is taken.
        self.strided: set[Var] = {v for v in self.program.captured if not v.dense}
        self.transposes: set[Var] = set()  # those of them that are matrices, which BLAS takes as they are
        self.numbers: dict[Var, str] = {}  # 0-d results that are plain variables
        self.names: dict[Var, str] = {}
        self.lines: list[str] = []
        self.loops: list[str] = []  # functions of their own
        self.draws: list[Op] = [op for op in self.program.ops if op.name == "random_uniform"]
        self.constants: dict[str, Any] = {}
        self.offsets: dict[Var, int] = {}
        self.sizes: dict[str, int] = {}
        for b in self.plan.buffers:
            self.offsets[b] = self.sizes.get(str(b.dtype), 0)
            self.sizes[str(b.dtype)] = self.offsets[b] + -(-max(b.size, 1) // 16) * 16

    # ---- names ----
    def name(self, v: Var) -> str:
        if v in self.numbers:
            return self.numbers[v]
        if v.kind == "constant" and v not in self.names:
            self.names[v] = f"constant_{len(self.constants) + 1}"
            self.constants[self.names[v]] = v.value
        return self.names.get(v, v.name)

    def place(self, v: Var) -> str:
        """Declare where a result is made, and give its name."""
        if v in self.plan.parts:
            joined, a, _ = self.plan.parts[v]
            home = self.plan.home[joined]
            self.names[v] = v.name
            self.lines.append(f"{v.name} = cut({home.name}, {a}, {v.shape})")
        else:
            self.names[v] = self.plan.home[v].name
        return self.names[v]

    def dense(self, v: Var) -> str:
        """An array for BLAS: contiguous, or the transpose of a matrix that is."""
        name = self.name(v)
        return f"np.ascontiguousarray({name})" if v in self.strided and v not in self.transposes else name

    # ---- blocks ----
    def block(self, block: Block) -> None:
        op = block.ops[0]
        if id(op) in self.plan.skipped:
            if op.name == "concat":
                self.names[op.out] = self.plan.home[op.out].name
        elif block.shape is None and op.kind is Kind.VIEW:
            self.view(op)
        elif op.name == "random_uniform":
            self.names[op.out] = f"drawn_{self.draws.index(op) + 1}"
        else:
            parts = ", ".join(dict.fromkeys(o.origin.part for o in block.ops))
            shape = op.out.shape if block.shape is None else block.shape
            self.lines.append(f"# [{parts}] {block.ops[-1].out.dtype}{list(shape)}")
            if block.shape is None:
                self.lines += SINGLE[op.name](op, self)
            else:
                self.loop(block)

    def loop(self, block: Block) -> None:
        loop = Loop(block, self.name, self.place, self.numbers, self.strided)
        if self.cores > 1 and loop.parallel:
            function, call = loop.apart(f"loop_{len(self.loops) + 1}")
            self.loops.append("\n".join(["", "", f"@njit(parallel=True, {OPTIONS})", *function]))
            self.lines += call
        else:
            self.lines += loop.lines()

    def view(self, op: Op) -> None:
        x, out, p = op.vars[0], op.out, op.params
        source = self.name(x)
        if op.name == "reshape":
            dense = f"np.ascontiguousarray({source})" if x in self.strided else source
            text = f"{dense}.reshape({p['shape']})"
        elif op.name == "permute_dims":
            self.strided.add(out)
            reverse = list(p["axes"]) == list(range(out.ndim))[::-1]
            if reverse and out.ndim == 2 and x not in self.strided:
                self.transposes.add(out)
            text = f"{source}.T" if reverse else f"{source}.transpose({tuple(p['axes'])})"
        elif op.name == "broadcast_to":
            self.strided.add(out)
            text = f"np.broadcast_to({source}, {tuple(p['shape'])})"
        else:
            self.strided.add(out)
            index = [i for i in p["index"] if out.shape or i is not Ellipsis]
            if out.shape or not index:
                text = f"{source}[{index_text(tuple(index), [])}]"
            else:  # of an element numba makes a number, which is no view
                last = index[-1] % x.shape[-1]
                row = index_text((*index[:-1], slice(last, last + 1)), [])
                text = f"np.ascontiguousarray({source}[{row}]).reshape(())"
        self.names[out] = out.name
        self.lines.append(f"{out.name} = {text}")

    # ---- the whole ----
    def source(self) -> str:
        last = None
        for block in self.blocks:
            op = block.ops[0]
            line = op.origin.line
            if line and line != last and op.kind is not Kind.VIEW:
                self.lines += ["", f"# {line}"]
                last = line
            self.block(block)
        results = [self.name(r) for r in self.program.results]
        gradients = [self.name(g) for g in self.program.gradients]
        outside, inside = self.captured_arrays()
        arguments = [v.name for v in self.program.arguments]
        arguments += [f"drawn_{i + 1}" for i in range(len(self.draws))]
        works = [f"work_{d}" for d in self.sizes]
        homes = [f"{b.name} = cut(work_{b.dtype}, {self.offsets[b]}, {b.shape})" for b in self.plan.buffers]
        out = [f"out_{i + 1}" for i in range(len(results))]
        text = "\n".join([*self.lines, *self.loops])
        code = [f'"""{self.title}"""', "", *(["import math", ""] if used(["math"], text) else [])]
        code += ["import numpy as np", f"from numba import njit{', prange' if self.loops else ''}"]
        arrays = used(["cut", "dot"], "\n".join([text, *inside, *homes]))
        ours = {
            "from tapegrad.autograd.random import draw": self.draws,
            "from tapegrad.compiler.emit.numba import numba_math": "numba_math." in text,
            f"from tapegrad.compiler.emit.numba.arrays import {', '.join(arrays)}": arrays,
            "from tapegrad.compiler.emit.numba.threads import turn": self.loops,
        }
        code += ["", *(line for line, needed in ours.items() if needed)] if any(ours.values()) else []
        constants = [f"{n} = {spelled(v)}" for n, v in self.constants.items()]
        special = used(["inf", "nan"], "\n".join(constants))
        code += [f"from numpy import {', '.join(special)}"] if special else []
        code += ["", *constants] if constants else []
        code += [*self.loops, "", "", f"@njit({OPTIONS})"]
        code += [f"def program({', '.join([*arguments, *outside, *works])}):"]
        code += [f"    {line}".rstrip() for line in (*inside, *homes, *self.lines, "")]
        code += [f"    {o} = {r}.copy()" for o, r in zip(out, results)]
        code += [f"    return {', '.join(out)}{',' if len(out) == 1 else ''}" if out else "    return 0"]
        code += ["", "", f"def build({', '.join(dict.fromkeys(v.name for v in self.program.captured))}):"]
        code += [f"    work_{d} = np.zeros({n}, {d!r})" for d, n in self.sizes.items()]
        plain = [v.name for v in self.program.arguments]
        drawn = [
            f"draw({op.params['shape']}, {str(op.params['dtype'])!r}, {op.params['place']!r})"
            for op in self.draws
        ]
        # One kind of array, since numba compiles for each: an argument of another order is copied.
        given = [f"np.ascontiguousarray({v.name})" if v.shape else v.name for v in self.program.arguments]
        call = f"program({', '.join([*given, *drawn, *outside, *works])})"
        code += ["", f"    def step({', '.join(plain)}):"]
        run = [f"return {call}"] if out else [call, "return ()"]
        if self.loops:
            run = ["with turn:", *("    " + line for line in run)]
        code += [*("        " + line for line in run), ""]
        code += [f"    {line}" for line in self.gradient_views(gradients)]
        code += [f"    return step, ({', '.join(gradients)}{',' if len(gradients) == 1 else ''})", ""]
        return "\n".join(code)

    def captured_arrays(self) -> tuple[list[str], list[str]]:
        """The names of the arrays to pass, and lines that cut the others out of them."""
        outside: list[str] = []
        inside: list[str] = []
        seen: set[str] = set()
        for v in self.program.captured:
            if v.name in seen:
                continue
            seen.add(v.name)
            # The largest one, which is not itself cut out of another.
            whole = max(
                (w for w in self.program.captured if w.ndim == 1 and w.name != v.name and w.dtype == v.dtype
                 and w.dense and v.dense and w.span[0] <= v.span[0] and v.span[1] <= w.span[1] and w.size > v.size
                 and (v.span[0] - w.span[0]) % w.dtype.itemsize == 0), key=lambda w: w.size, default=None,
            )  # fmt: skip
            if whole is None:
                outside.append(v.name)
            else:
                start = (v.span[0] - whole.span[0]) // v.dtype.itemsize
                inside.append(f"{v.name} = cut({whole.name}, {start}, {v.shape})")
        return outside, inside

    def gradient_views(self, gradients: list[str]) -> list[str]:
        """Lines that find the gradients' arrays again from outside."""
        lines: list[str] = []
        buffers = {b.name: b for b in self.plan.buffers}
        for v, name in zip(self.program.gradients, gradients):
            if v in self.plan.parts:
                joined, a, _ = self.plan.parts[v]
                start = self.offsets[self.plan.home[joined]] + a
            elif name in buffers:
                start = self.offsets[buffers[name]]
            else:
                raise Unsupported("a gradient that is a view is left to NumPy")
            lines.append(f"{name} = cut(work_{v.dtype}, {start}, {v.shape})")
        return lines


def check_dtype(v: Var, what: str) -> None:
    if v.dtype.kind not in "fib" or v.dtype == np.float16:
        raise Unsupported(f"{what} on {v.dtype} is left to NumPy")


def check(op: Op) -> None:
    """Raise Unsupported for what only NumPy does."""
    for v in (*op.vars, op.out):
        check_dtype(v, op.name)
    known = op.kind in LOOPS or op.kind is Kind.RANDOM or op.name in SINGLE
    if not known or op.name in LEFT_TO_NUMPY:
        raise Unsupported(f"{op.name} is left to NumPy")
