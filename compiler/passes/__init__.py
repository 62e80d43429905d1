"""The passes that improve a program. Each is one function from a Program to a Program that computes the same."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.compiler.ir.operations import run_op
from tapegrad.compiler.ir.program import ELEMENTWISE, VIEWS, Op, Origin, Program, Var
from tapegrad.compiler.plan.buffers import bases

KEPT = ("write", "random_uniform", "guard")  # run once for each time they are written down


def dead_code(program: Program) -> Program:
    """Without operations whose results nobody needs."""
    needed = set(program.kept())
    ops: list[Op] = []
    for op in reversed(program.ops):
        if op.name in KEPT or op.out in needed:
            needed.update(op.vars)
            ops.append(op)
    return program.with_ops(ops[::-1])


def rewritten(program: Program, change: Callable[[Op, Program], Any]) -> Program:
    """Each operation as `change` wants it: an Op (perhaps another), or the Var that its result is equal to."""
    same: dict[Var, Var] = {}
    new = program.with_ops([])
    for op in program.ops:
        inputs = [same.get(i, i) if isinstance(i, Var) else i for i in op.inputs]
        op = Op(op.name, inputs, op.params, op.out, op.origin)
        found = change(op, new)
        if isinstance(found, Op):
            new.ops.append(found)
        else:
            same[op.out] = found
    new.results = [same.get(r, r) if isinstance(r, Var) else r for r in program.results]
    new.gradients = [same.get(r, r) for r in program.gradients]
    return new


def common_subexpressions(program: Program) -> Program:
    """What is computed twice from the same inputs, once."""
    known: dict[Any, Var] = {}
    base = bases(program)
    source: dict[Var, list[Var]] = {}

    def change(op: Op, _: Program) -> Op | Var:
        if op.name == "write":  # what was worked out from the memory before is not what it would be now
            target = op.inputs[0]
            for key, made in list(known.items()):
                if any(base.get(v, v).overlaps(target) for v in source[made]):
                    del known[key]
        if op.name in KEPT:
            return op
        inputs = tuple(id(i) if isinstance(i, Var) else (type(i), repr(i)) for i in op.inputs)
        key = (op.name, inputs, repr(sorted(op.params.items(), key=lambda kv: kv[0])))
        if key in known:
            return known[key]
        known[key] = op.out
        source[op.out] = op.vars
        if op.name in VIEWS:
            base[op.out] = base.get(op.vars[0], op.vars[0])
        return op

    return rewritten(program, change)


def constants(program: Program) -> Program:
    """What follows from constants alone, worked out now; constant arrays that are one number, as that number."""

    def change(op: Op, _: Program) -> Op | Var:
        if op.name not in KEPT and all(not isinstance(i, Var) or i.kind == "constant" for i in op.inputs):
            op.out.kind = "constant"
            op.out.value = np.asarray(
                run_op(op.name, [i.value if isinstance(i, Var) else i for i in op.inputs], op.params)
            )
            return op.out
        if op.name in ELEMENTWISE and len(op.inputs) > 1:
            return Op(op.name, _numbers(op), op.params, op.out, op.origin)
        return op

    return rewritten(program, change)


def _numbers(op: Op) -> list[Any]:
    inputs = list(op.inputs)
    operands = range(1, 3) if op.name == "where" else range(len(inputs))
    for i in operands:
        x = inputs[i]
        others = [v for j, v in enumerate(inputs) if j != i and isinstance(v, Var)]
        if not isinstance(x, Var) or (value := x.uniform()) is None or not np.isfinite(value):
            continue
        typed = [v for v in others if v is not inputs[0]] if op.name == "where" else others
        alike = any(v.dtype == x.dtype for v in typed) or (
            op.name == "where" and x.dtype.kind == "f" and not typed
        )
        if alike and others and _shape_of(others) == op.out.shape:
            inputs[i] = value
            break  # one operand stays an array and gives the dtype
    return inputs


def _shape_of(inputs: list[Any]) -> tuple[int, ...]:
    return np.broadcast_shapes(*(v.shape for v in inputs if isinstance(v, Var)))


def algebra(program: Program) -> Program:
    """Identities: nothing is done where nothing changes, and broadcasting is left to what broadcasts anyway."""
    made: dict[Var, Op] = {}
    base = bases(program)
    targets = [op.inputs[0] for op in program.ops if op.name == "write"]

    def unsteady(v: object) -> bool:
        """Whether it is memory that is written to: later on it is not what it is now."""
        return isinstance(v, Var) and any(base.get(v, v).overlaps(t) for t in targets)

    def picked(op: Op, whole: Op, new: Program) -> Op:
        """(x - y)[picked] is x[picked] - y, where y is the same for all that is picked from: as in a log softmax."""
        x, y = whole.inputs[0], whole.inputs[-1]
        if (
            whole.name != "subtract" or not isinstance(x, Var) or not isinstance(y, Var) or unsteady(x) or unsteady(y)
            or x.shape != whole.out.shape or y.shape != op.out.shape
        ):  # fmt: skip
            return op
        first = Var(f"{op.out.name}_taken", op.out.shape, op.out.dtype)
        new.ops.append(Op(op.name, [x, op.inputs[1]], op.params, first, op.origin))
        made[first] = new.ops[-1]
        return Op("subtract", [first, y], {}, op.out, op.origin)

    def change(op: Op, new: Program) -> Op | Var:
        found = _simpler(op, made)
        if op.name == "take_along_axis" and (whole := made.get(op.vars[0])) is not None:
            found = picked(op, whole, new)
        first = made.get(op.inputs[0]) if op.inputs and isinstance(op.inputs[0], Var) else None
        if op.name not in VIEWS and isinstance(found, Var) and unsteady(found):
            found = Op("copy", [found], {}, op.out, op.origin)
            if first is not None and op.name == "negative":
                found = op
        elif isinstance(found, Op) and op.name == "reshape" and any(unsteady(v) for v in op.inputs):
            found = op
        if isinstance(found, Op):
            made[found.out] = found
        return found

    return rewritten(program, change)


def _simpler(op: Op, made: dict[Var, Op]) -> Op | Var:
    x = op.inputs[0] if op.inputs and isinstance(op.inputs[0], Var) else None
    before = made.get(x) if x is not None else None
    unchanged = x is not None and x.shape == op.out.shape and x.dtype == op.out.dtype
    if x is not None and unchanged and _keeps_all(op):
        return x
    if op.name == "multiply" and op.inputs[0] == 1.0 and _like(op.inputs[1], op.out):
        return op.inputs[1]
    if op.name == "where" and x is not None and (condition := x.uniform()) is not None:
        chosen = op.inputs[1 if condition else 2]
        if _like(chosen, op.out):
            return chosen
    if before is not None and op.name == before.name == "negative":
        return before.inputs[0]
    if before is not None and op.name == before.name == "reshape":
        return _simpler(Op("reshape", before.inputs, op.params, op.out, op.origin), made)
    if before is not None and op.name == before.name == "permute_dims":
        axes = tuple(before.params["axes"][a] for a in op.params["axes"])
        return _simpler(Op("permute_dims", before.inputs, {"axes": axes}, op.out, op.origin), made)
    if op.name == "power" and x is not None and unchanged and not isinstance(op.inputs[1], Var):
        return _by_exponent(op, x)
    if op.name in ELEMENTWISE:
        return _without_broadcasts(op, made)
    return op


def _by_exponent(op: Op, x: Var) -> Op | Var:
    """x ** a number as the operator of an array does it, which has its own ways for some exponents."""
    exponent = op.inputs[1]
    if exponent == 2:
        return Op("square", [x], {}, op.out, op.origin)
    if exponent == 1:
        return x
    if exponent == 0.5 and x.dtype.kind == "f":  # the root of -0 is -0, that of -inf is NaN
        return Op("sqrt", [x], {}, op.out, op.origin)
    if exponent == -1 and x.dtype.kind == "f":
        return Op("divide", [1.0, x], {}, op.out, op.origin)
    return op


def _keeps_all(op: Op) -> bool:
    """Whether an operation whose result has the shape and dtype of its first input has its elements, too."""
    if op.name == "permute_dims":
        return list(op.params["axes"]) == sorted(op.params["axes"])
    if op.name == "slice":
        return all(
            i is Ellipsis or (isinstance(i, slice) and i.step in (None, 1)) for i in op.params["index"]
        )
    if op.name in ("multiply", "divide"):
        return op.inputs[1:] == [1.0]
    return op.name in ("positive", "reshape", "broadcast_to", "astype")


def _like(x: object, out: Var) -> bool:
    return isinstance(x, Var) and (x.shape, x.dtype) == (out.shape, out.dtype)


def _without_broadcasts(op: Op, made: dict[Var, Op]) -> Op:
    inputs = list(op.inputs)
    for i, x in enumerate(inputs):
        source = made.get(x) if isinstance(x, Var) else None
        if source is not None and source.name == "broadcast_to":
            trial = [*inputs[:i], source.inputs[0], *inputs[i + 1 :]]
            if _shape_of(trial) == op.out.shape:
                inputs = trial
    return Op(op.name, inputs, op.params, op.out, op.origin)


LARGE = 1 << 20  # bytes: below it, memory is not worth a loop that is cut in two


def make_room(program: Program) -> Program:
    """Large arrays needed for less long. Single elements are picked from one as soon as it is there; and a matrix
    product whose result waits for an elementwise operation is made right before that: what is read in between for the
    last time makes room for it, as the activations do for the gradient that they mask."""
    ops = list(program.ops)
    base = bases(program)
    for op in [o for o in program.ops if o.name == "take_along_axis"]:
        at = ops.index(op)
        ready = [k for k, o in enumerate(ops[:at]) if o.out in op.vars or o.name in ("write", "guard")]
        ops.insert(max(ready, default=-1) + 1, ops.pop(at))
    for op in [o for o in program.ops if o.name == "matmul" and o.out.nbytes >= LARGE]:
        at = ops.index(op)
        until = next((k for k in range(at + 1, len(ops)) if op.out in ops[k].vars), at)
        read_later = {base.get(v, v) for o in ops[at + 1 :] for v in o.vars}
        inputs = {base.get(v, v) for v in op.vars}
        if (
            ops[until].name in ELEMENTWISE
            and not any(o.name == "write" for o in ops[at:until])
            and all(v.kind != "made" or v in read_later for v in inputs)  # none is kept for longer
        ):
            ops.insert(until - 1, ops.pop(at))
    return program.with_ops(ops)


MADE_AFRESH = frozenset("where take_at add_at take_along_axis argmax argmin random_uniform".split())  # noqa: SIM905


def own_gradients(program: Program) -> Program:
    """Each gradient in an array of its own that stays: no view, no other's, and none that is made afresh."""
    new = program.with_ops(list(program.ops))
    made = {op.out: op for op in program.ops}
    seen: set[Var] = set()
    for i, g in enumerate(program.gradients):
        op = made.get(g)
        if op is None or op.name in VIEWS or op.name in MADE_AFRESH or g in seen:
            origin = op.origin if op is not None else Origin("", "gradient")
            new.gradients[i] = Var(f"gradient_{i + 1}", g.shape, g.dtype)
            new.ops.append(Op("copy", [g], {}, new.gradients[i], origin))
        seen.add(g)
    return new


PASSES: list[Callable[[Program], Program]] = [
    dead_code,
    constants,
    algebra,
    common_subexpressions,
    algebra,
    dead_code,
    own_gradients,
]


def improve(program: Program) -> tuple[Program, list[tuple[str, Program]]]:
    """The program after all passes, and what it was after each."""
    history = [("recorded", program)]
    for function in PASSES:
        program = function(program)
        history.append((function.__name__, program))
    return program, history
