"""Convolutions: products whose operand is gathered from windows of an array, which they can read where they lie."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np

from tapegrad.compiler.ir.memory import Spans, bases, written
from tapegrad.compiler.ir.operations import Kind
from tapegrad.compiler.ir.program import Op, Program, Var, index_inputs
from tapegrad.compiler.ir.windows import Layout, apart, slices_of
from tapegrad.compiler.passes.dead_code import remove_dead_code

# Fewer channels than this are no vector: their gradient is gathered.
FEWEST_CHANNELS = 4
FLOATS = ("float32", "float64")


def read_windows(program: Program) -> Program:
    """The program in which products over gathered windows read the windows where they lie.

    reshape(concat(slices of x)) @ w is `convolve_windows`, of its transpose `convolve_kernel`. Slices of g @ w that are
    added to zeros where windows lie are `convolve_input`. Only where nothing that is read is written to meanwhile.
    """
    return remove_dead_code(Windows(program).rewritten())


@dataclass
class Spread:
    """An operation that puts parts where windows lie, and the sum of the parts."""

    put: Op
    layout: Layout
    total: Var


class Windows:
    """maker: Var -> the operation that makes it. views: (array, layout) -> the view that shows its windows."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.maker = {op.out: op for op in program.ops}
        self.uses: dict[Var, int] = {}
        for v in (*(v for op in program.ops for v in op.vars), *program.kept()):
            self.uses[v] = self.uses.get(v, 0) + 1
        self.base, self.targets = bases(program.ops), Spans(written(program))
        self.position = {id(op): at for at, op in enumerate(program.ops)}
        self.writes = [at for at, op in enumerate(program.ops) if op.kind is Kind.WRITE]
        self.views: dict[tuple[Var, Layout], Var] = {}
        self.spreads: dict[Var, Spread] = {}
        self.count = 0
        self.slices = {
            (op.vars[0], repr(op.params["index"])): op.out for op in program.ops if op.name == "slice"
        }
        self.added_to = {op.inputs[0] for op in program.ops if op.name == "add_at"}
        # What a convolution makes, or what shows it -> the convolution; and where it was recorded.
        self.convolutions: dict[Var, Op] = {}
        self.recorded: dict[Op, Op] = {}

    def rewritten(self) -> Program:
        ops: list[Op] = []
        for op in self.program.ops:
            if op.name == "matmul":
                ops += self.over_windows(op)
            elif op.name == "add_at":
                ops += self.into_windows(op)
            elif op.name == "add":
                ops += self.with_bias(op)
            elif op.name == "maximum":
                ops += self.with_relu(op)
            elif op.name == "where":
                ops += self.chosen(op)
            elif op.name == "sum":
                ops += self.summed(op)
            else:
                ops.append(op)
        return self.program.with_ops(ops)

    def made_by(self, v: object, name: str) -> Op | None:
        op = self.maker.get(v) if isinstance(v, Var) else None
        return op if op is not None and op.name == name else None

    def stays(self, arrays: Sequence[Var], first: Op, last: Op) -> bool:
        """Whether nobody writes to the memory of arrays between two operations."""
        memory = [v for v in (self.base.get(v, v) for v in arrays) if self.targets.overlap(v)]
        start, end = self.position[id(first)], self.position[id(last)]
        between = (
            self.writes[bisect_left(self.writes, start) : bisect_left(self.writes, end)] if memory else []
        )
        return not any(self.program.ops[at].inputs[0].overlaps(v) for at in between for v in memory)

    # ---- read ----
    def over_windows(self, op: Op) -> list[Op]:
        """A product, over windows if its first operand is made of them."""
        a, b = op.inputs
        turned = self.made_by(a, "permute_dims")
        rows = turned.vars[0] if turned and tuple(turned.params["axes"]) == (1, 0) else a
        found = self.gathered(rows, op) if self.floats(op) else None
        if found is None:
            return [op]
        x, layout = found
        made = []
        if (x, layout) not in self.views:
            shape = (x.shape[0], *layout.counts, *layout.window, x.shape[-1])
            view = self.views[x, layout] = Var(f"{op.out.name}_windows", shape, x.dtype)
            self.base[view] = self.base.get(x, x)
            made = [Op("windows_of", [x], layout._asdict(), view, op.origin)]
        name = "convolve_windows" if rows is a else "convolve_kernel"
        result = Op(name, [self.views[x, layout], b], {}, op.out, op.origin)
        if rows is a:
            self.convolutions[op.out] = result
            self.recorded[result] = op
        return [*made, result]

    # ---- and what is done with a sum ----
    def with_bias(self, op: Op) -> list[Op]:
        """A convolution and a number for each filter, which its kernel adds."""
        for y, bias in (op.inputs, op.inputs[::-1]):
            shaped = self.made_by(y, "reshape")
            before = self.convolutions.get(shaped.vars[0]) if shaped else None
            if before is None or self.uses[y] != 1 or self.uses[before.out] != 1 or y.shape != op.out.shape:
                continue
            if isinstance(bias, Var) and (bias.shape, bias.dtype) == (y.shape[-1:], y.dtype):
                return self.finished(before, [*before.inputs, bias], {}, op)
        return [op]

    def with_relu(self, op: Op) -> list[Op]:
        """A convolution with a bias, and max(x, 0) of it."""
        x, zero = op.inputs
        before = self.convolutions.get(x) if isinstance(x, Var) else None
        if (
            before is None
            or self.uses[x] != 1
            or isinstance(zero, Var)
            or zero != 0
            or x.shape != op.out.shape
        ):
            return [op]
        return self.finished(before, before.inputs, {"relu": True}, op)

    def finished(self, before: Op, inputs: list[object], params: dict[str, bool], op: Op) -> list[Op]:
        """The convolution with more done at its end, in place of the operation that did it."""
        first = self.recorded[before]
        if not self.stays([v for v in inputs if isinstance(v, Var)], first, op):
            return [op]
        rows = Var(f"{op.out.name}_rows", before.out.shape, before.out.dtype)
        result = Op(before.name, inputs, params, rows, op.origin)
        self.recorded[result] = first
        self.convolutions[op.out] = result
        return [result, Op("reshape", [rows], {"shape": op.out.shape}, op.out, op.origin)]

    def floats(self, op: Op) -> bool:
        """Whether it is a product of two matrices, in numbers that kernels have."""
        kinds = {v.dtype.name for v in (*op.vars, op.out)}
        return len(op.vars) == 2 and all(v.ndim == 2 for v in op.vars) and kinds in ({"float32"}, {"float64"})

    def gathered(self, rows: Var, product: Op) -> tuple[Var, Layout] | None:
        """The array and the windows of it that are the rows of a matrix, and still are when a product reads them."""
        shaped = self.made_by(rows, "reshape")
        if shaped is None:
            return None
        whole = shaped.vars[0]
        join = self.made_by(whole, "concat")
        if join is not None and join.params["axis"] % whole.ndim != whole.ndim - 1:
            return None
        parts = [self.made_by(v, "slice") for v in (join.vars if join else [whole])]
        slices = [part for part in parts if part is not None]
        if len(slices) != len(parts) or len({part.vars[0] for part in slices}) != 1:
            return None
        x = slices[0].vars[0]
        layout = layout_at(x, [part.params["index"] for part in slices])
        if layout is None or rows.ndim != 2 or rows.shape[1] != len(slices) * x.shape[-1] or not rows.size:
            return None
        return (x, layout) if self.stays([x], join or shaped, product) else None

    # ---- added to ----
    def into_windows(self, op: Op) -> list[Op]:
        """The last of the additions into zeros where windows lie, as one operation."""
        chain = [op]
        while (before := self.made_by(chain[0].inputs[0], "add_at")) and self.uses[before.out] == 1:
            chain.insert(0, before)
        zeros = chain[0].inputs[0]
        if not isinstance(zeros, Var) or zeros.uniform() != 0 or any(index_inputs(link) for link in chain):
            return [op]
        layout = layout_at(op.out, [link.params["index"] for link in chain])
        if layout is None or not op.out.size or len(chain) < 2 or op.out in self.added_to:
            return [op]
        parts = [link.inputs[1] for link in chain]
        product = self.columns(parts)
        if product is None:
            return self.spread(op, parts, layout) if apart(layout) else [op]
        if not self.stays(product.vars, product, op) or op.out.shape[-1] < FEWEST_CHANNELS:
            return [op]
        params = {"shape": op.out.shape, **layout._asdict()}
        return [Op("convolve_input", list(product.inputs), params, op.out, op.origin)]

    def spread(self, op: Op, parts: Sequence[object], layout: Layout) -> list[Op]:
        """Parts put where windows lie, each element once. Their sums, if anybody wants them, are made before."""
        shape = (op.out.shape[0], *layout.counts, op.out.shape[-1])
        values = [v for v in parts if isinstance(v, Var) and (v.shape, v.dtype) == (shape, op.out.dtype)]
        if len(values) != len(parts) or op.out.dtype.name not in FLOATS or not self.stays(values, op, op):
            return [op]
        made: list[Op] = []
        total = values[0]
        for v in values[1:]:
            total = self.made(made, "add", [total, v], op, v.dtype)
        put = Op("put_windows", list(values), {"shape": op.out.shape, **layout._asdict()}, op.out, op.origin)
        self.spreads[op.out] = Spread(put, layout, total)
        return [*made, put]

    def made(self, ops: list[Op], name: str, inputs: list[object], like: Op, dtype: np.dtype) -> Var:
        """The result of a new operation on elements."""
        first = next(v for v in inputs if isinstance(v, Var))
        self.count += 1
        out = Var(f"{like.out.name}_{name}_{self.count}", first.shape, dtype)
        ops.append(Op(name, inputs, {}, out, like.origin))
        return out

    def chosen(self, op: Op) -> list[Op]:
        """`where(x != 0, spread, 0)`, of an array like it: chosen among the parts, before they are spread."""
        condition, value, zero = op.inputs
        spread = self.spreads.get(value) if isinstance(value, Var) else None
        test = self.made_by(condition, "not_equal")
        if spread is None or test is None or isinstance(zero, Var) or zero != 0 or self.uses[value] != 1:
            return [op]
        x, other = test.inputs
        if (
            not isinstance(x, Var)
            or isinstance(other, Var)
            or (x.shape, x.dtype) != (value.shape, value.dtype)
        ):
            return [op]
        if not self.stays([x], test, op):
            return [op]
        made: list[Op] = []
        parts: list[object] = []
        for v, index in zip(spread.put.vars, slices_of(spread.layout)):
            seen = self.slices.get((x, repr(index)))
            if seen is None:
                seen = Var(f"{op.out.name}_part_{len(parts) + 1}", v.shape, v.dtype)
                made.append(Op("slice", [x], {"index": index}, seen, op.origin))
            there = self.made(made, "not_equal", [seen, other], op, np.dtype(bool))
            parts.append(self.made(made, "where", [there, v, zero], op, v.dtype))
        return [*made, *self.spread(op, parts, spread.layout)]

    def summed(self, op: Op) -> list[Op]:
        """The sum of what is spread over all but the last axis: that of the sums at each place."""
        x = op.vars[0]
        axis = op.params.get("axis")
        spread = self.spreads.get(x)
        if (
            spread is None
            or not isinstance(axis, tuple)
            or {a % x.ndim for a in axis} != set(range(x.ndim - 1))
        ):
            return [op]
        return [Op("sum", [spread.total], op.params, op.out, op.origin)]

    def columns(self, parts: Sequence[object]) -> Op | None:
        """The product whose columns are these, one part behind the other, if nobody else reads it."""
        slices = [self.made_by(v, "slice") for v in parts]
        if len(slices) < 2 or any(part is None or self.uses[part.out] != 1 for part in slices):
            return None
        assert slices[0] is not None
        shaped = self.made_by(slices[0].vars[0], "reshape")
        product = self.made_by(shaped.vars[0], "matmul") if shaped else None
        if shaped is None or product is None or not self.floats(product):
            return None
        whole, width = shaped.out, shaped.out.shape[-1] // len(slices)
        for k, part in enumerate(slices):
            index = whole_index(part.params["index"], whole) if part is not None else None
            if part is None or index is None:
                return None
            *before, last = index
            full = all(i == (0, 1, n) for i, n in zip(before, whole.shape))
            if part.vars[0] is not whole or not full or last != (k * width, 1, width):
                return None
        once = self.uses[whole] == len(slices) and self.uses[product.out] == 1
        return product if once and whole.shape[-1] == product.out.shape[-1] else None


Range = tuple[int, int, int]  # where it begins, its step, how many elements it has


def whole_index(index: Sequence[object], x: Var) -> list[Range] | None:
    """Of each axis of an array, what an index of slices chooses of it; None if there is anything else."""
    given = list(index)
    if Ellipsis in given:
        at = given.index(Ellipsis)
        given[at : at + 1] = [slice(None)] * (x.ndim - len(given) + 1)
    given += [slice(None)] * (x.ndim - len(given))
    if len(given) != x.ndim or not all(isinstance(i, slice) for i in given):
        return None
    ranges = [range(n)[i] for i, n in zip(given, x.shape) if isinstance(i, slice)]
    return [(r.start, r.step, len(r)) for r in ranges]


def layout_at(x: Var, indices: Sequence[Sequence[object]]) -> Layout | None:
    """The windows of which each index chooses one element, row by row; None if they choose something else."""
    places = [whole_index(index, x) for index in indices]
    if x.ndim < 3 or None in places:
        return None
    known = [place for place in places if place is not None]
    if any(place[0] != (0, 1, x.shape[0]) or place[-1] != (0, 1, x.shape[-1]) for place in known):
        return None
    steps = [axis[1:] for axis in known[0][1:-1]]
    if any([axis[1:] for axis in place[1:-1]] != steps for place in known) or any(s < 1 for s, _ in steps):
        return None
    starts = [sorted({place[k][0] for place in known}) for k in range(1, x.ndim - 1)]
    if list(product(*starts)) != [tuple(axis[0] for axis in place[1:-1]) for place in known]:
        return None
    between = [{b - a for a, b in pairwise(own)} for own in starts]
    if any(len(gaps) > 1 for gaps in between):
        return None
    return Layout(
        tuple(own[0] for own in starts),
        tuple(step for step, _ in steps),
        tuple(count for _, count in steps),
        tuple(len(own) for own in starts),
        tuple(min(gaps, default=1) for gaps in between),
    )
