"""The backward pass of a tape, run once: what each rule calls, by the names of the tape, and the cotangents."""

from collections import Counter
from collections.abc import Sequence
from itertools import count
from typing import Protocol, TypeAlias

from tapegrad.autograd import random, writes
from tapegrad.autograd.aliases import Params, Result, Value
from tapegrad.autograd.backward import apply_rules, match_shape_dtype
from tapegrad.autograd.flags import changed_flags
from tapegrad.autograd.primitive import Primitive
from tapegrad.autograd.recorder import Recorder
from tapegrad.autograd.tapes.sites import outputs_of
from tapegrad.autograd.tensor import Node, Tensor

Start: TypeAlias = tuple[Tensor, Tensor | None]  # an output, and its cotangent, or None for ones


class NamedCalls(Protocol):
    """What a tape has: its calls, in the order they ran, and a name for each tensor and each cotangent."""

    starts: Sequence[Start]
    nodes: list[Node]
    leaves: dict[Tensor, str]
    calls: dict[Node, str]

    def name(self, t: Value) -> str: ...
    def cotangent(self, t: Tensor) -> str: ...
    def word(self, word: str) -> str: ...


class Contents:
    """What a tensor holds, with the notes on when its memory was written to."""

    def __init__(self, t: Tensor) -> None:
        self.tensor, self.array, self.version = t, t.data, t._version
        self.copy = t.backend.asarray(t.data, copy=True)
        self.notes, _ = writes.place(t.data)
        self.times = dict(self.notes)

    def put_back(self) -> None:
        self.array[...] = self.copy
        self.tensor._version = self.version
        self.notes.clear()
        self.notes.update(self.times)


class Adjoint(Recorder):
    """The adjoint program of a tape.

    lines        call -> the primitives that its rules call, in order, and what they add to
    cotangents   (call, number of the output), or leaf -> its cotangent
    names        id of an array -> what it is called where its tensor is none of the tape
    """

    def __init__(self, tape: NamedCalls) -> None:
        self.tape = tape
        self.lines: dict[Node, list[str]] = {}
        self.cotangents: dict[object, Tensor] = {}
        self.names: dict[int, str] = {id(t.data): name for t, name in tape.leaves.items()}
        for node in tape.nodes:
            for i, out in enumerate(outputs_of(node)):
                self.names[id(out)] = tape.name(Tensor(out, True, node, i))
        self.kept: list[object] = []  # alive until the end, so that no id is used twice
        # [result, "=" or "+=", call] of each primitive run for the call at hand; the first one that made a name; and
        # the names that they take.
        self.current: list[list[str]] = []
        self.makers: dict[str, list[str]] = {}
        self.taken: set[str] = set()
        self.constant = tape.word("const")
        self.untouched: dict[Tensor, Contents] = {}  # what a function that runs again has written to
        used = {*self.names.values(), *tape.leaves.values()}
        self.others = (name for i in count(1) if (name := f"t{i}") not in used)
        self.results: set[str] = set()  # those of them that are in use
        drawn = random.snapshot()
        try:
            self.run()
        finally:
            # To look at a tape changes nothing, though a layer under `checkpoint` moves its statistics again.
            for contents in reversed(self.untouched.values()):
                contents.put_back()
            random.go_back(drawn)

    def run(self) -> None:
        for t, start in self.tape.starts:
            g = Tensor(t.backend.xp.ones_like(t.data)) if start is None else start
            key = t if t.node is None else (t.node, t.output_index)
            if key in self.cotangents:
                g = self.cotangents[key] + g
            self.cotangents[key] = g
            self.names[id(g.data)] = self.tape.cotangent(t)
        with changed_flags(grad=False, raw=False, anomaly=False, recorder=self):
            for node in reversed(self.tape.nodes):
                self.go_back(node)

    def go_back(self, node: Node) -> None:
        """Run the rules of a call, and write down what they call and what they add to."""
        given: list[Tensor | None] = []
        # An array may be the cotangent of several tensors. This call's is complete, so its name keeps its value; that
        # of another may be added to before it is read. The rules see another Tensor than a leaf that is a cotangent.
        for i in range(node.primitive.outputs):
            g = self.cotangents.get((node, i))
            given.append(None if g is None else Tensor(g.data))
            if g is not None:
                self.names[id(g.data)] = self.tape.cotangent(Tensor(g.data, True, node, i))
        inputs = node.recorded_inputs()
        gradients = [
            (inputs[i], match_shape_dtype(g, inputs[i].data))
            for i, g in zip(node.grad_inputs, apply_rules(node, given, node.grad_inputs, True), strict=True)
            if g is not None
        ]
        self.kept.extend(g for _, g in gradients)
        handed = Counter(id(g.data) for _, g in gradients)
        for t, g in gradients:
            self.accumulate(t, g, handed[id(g.data)] == 1)
        self.lines[node] = [" ".join(line) for line in self.current]
        self.current, self.makers, self.taken = [], {}, set()

    def called(self, t: Tensor) -> str:
        """What a tensor is called. One of the tape has its own name, though another one may share its memory."""
        if t in self.tape.leaves or t.node in self.tape.calls:
            return self.tape.name(t)
        return self.names.get(id(t.data), self.constant)

    def primitive(self, primitive: Primitive, args: Sequence[Value], params: Params, result: Result) -> None:
        results = result if isinstance(result, tuple) else (result,)
        self.kept.extend(results)
        for r in results:
            if id(r.data) not in self.names:
                self.names[id(r.data)] = next(self.others)
                self.results.add(self.names[id(r.data)])
        shown = [self.called(a) if isinstance(a, Tensor) else repr(a) for a in args]
        call = f"{primitive.name}({', '.join(shown + options_of(params))})"
        line = [", ".join(self.names[id(r.data)] for r in results), "=", call]
        self.current.append(line)
        self.makers.setdefault(line[0], line)
        self.taken.update(shown)

    def write(self, tensor: Tensor, value: Tensor) -> None:
        if tensor not in self.untouched:
            self.untouched[tensor] = Contents(tensor)

    def accumulate(self, t: Tensor, g: Tensor, only_here: bool) -> None:
        """Add a cotangent to that of a tensor, and write that down. `only_here`: no other tensor is handed it."""
        key = t if t.node is None else (t.node, t.output_index)
        known, name = self.cotangents.get(key), self.tape.cotangent(t)
        made = self.called(g)
        if known is not None:  # the addition stands as +=, and not as the call of add that it is
            with changed_flags(recorder=None):
                self.cotangents[key] = known + g
            self.kept.append(known)
            self.current.append([name, "+=", made])
            if self.names.get(id(known.data)) == name:  # the name has another value from here on
                self.names[id(known.data)] = self.constant
            self.names[id(self.cotangents[key].data)] = name
            return
        self.cotangents[key] = g
        if only_here and made not in self.taken and made in self.makers and made in self.results:
            self.makers.pop(made)[0] = name
            self.names[id(g.data)] = name
        else:
            self.current.append([name, "=", made])


def options_of(params: Params) -> list[str]:
    """The keywords of a call, without those that are off."""
    return [f"{k}={v!r}" for k, v in params.items() if v is not None and v is not False]
