"""The lines of a nest in the source to read, and the operations that each carries out."""

from tapegrad.compiler.emit.folding import Line
from tapegrad.compiler.emit.native import python_text
from tapegrad.compiler.emit.native.alike import Loops

# Behind the title of the source.
AS_PYTHON = """

This is the program as Python, to read. What runs is machine code: a function for each nest of loops below;
each product of matrices is one of ours, or NumPy's. `save` writes another form, in calls of NumPy.
"""


def lines_of_loops(call: Loops) -> list[Line]:
    """A statement carries out its own operation, and the head of a loop all those inside. The first head is the one
    whose comment says what is made."""
    found = [Line(text, own or call.ops[:1], quiet=True) for text, own in python_text.lines(call.nest)]
    if not found:
        return []
    shown = next((line for line in found if line.text.startswith("for ")), found[0])
    shown.quiet = False
    # An operation that left nothing to do, as a view, is part of the last line that makes what it takes.
    carried = {op.out for line in found for op in line.ops}
    for op in call.ops:
        if op.out not in carried:
            makers = [line for line in found if any(made.out in op.vars for made in line.ops)]
            last = makers[-1] if makers else shown
            last.ops.append(op)
    return found
