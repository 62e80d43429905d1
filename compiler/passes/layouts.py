"""Results whose elements lie in memory as they are read, so that nothing has to be copied."""

from dataclasses import replace

from tapegrad.compiler.ir.operations import Kind
from tapegrad.compiler.ir.program import Op, Program, Var

Axes = tuple[int, ...]


def lay_out(program: Program) -> Program:
    """The program in which a product, or what is worked out of it element by element, whose axes are exchanged before
    each reshape has its elements in the order of the exchanged axes. `reshape(permute_dims(x))` is a view then, as of
    the heads of attention, which are made side by side."""
    readers: dict[Var, list[Op]] = {}
    for op in program.ops:
        for v in dict.fromkeys(op.vars):
            readers.setdefault(v, []).append(op)
    kept, wanted = set(program.kept()), dict[Var, Axes]()
    for op in reversed(program.ops):
        may = op.name == "matmul" or op.kind is Kind.ELEMENTWISE
        if may and op.out not in kept and (axes := asked_for(op.out, readers, wanted, kept)):
            wanted[op.out] = axes
    return replaced(program, {v: replace(v, laid_out=axes) for v, axes in wanted.items()})


def asked_for(v: Var, readers: dict[Var, list[Op]], wanted: dict[Var, Axes], kept: set[Var]) -> Axes | None:
    """The order of its axes that all who read it want, if all want the same."""
    orders: set[Axes | None] = set()
    for op in readers.get(v, ()):
        if op.name == "permute_dims" and op.out not in kept:
            reshapes = [reader.name == "reshape" for reader in readers.get(op.out, ())]
            orders.add(tuple(op.params["axes"]) if reshapes and all(reshapes) else None)
        else:
            same = op.kind is Kind.ELEMENTWISE and op.out.shape == v.shape
            orders.add(wanted.get(op.out) if same else None)
    return orders.pop() if len(orders) == 1 else None


def replaced(program: Program, others: dict[Var, Var]) -> Program:
    """The program with other Vars in the place of some results."""
    if not others:
        return program
    ops = []
    for op in program.ops:
        if op.out in others or not others.keys().isdisjoint(op.vars):
            inputs = [others.get(i, i) if isinstance(i, Var) else i for i in op.inputs]
            op = Op(op.name, inputs, op.params, others.get(op.out, op.out), op.origin)
        ops.append(op)
    return program.with_ops(ops)
