"""Where each array of a program lives: in a buffer that is made once and used again and again.

A result goes, in this order: straight into the captured array that it is about to be written to; into its part of the
array that it is about to be joined to; into the buffer of an input that is used here for the last time (elementwise
operations alone); into a buffer of the same shape and dtype that nobody needs any more; into a new one.
"""

from dataclasses import dataclass, field

from tapegrad.compiler.program import ELEMENTWISE, VIEWS, Program, Var

# Made afresh at each call, by functions of NumPy that take no `out`.
FRESH = frozenset({"where", "take_at", "add_at", "take_along_axis", "argmax", "argmin", "random_uniform",
                    "guard"})  # fmt: skip


@dataclass
class Plan:
    """buffers: the arrays to make once, as (name, shape, dtype). home: the buffer, or captured array, of a Var."""

    buffers: list[Var] = field(default_factory=list)
    home: dict[Var, Var] = field(default_factory=dict)
    parts: dict[Var, tuple[Var, int, int]] = field(
        default_factory=dict
    )  # Var -> its range in a joined 1-d array
    skipped: set[int] = field(default_factory=set)  # ids of operations that have nothing left to do

    @property
    def nbytes(self) -> int:
        return sum(b.nbytes for b in self.buffers)


def bases(program: Program) -> dict[Var, Var]:
    """The Var whose memory each view looks into."""
    base: dict[Var, Var] = {}
    for op in program.ops:
        if op.name in VIEWS:
            source = op.vars[0]
            base[op.out] = base.get(source, source)
    return base


def plan(program: Program) -> Plan:
    base = bases(program)
    last: dict[Var, int] = {}  # the last operation that reads a Var's memory
    for n, op in enumerate(program.ops):
        for v in op.vars:
            last[base.get(v, v)] = n
    for v in program.kept():
        last[base.get(v, v)] = len(program.ops)

    result = Plan()
    into_captured(program, base, last, result)
    into_joined(program, base, last, result)
    free: dict[tuple[tuple[int, ...], str], list[Var]] = {}
    owner: dict[Var, Var] = {}  # buffer -> the Var that is in it now
    for n, op in enumerate(program.ops):
        own = (
            op.name not in VIEWS and op.name not in FRESH and op.name != "write" and op.out not in result.home
        )
        if own and op.out not in result.parts:
            key = (op.out.shape, str(op.out.dtype))
            dying = [
                v for v in dict.fromkeys(op.vars)
                if base.get(v, v) is v and last.get(v) == n and v in result.home and owner.get(result.home[v]) is v
                and (v.shape, v.dtype) == (op.out.shape, op.out.dtype)
            ]  # fmt: skip
            if op.name in ELEMENTWISE and op.name not in FRESH and dying:
                buffer = result.home[dying[0]]
            elif free.get(key):
                buffer = free[key].pop()
            else:
                buffer = Var(f"buffer_{len(result.buffers) + 1}", op.out.shape, op.out.dtype)
                result.buffers.append(buffer)
            result.home[op.out] = buffer
            owner[buffer] = op.out
        for v in {base.get(v, v) for v in (*op.vars, op.out)}:
            buffer = result.home.get(v)  # type: ignore[assignment]
            if buffer is not None and owner.get(buffer) is v and last.get(v, n) <= n:
                del owner[buffer]
                free.setdefault((buffer.shape, str(buffer.dtype)), []).append(buffer)
    return result


def into_captured(program: Program, base: dict[Var, Var], last: dict[Var, int], result: Plan) -> None:
    """A result that is only written to a captured array is made there, if nothing reads captured memory in between."""
    made = {op.out: n for n, op in enumerate(program.ops)}
    for n, op in enumerate(program.ops):
        if op.name != "write":
            continue
        target, value = op.inputs
        at = made.get(value)
        if (
            at is None
            or base.get(value, value) is not value
            or value in program.kept()
            or value in result.home
        ):
            continue
        source = program.ops[at]
        between = program.ops[at + 1 : n]
        reads = [base.get(v, v) for o in between for v in o.vars]
        elementwise = source.name in ELEMENTWISE and source.name not in FRESH
        in_place = all(
            not base.get(v, v).overlaps(target) or (v.shape, v.span) == (target.shape, target.span)
            for v in source.vars
        )
        if elementwise and in_place and last.get(value) == n and not any(v.overlaps(target) for v in reads):
            result.home[value] = target
            result.skipped.add(id(op))


def into_joined(program: Program, base: dict[Var, Var], last: dict[Var, int], result: Plan) -> None:
    """Parts of a 1-d concatenation that are used nowhere else are made in their place."""
    made = {op.out: op for op in program.ops}
    for op in program.ops:
        if op.name != "concat" or len(op.out.shape) != 1:
            continue
        start = 0
        todo = []
        for v in op.vars:
            home = base.get(v, v)
            source = made.get(home)
            flat_view = v is home or (made[v].name == "reshape" and made[v].vars[0] is home)
            if (
                source is not None and flat_view and source.name not in FRESH and source.name not in VIEWS
                and source.name != "write" and home not in result.home and home not in result.parts
                and home.size == v.size and source.name != "concat"
            ):  # fmt: skip
                todo.append((home, start, start + v.size))
            start += v.size
        if len(todo) == len(op.vars) and len({h for h, _, _ in todo}) == len(todo):
            for home, a, b in todo:
                result.parts[home] = (op.out, a, b)
            buffer = Var(f"buffer_{len(result.buffers) + 1}", op.out.shape, op.out.dtype)
            result.buffers.append(buffer)
            result.home[op.out] = buffer
            result.skipped.add(id(op))
