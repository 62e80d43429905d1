"""One run of a function, recorded: the program, where its arrays come from, and what must hold for it."""

import random as python_random
import sys
from _thread import get_ident
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

import numpy as np

from tapegrad.autograd import random
from tapegrad.autograd.flags import changed_flags
from tapegrad.autograd.tensor import Tensor
from tapegrad.compiler.errors import TraceError
from tapegrad.compiler.ir.program import Program, Var
from tapegrad.compiler.record.trace import Trace
from tapegrad.compiler.record.tree import take_apart
from tapegrad.compiler.watch.guards import Guards
from tapegrad.compiler.watch.kinds import PLAIN
from tapegrad.compiler.watch.lines import with_line
from tapegrad.compiler.watch.listen import Listener, room_of
from tapegrad.compiler.watch.reach import Reach


@dataclass
class Recording:
    """What one run came to.

    reason      why it is no program, or None; final: whether another run would come to the same
    captured    the tensors that the program reads where they are, or writes in place
    results     for each leaf of what the function returned: ("new", number), ("argument", number), ("value", itself)
    leaves      the tensors whose .grad the program sets; dropped: those whose .grad it sets to None
    before      locals of the check for leaves -> whether the leaf has a gradient when the program starts
    """

    program: Program
    guards: Guards
    reason: str | None = None
    final: bool = False
    captured: list[Tensor] = field(default_factory=list)
    arrays: list[Any] = field(default_factory=list)
    results: list[tuple[str, Any]] = field(default_factory=list)
    rebuild: Callable[[list[Any]], Any] = lambda leaves: leaves[0]
    leaves: list[Tensor] = field(default_factory=list)
    dropped: list[Tensor] = field(default_factory=list)
    local_of: dict[int, str] = field(default_factory=dict)  # id of a tensor -> what the check calls it
    asked: list[Tensor] = field(
        default_factory=list
    )  # leaves whose gradient was asked for: by an optimizer, say
    code: frozenset[Any] = frozenset()
    device: str = "cpu"
    undo: Callable[[], None] | None = None

    def stay(self) -> None:
        """What the run did is to stay: what would take it back is dropped."""
        self.undo = None

    def take_back(self) -> None:
        """Put tensors, gradients and random streams back to what they were before the run."""
        if self.undo is not None:
            self.undo()
        self.undo = None

    def fail(self, reason: str, final: bool = False) -> None:
        if self.reason is None:
            self.reason, self.final = reason, final


def record(
    f: Callable[..., Any], args: Any, kwargs: Any, inputs: Iterable[str] = (), strict: bool = False
) -> tuple[Recording, Any]:
    """Run f once and write down what it does. Returns that and what f returned.

    If f raises, what it did to tensors, gradients and random streams is taken back.
    inputs    names of places whose tensors are read at each call, since they were seen to be replaced
    """
    trace, listener, streams = Trace(strict), Listener(), host_streams()
    try:
        with changed_flags(recorder=trace), DataWatch(trace), listener:
            result = f(*args, **kwargs)
        made = finished(f, args, kwargs, trace, listener, inputs, result)
        if made.reason is None and streams != host_streams():
            made.fail(
                "it draws random numbers on the host. Draw with tapegrad's layers, or pass the numbers in"
            )
        if made.reason is not None:
            own = getattr(f, "__code__", None)
            made.reason = with_line(made.reason, made.code or ([own] if own else []))
        if strict and made.reason is not None and made.final:
            raise TraceError(f"tg.jit: {made.reason}")
    except BaseException:
        undo(trace)
        raise
    made.undo = partial(undo, trace)
    for i in made.guards.inputs:
        del i.tensor  # what was given once is not kept
    trace.alive.clear()  # its weak references know the trace: without them it goes now
    return made, result


def undo(trace: Trace) -> None:
    trace.undo()
    trace.alive.clear()


def finished(
    f: Any, args: Any, kwargs: Any, trace: Trace, listener: Listener, inputs: Iterable[str], result: Any
) -> Recording:
    reach = Reach(f, args, kwargs, listener, inputs)
    made = Recording(trace.program, reach.guards, trace.reason, trace.reason is not None)
    made.code = frozenset(c for c, kind in listener.kinds.items() if kind == "user")
    for (what, line), _ in listener.impure.items():
        made.fail(f"it calls {what} at {line}. Call it outside, and pass in what it gives")
    if made.reason is None:
        returned(made, reach, trace, result)
    if made.reason is None:
        bound(made, reach, trace)
    if reach.guards.refusals:
        made.fail("; ".join(dict.fromkeys(reach.guards.refusals)), final=True)
    return made


def returned(made: Recording, reach: Reach, trace: Trace, result: Any) -> None:
    """What the function returned, leaf by leaf."""
    leaves, made.rebuild = take_apart(result)
    arguments = {id(i.tensor): n for n, i in enumerate(reach.guards.inputs) if i.argument}
    first: dict[int, int] = {}
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            if not isinstance(leaf, PLAIN) and id(leaf) not in reach.seen:
                kind = type(leaf).__name__
                made.fail(
                    f"it returns a {kind} that it makes. Return tensors, in tuples, lists and dicts", True
                )
            made.results.append(("value", leaf))
        elif id(leaf) in arguments:
            made.results.append(("argument", arguments[id(leaf)]))
        elif leaf.requires_grad and (leaf.node is None or leaf.node.out is not None):
            made.fail(
                "its result can be differentiated: call it under tg.no_grad(), return loss.detach(), or take the "
                "gradient inside", True,
            )  # fmt: skip
            return
        else:
            if id(leaf) not in first:
                first[id(leaf)] = len(trace.program.results)
                trace.program.results.append(trace.var_of(leaf))
            made.results.append(("new", first[id(leaf)]))


def bound(made: Recording, reach: Reach, trace: Trace) -> None:
    """Say of each captured array where it comes from, and of each gradient whose it is."""
    program, guards = trace.program, reach.guards
    own = [leaf for leaf in trace.gradients if id(leaf) in reach.tensors]
    for leaf in own:
        if leaf.node is not None or any(i.tensor is leaf for i in guards.inputs):
            made.fail("it sets the gradient of an argument. Let the function close over it", True)
    computed = [i.tensor for i in guards.inputs] + [t for _, _, t in reach.tensors.values()]
    if trace.gradients and any(t.requires_grad and t.node is not None for t in computed):
        made.fail("it takes gradients through a tensor that was computed outside. Compute it inside", True)
    made.leaves = [leaf for leaf in own if trace.gradients[leaf] is not None]
    made.dropped = [leaf for leaf in own if trace.gradients[leaf] is None]
    program.gradients = [trace.var_of(g) for leaf in made.leaves if (g := trace.gradients[leaf]) is not None]
    labels: dict[str, str] = {}
    gradient_states(made, reach, trace)
    places = {id(i.tensor): n for n, i in enumerate(guards.inputs)}
    slots: dict[int, Var] = {}
    captured = list(zip(program.captured, trace.captured, trace.arrays))
    program.captured = []
    for var, t, array in captured:
        owner = t if id(t) in reach.tensors or id(t) in places else reach.owners.get(id(array))
        if owner is None:
            line = next((op.origin.line for op in program.ops if var in op.vars), "")
            made.fail(
                f"it uses a tensor {t.dtype}{list(t.shape)} that comes from where it cannot be followed"
                f"{f' at {line}' if line else ''}. Pass it as an argument"
            )
            return
        if owner.data is not array:
            made.fail("arrays were put elsewhere while it ran")
            return
        if id(owner) in places:
            if var.name in trace.written:
                made.fail(
                    f"it writes into an argument at {trace.written[var.name]}. Let the function close over it",
                    True,
                )
                return
            name = guards.inputs[places[id(owner)]].name
            slots[places[id(owner)]] = var
            rename(labels, trace, var, name)
            var.kind = "argument"
            continue
        _, name, _ = reach.tensors[id(owner)]
        rename(labels, trace, var, without_root(name, reach.roots))
        program.captured.append(var)
        made.captured.append(owner)
        made.arrays.append(array)
    program.arguments = [
        slots[n] if n in slots else trace.var(label(i.name), i.tensor.data, "argument")
        for n, i in enumerate(guards.inputs)
    ]
    given = (i.tensor for i in guards.inputs)
    made.device = next((t.device for t in (*given, *made.captured)), "cpu")
    give_names(program, labels, {str(i): module_path(n, reach.roots) for i, n in reach.modules.items()})
    made.local_of = {id(t): local for local, _, t in reach.tensors.values()}
    asked = [leaf for leaf in {**trace.gradients, **trace.gradients_before} if id(leaf) in reach.tensors]
    made.asked = [leaf for leaf in asked if not any(i.tensor is leaf for i in guards.inputs)]


def gradient_states(made: Recording, reach: Reach, trace: Trace) -> None:
    """Whether leaves have a gradient when the program starts; one that is used is read at each call."""
    guards = reach.guards
    for leaf, gradient in trace.gradients_before.items():
        if id(leaf) not in reach.tensors:
            continue  # it was made inside
        local, name, _ = reach.tensors[id(leaf)]
        if gradient is None:
            guards.need(
                f"{local}._grad is None", f"{name}.grad: there is one to add to, or to drop", entry=True
            )
        else:
            guards.need(f"{local}._grad is not None", f"{name}.grad: there is none", entry=True)
            guards.read(guards.let(f"{local}._grad"), gradient, f"gradient of {name}", False, leaf)


def rename(labels: dict[str, str], trace: Trace, var: Var, name: str) -> None:
    if var.name not in labels:
        labels[var.name] = trace.labels.unique(label(name))


def give_names(program: Program, labels: dict[str, str], modules: dict[str, str]) -> None:
    """Give captured arrays and modules the user's names, in every place of the program."""
    found = [v for op in program.ops for v in (*op.vars, op.out)]
    for v in (*program.captured, *program.arguments, *program.kept(), *found):
        if v.name in labels:
            v.name = labels[v.name]
    for op in program.ops:
        if op.origin.module:
            op.origin = replace(op.origin, module=modules.get(op.origin.module, ""))


def module_path(name: str, roots: set[str]) -> str:
    """`m.layers[0]` as layers.0, where m is the one Module that everything is in."""
    path = without_root(name, roots)
    return "" if {path} == roots else path.replace("[", ".").replace("]", "").replace("'", "")


def label(name: str) -> str:
    """A name with its path as an identifier: `layers[0].kernel` is layers_0_kernel."""
    plain = name.replace("'", "").replace("].", ".").replace("][", "[").rstrip("]")
    return "".join(c if c.isalnum() else "_" for c in plain).strip("_")


def without_root(name: str, roots: set[str]) -> str:
    """A name without the one Module that everything is in."""
    first = name.replace("[", ".").partition(".")[0]
    return name[len(first) :].lstrip(".[") if len(roots) == 1 and {first} == roots and name != first else name


def host_streams() -> tuple[Any, ...]:
    """Where the random streams of the host stand: Python's, NumPy's and tapegrad's."""
    found: list[Any] = [python_random.getstate()]
    if "numpy.random" in sys.modules:
        state = np.random.get_state(legacy=False)
        found += [state["state"]["pos"], state["state"]["key"].tobytes(), state["has_gauss"]]
    return (*found, random.snapshot()[2])


class DataWatch:
    """While it lasts, `t.data` in the user's code ends the recording: what is done to raw arrays is not seen."""

    def __init__(self, trace: Trace) -> None:
        self.trace, self.thread = trace, get_ident()

    def __enter__(self) -> None:
        self.slot: Any = Tensor.__dict__["data"]
        if type(self.slot) is property:  # a recording inside a recording, or in another thread
            return
        get, put = self.slot.__get__, self.slot.__set__

        def read(t: Tensor) -> Any:
            if from_user(sys._getframe(1).f_code) and get_ident() == self.thread:
                self.trace.refuse("it looks at t.data", "Use the tensor itself")
            return get(t)

        def write(t: Tensor, array: Any) -> None:
            if from_user(sys._getframe(1).f_code) and get_ident() == self.thread:
                self.trace.refuse("it sets t.data", "Use t.assign(values), or t[...] = values")
            put(t, array)

        setattr(Tensor, "data", property(read, write))  # noqa: B010 (the type checker knows a slot)

    def __exit__(self, *error: object) -> None:
        if type(self.slot) is not property:
            setattr(Tensor, "data", self.slot)  # noqa: B010


@cache
def from_user(code: Any) -> bool:
    return room_of(code.co_filename) == "user"


def difference(a: Recording, b: Recording) -> str | None:
    """What the second of two runs did otherwise, with its line; None if they are the same program."""
    numbers: tuple[dict[Var, int], dict[Var, int]] = {}, {}
    homes = tuple({v: home_of(r, n) for n, v in enumerate(r.program.captured)} for r in (a, b))

    def of(side: int, v: Any) -> Any:
        if not isinstance(v, Var):
            return type(v), repr(v)
        if v.kind == "constant":
            return v.dtype.str, v.shape, bytes_of(v)
        if v.kind == "captured":
            return v.name, homes[side].get(v)
        return v.kind, numbers[side].setdefault(v, len(numbers[side]))

    for i, (x, y) in enumerate(zip(a.program.ops, b.program.ops)):
        for n, op in enumerate((x, y)):
            numbers[n].setdefault(op.out, -1 - i)
        if (
            x.name != y.name
            or [of(0, v) for v in x.inputs] != [of(1, v) for v in y.inputs]
            or repr(x.params) != repr(y.params)
        ):
            was = ", ".join(p.name if isinstance(p, Var) else repr(p) for p in x.inputs)
            now = ", ".join(p.name if isinstance(p, Var) else repr(p) for p in y.inputs)
            line = f" at {y.origin.line}" if y.origin.line else ""
            return f"it does something else at each call{line}: {x.name}({was}), then {y.name}({now})"
    if len(a.program.ops) != len(b.program.ops):
        return f"it does {len(a.program.ops)} operations in one call and {len(b.program.ops)} in the next"
    kept = [[of(n, v) for v in r.program.kept()] for n, r in enumerate((a, b))]
    values = [
        [r if r[0] != "value" or isinstance(r[1], PLAIN) else id(r[1]) for r in m.results] for m in (a, b)
    ]
    if kept[0] != kept[1] or repr(values[0]) != repr(values[1]):
        return "it returns something else at each call"
    if [map(id, r.leaves) for r in (a, b)] and list(map(id, a.leaves)) != list(map(id, b.leaves)):
        return "it sets the gradients of other tensors at each call"
    return None


def home_of(r: Recording, n: int) -> int:
    return id(r.captured[n])


def bytes_of(v: Var) -> bytes:
    array = v.value
    if array.size and not any(array.strides):
        array = array.reshape(-1)[:1]
    return bytes(array.tobytes())
