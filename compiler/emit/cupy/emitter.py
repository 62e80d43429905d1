"""A program as Python source on CuPy: every run of elementwise operations is one kernel, written out at the top of the
file, and so is a reduction with the run that ends in it. Everything else is a call of CuPy's own function.

Nothing waits for the device but a "guard", which needs a value to decide, and an index array, whose bounds are looked
at.
"""

import keyword
from typing import Any

import numpy as np

from tapegrad.compiler.emit.cupy.cuda import TYPES, expression, literal, wide
from tapegrad.compiler.emit.numpy.emitter import NumpyEmitter, index_text
from tapegrad.compiler.ir.program import ELEMENTWISE, Op, Program, Var, chosen_by_mask, spelled
from tapegrad.compiler.plan.blocks import REDUCTIONS, Block, blocks

FRESH = frozenset({"take_at", "add_at", "take_along_axis", "argmax", "argmin", "random_uniform", "guard"})
# A reduction takes its run of elementwise operations along if one block of threads is enough for each result; CuPy's
# own reductions spread a long one over many blocks, if they find it in memory.
ONE_BLOCK = 8192
MOST_ARRAYS = 40  # of one kernel: its arguments must fit into 4 KB
C_WORDS = frozenset(
    "i n T auto char const default delete do double enum explicit export extern float friend goto inline int long "  # noqa: SIM905
    "mutable namespace new operator private protected public register short signed sizeof static struct switch this "
    "template throw typedef typeid typename union unsigned using virtual void volatile bool half float16 complex "
    "a b main y0 y1 yn j0 j1 jn REDUCE POST_MAP IndexT I NAN INFINITY".split()
)
COMBINED = {"sum": "a + b", "mean": "a + b", "prod": "a * b", "any": "a || b", "all": "a && b",
            "max": "a >= b || a != a ? a : b", "min": "a <= b || a != a ? a : b"}  # fmt: skip


def device_blocks(program: Program) -> list[Block]:
    """The program cut into kernels: elementwise blocks, reductions with what they alone need, and single operations."""
    users: dict[Var, set[int]] = {}
    for op in program.ops:
        for v in op.vars:
            users.setdefault(v, set()).add(id(op))
    kept = set(program.kept())

    def within(ops: list[Op]) -> set[Var]:
        """What is made and used up by these operations."""
        here = {id(op) for op in ops}
        return {op.out for op in ops
                if op.name in ELEMENTWISE and op.out not in kept and users.get(op.out, set()) <= here}  # fmt: skip

    def kernels(ops: list[Op], shape: tuple[int, ...]) -> list[Block]:
        inner = within(ops)
        if len({v for op in ops for v in (*op.vars, op.out)} - inner) <= MOST_ARRAYS or len(ops) == 1:
            return [Block(ops, shape, inner)] if ops else []
        half = len(ops) // 2
        return kernels(ops[:half], shape) + kernels(ops[half:], shape)

    found: list[Block] = []
    for block in blocks(program):
        if block.shape is None:
            found.append(block)
            continue
        left, ends = [op for op in block.ops if op.name not in REDUCTIONS], []
        for end in [op for op in block.ops if op.name in REDUCTIONS]:
            own = [end]
            if end.vars[0].size <= ONE_BLOCK * max(end.out.size, 1):
                mine = {id(end)}
                for op in reversed(left):
                    if op.out not in kept and users.get(op.out, set()) <= mine:
                        own.append(op)
                        mine.add(id(op))
                if len(kernels(own := own[::-1], block.shape)) > 1:
                    own = [end]
            taken = {id(op) for op in own}
            left = [op for op in left if id(op) not in taken]
            ends.append(Block(own, block.shape, within(own)))
        found += kernels(left, block.shape) + ends
    return found


class CupyEmitter(NumpyEmitter):
    """Writes the source of one program: a module whose `build(captured arrays)` makes the buffers and returns the step
    and the arrays in which it leaves the gradients."""

    fresh_ops = FRESH

    def __init__(self, program: Program, title: str) -> None:
        super().__init__(program, title)
        self.kernels: dict[str, str] = {}  # name -> its definition
        self.known: dict[str, str] = {}  # a definition without names -> the kernel's name
        self.taken = {v.name for op in program.ops for v in (*op.vars, op.out)}
        self.waits: list[str] = []  # what the host waits for at each call, and why

    def arranged(self, program: Program) -> tuple[Program, list[Block]]:
        return program, device_blocks(program)

    def note(self) -> str:
        """What is to be known of the program beside its name."""
        waits = ", ".join(dict.fromkeys(self.waits))
        return f"waits for the device at each call: {waits}" if waits else ""

    # ---- kernels ----
    def kernel(self, block: Block) -> None:
        ops = [op for op in block.ops if op.name in ELEMENTWISE or op.name == "clip"]
        end = block.ops[-1] if block.ops[-1].name in REDUCTIONS else None
        inside = {op.out for op in ops}
        inputs = list(dict.fromkeys(v for op in ops for v in op.vars if v not in inside))
        stored = [op.out for op in ops if op.out not in block.inner] if end is None else [end.out]
        homes = [str(self.home(v)) for v in stored]
        given = ", ".join([*map(self.place, inputs), *homes])
        plain: dict[Var, str] = {v: f"v{k}" for k, v in enumerate((*inputs, *(op.out for op in ops)))}
        definition = self.definition(ops, end, inputs, stored, plain, "kernel")
        if definition not in self.known:
            name = self.kernel_name(block)
            self.known[definition] = name
            self.kernels[name] = self.definition(
                ops, end, inputs, stored, self.spoken(inputs, ops, stored), name
            )
        over = ""
        if end is not None:
            over = f", axis={end.params.get('axis')}" + (", keepdims=True" * bool(end.params.get("keepdims")))
        self.add(f"{self.known[definition]}({given}{over})", block.ops[-1])

    def kernel_name(self, block: Block) -> str:
        parts = list(dict.fromkeys(op.origin.part for op in block.ops))
        if len("_".join(parts)) > 40:
            parts = [parts[0], "to", parts[-1]] if len("".join(parts[:1] + parts[-1:])) <= 40 else parts[-1:]
        name = "".join(c if c.isascii() and c.isalnum() else "_" for c in "_".join(parts)).strip("_")
        name = f"{name or 'run'}_kernel"
        taken = {*self.kernels, *self.taken}
        number = 1
        while (unique := f"{name}_{number}" if number > 1 else name) in taken:
            number += 1
        return unique

    def spoken(self, inputs: list[Var], ops: list[Op], stored: list[Var]) -> dict[Var, str]:
        """The names of a kernel's values: the program's own, where C allows them."""
        names: dict[Var, str] = {}
        for v in (*inputs, *(op.out for op in ops)):
            name = "".join(c if c.isascii() and (c.isalnum() or c == "_") else f"u{ord(c):x}" for c in v.name)
            name += "_" * (name in C_WORDS or keyword.iskeyword(name) or name.startswith("_"))
            while name in names.values() or f"new_{name}" in names.values():
                name += "_"
            names[v] = name.lstrip("_") or "v"
        return names

    def definition(
        self,
        ops: list[Op],
        end: Op | None,
        inputs: list[Var],
        stored: list[Var],
        names: dict[Var, str],
        name: str,
    ) -> str:
        """The source of a kernel. What it reads may be what it writes: every value is worked out before the first is
        stored."""
        helpers: dict[str, str] = {}
        lines: list[str] = []
        last = ""
        for op in ops:
            text = f"const {TYPES[str(op.out.dtype)]} {names[op.out]} = {self.value(op, names, helpers)};"
            part = f"  // [{op.origin.part}]" if op.origin.part != last and name != "kernel" else ""
            lines.append(text + part)
            last = op.origin.part
        parameters = ", ".join(f"{v.dtype} {names[v]}" for v in inputs)
        if end is not None:
            return self.reduction(end, inputs, parameters, lines, names, helpers, name)
        lines += [f"new_{names[v]} = {names[v]};" for v in stored]
        results = ", ".join(f"{v.dtype} new_{names[v]}" for v in stored)
        preamble = "".join(helpers.values())
        more = f"    preamble='''{preamble}''',\n" if preamble else ""
        body = "".join(f"    {line}\n" for line in lines)
        return (
            f'{name} = ElementwiseKernel(\n    "{parameters}",\n    "{results}",\n    """\n{body}    """,\n'
            f'    "{name}",\n    no_return=True,\n{more})\n'
        )

    def value(self, op: Op, names: dict[Var, str], helpers: dict[str, str]) -> str:
        if op.name != "clip":
            return expression(op, names.__getitem__, helpers)
        (x,), low, high = op.vars, op.params["min"], op.params["max"]
        text = names[x]
        dtype = op.out.dtype
        if low is not None:
            text = f"{text} < {literal(low, wide(dtype))} ? ({TYPES[str(dtype)]}){literal(low, wide(dtype))} : {text}"
        if high is not None:
            bound = literal(high, wide(dtype))
            text = f"{names[x]} > {bound} ? ({TYPES[str(dtype)]}){bound} : {f'({text})' if low is not None else text}"
        return text

    def reduction(
        self,
        end: Op,
        inputs: list[Var],
        parameters: str,
        lines: list[str],
        names: dict[Var, str],
        helpers: dict[str, str],
        name: str,
    ) -> str:
        x, out = end.vars[0], end.out
        kind = TYPES[str(wide(out.dtype))]
        arguments = ", ".join(f"{TYPES[str(v.dtype)]} {names[v]}" for v in inputs)
        body = "".join(f"    {line}\n" for line in lines)
        function = (
            f"__device__ {TYPES[str(x.dtype)]} term({arguments}) {{\n{body}    return {names[x]};\n}}\n"
        )
        count = literal(x.size // max(out.size, 1), wide(out.dtype)) if out.dtype.kind == "f" else ""
        after = f"a / {count}" if end.name == "mean" else "a"
        after = f"(float16)({after})" if out.dtype == np.float16 else after
        term = f"term({', '.join(names[v] for v in inputs)})"
        term = f"{term} != 0" if end.name in ("any", "all") else f"({kind}){term}"
        return (
            f'{name} = ReductionKernel(\n    "{parameters}",\n    "{out.dtype} result",\n    "{term}",\n'
            f'    "{COMBINED[end.name]}",\n    "result = {after}",\n    "{self.start(end)}",\n    "{name}",\n'
            f'    reduce_type="{kind}",\n    preamble="""{"".join(helpers.values())}\n{function}""",\n)\n'
        )

    def start(self, end: Op) -> str:
        """What a reduction begins with: it changes nothing that comes after."""
        dtype = wide(end.out.dtype)
        if end.name in ("max", "min"):
            worst: Any = -np.inf if end.name == "max" else np.inf
            if dtype.kind in "iu":
                limits = np.iinfo(dtype)
                worst = limits.min if end.name == "max" else limits.max
            return literal(worst if dtype.kind != "b" else end.name == "min", dtype)
        return literal(end.name in ("prod", "all"), dtype)

    # ---- everything else ----
    def single(self, op: Op) -> None:
        """An operation outside of kernels, as CuPy's own function."""
        if op.name == "concat" and id(op) not in self.plan.skipped:
            self.concat(op)
        elif op.name == "guard":
            test = "not " if op.params["expected"] else ""
            flag = self.place(op.vars[0])
            self.waits.append(f"a check in {op.origin.part}")
            self.add(f"if {test}bool({flag}):  # waits for the device", op)
            self.add(f"    raise ValueError('guard: {op.origin.part}: another case than recorded')", op)
        elif chosen_by_mask(op):
            self.waits.append("a mask that chooses elements")
            super().emit(op)
        else:
            if op.name in ("take_at", "add_at", "put_at") and len(op.vars) > 1 + (op.name != "take_at"):
                self.waits.append(f"the bounds of an index in {op.origin.part}")
            super().emit(op)

    def concat(self, op: Op) -> None:
        out, start, axis = str(self.home(op.out)), 0, op.params["axis"]
        for v in op.vars:
            stop = start + v.shape[axis]
            self.add(f"{out}[{':, ' * axis}{start}:{stop}] = {self.place(v)}", op)
            start = stop

    def into(self, op: Op, args: list[str], out: str) -> str:
        p = op.params
        if op.name in REDUCTIONS:
            over = f"axis={p.get('axis')}" + (", keepdims=True" if p.get("keepdims") else "")
            return f"cupy.{op.name}({args[0]}, {over}, out={out})"
        if op.name == "matmul":
            return f"matmul({', '.join(args)}, out={out})"
        if op.name == "put_at" and len(args) > 2:
            where = index_text(p["index"], args[2:])
            return f"copyto({out}, index_set(cupy, {args[0]}, {args[1]}, index=s_[{where},]))"
        if op.name == "put_at":
            where = index_text(p["index"], [])
            return f"copyto({out}, {args[0]}); {out}[{where}] = {args[1]}"
        if op.name == "einsum":
            best = ", optimize=True" if len(args) > 2 else ""
            return f"copyto({out}, einsum({p['subscripts']!r}, {', '.join(args)}{best}))"
        options = "".join(f", {k}={v!r}" for k, v in p.items())
        return f"copyto({out}, cupy.{op.name}({', '.join(args)}{options}))"

    def fresh(self, op: Op, args: list[str]) -> str:
        p = op.params
        if op.name == "take_at":
            where = index_text(p["index"], args[1:])
            return (
                f"index_get(cupy, {args[0]}, index=s_[{where},])" if len(args) > 1 else f"{args[0]}[{where}]"
            )
        if op.name == "add_at":
            where = index_text(p["index"], args[2:])
            return f"index_add(cupy, {args[0]}, {args[1]}, index=s_[{where},])"
        if op.name in ("argmax", "argmin"):
            return f"cupy.{op.name}({args[0]}, axis={p.get('axis')}, keepdims={bool(p.get('keepdims'))})"
        return super().fresh(op, args)

    # ---- the whole ----
    def emit_all(self) -> None:
        for block in self.blocks:
            op = block.ops[-1]
            fused = block.shape is not None and (len(block.ops) > 1 or op.name in ELEMENTWISE)
            if fused or op.name == "clip":
                self.kernel(block)
            else:
                self.single(op)

    def source(self) -> str:
        self.emit_all()
        results = [self.result(r) for r in self.program.results]
        gradients = [self.place(g) for g in self.program.gradients]
        arguments = ", ".join(v.name for v in self.program.arguments)
        captured = ", ".join(dict.fromkeys(v.name for v in self.program.captured))
        body = self.commented()
        whole = "\n".join([*body, *self.once])
        code = [f'"""{self.title}"""', "", "import cupy", *self.imports_of(whole), ""]
        code += [*self.kernels.values(), "", f"def build({captured}):"]
        code += ["    # buffers, used again at each call, and views of what stays in place"]
        code += [f"    {line}" for line in self.buffers()]
        code += ["", f"    def step({arguments}):", *(f"        {line}" for line in body)]
        code += [f"        return ({', '.join(results)}{',' if len(results) == 1 else ''})", ""]
        return "\n".join(
            [*code, f"    return step, ({', '.join(gradients)}{',' if len(gradients) == 1 else ''})", ""]
        )

    def buffers(self) -> list[str]:
        """Lines that make constants, buffers and views."""
        constants = [f"{name} = cupy.array({spelled(value)})" for name, value in self.constants.items()]
        empty = [f"{b.name} = empty({b.shape}, {str(b.dtype)!r})" for b in self.plan.buffers]
        return [*constants, *empty, *self.once]

    def imports_of(self, text: str) -> list[str]:
        """The imports that the source needs."""
        lines = []
        lines += ["import numpy as np", "from numpy import inf, nan, s_"]
        names = [
            n for n in ("broadcast_to", "copyto", "einsum", "matmul", "take_along_axis") if f"{n}(" in text
        ]
        lines.append(
            f"from cupy import {', '.join(['ElementwiseKernel', 'ReductionKernel', *names, 'empty'])}"
        )
        if "added(" in text:
            lines.append("from cupyx import scatter_add")
        if "draw(" in text:
            lines.append("from tapegrad.autograd.random import draw")
        kernels = [n for n in ("index_get", "index_set", "index_add") if f"{n}(" in text]
        if kernels:
            lines += ["from tapegrad.backends import get_backend", ""]
            lines += [f"{n} = get_backend('cupy').kernels[{n!r}]" for n in kernels]
        return lines
