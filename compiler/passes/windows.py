"""Convolutions: products whose operand is gathered from windows of an array, which they can read where they lie."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise, product

from tapegrad.compiler.ir.memory import Spans, bases, written
from tapegrad.compiler.ir.operations import Kind
from tapegrad.compiler.ir.program import Op, Program, Var, index_inputs
from tapegrad.compiler.ir.windows import Layout
from tapegrad.compiler.passes.dead_code import remove_dead_code

# Fewer channels than this are no vector: their gradient is gathered.
FEWEST_CHANNELS = 4


def read_windows(program: Program) -> Program:
    """The program in which products over gathered windows read the windows where they lie.

    reshape(concat(slices of x)) @ w is `convolve_windows`, of its transpose `convolve_kernel`. Slices of g @ w that are
    added to zeros where windows lie are `convolve_input`. Only where nothing that is read is written to meanwhile.
    """
    return remove_dead_code(Windows(program).rewritten())


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

    def rewritten(self) -> Program:
        ops: list[Op] = []
        for op in self.program.ops:
            if op.name == "matmul":
                ops += self.over_windows(op)
            elif op.name == "add_at":
                ops.append(self.into_windows(op))
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
            made = [Op("windows_of", [x], layout._asdict(), view, op.origin)]
        name = "convolve_windows" if rows is a else "convolve_kernel"
        return [*made, Op(name, [self.views[x, layout], b], {}, op.out, op.origin)]

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
        layout = layout_of(x, [part.params["index"] for part in slices])
        if layout is None or rows.ndim != 2 or rows.shape[1] != len(slices) * x.shape[-1] or not rows.size:
            return None
        return (x, layout) if self.stays([x], join or shaped, product) else None

    # ---- added to ----
    def into_windows(self, op: Op) -> Op:
        """The last of the additions of a product's columns into zeros, as one product."""
        chain = [op]
        while (before := self.made_by(chain[0].inputs[0], "add_at")) and self.uses[before.out] == 1:
            chain.insert(0, before)
        zeros = chain[0].inputs[0]
        if not isinstance(zeros, Var) or zeros.uniform() != 0 or any(index_inputs(link) for link in chain):
            return op
        layout = layout_of(op.out, [link.params["index"] for link in chain])
        product = self.columns([link.inputs[1] for link in chain])
        if (
            layout is None
            or product is None
            or not self.stays(product.vars, product, op)
            or op.out.shape[-1] < FEWEST_CHANNELS
        ):
            return op
        params = {"shape": op.out.shape, **layout._asdict()}
        return Op("convolve_input", list(product.inputs), params, op.out, op.origin)

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


def layout_of(x: Var, indices: Sequence[Sequence[object]]) -> Layout | None:
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
    apart = [{b - a for a, b in pairwise(own)} for own in starts]
    if any(len(gaps) > 1 for gaps in apart):
        return None
    return Layout(
        tuple(own[0] for own in starts),
        tuple(step for step, _ in steps),
        tuple(count for _, count in steps),
        tuple(len(own) for own in starts),
        tuple(min(gaps, default=1) for gaps in apart),
    )
