"""`Tensor`, an array with a place in a graph, and `Node`, one recorded call of a primitive."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from tapegrad.autograd.dtypes import DTYPE_NAMES
from tapegrad.autograd.flags import current
from tapegrad.autograd.foreign.size import Size
from tapegrad.autograd.protocols import Protocols
from tapegrad.autograd.slots import Slots, set_requires_grad
from tapegrad.autograd.writes import about_to_write, store
from tapegrad.autograd.writes import next_serial as next_serial
from tapegrad.backends import BY_TYPE, Backend, backend_of, resolve
from tapegrad.backends.aliases import Array, DType

# A new tensor's version: 0; under keep_lines minus the time when that began: Tape.what_if sees what was made there.
born = 0


def overwrite(t: "Tensor", value: "Tensor", part: Any = None) -> None:
    """Write a value of its shape into a tensor's memory, even in a graph. part: the index of the view that changes."""
    about_to_write(t)
    if (recorder := current.get().recorder) is not None:
        recorder.write(t, value)
    # A conversion may raise, and the write may not.
    data = value.data if value.dtype == t.dtype else t.backend.asarray(value.data, dtype=t.dtype)
    t._version = store(t.data, data) if part is None else store(t.data[part], data[part])


class Node:
    """One call of a primitive: `out = primitive(*inputs, **params)`. Never changed, only freed.

    It holds the raw output array and not the output Tensor: no cycles, so memory goes with the last reference.
    """

    __slots__ = (
        "arrays", "grad_inputs", "inputs", "line", "out", "params", "primitive", "serial", "site", "slope",
    )  # fmt: skip
    site: "Site"  # there for calls under keep_lines alone: see sites.py

    def __init__(
        self, primitive: Any, inputs: "tuple[Value, ...]", arrays: list[Array], grad_inputs: list[int],
        params: "Params", out: "Array | tuple[Array, ...]", slope: Array | None = None,
    ) -> None:  # fmt: skip
        self.primitive = primitive
        self.inputs = inputs  # Tensors, and Python scalars
        self.arrays = tuple(arrays)  # the same with the raw arrays of the Tensors
        self.grad_inputs = tuple(grad_inputs)  # the numbers of those that require grad
        self.params = params
        # The raw output, or the tuple of them; None once the node is freed. Of a primitive that keeps it, the slope.
        self.out, self.slope = out, slope
        self.serial = next_serial()
        self.line: str | None = None  # the user's line, kept under keep_lines and detect_anomaly

    def recorded_inputs(self, passed: "Mapping[Node, Tensor] | None" = None) -> "tuple[Value, ...]":
        """The inputs as they were at the recording.

        A later `t[i] = value` gives a tensor a newer node, whose first input is the old tensor. `passed` has that input
        for nodes that were freed since."""
        for t in self.inputs:
            if isinstance(t, Tensor) and t.node is not None and t.node.serial > self.serial:
                return tuple(
                    before(a, self.serial, passed or {}) if isinstance(a, Tensor) else a for a in self.inputs
                )
        return self.inputs

    def free(self) -> None:
        self.inputs, self.arrays, self.grad_inputs, self.out, self.slope = (), (), (), None, None


def before(t: "Tensor", serial: int, passed: "Mapping[Node, Tensor]") -> "Tensor":
    """What a tensor was before `t[i] = value` made it the result of nodes younger than this."""
    while t.node is not None and t.node.serial > serial:
        old = t.node.inputs[0] if t.node.inputs else passed.get(t.node)
        if old is None:
            raise RuntimeError(
                "a tensor was written to by t[i] = value after a call was recorded with it, and an earlier backward "
                "has freed the graph of that write: pass retain_graph=True to that one"
            )
        t = old
    return t


if TYPE_CHECKING:
    from tapegrad.autograd.aliases import Index, Params, Shape, TensorLike, Value
    from tapegrad.autograd.methods import Methods  # a stub
    from tapegrad.autograd.tapes.sites import Site
    from tapegrad.backends.aliases import DTypeLike
else:
    Methods = object


class Tensor(Slots, Protocols, Methods):
    """An n-dimensional array (NumPy or CuPy) that can record what is done to it and be differentiated.

    Made by `tg.tensor`, `tg.asarray`, `tg.zeros`, …; the arithmetic operators, indexing and the methods are the
    functions of the same names in `tapegrad`.

    `t += v`, `t.data += v` and `t[i] = v` write into the array if no gradient is recorded: neither side requires grad,
    or the line stands under `with tg.no_grad():`. Views see the write; dtype and shape stay. If a gradient is recorded,
    a leaf that requires grad raises an error. Any other tensor becomes the result and keeps the gradient, under each of
    its names: `total + loss` after `total += loss`, `index_update(t, i, v)` after `t[i] = v`. If a view would not see
    that, it raises. A graph that was recorded with the overwritten contents refuses a later backward pass; of what
    NumPy writes into the array it is not told, as in `t.data[0] = v`: write `t[0] = v`.

    Args:
        data: The raw array of a backend, which is not copied.
        requires_grad: Whether operations on this tensor are recorded.
        node: The recorded call that made it; None for a leaf.
        output_index: Which output of that call it is.

    Attributes:
        data: The raw array.
        grad: Of a leaf, the gradient that `backward()` added up, a Tensor of the same shape and dtype, or None.
    """

    __slots__ = (
        "__weakref__", "_converted_from", "_data", "_grad", "_requires_grad", "_version", "node", "output_index",
        "retains_grad",
    )  # fmt: skip
    __hash__ = object.__hash__  # by identity, though == compares elements

    def __init__(
        self, data: Array, requires_grad: bool = False, node: Node | None = None, output_index: int = 0
    ) -> None:
        if node is None and type(data) not in BY_TYPE:
            raise TypeError(
                f"Tensor: expected the array of a backend, got {type(data).__name__}: tg.tensor(data) makes a tensor "
                "of numbers, lists and arrays"
            )
        self._data = data
        self._requires_grad = requires_grad
        self.node = node  # the call that made it; None for a leaf
        self.output_index = output_index  # which output of that call
        self._grad: Tensor | None = None
        self.retains_grad = False
        self._version = born  # when the contents were last written; not above 0: not since it was made

    @property
    def grad(self) -> "Tensor | None":
        """For a leaf, what `backward()` added up; else None, unless `retain_grad()` was called."""
        if (recorder := current.get().recorder) is not None:
            recorder.gradient_read(self)
        return self._grad

    @grad.setter
    def grad(self, value: "Tensor | None") -> None:
        if value is not None:
            from tapegrad.autograd.gradients import as_gradient

            value = as_gradient(self, value)
        if (recorder := current.get().recorder) is not None:
            recorder.gradient(self, value, self._grad)
        self._grad = value

    # ---- what it is ----
    @property
    def shape(self) -> tuple[int, ...]:
        return self._data.shape

    @property
    def dtype(self) -> DType:
        return self._data.dtype

    @property
    def ndim(self) -> int:
        return self._data.ndim

    @property
    def size(self) -> int:
        return Size(self._data.size)

    @property
    def backend(self) -> Backend:
        return backend_of(self._data)

    @property
    def device(self) -> str:
        """Where the data is: "cpu", "cuda:0", …"""
        return self.backend.device_of(self._data)

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by the user and not by a recorded operation."""
        return self.node is None

    def __repr__(self) -> str:
        values = np.array2string(self.numpy(), separator=", ", prefix="tensor(", threshold=100)
        shape = f", shape={self.shape}" if self.size == 0 and self.shape != (0,) else ""
        place = "" if self.device == "cpu" else f", device={self.device!r}"
        made_by = f", made_by={self.node.primitive.name!r}" if self.node is not None else ""
        leaf = ", requires_grad=True" if self.requires_grad and self.node is None else ""
        return f"tensor({values}{shape}, dtype={self.dtype}{place}{leaf}{made_by})"

    def _repr_html_(self) -> str:
        from tapegrad.autograd.pages.inline import heat_map

        self._read("_repr_html_()", "Return the tensor and show it outside.")
        return f"<div>{heat_map(self._data)}</div>"

    # ---- its values, on the host ----
    def numpy(self) -> np.ndarray:
        """A NumPy copy of the values, on the host, outside any graph: later changes of one do not reach the other."""
        self._read("numpy()", "Return the tensor from the step and convert it outside.")
        return np.array(self.backend.to_numpy(self._data))

    def _read(self, what: str, remedy: str) -> None:
        """Tell a recorder that a value is about to leave the tensors, which it cannot follow."""
        if (recorder := current.get().recorder) is not None:
            recorder.read(self, what, remedy)
        elif born:
            from tapegrad.autograd.tapes.sites import read_elsewhere

            read_elsewhere(self)

    def item(self) -> Any:
        """The value of a tensor of one element as a Python number, outside any graph; else raises ValueError."""
        if self.size != 1:
            raise ValueError(
                f"item(), float(), int() and bool() need a tensor of one element, not shape {self.shape}: "
                "reduce it first, as with .sum() or .mean(), or index one element"
            )
        self._read(
            "item(), float(), int() or bool()",
            "Return the tensor and read it outside; choose with tg.where instead of if.",
        )
        return self.backend.to_numpy(self._data).item()

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers, outside any graph."""
        return self.numpy().tolist()

    # ---- its place in a graph ----
    def requires_grad_(self, value: bool = True) -> "Tensor":
        """Set whether this leaf requires grad; returns the tensor itself.

        Args:
            value: True to record what is done to it.

        Raises:
            TypeError: Integer and boolean tensors.
            RuntimeError: A tensor made by a recorded operation.
        """
        set_requires_grad(self, value, "requires_grad_: value")
        return self

    def retain_grad(self) -> "Tensor":
        """Have `backward()` keep the gradient of this tensor too, though it is not a leaf."""
        self.retains_grad = True
        return self

    def detach(self) -> "Tensor":
        """The same data outside any graph: no copy, no gradient. An optimizer moves its parameters to other memory."""
        result = Tensor(self._data)
        if (recorder := current.get().recorder) is not None:
            recorder.detached(self, result)
        return result

    def backward(
        self,
        cotangent: "TensorLike | None" = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
    ) -> None:
        """Add d(self)/d(leaf) to `.grad` of every leaf that requires grad.

        Args:
            cotangent: The gradient of the final value with respect to this tensor, of its shape; may be left out for a
                tensor of one element (then it is 1).
            retain_graph: Keep the graph for another backward (default: only with create_graph).
            create_graph: Record the backward pass itself, so that the gradients can be differentiated.
        """
        from tapegrad.autograd import backward  # half the time of an import of one of its names

        if create_graph is not False or retain_graph is not None:
            from tapegrad.autograd.arguments import truth

            create_graph = truth("backward: create_graph", create_graph)
            kept = create_graph if retain_graph is None else retain_graph
            retain_graph = truth("backward: retain_graph", kept)
        backward.accumulate_into_leaves(self, cotangent, bool(retain_graph), create_graph)

    def assign(self, value: "TensorLike") -> None:
        """Write new contents in place: same shape, dtype and device. For optimizers, buffers and loading.

        Only the numbers of the value are taken: no gradient flows through an assignment. A graph that was recorded with
        the old contents refuses a later backward pass.

        Args:
            value: What `tg.tensor` takes, of the tensor's shape. Tensors and arrays are cast to the tensor's dtype.

        Raises:
            ValueError: The shapes differ, or Python's number does not fit into integers.
        """
        from tapegrad.autograd.creation import from_data

        if not isinstance(value, Tensor):
            value = from_data("assign", value, self.dtype, self.device, copy=None)
        if value.shape != self.shape:
            raise ValueError(f"assign: this tensor has shape {self.shape}, the value {value.shape}")
        overwrite(self, value)

    def to(self, place: "str | DTypeLike") -> "Tensor":
        """A copy on another backend or device, or this tensor if it is there already; with a dtype, `astype`.

        Gradients flow back across the move.

        Args:
            place: A backend or device, "numpy", "cupy", "cuda:1", or a dtype.
        """
        from tapegrad.autograd.ops.shape import move

        if not isinstance(place, str) or place in DTYPE_NAMES:
            return self.astype(place, copy=False)
        backend, device = resolve(place)
        here = self.backend
        if backend is here and device in ("", self.device):
            return self
        return move(self, place=device or backend.name)

    def to_device(self, device: str, /, *, stream: "object" = None) -> "Tensor":
        """The array API standard's name for `to`.

        Args:
            device: A backend or device.
            stream: Must be None.
        """
        if stream is not None:
            raise ValueError("stream: only None is supported")
        resolve(device)  # raises for what is no device, which `to` may take for a dtype
        return self.to(device)

    def __copy__(self) -> "Tensor":
        """A copy with memory of its own: recorded if this is being differentiated, else a leaf like this one."""
        from tapegrad.autograd import copies

        return copies.recorded_copy(self) if copies.is_differentiated(self) else copies.leaf_copy(self)

    def __deepcopy__(self, memo: "dict[int, object]") -> "Tensor":
        from tapegrad.autograd import copies

        if self.node is not None:
            raise RuntimeError("only leaves can be deep-copied: use .detach() first")
        copies.refuse_lost("copy.deepcopy(t)", self)
        return copies.leaf_copy(self)

    def __reduce__(self) -> "tuple[object, ...]":
        raise TypeError(
            "tensors are not pickled (a pickle can run code when it is read): use tg.save and tg.load"
        )

    if TYPE_CHECKING:  # put in place by operators.py, as are the methods of `Methods`

        def __add__(self, other: "TensorLike") -> "Tensor": ...
        def __neg__(self) -> "Tensor": ...
        def __getitem__(self, index: "Index") -> "Tensor": ...
        def __setitem__(self, index: "Index", value: "TensorLike") -> None: ...
        def __iadd__(self, other: "TensorLike") -> "Self": ...
        def reshape(self, *shape: "int | Shape") -> "Tensor": ...
        def __eq__(self, other: "object") -> "Tensor": ...  # type: ignore[override]
        def __ne__(self, other: "object") -> "Tensor": ...  # type: ignore[override]

        __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __add__
        __pow__ = __rpow__ = __matmul__ = __rmatmul__ = __mod__ = __rmod__ = __floordiv__ = __rfloordiv__ = (
            __add__
        )
        __lt__ = __le__ = __gt__ = __ge__ = __and__ = __or__ = __xor__ = __rand__ = __ror__ = __rxor__ = (
            __add__
        )
        __isub__ = __imul__ = __itruediv__ = __ipow__ = __imatmul__ = __imod__ = __ifloordiv__ = __iadd__
        __pos__ = __abs__ = __invert__ = __neg__

        def transpose(self, *axes: int) -> "Tensor": ...
        @property
        def T(self) -> "Tensor": ...
        @property
        def mT(self) -> "Tensor": ...


class Parameter(Tensor):
    """A leaf that requires grad: what a Module trains.

    Args:
        data: A Tensor of floats, whose memory is shared, or what `tg.tensor` takes.
    """

    __slots__ = ()

    def __init__(self, data: "TensorLike") -> None:
        from tapegrad.autograd.creation import leaf_data

        super().__init__(leaf_data("tg.Parameter(t)", data, self))
        self.requires_grad_()
