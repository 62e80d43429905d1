"""How a pass replaces operations one by one."""

from collections.abc import Callable

from tapegrad.compiler.ir.program import Op, Program, Var

# (operation, the new program so far, to which a rule may add operations) -> the operation, perhaps another one, or the
# Var that its result is equal to.
Rule = Callable[[Op, Program], Op | Var]


def rewrite(program: Program, rule: Rule) -> Program:
    """The program with each operation as the rule wants it. Its inputs are replaced before the rule sees it.

    Operations that stay as they are belong to the lists before and after: a rule changes none, it returns another."""
    same: dict[Var, Var] = {}
    stay = same.keys().isdisjoint
    new = program.with_ops([])
    for op in program.ops:
        if not stay(op.vars):
            inputs = [same.get(i, i) if isinstance(i, Var) else i for i in op.inputs]
            op = Op(op.name, inputs, op.params, op.out, op.origin)
        result = rule(op, new)
        if isinstance(result, Op):
            new.ops.append(result)
        else:
            same[op.out] = result
    new.results = [same.get(r, r) if isinstance(r, Var) else r for r in program.results]
    new.gradients = [same.get(g, g) for g in program.gradients]
    return new
