"""What a recorded program has to do with the objects around it: whose its arrays, results and gradients are."""

from typing import TYPE_CHECKING

from tapegrad.autograd.tensor import Tensor
from tapegrad.compiler.ir.memory import memory_of
from tapegrad.compiler.ir.program import Var
from tapegrad.compiler.record.kept_values import keeping, with_kept
from tapegrad.compiler.record.labels import give_names, identifier, module_path, without_root
from tapegrad.compiler.record.trace import Trace
from tapegrad.compiler.record.tree import take_apart
from tapegrad.compiler.watch.kinds import PLAIN
from tapegrad.compiler.watch.lines import it_changes, with_line
from tapegrad.compiler.watch.reach import Reach

if TYPE_CHECKING:
    from tapegrad.compiler.record.recording import Recording


def attach(recording: "Recording", reach: Reach, trace: Trace, result: object) -> None:
    """Say whose the results, the gradients and the arrays are, or why that cannot be said."""
    attach_results(recording, reach, trace, result)
    if recording.reason is None:
        attach_gradients(recording, reach, trace)
        guard_shapes(reach, trace)
        guard_gradients(reach, trace)
        reach.guard_kept()
        attach_arrays(recording, reach, trace)


def attach_results(recording: "Recording", reach: Reach, trace: Trace, result: object) -> None:
    """What the function returned, leaf by leaf."""
    guards, kept = reach.guards, reach.kept_values
    inputs = enumerate(zip(reach.inputs, reach.guards.inputs))
    arguments = {id(t): n for n, (t, read) in inputs if read.argument}
    # A tensor that is captured is the same at each call, and no copy of it would be found again as a key.
    keys = arguments.keys() | (reach.seen.keys() - reach.tensors.keys())
    if lost := [k.attribute for k in kept if id(k.owner) not in reach.seen or id(k.value) in reach.seen]:
        recording.fail(f"the cached property {lost[0]} keeps what is held elsewhere. Use it outside")
        return
    leaves, rebuild = take_apart(with_kept(result, kept), reach.seen, keys=keys)
    recording.rebuild = keeping(rebuild, kept)
    numbers: dict[int, int] = {}  # id of a new tensor -> its number among the results of the program
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            if id(leaf) in reach.seen:  # what is there at each call, or is given
                recording.results.append(("held", len(guards.returned)))
                guards.returned.append(reach.seen[id(leaf)])
                continue
            if not isinstance(leaf, PLAIN):
                kind = type(leaf).__name__
                recording.fail(
                    f"it returns a {kind} that it makes. Return tensors, in tuples, lists and dicts", True
                )
            recording.results.append(("value", leaf))
        elif id(leaf) in arguments:
            recording.results.append(("argument", arguments[id(leaf)]))
        elif leaf.requires_grad and (leaf.node is None or leaf.node.out is not None):
            recording.fail(
                "its result can be differentiated: call it under tg.no_grad(), return loss.detach(), or take the "
                "gradient inside", True,
            )  # fmt: skip
            return
        else:
            if id(leaf) not in numbers:
                numbers[id(leaf)] = len(trace.program.results)
                trace.program.results.append(trace.var_of(leaf))
            recording.results.append(("new", numbers[id(leaf)]))


def attach_gradients(recording: "Recording", reach: Reach, trace: Trace) -> None:
    """The tensors whose `.grad` the program sets, sets to None, or asks for."""
    given = set(map(id, reach.inputs))
    set_by_it = {leaf: g for leaf, g in trace.gradients.items() if id(leaf) in reach.tensors}
    if any(leaf.node is not None or id(leaf) in given for leaf in set_by_it):
        recording.fail("it sets the gradient of an argument. Let the function close over it", True)
    outside = (*reach.inputs, *(found.tensor for found in reach.tensors.values()))
    if trace.gradients and any(t.requires_grad and t.node is not None for t in outside):
        recording.fail(
            "it takes gradients through a tensor that was computed outside. Compute it inside", True
        )
    recording.dropped = [leaf for leaf, g in set_by_it.items() if g is None]
    gradients = {leaf: g for leaf, g in set_by_it.items() if g is not None}
    recording.leaves = list(gradients)
    trace.program.gradients = [trace.var_of(g) for g in gradients.values()]
    memory = {memory_of(g.data) for g in gradients.values()}
    held = any(
        v.kind == "captured" and id(g) not in given
        for v, g in zip(trace.program.gradients, gradients.values())
    )
    if held or len(memory) < len(gradients):
        recording.fail(
            "a gradient that it sets is also another tensor's memory. Set a copy, as in q.grad = p.grad * 1.0",
            True,
        )
    asked = {**trace.gradients, **trace.gradients_before}
    recording.asked = [leaf for leaf in asked if id(leaf) in reach.tensors and id(leaf) not in given]


def guard_shapes(reach: Reach, trace: Trace) -> None:
    """Of tensors whose numbers the program does not use it may have asked for the shape, which `t.data = a` sets."""
    owners = (reach.owners.get(id(array)) for array in trace.arrays)
    guards, known = reach.guards, {id(t) for t in (*trace.captured, *owners, *reach.inputs)}
    for local, name, t in reach.tensors.values():
        if id(t) not in known:
            kind = guards.fresh_value((t.data.shape, t.data.dtype))
            guards.need(
                f"({local}._data.shape, {local}._data.dtype) == {kind}", f"the shape or dtype of {name}"
            )


def guard_gradients(reach: Reach, trace: Trace) -> None:
    """Whether leaves have a gradient when the program starts; one that is used is read at each call."""
    guards = reach.guards
    place_of = {id(t): i.local for t, i in zip(reach.inputs, guards.inputs)}
    place_of |= {i: found.local for i, found in reach.tensors.items()}
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
            own = guards.let(f"{local}._grad")
            if (same := place_of.setdefault(id(gradient), own)) != own:
                guards.need(f"{own} is {same}", f"gradient of {name}: a tensor in two places", entry=True)
            reach.read(own, gradient, f"gradient of {name}", entry=True)


def attach_arrays(recording: "Recording", reach: Reach, trace: Trace) -> None:
    """Whose the arrays are that were there before: of an input, or of a tensor that is captured."""
    program, inputs = trace.program, reach.guards.inputs
    number_of = {id(t): n for n, t in enumerate(reach.inputs)}
    arguments: dict[int, Var] = {}  # number of an input -> its Var, if the program reads it
    captured: list[Var] = []
    names: dict[str, str] = {}
    for var, t, array in zip(program.captured, trace.captured, trace.arrays):
        owner = t if id(t) in reach.tensors or id(t) in number_of else reach.owners.get(id(array))
        number = number_of.get(id(owner))
        if owner is None:
            recording.fail(unknown(recording, var, trace, reach))
        elif owner.data is not array:
            recording.fail("arrays were put elsewhere while it ran")
        elif number is not None and var.name in trace.written:
            line = trace.written[var.name]
            place = inputs[number]
            if not place.argument:  # it was replaced once: from now on each other one is a case of its own
                recording.written_places.append(place.name)
            recording.fail(f"it writes into an argument at {line}. Let the function close over it", True)
        elif number is not None:
            name = inputs[number].name
            arguments[number], var.kind = var, "argument"
        else:
            name = without_root(reach.tensors[id(owner)].name, reach.roots)
            captured.append(var)
            recording.calls.owned(array, owner)
            recording.captured.append(owner)
        if recording.reason is not None:
            return
        names[var.name] = trace.labels.unique(identifier(name))
    program.captured = captured
    program.arguments = [
        arguments.get(n) or trace.var(identifier(read.name), t.data, "argument")
        for n, (t, read) in enumerate(zip(reach.inputs, inputs))
    ]
    tensors = (*reach.inputs, *recording.captured)
    recording.device = next((t.device for t in tensors), "cpu")
    recording.local_of = {id(found.tensor): found.local for found in reach.tensors.values()}
    give_names(program, names, {str(i): module_path(n, reach.roots) for i, n in reach.modules.items()})


def unknown(recording: "Recording", var: Var, trace: Trace, reach: Reach) -> str:
    """Why there is no program with an array that the walk did not come to: another one may be in its place by now."""
    new = [name for _, name, t in reach.tensors.values() if (v := trace.bound(t.data)) and v.kind == "made"]
    if new:
        return with_line(it_changes(new), recording.code)
    line = next((op.origin.line for op in trace.program.ops if var in op.vars), "")
    return (
        f"it uses a tensor {var.dtype}{list(var.shape)} that comes from where it cannot be followed"
        f"{f' at {line}' if line else ''}. Pass it as an argument"
    )
