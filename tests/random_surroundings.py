"""Random worlds as text: places that hold values, a function that reads some of them, and a schedule of changes.

What a strategy draws is a program that a person can read and run: `repr` of it is a whole script.
"""

import linecache
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from hypothesis import strategies as st

from random_places import FORMS, HABITS, KEEPS, KINDS, PRELUDE, USES, VALUES

number = count(1)


@dataclass
class World:
    """A world, a function of x in it, and statements that are run before its calls."""

    setup: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    schedule: list[list[str]] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    settles: bool = True
    step: bool = False

    @property
    def function(self) -> str:
        lines = ["y = x", *self.lines]
        if self.step:
            lines += ["loss = ((weight * y) ** 2).sum()", "opt.zero_grad()", "loss.backward()", "opt.step()"]
            lines += ["return loss.detach()"]
        else:
            lines += ["return (y * 1.0).detach()"]
        return "\n".join(["def f(x):", *(f"    {line}" for line in lines), ""])

    @property
    def text(self) -> str:
        setup = list(self.setup)
        if self.step:
            setup += ["weight = T(1.0, -1.0).requires_grad_()", "opt = tg.optim.SGD([weight], lr=0.01)"]
        return "\n".join([PRELUDE, *setup, self.function])

    def surroundings(self) -> dict[str, Any]:
        name, text = f"<random world {next(number)}>", self.text
        linecache.cache[name] = (len(text), None, text.splitlines(True), name)
        around: dict[str, Any] = {"__name__": "random_world"}
        exec(compile(text, name, "exec"), around)
        return around

    def __repr__(self) -> str:
        seen = ", ".join(self.seen)
        return (
            f"{self.text}\nimport sys\nif 'jit' in sys.argv: f = tg.jit(f, emitter='numpy')\n"
            f"for i, changes in enumerate({self.schedule!r}):\n    for change in changes:\n"
            "        try: exec(change, globals())\n        except Exception as error: print(type(error).__name__)\n"
            f"    try: print(i, f(T(0.5 + i % 3, 1.0)).numpy(), [{seen}])\n"
            "    except Exception as error: print(i, type(error).__name__, error)\n"
            "if 'jit' in sys.argv: print(f.stats())\n"
        )

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """For Hypothesis, which prints what fails."""
        printer.text(repr(self))


@st.composite
def worlds(draw: Any, quiet: int = 6) -> World:
    """Worlds of up to four places, read up to five times, and changed up to eight times."""
    world = World(step=draw(st.booleans()))
    kinds = draw(st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=4))
    places = [(f"p{i}", KINDS[kind]) for i, kind in enumerate(kinds)]
    world.setup = [kind.setup.format(p=p) for p, kind in places]
    read_places = []
    for number in range(draw(st.integers(1, 5))):
        p, kind = place = draw(st.sampled_from(places))
        read_places.append(place)
        read = draw(st.sampled_from(kind.reads)).format(p=p)
        if draw(st.booleans()):
            world.setup.append(f"def h{number}(y): return {read}")
            read = f"h{number}(y)"
        world.lines += lines_of(draw, read)
    if draw(st.sampled_from([False, False, False, True])):
        habit = draw(st.sampled_from(HABITS))
        world.setup.append(habit.setup.format(p="own"))
        world.lines.append(habit.line.format(p="own"))
        world.seen.append(habit.seen.format(p="own"))
        world.settles = habit.line in KEEPS
    world.settles &= not any(kind.hard for _, kind in read_places)
    calls = draw(st.integers(2, 8))
    world.schedule = [[] for _ in range(calls + quiet)]
    for _ in range(draw(st.integers(1, 8))):
        p, kind = draw(st.sampled_from(read_places + places))
        change = draw(st.sampled_from(kind.changes)).format(p=p, v=draw(st.sampled_from(VALUES)))
        world.schedule[draw(st.integers(0, calls))].append(change)
    return world


def lines_of(draw: Any, read: str) -> list[str]:
    use = draw(st.sampled_from(USES))
    form = draw(st.sampled_from(FORMS))
    return [line.format(r=read, use=use.format(r=read), use_r=use.format(r="r")) for line in form]
