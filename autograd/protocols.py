"""What Python and NumPy ask of a tensor: `float(t)`, `len(t)`, `round(t)`, `divmod(t, 2)`, `np.exp(t)`, `np.mean(t)`,
`np.from_dlpack(t)`. And what a name that a tensor does not have is called here."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import numpy as np

from tapegrad.autograd import foreign

if TYPE_CHECKING:
    from tapegrad.autograd.aliases import DTypeLike, Params, TensorLike, Value
    from tapegrad.autograd.tensor import Tensor

Itself: TypeAlias = Any  # the Tensor; no checker takes a subclass for `self`

STANDARD = (
    "tapegrad has the names of the array API standard and not yet the whole of it, so a tensor does not offer itself "
    "as one of its arrays: give t.numpy()"
)


def integers_to_tens(t: "Tensor", zeros: int) -> "Tensor":
    """Integers at the nearest multiple of 10**zeros, halves to the even one. Exact, and of the same dtype."""
    from tapegrad.autograd import ops

    step = 10**zeros if zeros > 0 else 1
    if step == 1 or step > np.iinfo(str(t.dtype)).max:
        return ops.round(t) if step == 1 else t * 0
    below = t % step
    base, above = t - below, step - below
    up = (below > above) | ((below == above) & (base // step % 2 == 1))
    return base + up.astype(t.dtype) * step


class Foreign:
    """What stands on Tensor under a name of other libraries: who reads it is told what to write instead."""

    __slots__ = ("name", "told")

    def __init__(self, name: str, told: str) -> None:
        self.name, self.told = name, told

    def __get__(self, t: object, kind: object = None) -> NoReturn:
        raise AttributeError(f"Tensor has no attribute {self.name!r}: {self.told}")

    def __repr__(self) -> str:
        return f"<{self.told}>"


class ForeignNames:
    """Has the names of other libraries' tensors. A `__getattr__` would answer as well, and make each method call on a
    tensor take 50 ns instead of 20 in Python 3.11, and each property in later ones."""

    __slots__ = ()


for _name, _entry in foreign.table("tensor").items():
    setattr(ForeignNames, _name, Foreign(_name, str(_entry)))
setattr(ForeignNames, "__array_namespace__", Foreign("__array_namespace__", STANDARD))  # noqa: B010


class Protocols(ForeignNames):
    """Base of Tensor."""

    __slots__ = ()

    # ---- one element as a number ----
    def __float__(self: Itself) -> float:
        return float(self.item())

    def __int__(self: Itself) -> int:
        return int(self.item())

    def __bool__(self: Itself) -> bool:
        return bool(self.item())

    def __format__(self: Itself, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def __index__(self: Itself) -> int:
        value = self.item()
        if isinstance(value, (bool, float, complex)):
            raise TypeError(f"only an integer tensor can be an index, not one of {self.dtype}")
        return int(value)

    def __round__(self: Itself, ndigits: int | None = None) -> "Tensor":
        """The elements rounded to so many decimals, halves to even, as a tensor of the same dtype."""
        from tapegrad.autograd import ops

        if not ndigits:
            return ops.round(self)
        if str(self.dtype).rpartition(".")[2].startswith(("int", "uint")):
            return integers_to_tens(self, -ndigits.__index__())
        scale = 10.0 ** ndigits.__index__()
        return ops.round(self * scale) / scale

    def __trunc__(self: Itself) -> int:
        return int(self.item())

    def __divmod__(self: Itself, other: object) -> "tuple[Tensor, Tensor]":
        return self // other, self % other

    def __rdivmod__(self: Itself, other: object) -> "tuple[Tensor, Tensor]":
        return other // self, other % self

    # ---- a sequence of slices ----
    def __len__(self: Itself) -> int:
        if not self.shape:
            raise TypeError("len() of a 0-d tensor")
        return int(self.shape[0])

    def __iter__(self: Itself) -> "Iterator[Tensor]":
        return (self[i] for i in range(len(self)))

    def __contains__(self: Itself, value: "TensorLike") -> bool:
        return bool(np.any(self.numpy() == (np.asarray(value))))

    # ---- NumPy ----
    def __array__(self: Itself, dtype: "DTypeLike | None" = None, copy: bool | None = None) -> np.ndarray:
        if self.requires_grad:
            raise TypeError(
                "a tensor that requires grad does not turn into a NumPy array by itself, which would cut the graph: "
                "use tapegrad's function of that name, or .detach().numpy() if the cut is meant"
            )
        return self.numpy() if dtype is None else self.numpy().astype(dtype)

    def __array_ufunc__(
        self, ufunc: "np.ufunc", method: str, *inputs: "Value", **kwargs: "object"
    ) -> "Value":
        """`np.exp(t)` is `tg.exp(t)`, and `array * t` is a Tensor: recorded and differentiated like any other."""
        from tapegrad.autograd import namespace

        return namespace.call_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(
        self, function: "Callable[..., object]", types: "object", args: "tuple[Value, ...]", kwargs: "Params"
    ) -> "Value":
        """`np.mean(t)` is `tg.mean(t)`; NumPy's other functions read the values of tensors that require no grad."""
        from tapegrad.autograd import namespace

        return namespace.call_function(function, args, kwargs)

    def __dlpack__(
        self: Itself,
        *,
        stream: "object" = None,
        max_version: "tuple[int, int] | None" = None,
        dl_device: "tuple[int, int] | None" = None,
        copy: bool | None = None,
    ) -> "object":
        """The values for another library: `np.from_dlpack(t)`, `torch.from_dlpack(t)`.

        A copy, which later writes on either side do not reach; with copy=False the tensor's own memory. Raises
        BufferError for a tensor that requires grad: detach it first.
        """
        if self.requires_grad:
            raise BufferError(
                "a tensor that requires grad is not handed out: use .detach(), if the cut is meant"
            )
        self._read("__dlpack__()", "Return the tensor from the step and hand it out there.")
        array = self.data if copy is False else self.backend.asarray(self.data, copy=True)
        options = {"stream": stream, "max_version": max_version, "dl_device": dl_device}
        return array.__dlpack__(**{name: value for name, value in options.items() if value is not None})

    def __dlpack_device__(self: Itself) -> tuple[int, int]:
        return self.data.__dlpack_device__()

    # ---- names ----
    def __dir__(self) -> list[str]:
        return public_names(type(self))


INTERNAL = frozenset({"node", "output_index", "retains_grad"})


def public_names(kind: type) -> list[str]:
    """The attributes of a class that users may read."""
    names = [name for name in dir(kind) if not name.startswith("_") and name not in INTERNAL]
    return [name for name in names if hasattr(kind, name)]
