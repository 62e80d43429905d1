"""`t += v` where a gradient is recorded: the tensor stands for the result, which has memory of its own.

Every name of the tensor, and every list that holds it, sees the result, as where no gradient is recorded. Another
tensor that shows the old memory would not: then it raises. Calls that were recorded before keep the tensor as it was.
"""

import sys
from collections.abc import Callable
from dis import opmap
from itertools import chain
from types import FrameType

import numpy as np

from tapegrad.autograd import writes
from tapegrad.autograd.aliases import Array, TensorLike
from tapegrad.autograd.diagnostics import user_line
from tapegrad.autograd.dtypes import name_of
from tapegrad.autograd.flags import changed_flags, current
from tapegrad.autograd.tapes.origins import held_by_notes
from tapegrad.autograd.tensor import Node, Tensor, next_serial


def become_result(
    what: str, remedy: str, t: Tensor, function: Callable[..., Tensor], value: TensorLike
) -> Tensor:
    """Have t stand for function(t, value), cast to its dtype, and return it.

    Raises:
        RuntimeError: Another tensor shows t's memory, t is a Parameter or a Buffer, or the result has no gradient.
        TypeError, ValueError: The result does not fit into t, as where no gradient is recorded.
    """
    if type(t) is not Tensor:
        raise RuntimeError(
            f"{what}: a gradient is recorded and t is a {type(t).__name__}, which keeps none: write "
            f"t.assign({remedy.partition(' = ')[2]}), which changes its numbers alone, or name the result: "
            f"y = {remedy.partition(' = ')[2]}\n{user_line()}"
        )
    calls, seen = _calls_given(t, value)
    if seen:
        # `b[i] += v` stores the result in b.
        if _is_stored_by_index(sys._getframe(2)):
            return function(t, value)
        raise RuntimeError(
            f"{what}: a gradient is recorded, and another view of t, the tensor that t is a view of, or a call that "
            f"was given t before, would not see the change: write {remedy}\n{user_line()}"
        )
    old = Tensor(t._data, t._requires_grad, t.node, t.output_index)
    old._version = t._version
    if (recorder := current.get().recorder) is not None:
        recorder.becomes(t)
        recorder.succeeds(old, t)
    try:
        new = fitting(what, old, function(old, old if value is t else value))
        if new.node is None:
            raise RuntimeError(
                f"{what}: a gradient is recorded, and the result has none, for the slope of this function is 0 or "
                f"nowhere: write {remedy}\n{user_line()}"
            )
    except Exception:
        if recorder is not None:
            recorder.succeeds(t, old)
        raise
    # Else the graph would hold t, which holds the graph.
    for node in calls:
        node.inputs = tuple(old if x is t else x for x in node.inputs)
    t._data, t.node, t.output_index, t._requires_grad = new._data, new.node, new.output_index, True
    t._version = next_serial()
    return t


def fitting(what: str, target: Tensor, result: Tensor) -> Tensor:
    """The result in the target's dtype. Raises if it is larger, or of a kind that the target cannot hold."""
    if result.shape != target.shape:
        raise ValueError(
            f"{what}: the result has shape {result.shape}, which does not fit into shape {target.shape}: only the "
            f"value is broadcast, never what is written to; t = … makes a new tensor\n{user_line()}"
        )
    if result.dtype == target.dtype:
        return result
    have, want = name_of(result.dtype), name_of(target.dtype)
    if not np.can_cast(have, want, "same_kind"):
        raise TypeError(
            f"{what}: the result is {have}, and t stays {want}: convert it with .astype({want!r}), or write "
            f"t = … for a new tensor of {have}\n{user_line()}"
        )
    return result.astype(target.dtype)


def _is_stored_by_index(frame: FrameType) -> bool:
    """Whether the line that a frame is at is `b[i] += v`."""
    code = frame.f_code.co_code[frame.f_lasti + 2 :: 2]
    return next((op for op in code if op not in _BETWEEN), None) in _BY_INDEX


def _calls_given(t: Tensor, value: TensorLike) -> tuple[list[Node], bool]:
    """The calls behind t and the value that were given t, and whether anything but t and calls behind the two holds an
    array that shows t's memory."""
    home = writes.owner(t._data)
    others = sys.getrefcount(home) - _REFERENCES
    roots = [x for x in (t, value) if isinstance(x, Tensor) and x.node is not None]
    # As quickly as can be where the array of `total += loss` is new.
    if home is t._data and others - (t.node is not None and t.node.out is home) == 0:
        return [], False
    calls = calls_since(_made(t, home), roots)
    arrays, references = {id(t._data): t._data}, 0
    for node in calls:
        outs = node.out if isinstance(node.out, tuple) else (node.out,)
        for a in chain(node.arrays, outs):
            if a is home:
                references += 1
            elif writes.owner(a) is home:
                arrays[id(a)] = a
    arrays.pop(id(home), None)
    holders = _holders(calls, home)
    times_given = holders.pop(t, 0)
    references += len(arrays) + _how_many_hold(holders, home) - (home is not t._data)
    if current.get().recorder is not None:
        references += held_by_notes(home)
    held = any(sys.getrefcount(x) > holders[x] + _IN_A_LOOP for x in holders)
    held = held or (value is not t and shows(value, home) and is_kept(value, "t += value"))
    given = [node for node in calls if times_given and any(x is t for x in node.inputs)]
    return given, held or others > references


def shows(value: TensorLike, home: Array) -> bool:
    return isinstance(value, Tensor) and writes.owner(value._data) is home


def is_kept(value: TensorLike, line: str) -> bool:
    """Whether anybody but the line `t += value` or `t[index] = value` has the value, a view of t.

    Asked by the third function that the line calls, first of a value that nobody else has: see `learn`."""
    count = sys.getrefcount(value)
    if count > _of_a_passing_value.setdefault(line, count):
        return True
    return _NAMES_LEND and any(x is value for x in sys._getframe(4).f_locals.values())


def learn() -> None:
    """Count, with the running Python, the references to a value that nobody has but the line that uses it."""
    _of_a_passing_value.clear()
    with changed_flags(grad=True, recorder=None):
        t = Tensor(np.zeros(2), requires_grad=True) * 1.0
        t += t[0]
        t = Tensor(np.zeros(2), requires_grad=True) * 1.0
        t[1] = t[0]


# Of their own, so that no name of the function that counts references is left with one.
def _holders(calls: list[Node], home: Array) -> dict[Tensor, int]:
    """The tensors that the calls were given and that show an array's memory, and how often they were given each."""
    holders: dict[Tensor, int] = {}
    for node in calls:
        for x in node.inputs:
            if isinstance(x, Tensor) and writes.owner(x._data) is home:
                holders[x] = holders.get(x, 0) + 1
    return holders


def _how_many_hold(holders: dict[Tensor, int], home: Array) -> int:
    return sum(x._data is home for x in holders)


def _made(t: Tensor, home: Array) -> int:
    """The serial of the call that made the memory of t, or 0: later calls alone can hold it."""
    node = t.node
    while node is not None and node.out is not home:
        first = node.inputs[0] if node.inputs else None
        node = first.node if isinstance(first, Tensor) else None
    return 0 if node is None else node.serial


def calls_since(serial: int, tensors: list[Tensor]) -> list[Node]:
    """The calls behind these tensors that were recorded at that time or later."""
    found: dict[Node, None] = {}
    stack = [*tensors]
    while stack:
        node = stack.pop().node
        if node is not None and node.out is not None and node.serial >= serial and node not in found:
            found[node] = None
            stack += [x for x in node.inputs if isinstance(x, Tensor)]
    return [*found]


def _references() -> int:
    """What sys.getrefcount tells of an array that only one tensor holds, and a local name."""
    t = Tensor(np.zeros(1))
    home = writes.owner(t._data)
    return sys.getrefcount(home)


def _in_a_loop() -> int:
    """The same of a tensor that is the key of a dict, while a loop over its keys asks."""
    holders = {Tensor(np.zeros(1)): 0}
    return max(sys.getrefcount(x) for x in holders)


_REFERENCES, _IN_A_LOOP = _references(), _in_a_loop()
_of_a_passing_value: dict[str, int] = {}
# Since Python 3.14 a local name passes its object on without counting it once more.
_NAMES_LEND = sys.version_info >= (3, 14)
# What Python may do between an operator and the storing of its result, and the storing by an index.
_BETWEEN = {opmap[name] for name in ("CACHE", "COPY", "EXTENDED_ARG", "NOP", "SWAP") if name in opmap}
_BY_INDEX = {opmap[name] for name in ("STORE_SLICE", "STORE_SUBSCR") if name in opmap}
