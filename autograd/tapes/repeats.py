"""Lines of a backward pass that come again and again, as those of the steps of `tg.scan`, with one line for most."""

import re
from collections.abc import Sequence

from tapegrad.autograd.diagnostics import plural

# A name that the backward pass made, or a whole number that stands alone.
NUMBER = re.compile(r"\bt(\d+)\b|(?<![\w.-])(-?\d+)(?![\w.])")
PRIMITIVE = re.compile(r"\S+ \+?= (\w*)")
LONG = 100  # lines: a pass of fewer is shown whole
FEWEST = 5  # steps that are shortened


def fold_repeats(lines: list[str]) -> list[str]:
    """The lines with the first and the last steps of a long repetition, and for those between them one line:

        … 1,996 more steps alike, of 20 lines each: t + 20, index - 1

    Each of these steps follows from the two before it: a number that differs between those goes on by as much.
    """
    if len(lines) < LONG:
        return lines
    repetition = Repetition(lines)
    step, starts = repetition.step, repetition.starts
    if len(starts) < FEWEST:
        return lines
    changes = ", ".join(repetition.changes()) or "the same"
    note = f"… {len(starts) - 3:,} more steps alike, of {plural(step, 'line')} each: {changes}"
    before, after = fold_repeats(lines[: starts[0]]), fold_repeats(lines[starts[-1] :])
    return [*before, *lines[starts[0] : starts[2]], note, *after]


class Repetition:
    """The longest repetition around the middle of a pass, in the shortest steps.

    step    how many lines a step has
    starts  where steps begin, of which each differs from the one before as that one from its own
    """

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.called = [found[1] if (found := PRIMITIVE.match(line)) else "" for line in lines]
        self.shapes = [NUMBER.sub("#", line) for line in lines]
        self.numbers = [[int(a or b) for a, b in NUMBER.findall(line)] for line in lines]
        self.step, self.starts = 1, range(0)
        middle = len(lines) // 2
        for step in range(1, len(lines) // FEWEST):
            several = len(self.starts) >= FEWEST and step % self.step == 0  # of the steps found, as one
            if self.shapes[middle] == self.shapes[middle + step] and not several:
                starts = self.with_step(step, middle)
                if len(starts) * step > len(self.starts) * self.step:
                    self.step, self.starts = step, starts

    def with_step(self, step: int, middle: int) -> range:
        begin = end = middle
        while begin > 0 and self.goes_on(begin - 1, step):
            begin -= 1
        while end + 2 * step < len(self.lines) and self.goes_on(end, step):
            end += 1
        if end - begin < (FEWEST - 2) * step:
            return range(0)
        # A step begins where the first one does, in which something else stands for the results of the step before.
        start = begin
        while start > 0 and self.called[start - 1] == self.called[start - 1 + step]:
            start -= 1
        return range(start + -(-(begin - start) // step) * step, end + step + 1, step)

    def goes_on(self, i: int, step: int) -> bool:
        """Whether from a line to that of the next step its numbers alone change, and by as much to the one after."""
        j, k = i + step, i + 2 * step
        a, b, c = self.numbers[i], self.numbers[j], self.numbers[k]
        return self.shapes[i] == self.shapes[j] == self.shapes[k] and all(
            y - x == z - y for x, y, z in zip(a, b, c, strict=True)
        )

    def changes(self) -> Sequence[str]:
        """What changes from a step to the next one: `t + 20`, `index - 1`."""
        found: dict[str, None] = {}
        for i in range(self.starts[0], self.starts[1]):
            for name, a, b in zip(
                NUMBER.findall(self.lines[i]), self.numbers[i], self.numbers[i + self.step], strict=True
            ):
                what = "t" if name[0] else "index" if "index=" in self.lines[i] else "numbers"
                if a != b:
                    found[f"{what} {'+' if b > a else '-'} {abs(b - a)}"] = None
        return [*found]
