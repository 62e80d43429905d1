"""What must still hold before a program may run, as one generated function."""

import re
from dataclasses import dataclass, field
from typing import Any

from tapegrad.autograd.tensor import Tensor
from tapegrad.autograd.whole import uninterrupted
from tapegrad.backends.aliases import Array
from tapegrad.compiler.aliases import Args, Kwargs
from tapegrad.compiler.watch.listen import by_user
from tapegrad.compiler.watch.loops import Table, rows, with_loops
from tapegrad.compiler.watch.sameness import in_order, same

MOST = 200_000  # lines of one check; what reaches further runs as Python
LOCAL, VALUE = re.compile(r"\bo\d+\b"), re.compile(r"\b[ks]\d+\b")
SAME = re.compile(r"if not \((?P<local>o\d+) is (?P<value>k\d+)\): return")
MOVED = "moved"  # what `match` returns when only the contents of captured tensors were put elsewhere


def strides_of(array: Array) -> tuple[int, ...] | None:
    """How far its elements lie apart: sums are added up in the order of memory."""
    return getattr(array, "strides", None)


@dataclass
class Line:
    """One line of the check. name: the user's name of what it looks at; "" for one that only fetches."""

    text: str
    name: str = ""
    place: bool = False  # whether it compares a place with the tensor that was there
    entry: bool = False  # whether it speaks of the moment before the call alone

    @property
    def subject(self) -> str:
        """What it looks at, without what is asked of that."""
        return self.name.partition(": ")[0]


@dataclass
class Input:
    """A tensor that is read at each call, where it is found then."""

    local: str  # of the check
    name: str
    argument: bool  # whether it is, or is part of, an argument of the call
    entry: bool = False  # whether it is read as it is before the call alone


@dataclass
class Guards:
    """Lines that fetch values, name them, and compare them; compiled, they are `match(args, kwargs)`.

    inputs     the tensors whose arrays `match` returns
    returned   locals of objects that the function returns as they are found
    refusals   what was found that no check can follow, by the user's name
    doubts     what no program can do, though a first call may
    """

    lines: list[Line] = field(default_factory=list)
    inputs: list[Input] = field(default_factory=list)
    returned: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    names_of_values: dict[int, str] = field(default_factory=dict)
    fetches: dict[str, str] = field(default_factory=dict)  # local -> the expression that it is the value of
    # (local of a captured tensor, its array's name)
    arrays: list[tuple[str, str]] = field(default_factory=list)
    tables: dict[str, Table] = field(default_factory=dict)  # what loops of the check go through
    # Where the program's arrays lie, if the code reaches arrays of the user's, which may come to lie there.
    program_memory: list[tuple[int, int]] = field(default_factory=list)
    objects: dict[str, str] = field(default_factory=dict)  # local of one that may be changed -> its name
    asked: set[tuple[str, bool, bool]] = field(default_factory=set)  # the conditions there are
    _match: Any = None
    _arguments_of: Any = None

    # ---- building ----
    def value(self, value: object) -> str:
        """The name by which the check knows a value."""
        name = self.names_of_values.get(id(value))
        if name is None:
            name = self.names_of_values[id(value)] = f"k{len(self.names_of_values)}"
            self.values[name] = value
        return name

    def fresh_value(self, value: object) -> str:
        """The same for a value made for the check, which must not be taken for another of the same id later."""
        name = f"s{len(self.values)}"
        self.values[name] = value
        return name

    def let(self, expression: str) -> str:
        if expression.isidentifier():
            return expression
        local = f"o{len(self.fetches) + 1}"
        self.fetches[local] = expression
        self.lines.append(Line(f"{local} = {expression}"))
        return local

    def need(self, condition: str, name: str, place: bool = False, entry: bool = False) -> None:
        """Ask for a condition, once: what a local or a value's name stands for does not change within one check."""
        if (condition, place, entry) in self.asked:
            return
        self.asked.add((condition, place, entry))
        self.lines.append(Line(f"if not ({condition}): return", name, place, entry))

    def read(self, local: str, t: Tensor, name: str, argument: bool, entry: bool = False) -> None:
        """Take a tensor as an input: whatever is there, if it is of the same kind as t."""
        array, dtype = f"a{len(self.inputs)}", self.value(t.data.dtype)
        shape, strides = self.fresh_value(t.data.shape), strides_of(t.data)

        def need(condition: str, what: str, now: str, then: object) -> None:
            told = f"{name}: a tensor {what} {{{local}.{now}}} instead of {then}"
            self.need(condition, told, entry=entry)

        self.need(f"type({local}) is {self.value(type(t))}", name, entry=entry)
        self.lines.append(Line(f"{array} = {local}._data"))
        need(f"{array}.shape == {shape}", "of shape", "shape", t.shape)
        # An unpickled array has a dtype of its own, equal to the one that all others share.
        need(f"{array}.dtype is {dtype} or {array}.dtype == {dtype}", "of dtype", "dtype", t.dtype)
        need(f"type({array}) is {self.value(type(t.data))}", "on", "device", t.device)
        need(f"{array}.strides == {self.fresh_value(strides)}", "with strides", "data.strides", strides)
        grad = t.requires_grad
        need(f"{'' if grad else 'not '}{local}._requires_grad", "with requires_grad", "requires_grad", grad)
        if grad:
            computed = f"{name}: whether it was computed"
            self.need(f"({local}.node is None) is {t.node is None}", computed, entry=entry)
        self.inputs.append(Input(local, name, argument, entry))

    def hold(self, local: str, array: Array) -> None:
        """The program is bound to this array of a captured tensor."""
        name = f"b{len(self.arrays)}"
        self.values[name] = array
        self.arrays.append((local, name))

    def held(self, local_of: dict[int, str], tensors: list[Tensor]) -> list[Array]:
        """The arrays that these tensors are held to."""
        arrays = {local: self.values[name] for local, name in self.arrays}
        return [arrays.get(local_of[id(t)], t.data) for t in tensors]

    def hold_again(self, arrays: dict[str, object]) -> None:
        for local, name in self.arrays:
            if local in arrays:
                self.values[name] = arrays[local]
        self.fill_tables()

    def drop_unused(self) -> None:
        """Hold no value that no line names, such as an argument that is a function: only what it reaches is compared.
        Tensors stay: what is put in their place is asked for later."""
        texts = [text for line in self.lines for text in (line.text, line.name)]
        texts += [*self.fetches.values(), *self.objects, *self.returned]
        used = {name for text in texts for name in VALUE.findall(text)}
        for key, name in list(self.names_of_values.items()):
            if name not in used and not isinstance(self.values[name], Tensor):
                del self.values[name], self.names_of_values[key]

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
        body = ["moved = False", *with_loops(head, self.tables), "if after: return True"]
        body += with_loops(texts[entry:], self.tables)
        for i in range(0, len(rest), 20):
            stay = " and ".join(f"{local}._data is {name}" for local, name in rest[i : i + 20])
            body.append(f"if not ({stay}): moved = True")
        body.append(f"if moved: return {MOVED!r}")
        body.append(f"return ({''.join(f'a{n}, ' for n in range(len(self.inputs)))})")
        self.fill_tables()
        self.values |= {"same": same, "in_order": in_order, "by_user": by_user}
        checked = ["try:", *(f" {line}" for line in body), "except Exception as error:"]
        checked += [" if by_user(error): raise", " return None"]
        self._match = self.function("match(args, kwargs, after=False, type=type)", checked)

    def function(self, head: str, body: list[str]) -> Any:
        """A function of generated lines, which knows the values."""
        text = "\n ".join([f"def {head}:", *body])
        exec(compile(text, "<guards of tg.jit>", "exec"), self.values)
        return self.values.pop(head.partition("(")[0])  # no cycle: what it holds goes with the last reference

    def with_places(self, texts: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
        """The lines, with those that ask where the contents of captured tensors are put beside those that ask for the
        tensors; and what is left of these."""
        left, lines = dict(self.arrays), []
        for text in texts:
            lines.append(text)
            found = SAME.fullmatch(text)
            if found is not None and (array := left.pop(found["value"], None)) is not None:
                lines.append(f"if {found['local']}._data is not {array}: moved = True")
        return lines, list(left.items())

    def fill_tables(self) -> None:
        for name, table in self.tables.items():
            self.values[name] = rows(table, self.values)

    @property
    def match(self) -> Any:
        """match(args, kwargs): the arrays of the inputs, if everything is as it was; None if not, and MOVED if only
        captured tensors have their contents elsewhere. With after=True: whether a call has changed nothing."""
        if self._match is None:
            with uninterrupted():
                self.compile()
        return self._match

    @property
    def arguments_of(self) -> Any:
        """arguments_of(args, kwargs): for each input the tensor that was given, None for one that is no argument; then
        what is returned as it is found. For functions that return such."""
        if self._arguments_of is None:
            results = [i.local if i.argument else "None" for i in self.inputs] + self.returned
            needed, lines = set(results), []
            for local, expression in reversed(self.fetches.items()):
                if local in needed:
                    lines.append(f"{local} = {expression}")
                    needed.update(LOCAL.findall(expression))
            body = [*reversed(lines), f"return [{', '.join(results)}]"]
            self._arguments_of = self.function("arguments_of(args, kwargs)", body)
        return self._arguments_of

    def places(self, args: Args, kwargs: Kwargs) -> dict[str, object]:
        """What is at the place of each input, but for those that are read before a call alone, and of each object that
        may be changed, by name. Slow: for recordings."""
        first, again = self.fetched(args, kwargs), self.fetched(args, kwargs)
        found = {i.name: eval(i.local, first) for i in self.inputs if not i.entry}
        # Some expressions make a new object each time.
        stay = [local for local in self.objects if local in first and first[local] is again[local]]
        return found | {self.objects[local]: first[local] for local in stay}

    def fetched(self, args: Args, kwargs: Kwargs) -> dict[str, Any]:
        """The values, and what each local of the check stands for."""
        scope = {**self.values, "args": args, "kwargs": kwargs}
        for local, expression in self.fetches.items():
            scope[local] = eval(expression, scope)
        return scope

    def failures(self, args: Args, kwargs: Kwargs, after: bool = False) -> list[Line]:
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


def filled(name: str, scope: dict[str, object]) -> str:
    """A name with the expressions in braces worked out."""
    start, brace, rest = name.partition("{")
    if not brace:
        return name
    expression, _, end = rest.partition("}")
    try:
        return f"{start}{eval(expression, scope)}{end}"
    except Exception:
        return f"{start}?{end}"
