"""Arrays that write down what is done to them: what a primitive's forward runs on while a function is recorded."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from tapegrad.autograd.ops.indexing import Slot
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends.aliases import Array, ArrayModule
from tapegrad.compiler.ir.operations import OPERATIONS, operation
from tapegrad.compiler.ir.program import Var
from tapegrad.compiler.watch.listen import unheard

if TYPE_CHECKING:
    from tapegrad.compiler.record.trace import Trace


class Symbol:
    """An array under a primitive's forward: the real one, for values and shapes, and the Var that stands for it."""

    __array_priority__ = 1000
    __array_ufunc__ = None

    def __init__(self, value: Array, var: Var, trace: "Trace") -> None:
        self.value, self.var, self.trace = value, var, trace

    shape = property(lambda self: self.value.shape)
    dtype = property(lambda self: self.value.dtype)
    ndim = property(lambda self: self.value.ndim)
    size = property(lambda self: self.value.size)
    device = property(lambda self: self.value.device)

    def __bool__(self) -> bool:
        """A forward that chooses by value: the choice is checked again at each call."""
        choice = bool(self.value)
        self.trace.emit_op("guard", self, expected=choice)
        return choice

    def __array__(self, *_: object, **__: object) -> Any:
        raise TypeError("NumPy was called instead of xp")

    @property
    def T(self) -> "Symbol":
        return self.trace.emit_op("permute_dims", self, axes=tuple(reversed(range(self.ndim))))

    def __getitem__(self, index: object) -> "Symbol":
        parts = index if isinstance(index, tuple) else (index,)
        return self.trace.emit_op("slice", self, index=parts)


def _operators() -> None:
    """Python's operators on Symbols, each the operation whose row names it."""
    for row in OPERATIONS.values():
        if row.operator:
            plain = lambda a, *b, name=row.name: a.trace.emit_op(name, a, *b)
            setattr(Symbol, f"__{row.operator}__", plain)
            setattr(Symbol, f"__i{row.operator}__", plain)
            setattr(Symbol, f"__r{row.operator}__", lambda a, b, name=row.name: a.trace.emit_op(name, b, a))


_operators()


def recorded_check(
    trace: "Trace", tensor: Tensor, wrong: Callable[[Any], Any], repeated: bool = False
) -> None:
    """Have the program ask, too, that a condition of the elements holds for none, unless an operation of it does."""
    if trace.reason is None and not repeated:
        with unheard():
            trace.origin = trace.here("check")
            found = wrong(Symbol(tensor.data, trace.var_of(tensor), trace))
            bool(trace.emit_op("any", found, axis=None, keepdims=False))


class Namespace:
    """What a forward sees as `xp`: the array library, with every call written down."""

    def __init__(self, trace: "Trace", xp: ArrayModule) -> None:
        self._trace, self.xp = trace, xp

    def __getattr__(self, name: str) -> Any:
        """Called for a name that is met for the first time."""
        if name in OPERATIONS and not hasattr(self.xp, name):  # erf, which the backend brings
            written: Any = partial(self._trace.emit_op, name)
        else:
            written = self.written_down(name, getattr(self.xp, name))
        self.__dict__[name] = written
        return written

    def written_down(self, name: str, real: object) -> Any:
        if not callable(real) or isinstance(real, type):
            return real
        trace = self._trace
        if name in ("arange", "full"):  # CuPy's take no device
            return lambda *args, dtype=None, device=None: trace.constant(real(*args, dtype=dtype))
        if name in ("zeros_like", "ones_like", "full_like"):

            def made(*args: object, **options: object) -> Symbol:
                return trace.constant(
                    real(*[a.value if isinstance(a, Symbol) else a for a in args], **options)
                )

            return made
        if name == "asarray":
            return lambda x, copy=None: trace.emit_op("copy", x) if copy else x
        if name == "concat":
            return lambda arrays, axis=0: trace.emit_op("concat", *arrays, axis=axis)
        names = operation(name).options

        def call(*args: Any, **options: Any) -> Symbol:
            if names:  # what comes after the array by position is no array
                options = {**dict(zip(names, args[1:])), **options}
                args = args[:1]
            return trace.emit_op(name, *args, **options)

        return call


def var_or_value(value: object) -> object:
    """What stands for a value in an operation: the Var of a Symbol, and a number as it is."""
    return value.var if isinstance(value, Symbol) else value


def basic(index: tuple[object, ...]) -> bool:
    """Whether an index makes a view: integers, slices, new axes alone."""
    return not any(isinstance(i, (Slot, bool)) for i in index)
