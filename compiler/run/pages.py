"""What the pages show of a program: its list after each pass, its source, and the lines of each call of a tape."""

from collections.abc import Container
from html import escape
from typing import TYPE_CHECKING, Any

from tapegrad.autograd.pages.inline import table
from tapegrad.autograd.pages.page import assembled
from tapegrad.autograd.pages.record import cut
from tapegrad.autograd.tapes.sites import outputs_of, site_of
from tapegrad.compiler.ir.program import Op
from tapegrad.compiler.passes.common import merge_common
from tapegrad.compiler.record.same_calls import NotMade, SameCalls
from tapegrad.compiler.record.taped_calls import TapedCall, TapedCalls

if TYPE_CHECKING:
    from tapegrad.autograd.tapes.tape import Tape
    from tapegrad.compiler.run.runner import Runner


def lines_of_tape(name: str, runner: "Runner", tape: "Tape") -> dict[str, Any]:
    """{"name", "text", "lines"}: for each line of the source that does something, its number and [name of the call,
    1 for its gradient rule]."""
    calls = runner.recording.calls
    try:
        taped = TapedCalls(tape, calls)
        numbers = SameCalls(calls).numbers_of(taped.calls, taped.ends)
    except NotMade as error:
        remedy = "Make the tape with the tensors and numbers that the step was called with last"
        if error.call.kind.primitive.startswith("scan(") and error.call.kind not in calls.kinds:
            remedy += ", and under `with tg.keep_lines():` where the step, too, takes tg.scan apart"
        if any(site_of(node).steps for node in tape.nodes) and len(error.call.nodes) == 1:
            remedy += ", and without tg.keep_lines(), which takes apart the tg.scan of a gradient, too"
        raise ValueError(
            f"html: step: {name} does not compute this tape: it has no {shown(error.call, tape)}\n{remedy}"
        ) from None
    call_of = {var.name: call for var, call in calls.of.items()}
    names = {number: [tape.calls[node] for node in call.nodes] for call, number in numbers.items()}
    program = runner.history[0][1]
    recorded = {op.out.name for op in program.ops}
    merged: dict[str, str] = {}
    merge_common(program, merged)
    # Of a result: those that it stands for as well, whose calls may have no line of their own.
    twins: dict[str, list[str]] = {}
    for name_of_twin, kept in merged.items():
        twins.setdefault(kept, []).append(name_of_twin)
    origins = [[recorded_name(op.out.name, recorded) for op in ops] for _, ops in runner.lines]
    calls_of = {r: calls.shown_one(call, names) for r, call in call_of.items()}
    alone = {calls_of[r] for found in origins for r in found if r in calls_of}
    lines = []
    for (line, _), found in zip(runner.lines, origins):
        own = [calls_of[r] for r in found if r in calls_of]
        others = [calls_of[twin] for r in found for twin in twins.get(r, ()) if twin in calls_of]
        done = dict.fromkeys([*own, *(call for call in others if call not in alone)])
        shown_here = [[call, int(back)] for number, back in done for call in names.get(number, ())]
        if shown_here:
            lines.append([line, *shown_here])
    return {"name": f"{name}, emitter {runner.emitter}", "text": runner.source, "lines": lines}


def recorded_name(name: str, recorded: Container[str]) -> str:
    """The recorded operation that a result belongs to: passes call what they make of x x_taken, x_rows and so on."""
    while name not in recorded and "_" in name:
        name = name.rpartition("_")[0]
    return name


def shown(call: TapedCall, tape: "Tape") -> str:
    """A call of a tape for the eyes."""
    node = call.nodes[0]
    if len(call.nodes) > 1:
        return f"{call.kind.primitive} of these steps: {tape.calls[node]} to {tape.calls[call.nodes[-1]]}"
    shapes = ", ".join(str(list(a.shape)) for a in outputs_of(node))
    return f"{tape.calls[node]} = {cut(tape.call(node))}, of shape {shapes}"


def program_page(name: str, runner: "Runner") -> str:
    """The page of `step.html()`."""
    table = OperationTable()
    stages = []
    for stage, program in runner.history:
        count, nbytes = program.cost()
        stages.append([stage, count, nbytes, [table.number(op) for op in program.ops]])
    lines = [[line, *dict.fromkeys(op.out.name for op in ops)] for line, ops in runner.lines]
    data = {
        "title": f"{name}, a program", "name": name, "emitter": runner.status_line(), "stages": stages,
        "ops": table.rows, "origins": list(table.origins), "text": runner.source, "lines": lines,
        "buffers": [len(runner.plan.buffers), runner.plan.nbytes],
    }  # fmt: skip
    return assembled("program", data["title"], data)  # type: ignore[arg-type]


class OperationTable:
    """Each operation of all stages once: [name of its result, text, dtype and shape, bytes, number of its origin]."""

    def __init__(self) -> None:
        self.rows: list[list[Any]] = []
        self.known: dict[tuple[Any, ...], int] = {}
        self.origins: dict[tuple[str, str, str], int] = {}

    def number(self, op: Op) -> int:
        origin = (op.origin.line, op.origin.part, op.origin.module)
        kind = f"{op.out.dtype}[{', '.join(map(str, op.out.shape))}]"
        where = self.origins.setdefault(origin, len(self.origins))
        row = (op.out.name, str(op), kind, op.out.nbytes, where)
        if row not in self.known:
            self.known[row] = len(self.rows)
            self.rows.append(list(row))
        return self.known[row]


def counts_as_html(what: str, stats: dict[str, Any]) -> str:
    """How often a compiled function was called and recorded, and why, as a notebook shows it."""
    rows = [[key, f"{stats[key]:,}"] for key in ("calls", "compiled", "eager", "recordings")]
    rows += [[f"recording {i}", reason] for i, reason in enumerate(stats["reasons"], 1)]
    rows += [[f"program {i}", line] for i, line in enumerate(stats["programs"], 1)]
    rows += [["runs as Python", stats["refused"]]] if stats["refused"] else []
    return f"<div>{table(rows)}<details><summary>text</summary><pre>{escape(what)}</pre></details></div>"
