"""Tensor's operators and methods, put in place from the tables below."""

from collections.abc import Callable
from typing import Any

from tapegrad.autograd import ops
from tapegrad.autograd.aliases import Shape, TensorLike, Value
from tapegrad.autograd.foreign import answering
from tapegrad.autograd.in_place import in_place, setitem
from tapegrad.autograd.primitive import SCALARS, Primitive
from tapegrad.autograd.successors import learn
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends import BY_TYPE

BINARY = {
    "add": ops.add,
    "sub": ops.subtract,
    "mul": ops.multiply,
    "truediv": ops.divide,
    "floordiv": ops.floor_divide,
    "mod": ops.remainder,
    "pow": ops.power,
    "matmul": ops.matmul,
    "and": ops.bitwise_and,
    "or": ops.bitwise_or,
    "xor": ops.bitwise_xor,
}
SYMBOLS = {
    "add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "mod": "%", "pow": "**", "matmul": "@",
    "and": "&", "or": "|", "xor": "^",
}  # fmt: skip
COMPARISONS = {
    "eq": ops.equal,
    "ne": ops.not_equal,
    "lt": ops.less,
    "le": ops.less_equal,
    "gt": ops.greater,
    "ge": ops.greater_equal,
}
UNARY = {"neg": ops.negative, "pos": ops.positive, "abs": ops.abs, "invert": ops.bitwise_invert}
METHODS = [name for name in ops.PUBLIC if name not in (*ops.FUNCTIONS_ONLY, "reshape")]


def _acceptable(value: object) -> bool:
    return (
        isinstance(value, (Tensor, *SCALARS, list, tuple))
        or type(value) in BY_TYPE
        or hasattr(value, "__array__")
    )


def _operator(function: Callable[..., Tensor], name: str) -> Callable[..., Tensor]:
    def method(self: Tensor, other: TensorLike) -> Tensor:
        if type(other) is not Tensor and not _acceptable(other):
            return NotImplemented
        return function(self, other)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = function.__doc__
    return method


def _reflected(function: Callable[..., Tensor], name: str) -> Callable[..., Tensor]:
    def method(self: Tensor, other: TensorLike) -> Tensor:
        return function(other, self) if _acceptable(other) else NotImplemented

    method.__name__ = method.__qualname__ = name
    return method


def _method(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def method(self: Tensor, *args: Value, **kwargs: object) -> Tensor:
        return function(self, *args, **kwargs)

    method.__name__ = function.__name__
    method.__doc__ = function.__doc__
    return method


@answering
def reshape(self: Tensor, *shape: Any) -> Tensor:
    """The same elements in another shape: t.reshape(2, -1) or t.reshape((2, -1)).

    Args:
        shape: The lengths, as arguments or as one tuple; one may be -1.
    """
    return ops.reshape(self, shape[0] if len(shape) == 1 else shape)


def _transpose(self: Tensor, *axes: int | Shape) -> Tensor:
    """The axes in the given order, as in NumPy; without arguments, reversed; of two for more axes, those two exchanged,
    as in PyTorch.

    Args:
        axes: The axes, as arguments or as one tuple.
    """
    given = axes[0] if len(axes) == 1 and (isinstance(axes[0], (tuple, list)) or axes[0] is None) else axes
    order = tuple(reversed(range(self.ndim))) if not given else tuple(given)
    if len(order) == 2 and self.ndim > 2:
        first, second = (ops.one_axis("transpose", a, self.ndim) for a in order)
        exchanged = {first: second, second: first}
        order = tuple(exchanged.get(a, a) for a in range(self.ndim))
    axes = ops.some_axes("transpose", order, self.ndim) or ()
    if len(axes) != self.ndim:
        raise ValueError(
            f"transpose: expected each of the {self.ndim} axes once, two axes to exchange, or none, got {order}"
        )
    return ops.permute_p(self, axes=axes)


def _t(self: Tensor) -> Tensor:
    """A matrix transposed; for other numbers of axes use mT or permute_dims."""
    if self.ndim != 2:
        raise ValueError(f"T: needs 2 dimensions, got shape {self.shape}: use .mT or tg.permute_dims")
    return ops.permute_p(self, axes=(1, 0))


def install() -> None:
    for name, function in BINARY.items():
        setattr(Tensor, f"__{name}__", _operator(function, f"__{name}__"))
        setattr(Tensor, f"__r{name}__", _reflected(function, f"__r{name}__"))
        setattr(Tensor, f"__i{name}__", in_place(function, f"__i{name}__", SYMBOLS[name], _acceptable))
    for name, function in COMPARISONS.items():
        setattr(Tensor, f"__{name}__", _operator(function, f"__{name}__"))
    for name, function in UNARY.items():
        setattr(Tensor, f"__{name}__", _method(function))
    for name in METHODS:
        function = getattr(ops, name)  # a Python function binds by itself
        setattr(Tensor, name, _method(function) if isinstance(function, Primitive) else function)
    for name in ("assign", "backward", "requires_grad_", "to"):
        setattr(Tensor, name, answering(getattr(Tensor, name)))
    table: dict[str, Any] = {
        "__getitem__": _method(ops.getitem),
        "__setitem__": setitem,
        "reshape": reshape,
        "transpose": _transpose,
        "T": property(_t),
        "mT": property(ops.matrix_transpose),
    }
    for name, member in table.items():
        setattr(Tensor, name, member)
    learn()
    Tensor.__hash__ = object.__hash__  # type: ignore[method-assign, assignment]  # == compares elements, but hashing is by identity
