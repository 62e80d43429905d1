"""A program as Python source on CuPy: every run of elementwise operations is one kernel, written out at the top of the
file, and so is a reduction with the run that ends in it. Everything else is a call of CuPy's own function.

Nothing waits for the device but a "guard", which needs a value to decide, and an index array, whose bounds are looked
at.
"""

import builtins
import keyword

import numpy as np

from tapegrad.compiler.emit.cupy.cuda import TYPES, expression, literal, wide
from tapegrad.compiler.emit.cupy.kernels import device_blocks
from tapegrad.compiler.emit.module import tuple_items
from tapegrad.compiler.emit.numpy.emitter import NumpyEmitter, functions_in
from tapegrad.compiler.ir.operations import Kind
from tapegrad.compiler.ir.program import Op, Program, Var, chosen_by_mask, index_inputs, spelled
from tapegrad.compiler.plan.blocks import Block

C_WORDS = frozenset(
    "i n T auto char const default delete do double enum explicit export extern float friend goto inline int long "  # noqa: SIM905
    "mutable namespace new operator private protected public register short signed sizeof static struct switch this "
    "template throw typedef typeid typename union unsigned using virtual void volatile bool half float16 complex "
    "a b main y0 y1 yn j0 j1 jn REDUCE POST_MAP IndexT I NAN INFINITY".split()
)


class CupyEmitter(NumpyEmitter):
    """Writes the source of one program: a module whose `build(captured arrays)` makes the buffers and returns the step
    and the arrays in which it leaves the gradients."""

    target = "cupy"

    def __init__(self, program: Program, title: str) -> None:
        super().__init__(program, title)
        self.kernels: dict[str, str] = {}  # name -> its definition
        self.known: dict[str, str] = {}  # a definition without names -> the kernel's name
        self.taken = {v.name for op in program.ops for v in (*op.vars, op.out)}
        self.waits: list[str] = []  # what the host waits for at each call, and why
        self.calls: list[str] = []  # operations that could be in a kernel, if their rows said how

    def blocks_of(self, program: Program) -> list[Block]:
        return device_blocks(program)

    def note(self) -> str:
        """What is to be known of the program beside its name."""
        waits, calls = (", ".join(dict.fromkeys(notes)) for notes in (self.waits, self.calls))
        notes = [f"waits for the device at each call: {waits}"] if waits else []
        notes += [f"in no kernel, but one call of CuPy's each: {calls}"] if calls else []
        return "; ".join(notes)

    # ---- kernels ----
    def kernel(self, block: Block) -> None:
        ops = [op for op in block.ops if op.kind is Kind.ELEMENTWISE]
        end = block.ops[-1] if block.ops[-1].kind is Kind.REDUCTION else None
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
        self.add(f"{self.known[definition]}({given}{over})", block.ops[-1], block.ops)

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
            text = f"const {TYPES[str(op.out.dtype)]} {names[op.out]} = {expression(op, names.__getitem__, helpers)};"
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
        after = f"a / {count}" if end.operation.mean else "a"
        after = f"(float16)({after})" if out.dtype == np.float16 else after
        term = f"term({', '.join(names[v] for v in inputs)})"
        term = f"{term} != 0" if isinstance(end.operation.identity, bool) else f"({kind}){term}"
        return (
            f'{name} = ReductionKernel(\n    "{parameters}",\n    "{out.dtype} result",\n    "{term}",\n'
            f'    "{end.operation.cuda}",\n    "result = {after}",\n    "{self.start(end)}",\n    "{name}",\n'
            f'    reduce_type="{kind}",\n    preamble="""{"".join(helpers.values())}\n{function}""",\n)\n'
        )

    def start(self, end: Op) -> str:
        """What a reduction begins with: it changes nothing that comes after."""
        dtype = wide(end.out.dtype)
        identity = end.operation.identity
        if dtype.kind == "f" or not np.isinf(identity):
            return literal(identity, dtype)
        if dtype.kind == "b":
            return literal(identity > 0, dtype)
        limits = np.iinfo(dtype)
        return literal(limits.max if identity > 0 else limits.min, dtype)

    # ---- everything else ----
    def single(self, op: Op) -> None:
        """An operation outside of kernels, as CuPy's own function."""
        if op.kind is Kind.JOIN and id(op) not in self.plan.skipped:
            self.concat(op)
        elif op.kind is Kind.GUARD:
            test = "not " if op.params["expected"] else ""
            flag = self.place(op.vars[0])
            self.waits.append(f"a check in {op.origin.part}")
            self.add(f"if {test}bool({flag}):  # waits for the device", op)
            self.add(f"    raise LookupError('guard: {op.origin.part}: another case than recorded')", op)
        elif chosen_by_mask(op):
            self.waits.append("a mask that chooses elements")
            super().emit(op)
        else:
            if op.kind in (Kind.ELEMENTWISE, Kind.CALL) and op.operation.cupy == "":
                self.calls.append(op.name)
            if index_inputs(op):
                self.waits.append(f"the bounds of an index in {op.origin.part}")
            super().emit(op)

    def concat(self, op: Op) -> None:
        out, start, axis = str(self.home(op.out)), 0, op.params["axis"]
        for v in op.vars:
            stop = start + v.shape[axis]
            self.add(f"{out}[{':, ' * axis}{start}:{stop}] = {self.place(v)}", op)
            start = stop

    def into(self, op: Op, args: list[str], out: str) -> str:
        return op.operation.source(op, args, out, "cupy")

    def fresh(self, op: Op, args: list[str]) -> str:
        return op.operation.source(op, args, library="cupy")

    def result(self, r: object) -> str:
        return f"{self.place(r)}.copy()" if isinstance(r, Var) else super().result(r)

    # ---- the whole ----
    def emit_all(self) -> None:
        for block in self.blocks:
            op = block.ops[-1]
            if block.shape is not None and (len(block.ops) > 1 or op.kind is Kind.ELEMENTWISE):
                self.kernel(block)
            else:
                self.single(op)

    def source(self) -> str:
        body = self.body()
        frame = self.module.frame(body, f"({tuple_items(body.results)})")
        imports = self.imports_of("\n".join(frame))
        head = [f'"""{self.title}"""', "", "import cupy", *imports, "", *self.kernels.values(), ""]
        text = "\n".join([*head, *frame])
        self.operations_by_line = self.module.operations_by_line(text, body)
        return text

    def constant_definitions(self) -> dict[str, str]:
        return {name: f"cupy.array({spelled(value)})" for name, value in self.constants.items()}

    def buffers(self) -> list[str]:
        """Lines that make constants, buffers and views."""
        empty = {b.name: f"empty({b.shape}, {str(b.dtype)!r})" for b in self.plan.buffers}
        made = self.constant_definitions() | empty | self.module.definitions
        return [f"{name} = {text}" for name, text in made.items()]

    def imports_of(self, text: str) -> list[str]:
        """The imports that the source needs."""
        lines = []
        lines += ["import numpy as np", "from numpy import inf, nan, s_"]
        names = {n for n in functions_in(text) if not hasattr(builtins, n)} | {"empty"}
        lines.append(
            f"from cupy import {', '.join(['ElementwiseKernel', 'ReductionKernel', *sorted(names)])}"
        )
        if "draw(" in text:
            lines.append("from tapegrad.autograd.random import draw")
        kernels = [n for n in ("index_get", "index_set", "index_add") if f"{n}(" in text]
        if kernels:
            lines += ["from tapegrad.backends import get_backend", ""]
            lines += [f"{n} = get_backend('cupy').kernels[{n!r}]" for n in kernels]
        return lines
