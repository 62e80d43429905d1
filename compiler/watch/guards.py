"""What must still hold before a program may run, as one generated function."""

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tapegrad.autograd.tensor import Tensor
from tapegrad.compiler.watch.loops import Table, rows, with_loops

MOST = 200_000  # lines of one check; what reaches further runs as Python
SAME = re.compile(r"if not \((?P<local>o\d+) is (?P<value>k\d+)\): return")
MOVED = "moved"  # what `match` returns when only the contents of captured tensors were put elsewhere


def same(a: Any, b: Any) -> bool:
    """Whether two plain values are the same in type and value: 1 is not 1.0, 0.0 is not -0.0, nan is nan."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (float, complex, np.inexact)):
        return repr(a) == repr(b)
    return bool(a == b)


def strides_of(array: Any) -> Any:
    """How far its elements lie apart: sums are added up in the order of memory."""
    return getattr(array, "strides", None)


@dataclass
class Line:
    """One line of the check. name: the user's name of what it looks at; "" for one that only fetches."""

    text: str
    name: str = ""
    place: bool = False  # whether it compares a place with the tensor that was there
    entry: bool = False  # whether it speaks of the moment before the call alone


@dataclass
class Input:
    """A tensor that is read at each call, where it is found then."""

    local: str  # of the check
    tensor: Tensor  # that was there when it was recorded; dropped after that
    name: str
    argument: bool  # whether it is, or is part of, an argument of the call
    gradient_of: Tensor | None = None


@dataclass
class Guards:
    """Lines that fetch values, name them, and compare them; compiled, they are `match(args, kwargs)`.

    inputs     the tensors whose arrays `match` returns
    refusals   what was found that no check can follow, by the user's name
    """

    lines: list[Line] = field(default_factory=list)
    inputs: list[Input] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    names_of_values: dict[int, str] = field(default_factory=dict)
    locals: int = 0
    arrays: list[tuple[str, str]] = field(
        default_factory=list
    )  # (local of a captured tensor, its array's name)
    tables: dict[str, Table] = field(default_factory=dict)  # what loops of the check go through
    _match: Any = None

    # ---- building ----
    def value(self, value: Any) -> str:
        """The name by which the check knows a value."""
        name = self.names_of_values.get(id(value))
        if name is None:
            name = self.names_of_values[id(value)] = f"k{len(self.names_of_values)}"
            self.values[name] = value
        return name

    def fresh_value(self, value: Any) -> str:
        """The same for a value made for the check, which must not be taken for another of the same id later."""
        name = f"s{len(self.values)}"
        self.values[name] = value
        return name

    def let(self, expression: str) -> str:
        if expression.isidentifier():
            return expression
        self.locals += 1
        local = f"o{self.locals}"
        self.lines.append(Line(f"{local} = {expression}"))
        return local

    def need(self, condition: str, name: str, place: bool = False, entry: bool = False) -> None:
        self.lines.append(Line(f"if not ({condition}): return", name, place, entry))

    def read(
        self, local: str, t: Tensor, name: str, argument: bool, gradient_of: Tensor | None = None
    ) -> None:
        """Take a tensor as an input: whatever is there, if it is of the same kind."""
        n, entry = len(self.inputs), gradient_of is not None
        told, array = f"{name}: a tensor", f"a{n}"
        self.need(f"type({local}) is {self.value(type(t))}", name, entry=entry)
        self.lines.append(Line(f"{array} = {local}.data"))
        for what, condition in {
            "of shape": (f"{array}.shape == {self.fresh_value(t.data.shape)}", f"{local}.shape", t.shape),
            # An unpickled array has a dtype of its own, equal to the one that all others share.
            "of dtype": (
                f"{array}.dtype is {(d := self.value(t.data.dtype))} or {array}.dtype == {d}",
                f"{local}.dtype",
                t.dtype,
            ),
            "on": (f"type({array}) is {self.value(type(t.data))}", f"{local}.device", t.device),
            "with strides": (
                f"{array}.strides == {self.fresh_value(strides_of(t.data))}",
                f"{local}.data.strides",
                strides_of(t.data),
            ),
            "with requires_grad": (
                f"{local}.requires_grad is {t.requires_grad}", f"{local}.requires_grad", t.requires_grad,
            ),
        }.items():  # fmt: skip
            holds, now, then = condition
            self.need(holds, f"{told} {what} {{{now}}} instead of {then}", entry=entry)
        if t.requires_grad:
            self.need(
                f"({local}.node is None) is {t.node is None}", f"{name}: whether it was computed", entry=entry
            )
        self.inputs.append(Input(local, t, name, argument, gradient_of))

    def hold(self, local: str, array: Any) -> None:
        """The program is bound to this array of a captured tensor."""
        name = f"b{len(self.arrays)}"
        self.values[name] = array
        self.arrays.append((local, name))

    def held(self, local_of: dict[int, str], tensors: list[Tensor]) -> list[Any]:
        """The arrays that these tensors are held to."""
        arrays = {local: self.values[name] for local, name in self.arrays}
        return [arrays.get(local_of[id(t)], t.data) for t in tensors]

    def hold_again(self, arrays: dict[str, Any]) -> None:
        for local, name in self.arrays:
            if local in arrays:
                self.values[name] = arrays[local]
        self.fill_tables()

    def arguments_of(self, args: Any, kwargs: Any) -> list[Any]:
        """The tensors among the inputs as they were given: for a function that returns its argument."""
        fetches = {
            line.text.partition(" = ")[0]: line.text.partition(" = ")[2]
            for line in self.lines
            if not line.name
        }

        def fetch(local: str) -> Any:
            expression = fetches[local]
            base = expression.partition("[")[0].partition(".")[0]
            scope = {**self.values, "args": args, "kwargs": kwargs}
            if base in fetches:
                scope[base] = fetch(base)
            return eval(expression, scope)

        return [fetch(i.local) if i.argument else None for i in self.inputs]

    # ---- the check ----
    def compile(self) -> None:
        """Make `match`. Lines that speak of the moment before a call alone are the last ones."""
        if len(self.lines) > MOST:
            self.refusals.append(f"it reaches more than {MOST:,} values: pass what it needs as arguments")
            self.lines = self.lines[:1]
        entry = next((n for n, line in enumerate(self.lines) if line.entry), len(self.lines))
        texts = [line.text for line in self.lines]
        for table in self.tables:
            del self.values[table]
        self.tables.clear()
        head, rest = self.with_places(texts[:entry])
        body = ["moved = False", *with_loops(head, self.values, self.tables), "if after: return True"]
        body += with_loops(texts[entry:], self.values, self.tables)
        for i in range(0, len(rest), 20):
            stay = " and ".join(f"{local}.data is {name}" for local, name in rest[i : i + 20])
            body.append(f"if not ({stay}): moved = True")
        body.append(f"if moved: return {MOVED!r}")
        body.append(f"return ({''.join(f'a{n}, ' for n in range(len(self.inputs)))})")
        self.fill_tables()
        lines = "\n  ".join(body)
        text = f"def match(args, kwargs, after=False):\n try:\n  {lines}\n except {CAUGHT}: return None\n"
        self.values["same"] = same
        exec(compile(text, "<guards of tg.jit>", "exec"), self.values)
        self._match = self.values.pop("match")  # no cycle: what it holds goes with the last reference

    def with_places(self, texts: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
        """The lines, with those that ask where the contents of captured tensors are put beside those that ask for the
        tensors; and what is left of these."""
        left, lines = dict(self.arrays), []
        for text in texts:
            lines.append(text)
            found = SAME.fullmatch(text)
            if found is not None and (array := left.pop(found["value"], None)) is not None:
                lines.append(f"if {found['local']}.data is not {array}: moved = True")
        return lines, list(left.items())

    def fill_tables(self) -> None:
        for name, table in self.tables.items():
            self.values[name] = rows(table, self.values)

    @property
    def match(self) -> Any:
        """match(args, kwargs): the arrays of the inputs, if everything is as it was; None if not, and MOVED if only
        captured tensors have their contents elsewhere. With after=True: whether a call has changed nothing."""
        if self._match is None:
            self.compile()
        return self._match

    def failures(self, args: Any, kwargs: Any, after: bool = False) -> list[Line]:
        """The lines that do not hold, with what they name filled in. Slow: for reasons.

        after   the call is over: without the lines that speak of the moment before it
        """
        scope = {**self.values, "args": args, "kwargs": kwargs}
        found: list[Line] = []
        for line in self.lines:
            statement = line.text
            if after and line.entry:
                continue
            try:
                if not line.name:
                    exec(statement, scope)
                elif not eval(statement[len("if not (") : -len("): return")], scope):
                    found.append(Line(statement, filled(line.name, scope), line.place))
            except Exception:
                if line.name:
                    found.append(Line(statement, filled(line.name, scope), line.place))
                else:  # what depends on it is not what it was either
                    scope.pop(statement.partition(" = ")[0], None)
        return found


CAUGHT = "(AttributeError, KeyError, IndexError, NameError, TypeError, ValueError, RuntimeError)"


def filled(name: str, scope: dict[str, Any]) -> str:
    """A name with the expressions in braces worked out."""
    start, brace, rest = name.partition("{")
    if not brace:
        return name
    expression, _, end = rest.partition("}")
    try:
        return f"{start}{eval(expression, scope)}{end}"
    except Exception:
        return f"{start}?{end}"
