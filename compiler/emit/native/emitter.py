"""A program as loops and products for LLVM: what each call runs, and what it reads and writes.

    Program ─► blocks, plan ─► calls: nests of loops, products, calls of NumPy ─► source() to read
                                                                              └─► build(arrays) to run

An array of the program is known by its name. Those that stay, buffers and views of them, are `definitions`: expressions
that are worked out once, when the step is built. Everything is in place then, so that a view costs nothing at a call.
"""

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tapegrad.compiler.emit.folding import Line
from tapegrad.compiler.emit.module import SourceModule, assembled, imported, tuple_items
from tapegrad.compiler.emit.native import convolution as convolutions
from tapegrad.compiler.emit.native.alike import Loops, Nests, loops_of
from tapegrad.compiler.emit.native.allocation import allocated
from tapegrad.compiler.emit.native.chunks import in_chunks
from tapegrad.compiler.emit.native.convolution import Convolution, convolution
from tapegrad.compiler.emit.native.elements import DTYPES, OURS, known, sizes
from tapegrad.compiler.emit.native.forms import Nest, Slot, named, nest_of
from tapegrad.compiler.emit.native.forms import number as number_of
from tapegrad.compiler.emit.native.index_nests import (
    along,
    at_index,
    bounds_check,
    bounds_of,
    changed,
    first_place,
    has_place,
    joined,
    started,
    taken,
)
from tapegrad.compiler.emit.native.loop_lines import AS_PYTHON, lines_of_loops
from tapegrad.compiler.emit.native.nests import checked, copied, filled
from tapegrad.compiler.emit.numpy.emitter import functions_in, used
from tapegrad.compiler.emit.numpy.loops import loop_source
from tapegrad.compiler.ir.evaluation import WINDOWS
from tapegrad.compiler.ir.operations import Kind
from tapegrad.compiler.ir.program import Op, Program, Var, chosen_by_mask, spelled
from tapegrad.compiler.ir.spelling import index_text, number
from tapegrad.compiler.ir.windows import covers, layout_of
from tapegrad.compiler.plan.blocks import Block, blocks
from tapegrad.compiler.plan.buffers import Plan, Planner

FRESH = frozenset({"guard"})
# Operations of the machine in one loop: about ten functions. From five times as many on, LLVM takes longer for each.
LARGEST_LOOP = 800


@dataclass
class Product:
    """`out = a @ b`, of arrays by their names."""

    a: str
    b: str
    out: str
    ops: list[Op]


@dataclass
class Library:
    """Source that calls NumPy, between two compiled parts."""

    text: str
    ops: list[Op]


Call = Loops | Product | Convolution | Library


class NativeEmitter:
    """What a program is as calls.

    definitions   the arrays that stay: name -> the expression that makes it
    names         what the array of a Var is called
    strided       views whose elements do not lie one after another
    taken         names of arrays
    modules       of functions that are not NumPy's: module -> function
    makers        the call that makes a Var
    made_by       an array that stays -> the operations that it carries out
    views         the expression of a view that stays -> its name
    inside        index arrays that were looked at, and the length of the axis
    """

    def __init__(self, program: Program, title: str) -> None:
        self.program, self.title = program, title
        self.calls: list[Call] = []
        self.nests = Nests(self)
        self.inside: set[tuple[Var, int]] = set()
        self.names: dict[Var, str] = {}
        self.constants: dict[str, Any] = {}
        self.modules: dict[str, str] = {}
        self.views: dict[str, str] = {}
        self.makers: dict[Var, Call] = {}
        self.made_by: dict[str, list[Op]] = {}
        self.operations_by_line: list[tuple[int, list[Op]]] = []  # of the source, once it is written
        self.blocks = blocks(program, alone=lambda op: not known(op), cost=sizes(), most=LARGEST_LOOP)
        planner = Planner(program, self.blocks, FRESH)
        self.plan: Plan = planner.run()
        self.base = planner.base
        # An argument is copied to an array of ours, or read where it is if its elements lie in the same way.
        made = (*program.arguments, *self.plan.buffers)
        self.definitions: dict[str, str] = {}
        self.strided: set[Var] = set()
        views = (op.out for op in program.ops if op.kind is Kind.VIEW)
        self.taken = {v.name for v in (*program.captured, *made, *self.plan.parts, *views)}
        for v in made:
            self.definitions |= allocated(v, self.unused)
        for block in self.blocks:
            self.block(block)
        self.results = [self.name(r) if isinstance(r, Var) else number(r) for r in program.results]
        self.gradients = [self.name(g) for g in program.gradients]

    # ---- arrays ----
    def name(self, v: Var) -> str:
        """What the array of a Var is called; declares it where it is a part of another, or a constant."""
        if v in self.names:
            return self.names[v]
        if v.kind == "constant":
            name = f"constant_{len(self.constants) + 1}"
            self.constants[name] = v.value
            self.definitions[name] = spelled(v.value)
        elif v in self.plan.parts:
            joined, a, b = self.plan.parts[v]
            name = v.name
            self.definitions[name] = f"{self.plan.home[joined].name}[{a}:{b}].reshape({v.shape})"
        elif v in self.plan.home:
            name = self.plan.home[v].name
        else:
            name = v.name
        self.names[v] = name
        return name

    def dense(self, v: Var) -> bool:
        """Whether its elements lie one after another. (An argument's do, in the array that it is copied to.)"""
        # A captured array, where a result goes straight to the one that is written.
        home = self.plan.home.get(v, v)
        if home.kind == "captured":
            return home.dense and home.order is None
        return v not in self.strided and home.laid_out is None

    def row(self, v: Var) -> str:
        name = self.name(v)
        if v.ndim == 1:
            return name
        return self.defined(f"{name}.reshape(-1)", f"{name}_row")

    def defined(self, expression: str, wanted: str) -> str:
        """The name of a view that stays, which equal expressions share."""
        if expression not in self.views:
            self.views[expression] = self.made(expression, wanted)
        return self.views[expression]

    def made(self, expression: str, wanted: str) -> str:
        """The name of an array of its own that stays."""
        name = self.unused(wanted)
        self.definitions[name] = expression
        return name

    def unused(self, name: str) -> str:
        found, count = name, 1
        while found in self.taken or found in self.definitions:
            count += 1
            found = f"{name}_{count}"
        return found

    def slot(self, v: Var) -> Slot:
        return Slot(self.name(v), carried(named(v.dtype)), v.shape)

    # ---- calls ----
    def block(self, block: Block) -> None:
        op = block.ops[0]
        if id(op) in self.plan.skipped:
            self.absorbed(op)
            if op.kind is Kind.JOIN:
                self.names[op.out] = self.plan.home[op.out].name
        elif block.shape is not None and 0 in block.shape and known(op):
            pass  # the results have no elements
        elif block.shape is not None and known(op):
            self.elements(block)
        elif op.kind is Kind.VIEW:
            self.view(op)
        elif op.kind is Kind.WRITE and self.copies(op):
            self.loops(nest_of(copied(self.slot(op.inputs[0]), self.slot(op.inputs[1]))), op)
        elif op.kind is Kind.INDEX and at_index(op, self):
            self.at_index(op)
        elif op.kind is Kind.JOIN and len({v.dtype for v in (*op.vars, op.out)}) == 1:
            self.loops(joined(op, self), op)
        elif has_place(op):
            self.loops(first_place(op, self), op)
        elif op.kind is Kind.GUARD and op.name == "guard":
            message = f"guard: {op.origin.part}: another case than recorded"
            self.loops(checked(self.slot(op.vars[0]), op.params["expected"], message), op)
        elif op.operation.module == WINDOWS:
            if op.name == "convolve_input":
                self.loops(nest_of(filled(self.slot(op.out), number_of(0, named(op.out.dtype)))), op)
            self.add(convolution(op, self))
        elif op.name == "matmul" and self.floats(op):
            a, b = (self.name(v) for v in op.vars)
            self.add(Product(a, b, self.name(op.out), [op]))
        else:
            self.library(op)

    def elements(self, block: Block) -> None:
        """Operations on elements, and the reductions that end them."""
        for op in block.ops:
            if op.kind is Kind.SPREAD and not covers(layout_of(op.params), op.out.shape[1:-1]):
                self.loops(nest_of(filled(self.slot(op.out), number_of(0, named(op.out.dtype)))), op)
        if parts := in_chunks(block, self):
            self.add(loops_of(parts[0], block.ops))
            self.add(loops_of(parts[1], [op for op in block.ops if op.kind is Kind.REDUCTION]))
        else:
            self.add(self.nests.of(block))

    def loops(self, nest: Nest, op: Op) -> None:
        self.add(loops_of(nest, [op]))

    def at_index(self, op: Op) -> None:
        """Index arrays are looked at once, unless the program may write to them in between."""
        for v, bounds in bounds_of(op, self):
            if (v, bounds.length) not in self.inside:
                self.add(loops_of(bounds_check(bounds, self), [op], bounds))
            if self.base.get(v, v).kind != "captured":
                self.inside.add((v, bounds.length))
        if "index" not in op.params:
            self.loops(along(op, self), op)
        elif op.operation.over_first:
            if (copy := started(op, self)).body:
                self.loops(copy, op)
            self.loops(changed(op, self, add=op.name == "add_at"), op)
        else:
            self.loops(taken(op, self), op)

    def part(self, array: Slot, index: tuple[Any, ...]) -> Slot:
        """A view of an array that stays."""
        shape = np.broadcast_to(np.int8(0), array.shape)[index].shape
        if shape == array.shape and all(i == slice(None) for i in index):
            return array
        text = index_text((*index, ...) if Ellipsis not in index else index, [])
        return Slot(self.defined(f"{array.name}[{text}]", f"{array.name}_part"), array.dtype, shape)

    def add(self, call: Call) -> None:
        self.calls.append(call)
        self.makers |= {op.out: call for op in call.ops}

    def absorbed(self, op: Op) -> None:
        """Nothing is left to do for an operation: a call that makes one of its inputs, or what that shows, did it."""
        for v in reversed(op.vars):
            if (call := self.makers.get(self.base.get(v, v))) is not None:
                call.ops = [*call.ops, op]
                return

    def copies(self, op: Op) -> bool:
        """Whether a write is a loop of loads and stores, and nothing is read that it has written."""
        target, value = op.inputs
        if not isinstance(value, Var) or not target.size:
            return False
        if value.dtype != target.dtype and not {named(value.dtype), named(target.dtype)} <= DTYPES:
            return False
        source = self.base.get(value, value)
        source = self.plan.home.get(source, source)
        return source.kind != "captured" or not source.overlaps(target)

    def floats(self, op: Op) -> bool:
        return {named(v.dtype) for v in (*op.vars, op.out)} in ({"float32"}, {"float64"})

    def view(self, op: Op) -> None:
        """A view of an array that stays: all do. What cannot be reshaped where it is, is copied."""
        source = op.vars[0]
        name = self.names[op.out] = op.out.name
        self.made_by[name] = [op]
        if op.name == "reshape" and not self.dense(source):
            self.definitions[name] = f"np.empty({op.out.shape}, {named(op.out.dtype)!r})"
            whole = self.unused(f"{name}_source")
            self.definitions[whole] = f"{name}.reshape({source.shape})"
            if op.out.size:
                target = Slot(whole, carried(named(source.dtype)), source.shape)
                self.loops(nest_of(copied(target, self.slot(source))), op)
            return
        if op.name != "reshape" and source.laid_out is None:
            self.strided.add(op.out)
        self.definitions[name] = op.operation.source(op, [self.name(source)])

    def library(self, op: Op) -> None:
        args = [self.name(i) if isinstance(i, Var) else number(i) for i in op.inputs]
        if op.kind is Kind.GUARD:
            self.add(Library(op.operation.source(op, args), [op]))
            return
        out, row = self.name(op.out), op.operation
        if row.module != "numpy":
            self.modules[row.module] = row.name
        if "numpy" in row.allocates:
            text = f"copyto({out}, {row.source(op, args)})"
            if chosen_by_mask(op):
                text = f"put({out}, {row.source(op, args)})"
        else:
            text = row.source(op, args, out)
        self.add(Library(text, [op]))

    # ---- to be read ----
    def source(self) -> str:
        given = [replace(v, name=self.unused(f"given_{v.name}")) for v in self.program.arguments]
        module = SourceModule(self.title, replace(self.program, arguments=given))
        module.definitions = dict(self.definitions)
        module.constants = set(self.constants)
        module.made_by = dict(self.made_by)
        for call in self.calls:
            module.lines += lines_of(call)
        results = [
            f"{r}.copy()" if isinstance(v, Var) else r for v, r in zip(self.program.results, self.results)
        ]
        body = module.body(results, self.gradients)
        taken = [Line(f"copyto({v.name}, {g.name})", []) for v, g in zip(self.program.arguments, given)]
        body.lines = [*taken, *body.lines]
        frame = module.frame(body, tuple_items(results) or "()")
        text = "\n".join(frame)
        imports = self.imports("\n".join([text, *self.helpers()]))
        source = assembled(f"{self.title}{AS_PYTHON}", imports, self.helpers(), frame)
        self.operations_by_line = module.operations_by_line(source, body)
        return source

    def imports(self, text: str) -> list[str]:
        code = re.sub("#.*", "", text)
        ours = {
            "interpreted": [n for n in ("LANES", "folded", "lanes", "put") if re.search(rf"\b{n}\b", code)],
            "pairs": [n for n in ("corrected", "rounding_error") if f"{n}(" in code],
            "windows": ["windows_of"] if re.search(r"\bwindows_of\(", code) else [],
            "functions": [n for n in sorted(OURS) if re.search(rf"(?<![\w.]){n}\((?!.*out=)", code)],
        }
        plain = [
            n for n in used([*functions_in(code), "inf", "nan", "s_"], code) if n not in ours["functions"]
        ]
        lines = [imported("numpy", plain)] if plain else []
        lines += [f"from {module} import {name}" for module, name in self.modules.items()]
        rooms = {"windows": "tapegrad.compiler.ir"}
        return lines + [
            imported(f"{rooms.get(file, 'tapegrad.compiler.emit.native')}.{file}", names)
            for file, names in ours.items()
            if names
        ]

    def written(self) -> list[str]:
        """The names of the captured arrays that are written to."""
        targets = (op.inputs[0] for op in self.program.ops if op.kind is Kind.WRITE)
        return list(dict.fromkeys(v.name for v in targets if v.kind == "captured"))

    def left(self) -> list[Op]:
        """The operations that are left to NumPy, between compiled parts."""
        return [op for call in self.calls if isinstance(call, Library) for op in call.ops]

    def by_library(self, v: Var) -> bool:
        """Whether NumPy is called on an array, or on what shows a part of it."""
        kept = v in self.program.kept() or any(self.base.get(r) is v for r in self.program.kept())
        return kept or any(self.base.get(i, i) is v for op in self.left() for i in op.vars)

    def own_results(self) -> set[str]:
        """The buffers that are one result and nothing else at the end, and that NumPy is not called on."""
        memory = Counter(self.name(self.base.get(r, r)) for r in self.program.kept())
        by_library = {self.name(self.base.get(v, v)) for op in self.left() for v in (*op.vars, op.out)}
        buffers = {b.name for b in self.plan.buffers if memory[b.name] == 1}
        return buffers & set(self.results) - by_library

    def note(self) -> str:
        """What is to be known of how the program runs."""
        names = dict.fromkeys(op.name for op in self.left())
        return f"{', '.join(names)} by NumPy" if names else ""

    def helpers(self) -> list[str]:
        """The functions that calls of NumPy need and the module defines itself."""
        rows = {op.name: op.operation for op in self.left()}
        helpers = [loop_source(row, row.body) if row.body else row.helper for row in rows.values()]
        return [helper for helper in helpers if helper]


def carried(dtype: str) -> str:
    """The dtype as which elements are copied: those that no operation here works on, by their bits."""
    return dtype if dtype in DTYPES else f"uint{8 * np.dtype(dtype).itemsize}"


def lines_of(call: Call) -> list[Line]:
    """The lines of a call, and what each carries out."""
    if isinstance(call, Library):
        return [Line(call.text, call.ops)]
    if isinstance(call, Product):
        return [Line(f"matmul({call.a}, {call.b}, out={call.out})", call.ops)]
    if isinstance(call, Convolution):
        first, *rest = convolutions.lines(call)
        return [Line(first, call.ops), *(Line(text, call.ops, quiet=True) for text in rest)]
    return lines_of_loops(call)
