"""How tensors came about that a tape takes as given: comparisons, integers, `detach()`, what ran under `no_grad`.

A graph records only what gradients flow through. Under `tg.keep_lines()` the rest is noted here, at the resulting
tensor, so that `Tape.what_if` can compute it again.
"""

from collections.abc import Iterable, Sequence
from typing import Any
from weakref import getweakrefs, ref

from tapegrad.autograd.aliases import Array, Params, Value
from tapegrad.autograd.tensor import Tensor
from tapegrad.autograd.writes import next_serial, owner

_alive: set["Origin"] = set()
BACKWARD = "backward"  # the primitive of what a backward pass computed, whose calls are on no tape


class Origin(ref[Tensor]):
    """A weak reference to a tensor of no graph, with the call that made it.

    primitive  that was called; None: the tensor has the contents of its one argument; BACKWARD
    inputs     the arguments, and the raw arrays of the tensors among them
    index      which output of the call it is
    serial     when, on the clock that numbers nodes
    written    whether the contents were written into a tensor that was there before
    before     the note on the contents that were overwritten
    lost       whether there was a note before that one
    """

    out = ()  # as the result of a call that is freed: the notes are on tensors, and hold none
    __slots__ = ("arrays", "before", "index", "inputs", "lost", "params", "primitive", "serial", "written")
    __hash__ = object.__hash__
    __eq__ = object.__eq__
    primitive: Any
    inputs: tuple[Value, ...]
    arrays: tuple[Array, ...]
    params: Params
    index: int
    serial: int
    written: bool
    before: "Origin | None"
    lost: bool


def note(
    t: Tensor,
    primitive: Any,
    inputs: Sequence[Value],
    params: Params | None = None,
    index: int = 0,
    written: bool = False,
) -> None:
    """Note the call that made a tensor, in place of an earlier note."""
    origin, before = Origin(t, _alive.discard), origin_of(t)
    origin.before, origin.lost = (before, False) if written else (None, False)
    if before is not None:
        _alive.discard(before)
        # One step back is kept and no more: a training loop would hold all its weights.
        before.lost, before.before = before.lost or before.before is not None, None
    origin.primitive, origin.inputs, origin.params = primitive, tuple(inputs), params or {}
    origin.arrays = tuple(a.data if isinstance(a, Tensor) else a for a in inputs)
    origin.index, origin.serial, origin.written = index, next_serial(), written
    _alive.add(origin)


def hand_on(t: Tensor, other: Tensor) -> None:
    """Let the notes on a tensor hold for another one, which has its contents."""
    origin = origin_of(t)
    if origin is None:
        return
    copy = Origin(other, _alive.discard)
    for name in Origin.__slots__:
        setattr(copy, name, getattr(origin, name))
    _alive.add(copy)


def origin_of(t: Tensor) -> Origin | None:
    """The newest note on a tensor."""
    return next((r for r in getweakrefs(t) if type(r) is Origin and r in _alive), None)


def notes_on(home: Array) -> list[Origin]:
    """The notes on calls that were given what shows an array's memory."""
    notes = [*_alive, *(origin.before for origin in _alive if origin.before is not None)]
    return [note for note in notes if any(owner(array) is home for array in note.arrays)]


def sources(tensors: Iterable[Tensor]) -> set[Tensor]:
    """These tensors, and those that the graphs and the notes say they came from."""
    found: set[Tensor] = set()
    stack = [*tensors]
    while stack:
        t = stack.pop()
        call = None if t in found else t.node or origin_of(t)
        found.add(t)
        if call is not None:
            stack += [a for a in call.inputs if isinstance(a, Tensor)]
    return found
