"""`t += v` where a gradient is recorded: the tensor stands for the result, which has memory of its own.

Every name of the tensor, and every list that holds it, sees the result, as where no gradient is recorded. Another
tensor that shows the old memory would not: then it raises. Calls that were recorded before keep the tensor as it was.
"""

import sys
from collections.abc import Callable
from dis import opmap
from itertools import chain
from types import FrameType
from typing import Any

import numpy as np

from tapegrad.autograd import writes
from tapegrad.autograd.aliases import Array, TensorLike
from tapegrad.autograd.diagnostics import user_line
from tapegrad.autograd.dtypes import name_of
from tapegrad.autograd.flags import changed_flags, current
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
    calls, seen = who_sees(t, value, "t += value")
    if seen:
        # `b[i] += v` stores the result in b, where a view of b that nobody else has is t.
        if _is_stored_by_index(sys._getframe(2)) and is_passing(t):
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


def who_sees(t: Tensor, value: TensorLike, line: str) -> tuple[list[Any], bool]:
    """The calls behind t and the value that were given t, and whether anything but t, calls behind the two and the
    recorder holds an array that shows t's memory."""
    home = writes.owner(t._data)
    others = sys.getrefcount(home) - _REFERENCES
    # As quickly as can be where the array of `total += loss` is new.
    if home is t._data and others - (t.node is not None and t.node.out is home) == 0:
        return [], False
    of_view = sys.getrefcount(t._data) - _REFERENCES_OF_VIEW
    recorder = current.get().recorder
    noted, read = ([], []) if recorder is None else recorder.holds(home)
    # No name for the roots: it would hold each of them once more.
    calls: list[Any] = [*calls_since(_made(t, home), [t, value, *read]), *noted]
    arrays, references = {id(a): a for a in (t._data, *(x._data for x in read))}, 0
    for node in calls:
        for a in chain(node.arrays, _outs(node)):
            if a is home:
                references += 1
            elif writes.owner(a) is home:
                arrays[id(a)] = a
    arrays.pop(id(home), None)
    holders = _holders(calls, read, home)
    times_given = holders.pop(t, 0)
    references += len(arrays) + _how_many_hold(holders, home) - (home is not t._data)
    held = any(sys.getrefcount(x) > holders[x] + _IN_A_LOOP for x in holders)
    held = held or (value is not t and _shows(value, home) and _is_kept(value, line))
    # The one view of a copy, as `x.T.reshape(-1)` is, may be another tensor's array as well.
    if home is not t._data and not held:
        shared = sum(a is t._data for node in calls for a in (*node.arrays, *_outs(node)))
        held = of_view > shared + _how_many_hold(holders, t._data)
    given = [node for node in calls if times_given and any(x is t for x in node.inputs)]
    return given, held or others > references


def _outs(node: Any) -> tuple[Array, ...]:
    return node.out if isinstance(node.out, tuple) else (node.out,)


def _shows(value: TensorLike, home: Array) -> bool:
    return isinstance(value, Tensor) and writes.owner(value._data) is home


def _is_kept(value: TensorLike, line: str, times: int = 0) -> bool:
    """Whether anybody but the line `t += value` or `t[index] = value`, four calls up, and who has it so many times, has
    the value. Asked first of a value that nobody else has: see `learn`."""
    count = sys.getrefcount(value) - times
    if count > _of_a_passing_value.setdefault(line, count):
        return True
    return _NAMES_LEND and any(x is value for x in sys._getframe(4).f_locals.values())


def is_passing(t: Tensor) -> bool:
    """Whether nobody has t of `t += value` but the line and the recorder."""
    return not _is_kept(t, "b[i] += value", _times_held(t))


def _times_held(t: Tensor) -> int:
    """How many references to t the recorder has."""
    if (recorder := current.get().recorder) is None:
        return 0
    noted, read = recorder.holds(writes.owner(t._data))
    return sum(x is t for note in noted for x in note.inputs) + sum(x is t for x in read)


def learn() -> None:
    """Count, with the running Python, the references to a value that nobody has but the line that uses it."""
    _of_a_passing_value.clear()
    with changed_flags(grad=True, recorder=None):
        t = Tensor(np.zeros(2), requires_grad=True) * 1.0
        t += t[0]
        t = Tensor(np.zeros(2), requires_grad=True) * 1.0
        t[1] = t[0]
        t[0] += t[1]


# Of their own, so that no name of the function that counts references is left with one.
def _holders(calls: list[Any], read: list[Tensor], home: Array) -> dict[Tensor, int]:
    """The tensors that the calls were given, or the recorder has, and that show an array's memory, and how many
    references to each of them that makes."""
    holders: dict[Tensor, int] = {}
    for x in read:
        holders[x] = holders.get(x, 0) + 2  # the recorder's, and the list's
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


def calls_since(serial: int, tensors: list[Any]) -> list[Node]:
    """The calls behind these tensors that were recorded at that time or later."""
    found: dict[Node, None] = {}
    stack = [*tensors]
    while stack:
        node = getattr(stack.pop(), "node", None)  # what is no Tensor has none
        if node is not None and node.out is not None and node.serial >= serial and node not in found:
            found[node] = None
            stack += [x for x in node.inputs if isinstance(x, Tensor)]
    return [*found]


def _references() -> int:
    """What sys.getrefcount tells of an array that only one tensor holds, and a local name."""
    t = Tensor(np.zeros(1))
    home = writes.owner(t._data)
    return sys.getrefcount(home)


def _references_of_view() -> int:
    """The same of the array of a tensor, which is a view, without a local name."""
    t = Tensor(np.zeros(2)[:1])
    return sys.getrefcount(t._data)


def _in_a_loop() -> int:
    """The same of a tensor that is the key of a dict, while a loop over its keys asks."""
    holders = {Tensor(np.zeros(1)): 0}
    return max(sys.getrefcount(x) for x in holders)


_REFERENCES, _REFERENCES_OF_VIEW, _IN_A_LOOP = _references(), _references_of_view(), _in_a_loop()
_of_a_passing_value: dict[str, int] = {}
# Since Python 3.14 a local name passes its object on without counting it once more.
_NAMES_LEND = sys.version_info >= (3, 14)
# What Python may do between an operator and the storing of its result, and the storing by an index.
_BETWEEN = {opmap[name] for name in ("CACHE", "COPY", "EXTENDED_ARG", "NOP", "SWAP") if name in opmap}
_BY_INDEX = {opmap[name] for name in ("STORE_SLICE", "STORE_SUBSCR") if name in opmap}
