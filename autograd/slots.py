"""What users set on a Tensor, `data` and `requires_grad`: checked when it is set, and read as quickly as a slot.

tapegrad's own code sets and reads the slots behind them, `_data` and `_requires_grad`.
"""

from operator import attrgetter
from typing import TYPE_CHECKING, Any
from weakref import ref

from tapegrad.autograd.dtypes import DTYPE_NAMES, is_floating, name_of
from tapegrad.autograd.writes import next_serial, wrote
from tapegrad.backends import BY_TYPE
from tapegrad.backends.aliases import Array

# Whether a tensor that requires grad was ever given data of another shape or dtype: then backward compares them.
refitted = False


def set_data(t: Any, value: object) -> None:
    """`t.data = value`: the array of a backend, or a Tensor, whose memory is then shared.

    t's own array is what `t.data += value` has written to."""
    array: Any = value._data if isinstance(value, Slots) else value
    if type(array) not in BY_TYPE:
        raise TypeError(
            f"data: expected the array of a backend or a Tensor, got {array!r}: t.assign(value) writes numbers and "
            "lists into a tensor"
        )
    if name_of(array.dtype) not in DTYPE_NAMES or (t._requires_grad and not is_floating(array.dtype)):
        expected = "a floating-point array, since the tensor requires grad" if t._requires_grad else "numbers"
        raise TypeError(f"data: expected {expected}, got an array of dtype {array.dtype}")
    if array is t._data:
        t._version = next_serial()
        wrote(array, t._version)
        return
    if t._requires_grad and (array.shape != t._data.shape or name_of(array.dtype) != name_of(t._data.dtype)):
        global refitted
        refitted = True
    # What NumPy computes of an array without axes is a scalar.
    t._data = array if hasattr(array, "__setitem__") else BY_TYPE[type(array)].asarray(array)


def set_requires_grad(t: Any, value: object, name: str = "requires_grad") -> None:
    """`t.requires_grad = value`, and `t.requires_grad_(value)`."""
    from tapegrad.autograd.arguments import truth

    value = truth(name, value)
    if value and not is_floating(t._data.dtype):
        raise TypeError(
            f"requires_grad: only floating-point tensors have gradients, this one is {t.dtype}: "
            "convert it first, as in t.astype(tg.float32)"
        )
    if not value and t.node is not None:
        raise RuntimeError("only a leaf's requires_grad can be turned off: use .detach()")
    t._requires_grad = value


def set_class(t: Any, kind: object) -> None:
    """`t.__class__ = kind`, which programs of `tg.jit` would not see."""
    name = getattr(kind, "__name__", repr(kind))
    raise TypeError(
        f"__class__: a {type(t).__name__} stays one, got {name}: make another tensor, as in {name}(t)"
    )


class Slots:
    """The base of Tensor that has these, and whose class cannot be set."""

    __slots__ = ()

    if TYPE_CHECKING:
        data: Array
        requires_grad: bool
        _data: Array
        _requires_grad: bool
        # Set by astype where no gradient goes through: the tensors that this one is a copy of, the nearest one first.
        _converted_from: "tuple[ref[Any], ...]"
    else:
        data = property(attrgetter("_data"), set_data)
        requires_grad = property(attrgetter("_requires_grad"), set_requires_grad)
        __class__ = property(type, set_class)
