"""The frame that all emitters in Python share: a module whose `build(captured arrays)` makes what stays and returns the
step and the arrays of the gradients."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tapegrad.compiler.emit.folding import Body, Folding, Line
from tapegrad.compiler.ir.program import Op, Origin, Program

WIDE = 90  # columns: a longer line has its comment right behind it


@dataclass
class SourceModule:
    """Definitions, which are made once, and lines, which run at each call.

    constants     those of the definitions that hold numbers
    made_by       definition -> the operations that it carries out, or prepares
    """

    title: str
    program: Program
    definitions: dict[str, str] = field(default_factory=dict)
    constants: set[str] = field(default_factory=set)
    made_by: dict[str, list[Op]] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)

    def define(self, name: str, expression: str, op: Op | None = None) -> None:
        """`name = expression`, when the step is built."""
        self.definitions[name] = expression
        if op is not None:
            self.made_by.setdefault(name, []).append(op)

    def add(self, text: str, op: Op) -> None:
        """A line of each call."""
        self.lines.append(Line(text, [op]))

    def body(self, results: Sequence[str], gradients: Sequence[str]) -> Body:
        """The parts of the module, with loops in place of lines that repeat themselves."""
        captured = [v.name for v in self.program.captured]
        arguments = [v.name for v in self.program.arguments]
        whole = Body(self.definitions, self.lines, list(results), list(gradients))
        return Folding(whole, captured, arguments, self.constants).folded()

    def build_line(self, name: str = "build") -> str:
        return f"def {name}({', '.join(dict.fromkeys(v.name for v in self.program.captured))}):"

    def step_line(self) -> str:
        return f"def step({', '.join(v.name for v in self.program.arguments)}):"


def commented(lines: Sequence[Line]) -> list[str]:
    """The lines of a call, with where they come from above them, and what they make behind them."""
    body: list[str] = []
    last: Origin | None = None
    wide = max((len(line.text) for line in lines if len(line.text) < WIDE), default=0)
    for line in lines:
        if not line.ops:
            body.append(line.text)
            continue
        op = line.ops[0]
        margin = " " * (len(line.text) - len(line.text.lstrip()))
        if line.lead:
            place = user_line(op.origin, line.origins)
            body += [f"{margin}# {line.lead}: {place}".rstrip(": "), line.text]
            last = replace(op.origin, part="")
            continue
        if op.origin != last:
            same = last is not None and op.origin.line in ("", last.line)
            place = "" if same else f"{user_line(op.origin, line.origins)}   "
            parts = list(dict.fromkeys(turn.part for turn in line.origins or [op.origin]))
            body.append(f"{margin}# {place.lstrip()}[{', '.join(parts)}]")
            last = op.origin
        body.append(f"{line.text:{wide}}  # {op.out.dtype}{list(op.out.shape)}")
    return body


def user_line(origin: Origin, turns: Sequence[Origin]) -> str:
    """The user's line that an operation comes from, and how many more there are in other turns of the loop."""
    others = len({turn.line for turn in turns} - {origin.line})
    return origin.line + (f" (and {others} more line{'s' * (others > 1)})" if others else "")


def listed(texts: Sequence[str]) -> str:
    """The source of a tuple, without its parentheses."""
    return f"{', '.join(texts)}{',' if len(texts) == 1 else ''}"


def indented(lines: Sequence[str], times: int = 1) -> list[str]:
    return [f"{'    ' * times}{line}" if line else line for line in lines]
