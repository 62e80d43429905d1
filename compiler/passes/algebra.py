"""Identities of algebra. A rule belongs to an operation: (operation, maker of each Var) -> what it is equal to, or None
where the rule does not apply."""

from collections.abc import Callable
from typing import Any

from tapegrad.compiler.ir.memory import Spans, bases, written
from tapegrad.compiler.ir.operations import Kind
from tapegrad.compiler.ir.program import Op, Program, Var
from tapegrad.compiler.passes.constants import broadcast_shape
from tapegrad.compiler.passes.rewriting import rewrite

Makers = dict[Var, Op]
Rule = Callable[[Op, Makers], Op | Var | None]
RULES: dict[str, list[Rule]] = {}


def simplify(program: Program) -> Program:
    """The program without operations that change nothing, and without broadcasts of what broadcasts anyway."""
    makers: Makers = {}
    base = bases(program.ops)
    targets = Spans(written(program))

    def unsteady(v: object) -> bool:
        """Whether it is memory that the program writes to: later on it holds something else."""
        return isinstance(v, Var) and targets.overlap(base.get(v, v))

    def change(op: Op, new: Program) -> Op | Var:
        result = picked_first(op, makers, unsteady, new) or simpler(op, makers)
        if isinstance(result, Var) and op.kind is not Kind.VIEW and unsteady(result):
            # An input is copied at this moment; what was read before this operation may have changed since.
            now = any(v is result for v in op.vars)
            result = Op("copy", [result], {}, op.out, op.origin) if now else op
        elif op.name == "reshape" and unsteady(op.vars[0]) and result is not op.vars[0]:
            result = op  # the first of two reshapes may have been a copy
        if isinstance(result, Op):
            makers[result.out] = result
        return result

    return rewrite(program, change)


def simpler(op: Op, makers: Makers) -> Op | Var:
    """What the rules make of an operation, until none applies any more."""
    for rule in RULES.get(op.name, ()):
        result = rule(op, makers)
        if result is not None:
            return result if isinstance(result, Var) else simpler(result, makers)
    return without_broadcasts(op, makers) if op.kind is Kind.ELEMENTWISE else op


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Decorator: the rule is tried on these operations."""

    def add(function: Rule) -> Rule:
        for name in names:
            RULES.setdefault(name, []).append(function)
        return function

    return add


def like(x: object, out: Var) -> bool:
    return isinstance(x, Var) and (x.shape, x.dtype) == (out.shape, out.dtype)


def alike(x: Any, out: Var) -> bool:
    """Whether x may stand for a new array of the same elements: reductions add up in the order of the memory."""
    return like(x, out) and x.dense and out.order is None


@rule("positive", "astype")
def unchanged(op: Op, makers: Makers) -> Var | None:
    return op.inputs[0] if alike(op.inputs[0], op.out) else None


@rule("reshape", "broadcast_to")
def same_shape(op: Op, makers: Makers) -> Var | None:
    return op.inputs[0] if like(op.inputs[0], op.out) else None


@rule("multiply", "divide")
def by_one(op: Op, makers: Makers) -> Var | None:
    x, y = op.inputs
    return x if not isinstance(y, Var) and y == 1.0 and alike(x, op.out) else None


@rule("multiply")
def one_times(op: Op, makers: Makers) -> Var | None:
    x, y = op.inputs
    return y if not isinstance(x, Var) and x == 1.0 and alike(y, op.out) else None


@rule("multiply")
def minus_one_times(op: Op, makers: Makers) -> Op | None:
    x, y = op.inputs
    minus = op.out.dtype.kind == "f" and not isinstance(y, Var) and y == -1.0 and like(x, op.out)
    return Op("negative", [x], {}, op.out, op.origin) if minus else None


@rule("multiply_from_zero")
def from_a_number(op: Op, makers: Makers) -> Op | None:
    """A cotangent that is one number, and not 0, as in the gradient of a sum, needs no help with zeros."""
    plain = not isinstance(op.inputs[0], Var) and op.inputs[0] != 0
    return Op("multiply", op.inputs, {}, op.out, op.origin) if plain else None


@rule("slice")
def whole_slice(op: Op, makers: Makers) -> Var | None:
    whole = all(i is Ellipsis or (isinstance(i, slice) and i.step in (None, 1)) for i in op.params["index"])
    return op.inputs[0] if whole and like(op.inputs[0], op.out) else None


@rule("permute_dims")
def axes_in_order(op: Op, makers: Makers) -> Var | None:
    axes = list(op.params["axes"])
    return op.inputs[0] if axes == sorted(axes) and like(op.inputs[0], op.out) else None


@rule("permute_dims")
def permuted_twice(op: Op, makers: Makers) -> Op | None:
    before = makers.get(op.inputs[0])
    if before is None or before.name != op.name:
        return None
    axes = tuple(before.params["axes"][a] for a in op.params["axes"])
    return Op(op.name, before.inputs, {"axes": axes}, op.out, op.origin)


@rule("reshape")
def reshaped_twice(op: Op, makers: Makers) -> Op | None:
    before = makers.get(op.inputs[0])
    same = before is not None and before.name == op.name
    return Op(op.name, before.inputs, op.params, op.out, op.origin) if before is not None and same else None


@rule("negative")
def negated_twice(op: Op, makers: Makers) -> Var | None:
    before = makers.get(op.inputs[0]) if isinstance(op.inputs[0], Var) else None
    twice = before is not None and before.name == op.name and alike(before.inputs[0], op.out)
    return before.inputs[0] if before is not None and twice else None


@rule("where")
def settled_choice(op: Op, makers: Makers) -> Var | None:
    condition = op.inputs[0].uniform() if isinstance(op.inputs[0], Var) else None
    if condition is None:
        return None
    choice = op.inputs[1 if condition else 2]
    return choice if alike(choice, op.out) else None


@rule("power")
def by_exponent(op: Op, makers: Makers) -> Op | Var | None:
    """x ** a number as the operator of an array does it, which has its own ways for some exponents."""
    x, exponent = op.inputs
    if isinstance(exponent, Var) or not like(x, op.out):
        return None
    if exponent == 2:
        return Op("square", [x], {}, op.out, op.origin)
    if exponent == 1:
        return Op("positive", [x], {}, op.out, op.origin)
    if exponent == 0.5 and x.dtype.kind == "f":  # the root of -0 is -0, that of -inf is NaN
        return Op("sqrt", [x], {}, op.out, op.origin)
    if exponent == -1 and x.dtype.kind == "f":
        return Op("divide", [1.0, x], {}, op.out, op.origin)
    return None


def without_broadcasts(op: Op, makers: Makers) -> Op:
    """An elementwise operation on what was broadcast for it, where the other operands give the shape."""
    inputs = op.inputs
    for i, x in enumerate(op.inputs):
        source = makers.get(x) if isinstance(x, Var) else None
        if source is not None and source.name == "broadcast_to":
            trial = [*inputs[:i], source.inputs[0], *inputs[i + 1 :]]
            if broadcast_shape(trial) == op.out.shape:
                inputs = trial
    return op if inputs is op.inputs else Op(op.name, inputs, op.params, op.out, op.origin)


def picked_first(op: Op, makers: Makers, unsteady: Callable[[object], bool], new: Program) -> Op | None:
    """(x - y)[picked] is x[picked] - y, where y is the same for all that is picked from: as in a log softmax."""
    whole = makers.get(op.vars[0]) if op.name == "take_along_axis" else None
    if whole is None or whole.name != "subtract":
        return None
    x, y = whole.inputs
    if not isinstance(x, Var) or not isinstance(y, Var) or unsteady(x) or unsteady(y):
        return None
    if x.shape != whole.out.shape or y.shape != op.out.shape:
        return None
    first = Var(f"{op.out.name}_taken", op.out.shape, op.out.dtype)
    new.ops.append(Op(op.name, [x, op.inputs[1]], op.params, first, op.origin))
    makers[first] = new.ops[-1]
    return Op("subtract", [first, y], {}, op.out, op.origin)
