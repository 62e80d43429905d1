"""The frame that all emitters in Python share: a module whose `build(captured arrays)` makes what stays and returns the
step and the arrays of the gradients."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tapegrad.compiler.emit.folding import Body, Folding, Line
from tapegrad.compiler.ir.program import Op, Origin, Program, Var

WIDE = 90  # columns: a longer line has its comment right behind it
WIDEST = 100  # columns of the imports and of the head of `build`
# Numbers that an optimizer works out, as they stand in the source, and what they are.
KNOWN_NUMBERS = {
    repr(0.99 * float(np.finfo(dtype).max) ** 0.5): f"about the largest {dtype} whose square is finite"
    for dtype in ("float16", "float32", "float64")
}


@dataclass
class SourceModule:
    """Definitions, which are made once, and lines, which run at each call.

    constants     those of the definitions that hold numbers
    made_by       definition -> the operations that it carries out
    line_of       Var -> the line that makes it
    """

    title: str
    program: Program
    definitions: dict[str, str] = field(default_factory=dict)
    constants: set[str] = field(default_factory=set)
    made_by: dict[str, list[Op]] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    line_of: dict[Var, Line] = field(default_factory=dict)

    def define(self, name: str, expression: str, op: Op | None = None) -> None:
        """`name = expression`, when the step is built."""
        self.definitions[name] = expression
        if op is not None:
            self.made_by.setdefault(name, []).append(op)

    def add(self, text: str, op: Op, others: Sequence[Op] = ()) -> None:
        """A line of each call: its comment is that of `op`, and it carries out the others, too."""
        line = Line(text, [op, *(other for other in others if other is not op)])
        self.lines.append(line)
        for made in line.ops:
            self.line_of[made.out] = line

    def absorbed(self, op: Op, sources: Sequence[Var]) -> None:
        """Nothing is left to do for an operation: the line that makes one of the sources did it."""
        for v in reversed(sources):
            if v in self.line_of:
                self.line_of[v].ops.append(op)
                return

    def body(self, results: Sequence[str], gradients: Sequence[str]) -> Body:
        """The parts of the module, with loops in place of lines that repeat themselves."""
        captured = [v.name for v in self.program.captured]
        arguments = [v.name for v in self.program.arguments]
        whole = Body(self.definitions, self.lines, list(results), list(gradients))
        return Folding(whole, captured, arguments, self.constants).folded()

    def frame(self, body: Body, returned: str) -> list[str]:
        """The function `build`, line by line."""
        captured = list(dict.fromkeys(v.name for v in self.program.captured))
        arguments = ", ".join(v.name for v in self.program.arguments)
        step = [f"def step({arguments}):", *indented(commented(body.lines)), f"    return {returned}"]
        made = ["# buffers, used again at each call, and views of what stays in place"]
        made += [f"{name} = {text}" for name, text in body.definitions.items()]
        gradients = f"return step, ({tuple_items(body.gradients)})"
        head = enclosed("def build", captured, ":").split("\n")
        return [*head, *indented([*made, "", *step, "", gradients]), ""]

    def operations_by_line(self, source: str, body: Body) -> list[tuple[int, list[Op]]]:
        """(number of a line of the source, from 1; the operations that it carries out), for lines that do."""
        numbers = {text: n for n, text in enumerate(source.split("\n"), 1) if text.startswith("    ")}
        found: list[tuple[int, list[Op]]] = []
        for name, text in body.definitions.items():
            made = [op for member in body.lists.get(name, [name]) for op in self.made_by.get(member, ())]
            if made:
                found.append((numbers[f"    {name} = {text}"], made))
        number = numbers[next(text for text in numbers if text.startswith("    def step("))]
        texts = source.split("\n")
        for line in body.lines:
            while not texts[number].startswith(f"        {line.text}"):
                number += 1
            number += 1
            if line.ops:
                found.append((number, line.ops))
        return sorted(found, key=lambda pair: pair[0])


def commented(lines: Sequence[Line]) -> list[str]:
    """The lines of a call, with where they come from above them, and what they make behind them."""
    body: list[str] = []
    last: Origin | None = None
    wide = max((len(line.text) for line in lines if len(line.text) < WIDE and not line.quiet), default=0)
    for line in lines:
        if not line.ops:
            body.append(line.text)
            continue
        op = line.ops[0]
        margin = " " * (len(line.text) - len(line.text.lstrip()))
        if line.lead:
            place = lines_of_the_user(op.origin, line.origins)
            body += [f"{margin}# {line.lead}: {place}".rstrip(": "), line.text]
            last = replace(op.origin, part="")
            continue
        if op.origin != last:
            same = last is not None and op.origin.line in ("", last.line)
            place = "" if same else f"{lines_of_the_user(op.origin, line.origins)}   "
            body.append(f"{margin}# {place.lstrip()}[{parts_of(line.origins or [op.origin])}]")
            last = op.origin
        body += [f"{margin}# {n}: {said}" for n, said in KNOWN_NUMBERS.items() if n in line.text]
        if line.quiet:
            body.append(line.text)
        else:
            body.append(f"{line.text:{wide}}  # {op.out.dtype}{list(op.out.shape)}")
    return body


def lines_of_the_user(origin: Origin, turns: Sequence[Origin]) -> str:
    """The user's line that an operation comes from, and how many more there are in other turns of the loop."""
    others = len({turn.line for turn in turns} - {origin.line})
    return origin.line + (f" (and {others} more line{'s' * (others > 1)})" if others else "")


def parts_of(turns: Sequence[Origin]) -> str:
    """What operations are part of: "layers.0: linear", or "layers.0 to layers.9: linear" at all turns of a loop."""
    parts = ", ".join(dict.fromkeys(turn.part for turn in turns))
    modules = list(dict.fromkeys(turn.module for turn in turns if turn.module))
    return f"{' to '.join(dict.fromkeys([modules[0], modules[-1]]))}: {parts}" if modules else parts


def enclosed(before: str, names: Sequence[str], after: str = "") -> str:
    """Names in parentheses, on one line or, where it would be too wide, on several of their own."""
    line = f"{before}({', '.join(names)}){after}"
    if len(line) <= WIDEST:
        return line
    rows = textwrap.wrap(f"{', '.join(names)},", WIDEST - 4, break_long_words=False, break_on_hyphens=False)
    return "\n".join([f"{before}(", *indented(rows), f"){after}"])


def imported(module: str, names: Sequence[str]) -> str:
    """The statement that imports names from a module."""
    line = f"from {module} import {', '.join(names)}"
    return line if len(line) <= WIDEST else enclosed(f"from {module} import ", names)


def assembled(title: str, imports: Sequence[str], helpers: Sequence[str], frame: Sequence[str]) -> str:
    """The source of a module: its title, what it imports, the functions that it defines, and `build`."""
    head = "\n".join([f'"""{title}"""', "", "import numpy as np", *imports])
    return "\n\n\n".join([head, *(helper.strip("\n") for helper in helpers), "\n".join(frame)])


def tuple_items(texts: Sequence[str]) -> str:
    """The source of a tuple, without its parentheses."""
    return f"{', '.join(texts)}{',' if len(texts) == 1 else ''}"


def indented(lines: Sequence[str], times: int = 1) -> list[str]:
    return [f"{'    ' * times}{line}" if line else line for line in lines]
