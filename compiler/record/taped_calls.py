"""The calls of a tape as a recording has them: where `keep_lines` took a `tg.scan` apart, its steps are one call."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from tapegrad.autograd.aliases import Value
from tapegrad.autograd.recorder import Steps
from tapegrad.autograd.tapes.sites import site_of
from tapegrad.autograd.tensor import Node, Tensor, before
from tapegrad.compiler.record.calls import CallKind, RecordedCalls, kind_of

if TYPE_CHECKING:
    from tapegrad.autograd.tapes.tape import Tape


@dataclass(eq=False)
class TapedCall:
    """A call of a tape. nodes: one, or those of the steps of a scan."""

    kind: CallKind
    inputs: "tuple[Input, ...]"
    nodes: list[Node]


class Made(NamedTuple):
    """An argument that a call made. outputs: the numbers of those that it may be, as two carries are one tensor."""

    call: TapedCall
    outputs: tuple[int, ...]


# Or a number as text; None: what does not reach the output, such as the start of a carry that nothing uses.
Input: TypeAlias = "Made | Tensor | str | None"


class TapedCalls:
    """Of a tape: its calls in their order; and those that lead to no other.

    steps   node -> the steps that it is part of, where the recording has them as one call
    """

    def __init__(self, tape: "Tape", recorded: RecordedCalls) -> None:
        # A tape on other numbers has the notes of the one that it was made of.
        base, news = tape.base or (tape, {})
        now = {name: t for t, name in tape.leaves.items()}
        self.news = {leaf: now[name] for leaf, name in base.leaves.items()} | news
        kinds = set(recorded.kinds)
        self.steps: dict[Node, Steps] = {
            node: steps
            for node in base.nodes
            if (steps := site_of(node).steps) is not None and kind_of_steps(steps) in kinds
        }
        self.call_of: dict[Node, TapedCall] = {}
        self.loops: dict[int, TapedCall] = {}  # id of steps -> the call that they are
        # What steps gave, as `Steps.made` has it but with the id of a tensor -> the steps, and the numbers of outputs.
        self.gave: dict[object, tuple[Steps, list[int]]] = {}
        for steps in {id(s): s for s in self.steps.values()}.values():
            for i, made in enumerate(steps.made):
                key = id(made) if isinstance(made, Tensor) else made
                self.gave.setdefault(key, (steps, []))[1].append(i)
        self.calls: list[TapedCall] = []
        for node, shown in zip(base.nodes, tape.nodes, strict=True):
            self.add(node, shown)
        self.ends = [self.call_of[t.node] for t, _ in base.starts if t.node is not None]

    def add(self, node: Node, shown: Node) -> None:
        """Note a call. shown: the same one on the tape that is looked at."""
        steps = self.steps.get(node)
        call = None if steps is None else self.loops.get(id(steps))
        if call is None:
            if steps is None:
                call = TapedCall(kind_of(node), tuple(map(self.input, node.recorded_inputs())), [])
            else:
                given = [before(t, steps.begun, {}) for t in steps.inputs]
                call = TapedCall(kind_of_steps(steps), tuple(map(self.input, given)), [])
                self.loops[id(steps)] = call
            self.calls.append(call)
        call.nodes.append(shown)
        self.call_of[node] = call

    def input(self, t: Value) -> Input:
        if not isinstance(t, Tensor):
            return repr(t)
        found = self.gave.get(id(t) if t.node is None else (t.node.serial, t.output_index))
        if found is not None:
            return Made(self.loops[id(found[0])], tuple(found[1]))
        if t.node is None:
            return self.news.get(t, t)
        if t.node not in self.call_of:
            return None
        # Of what is inside of steps, no output is known.
        return Made(self.call_of[t.node], () if t.node in self.steps else (t.output_index,))


def kind_of_steps(steps: Steps) -> CallKind:
    """What the one call would be like."""
    return CallKind(steps.name, "{}", tuple([*steps.outputs, *steps.kept]))
