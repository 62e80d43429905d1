"""Writing into tensors in place: `t += v` and its relatives, `t[i] = v`, and `t.data += v`.

One rule for all of them. Where neither side takes part in a graph, or gradients are off, the array is written to, so
every view of it and every other name of the tensor sees the change, as in NumPy. On a leaf that requires grad they
raise while gradients are recorded. Any other tensor of a graph, or one whose value requires grad, stands for the result
afterwards, of `total + loss` or of `index_update(t, i, v)`; where another view would not see that, both raise.

Whether there is another view, the array's reference count says: NumPy keeps no list of an array's views, and a list of
our own would cost each call that makes one. Who holds the array is known but for views: the tensor, and calls of its
graph. A count above theirs means a view, or a call outside the graph, and the line raises. What Python itself adds to a
count differs by version (since 3.14 a local name passes its object on uncounted): so each number that is compared with
is counted at import, in a function of the same form.
"""

import sys
from collections.abc import Callable

import numpy as np

from tapegrad.autograd import writes
from tapegrad.autograd.aliases import Array, Index, TensorLike, Value
from tapegrad.autograd.diagnostics import user_line
from tapegrad.autograd.flags import current
from tapegrad.autograd.ops import indexing
from tapegrad.autograd.successors import become_result, calls_since, fitting, who_sees
from tapegrad.autograd.tensor import Tensor, before, overwrite
from tapegrad.autograd.writes import about_to_write, next_serial, refuse_shared_places, store
from tapegrad.backends.aliases import Function


def in_place(
    function: Callable[..., Tensor], name: str, symbol: str, acceptable: Callable[[object], bool]
) -> Callable[[Tensor, TensorLike], Tensor]:
    """The method behind `t += v`, from the function behind `t + v`."""

    def method(self: Tensor, other: TensorLike) -> Tensor:
        if not isinstance(other, Tensor) and not acceptable(other):
            return NotImplemented
        if current.get().grad:
            if self.requires_grad and self.node is None:
                raise _leaf(f"t {symbol}= value", f"t = t {symbol} value")
            if self.requires_grad or (isinstance(other, Tensor) and other.requires_grad):
                return become_result(f"t {symbol}= value", f"t = t {symbol} value", self, function, other)
        overwrite(self, fitting(f"t {symbol}= value", self, function(self, other)))
        return self

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"t {symbol}= value: in place where no gradient is recorded, see `Tensor`."
    return method


def setitem(self: Tensor, index: Index, value: TensorLike) -> None:
    """t[index] = value: in place where no gradient is recorded, see `Tensor`."""
    flags = current.get()
    if flags.grad:
        if self.requires_grad and self.node is None:
            raise _leaf("t[index] = value", "tg.index_update(t, index, value) or tg.where(mask, value, t)")
        if self.requires_grad or (isinstance(value, Tensor) and value.requires_grad):
            _become_updated(self, index, value)
            return
    parts, arrays = indexing.template(self, index)
    value = indexing.writable("t[index] = value", self, value)
    # `store` sees only the part, whose elements may each have a place of their own.
    if 0 in getattr(self.data, "strides", ()):
        refuse_shared_places(self.data)
    of_view = not arrays and type(self.data) is np.ndarray
    if flags.recorder is not None or not of_view:
        updated = indexing.index_update_p(self, value, *arrays, index=parts)
        overwrite(self, updated, parts if of_view else None)
        return
    raw = value.data if isinstance(value, Tensor) else np.asarray(value, self.dtype)
    about_to_write(self)
    try:
        self._version = store(self.data[parts], raw)
    except (IndexError, ValueError) as error:
        raise indexing.index_update_p.explain(error, (self, value), {"index": parts}) from error


def _become_updated(t: Tensor, index: Index, value: TensorLike) -> None:
    """Have a tensor stand for `index_update(t, index, value)`, of which the value's gradient is part.

    The first time it gets memory of its own, and later values are written into that, but for one whose gradient needs
    what it is written over, as in `t[i] *= v`. Calls recorded before find the old contents' node through the new one,
    whose first input it is: see `Node.recorded_inputs`.
    """
    own = t.node is not None and t.node.primitive is indexing.index_update_p and t.node.out is t.data
    own = own and not _needs_what_it_replaces(t, index, value)
    if not own or current.get().recorder is not None:
        seen = who_sees(t, value, "t[index] = value")[1]
        # A program does not write into what has views, if they are calls' alone: it makes a new result.
        own = own and seen
        if not own:
            _only_one_to_see(t, seen)
            if (recorder := current.get().recorder) is not None:
                recorder.becomes(t)
    old = Tensor(t.data, t.requires_grad, t.node, t.output_index)
    old._version = t._version
    if (recorder := current.get().recorder) is not None:
        recorder.succeeds(old, t)
    new = indexing.index_update(old, index, value)
    _give_instead(old, t, value)
    if own:
        if (recorder := current.get().recorder) is not None:
            recorder.write(t, new)
        parts, arrays = indexing.template(t, index)
        where = ... if arrays else parts
        assert new.node is not None
        # The call is this write: who asks for others after it does not find its own.
        new.node.serial = store(t.data[where], new.data[where])
        new.node.out = t.data  # the rule of index_update reads neither its result nor what it updates
    else:
        t._data = new._data
    t.node, t.output_index, t._requires_grad = new.node, new.output_index, new._requires_grad
    t._version = next_serial()
    writes.happened(t._version)


def _give_instead(old: Tensor, t: Tensor, value: TensorLike) -> None:
    """Have the calls behind the value hold what t was: else t, which is to hold their graph, would be part of it.

    Calls from before the last writes are not looked at: a loop of many writes would walk its whole graph at each.
    """
    since = t.node
    for _ in range(_WRITES_BACK):
        if since is not None and since.primitive is indexing.index_update_p:
            written = since.inputs[0] if since.inputs else None
            since = written.node if isinstance(written, Tensor) else None
    calls = calls_since(0 if since is None else since.serial, [value] if isinstance(value, Tensor) else [])
    for call in calls:
        if any(x is t for x in call.inputs):
            then = old if t.node is None or t.node.serial < call.serial else before(t, call.serial, {})
            call.inputs = tuple(then if x is t else x for x in call.inputs)


def _needs_what_it_replaces(t: Tensor, index: Index, value: TensorLike) -> bool:
    """Whether the rule of a call that the value was made by, since the last write to t, reads what the value will
    replace."""
    assert t.node is not None
    calls = calls_since(t.node.serial, [value] if isinstance(value, Tensor) else [])
    read = [(node, i) for node in calls for i, a in enumerate(node.arrays) if writes.owner(a) is t.data]
    if not read:
        return False
    parts, arrays = indexing.template(t, index)
    low, high = writes.span(t.data if arrays else t.data[parts])
    for node, i in read:
        first, end = writes.span(node.arrays[i])
        alone = node.primitive.crossed and node.grad_inputs == (i,)
        if first < high and low < end and i not in node.primitive.unread and not alone:
            return True
    return False


def _only_one_to_see(t: Tensor, seen: bool) -> None:
    """Raise RuntimeError if a tensor that is to get memory of its own shares the old one with others."""
    refuse_shared_places(t.data)
    if not _own_memory(t.data):
        raise RuntimeError(
            "t[index] = value: a gradient is recorded and t is a view of another tensor, which would not see its "
            "gradient: write into that one, as in t[i, j] = value for t[i][j] = value, or into a copy, t = t + 0\n"
            + user_line()
        )
    if seen:
        raise RuntimeError(
            "t[index] = value: a gradient is recorded, and other views of t, or calls that were given t before, "
            "would not see it: write first, or into a copy (t = t + 0), or collect the values in a list for tg.stack\n"
            + user_line()
        )


def _own_memory(array: Array) -> bool:
    """Whether no other array shows the memory of this one: it owns it, or is the only view of what does, as the results
    of `repeat` and `tile` are."""
    home = writes.owner(array)
    return home is array or (array.base is home and sys.getrefcount(home) == _OF_ONE_VIEW)


def _of_one_view() -> int:
    """What sys.getrefcount tells of an array that only a view holds, and who asks."""
    array = np.zeros(2)[:1]
    home = writes.owner(array)
    return sys.getrefcount(home)


_OF_ONE_VIEW = _of_one_view()
_WRITES_BACK = 8  # so many rows may be computed before they are stored one after the other


def into_array(function: Function, inputs: tuple[Value, ...], out: Array) -> Array:
    """`t.data += value` with a Tensor for the value: NumPy asks for function(*inputs), written into the array `out`."""
    if current.get().grad and any(isinstance(a, Tensor) and a.requires_grad for a in inputs):
        raise RuntimeError(
            "array += tensor: the tensor requires grad, which an array cannot keep: use tensor.detach(), or "
            "`with tg.no_grad():` around it\n" + user_line()
        )
    target = Tensor(out)
    result = function(*(target if a is out else Tensor(a) if type(a) is type(out) else a for a in inputs))
    overwrite(target, fitting("array op= tensor", target, result))
    if (recorder := current.get().recorder) is not None:
        for value in inputs:
            if isinstance(value, Tensor):
                recorder.into_array(value)
    return out


def _leaf(what: str, other: str) -> RuntimeError:
    return RuntimeError(
        f"{what}: t requires grad, and the change would not be differentiated. To train by hand, put it under "
        f"`with tg.no_grad():` (or use t.assign(values)); for a new tensor write {other}\n{user_line()}"
    )
