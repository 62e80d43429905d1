"""`TapeRecord`: a tape as plain data, with the values and cotangents that its page shows."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tapegrad.autograd import writes
from tapegrad.autograd.backward import refuse_written
from tapegrad.autograd.pages.folds import Item, Path, folded
from tapegrad.autograd.pages.numbers import Numbers, numbers_of, short
from tapegrad.autograd.pages.rules import Rule, rule_of
from tapegrad.autograd.pages.values import Values
from tapegrad.autograd.tapes.adjoint import Adjoint
from tapegrad.autograd.tapes.repeats import fold_repeats
from tapegrad.autograd.tapes.sites import site_of
from tapegrad.autograd.tensor import Node, Tensor

if TYPE_CHECKING:
    from tapegrad.autograd.tapes.tape import Tape

# (up to so many rows, the side of the corners): a page of 1,000 calls is to stay below 1 MB.
SIDES = ((12, 8), (400, 5), (2_000, 4), (10**9, 3))
SLICE = re.compile(r"\bslice\(([^,()]+), ([^,()]+), ([^,()]+)\)")
LONGEST = 240  # characters of a call, or of a line of the backward pass


@dataclass
class Row:
    """A leaf, or a call.

    name        as the printed tape has it: "v7", "layers.0.kernel"
    primitive   its name; "" for a leaf
    call        the call with its arguments
    line        "train.py:12: loss = …", where lines were kept
    modules     (label, number of the call) of the modules that it ran in, the outermost first
    inputs      the rows of its arguments
    values      those of each output; cotangents: None where nothing comes back
    backward    what its rules call on the way back, in order
    """

    name: str
    primitive: str
    call: str
    line: str
    modules: Path
    inputs: list[int]
    values: list[Numbers]
    cotangents: list[Numbers | None]
    backward: list[str]


@dataclass
class TapeRecord:
    """What the page of a tape shows: the rows in their order, how they fold, and a rule for each primitive."""

    title: str
    rows: list[Row]
    tree: list[Item]
    rules: list[Rule]
    has_lines: bool
    start: str  # where the cotangents start, in words; "" for those of one number
    prefix: str  # of the names of cotangents
    unseen: str  # names of what is not on the tape

    def data(self) -> dict[str, object]:
        """As JSON has it: each text that comes again once, in a table."""
        tables = Tables()
        rules = {rule.name: i for i, rule in enumerate(self.rules)}
        rows = [
            [
                row.name,
                rules.get(row.primitive, -1),
                row.call,
                tables.number("lines", row.line),
                row.inputs,
                [tables.packed(v) for v in row.values],
                [tables.packed(g) for g in row.cotangents],
                "\n".join(" ".join(line.splitlines()) for line in row.backward),
            ]
            for row in self.rows
        ]
        shown = [
            [r.name, r.words, r.formula, r.formulas, r.where, "\n\n".join(r.source), r.forward]
            for r in self.rules
        ]
        tree = [item if isinstance(item, int) else item.data() for item in self.tree]
        return {
            "title": self.title, "rows": rows, "tree": tree, "rules": shown, "kept": self.has_lines,
            "start": self.start, "prefix": self.prefix, "unseen": self.unseen,
            **{name: list(table) for name, table in tables.known.items()},
        }  # fmt: skip


class Tables:
    """Numbers in place of texts."""

    def __init__(self) -> None:
        self.known: dict[str, dict[str, int]] = {"lines": {}, "types": {}}

    def number(self, table: str, text: str) -> int:
        return self.known[table].setdefault(text, len(self.known[table]))

    def packed(self, n: Numbers | None) -> object:
        """[type, low, high, mean, elements that are not finite, columns of the corner, its numbers as one text]

        The columns are negative where the corner is all there is.
        """
        if n is None:
            return 0
        kind = self.number("types", f"{n.dtype}[{', '.join(map(str, n.shape))}]")
        columns = len(n.corner[0]) if n.corner else 0
        exact = n.dtype.startswith(("int", "uint", "bool"))
        # Twice as fast as a format of each.
        cells = " ".join([str(x) if exact else "%.4g" % x for row in n.corner for x in row])  # noqa: UP031
        return [
            kind,
            short(n.low),
            short(n.high),
            short(n.mean),
            n.nonfinite,
            columns * (1 if n.cut else -1),
            cells,
        ]


def record_of(tape: "Tape", title: str) -> TapeRecord:
    """The record of a tape. Runs the gradient rules once.

    Raises RuntimeError if a tensor was written to since: its value would not be the one that was computed with.
    """
    refuse_changed(tape.nodes)
    values = Values(tape)
    adjoint = Adjoint(tape)
    once = taken_once(tape)
    order = rows_in_order(tape, once)
    side = next(side for most, side in SIDES if len(order) <= most)
    place = {key: i for i, key in enumerate(order)}
    labels = ModuleLabels()
    rows = []
    for key in order:
        if isinstance(key, Tensor):
            rows.append(leaf_row(key, tape.leaves[key], adjoint, side))
            continue
        inputs = [t if t.node is None else t.node for t in key.recorded_inputs() if isinstance(t, Tensor)]
        row = Row(
            tape.calls[key], key.primitive.name, cut(tape.call(key)), shown_line(key.line), labels.path(key),
            [place[i] for i in inputs],
            [numbers_of(out, side, side) for out in values.of(key)],
            [
                None if (g := adjoint.cotangents.get((key, i))) is None else numbers_of(g.data, side, side)
                for i in range(key.primitive.outputs)
            ],
            [cut(line) for line in fold_repeats(adjoint.lines[key])],
        )  # fmt: skip
        rows.append(row)
    for i in range(len(rows) - 1, -1, -1):  # a leaf stands with the call that takes it first
        if not rows[i].primitive and i + 1 < len(rows) and order[i] in once:
            rows[i].modules, rows[i].line = rows[i + 1].modules, rows[i + 1].line
    kinds = [kind_of(row, isinstance(key, Tensor) and key in once) for key, row in zip(order, rows)]
    primitives = dict.fromkeys(node.primitive for node in tape.nodes)
    return TapeRecord(
        title, rows, folded([r.modules for r in rows], kinds), [rule_of(p) for p in primitives],
        any(node.line for node in tape.nodes), start_of(tape), tape.prefix, ", ".join(tape.unseen),
    )  # fmt: skip


def start_of(tape: "Tape") -> str:
    """Where the cotangents of a tape start, in words."""
    given = [g for _, g in tape.starts if g is not None]
    if len(given) == len(tape.starts) and not any(bool(g.backend.xp.any(g.data != 0)) for g in given):
        return (
            "All cotangents are zero, for the pass starts from zeros. tg.jvp and tg.hvp make such a pass, which the "
            "next one differentiates: its tape has what they compute"
        )
    if len(tape.starts) > 1:
        return f"Cotangents start at {', '.join(dict.fromkeys(tape.name(t) for t, _ in tape.starts))}"
    ((t, g),) = tape.starts
    if g is not None and not bool(t.backend.xp.all(g.data == 1)):
        return "Cotangents start from the given one"
    return "Cotangents are those of the sum of the result" if t.shape else ""


def kind_of(row: Row, of_one_call: bool) -> Any:
    """What a row has in common with that of another turn of a loop; None for a leaf of one call."""
    if of_one_call:
        return None
    return (row.primitive, row.values[0].shape, row.values[0].dtype, row.line) if row.primitive else row.name


def leaf_row(leaf: Tensor, name: str, adjoint: Adjoint, side: int) -> Row:
    g = adjoint.cotangents.get(leaf)
    cotangent = None if g is None else numbers_of(g.data, side, side)
    return Row(name, "", "", "", (), [], [numbers_of(leaf.data, side, side)], [cotangent], [])


def rows_in_order(tape: "Tape", once: set[Tensor]) -> list[Node | Tensor]:
    """Leaves that several calls take, then the calls as they ran, each behind the leaves that it takes first."""
    order: dict[Node | Tensor, None] = dict.fromkeys(leaf for leaf in tape.leaves if leaf not in once)
    for node in tape.nodes:
        order.update(
            dict.fromkeys(t for t in node.recorded_inputs() if isinstance(t, Tensor) and t.node is None)
        )
        order[node] = None
    return list(order)


def taken_once(tape: "Tape") -> set[Tensor]:
    counts: dict[Tensor, int] = {}
    for node in tape.nodes:
        for t in dict.fromkeys(t for t in node.recorded_inputs() if isinstance(t, Tensor) and t.node is None):
            counts[t] = counts.get(t, 0) + 1
    return {t for t, count in counts.items() if count == 1}


def refuse_changed(nodes: list[Node]) -> None:
    """Raise RuntimeError where the gradient would be wrong, for what a rule reads was written to since."""
    newest: dict[Node, float] = {}
    for node in nodes:
        for t in node.recorded_inputs():
            if isinstance(t, Tensor) and t.node is not None:
                newest[t.node] = node.serial
    for node in nodes:
        if writes.last > node.serial:
            refuse_written(node, node.recorded_inputs(), True, newest.get(node, float("inf")))


class ModuleLabels:
    """Paths of modules, as "layers.0 (Dense)", from the outermost one that ran."""

    def __init__(self) -> None:
        self.known: dict[int, dict[int, str]] = {}

    def path(self, node: Node) -> Path:
        site = site_of(node)
        if not site.runs:
            return ()
        root = site.runs[0].module
        if id(root) not in self.known:
            self.known[id(root)] = {id(m): name for name, m in root.named_modules()}
        names = {**self.known[id(root)], id(root): site.root}
        return tuple((f"{names.get(id(m), '')} ({type(m).__name__})".strip(), n) for m, n in site.runs)


def shown_line(line: str | None) -> str:
    """`file.py:12: code`, without the folder."""
    if not line or not line.startswith("  at "):
        return ""
    place, _, code = line[5:].partition(": ")
    return f"{place.rpartition('/')[2]}: {code}"


def slice_text(start: str, stop: str, step: str) -> str:
    first, last, by = ("" if part == "None" else part for part in (start, stop, step))
    return f"{first}:{last}:{by}" if by else f"{first}:{last}"


def cut(text: str) -> str:
    text = SLICE.sub(lambda found: slice_text(*found.groups()), text).replace("Ellipsis", "…")
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
