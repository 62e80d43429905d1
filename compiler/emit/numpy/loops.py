"""A loop as source: a function of the emitted module, whose step is a program of its own."""

from math import prod

from tapegrad.compiler.emit.module import indented
from tapegrad.compiler.ir.operations import LoopBody, Operation

LOOP = '''
def {name}(*given, out, steps=[]):
    """{length} steps of {name}_step: the last carry, the ys{kept}, end to end in out."""
    if not steps:
        steps.append({name}_step())
    carry, xs, others = given[:{n}], given[{n}:{end}], given[{end}:]
    carries, ys, before = {parts}
    for t in {order}:
        for part, value in zip(before, carry):
            part[t] = value
        results = steps[0](*carry, *(x[t] for x in xs), *others)
        carry = results[:{n}]
        for part, value in zip(ys, results[{n}:]):
            part[t] = value
    for part, value in zip(carries, carry):
        part[...] = value
    return out


def {name}_step():
'''


def loop_source(row: Operation, body: LoopBody) -> str:
    """The functions of a loop: NumPy runs its step, which is built at the first call."""
    from tapegrad.compiler.emit.numpy.emitter import NumpyEmitter  # which asks for this
    from tapegrad.compiler.passes import improve

    program, _ = improve(body.step, "numpy")
    step = NumpyEmitter(program, f"one step of {row.name}").source().rstrip()
    parts, start = [], 0
    for shape in body.shapes:
        parts.append(f"out[{start}:{start + prod(shape)}].reshape({shape})")
        start += prod(shape)
    n, end = body.carries, body.carries + body.slices
    ys = len(body.step.results) - n
    groups = (parts[:n], parts[n : n + ys], parts[n + ys :])
    text = LOOP.format(
        name=row.name, length=body.length, n=n, end=end,
        kept=" and the carries before each step" if groups[2] else "",
        parts=", ".join(f"[{', '.join(group)}]" for group in groups),
        order=f"reversed(range({body.length}))" if body.reverse else f"range({body.length})",
    )  # fmt: skip
    return text.lstrip() + "\n".join([*indented(step.splitlines()), "    return build()[0]", ""])
