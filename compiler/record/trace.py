"""Recording. A `Trace` listens to the primitives while the function runs once, and takes each apart into operations of
the array library by running its forward on arrays that write down what is done to them."""

from collections.abc import Callable
from functools import partial
from math import isfinite
from typing import Any
from weakref import ref

import numpy as np

from tapegrad.autograd import random
from tapegrad.autograd.ops.indexing import Slot
from tapegrad.autograd.primitive import Primitive
from tapegrad.autograd.recorder import Recorder
from tapegrad.autograd.tensor import Tensor, tick
from tapegrad.backends import backend_of
from tapegrad.compiler.ir.memory import order_of, share, span
from tapegrad.compiler.ir.operations import OPERATIONS, Kind, operation
from tapegrad.compiler.ir.program import Op, Origin, Program, Var, one_number
from tapegrad.compiler.record.labels import Labels, user_code
from tapegrad.compiler.record.symbols import Namespace, Symbol


class TraceError(RuntimeError):
    """The function does something that cannot be recorded."""


class Trace(Recorder):
    """Listens to one run of a function and builds its Program."""

    def __init__(
        self, arguments: list[tuple[str, Tensor]], names: dict[int, str], owners: dict[int, Tensor]
    ) -> None:
        self.program = Program()
        self.names = names  # id of a Tensor -> what the user calls it
        self.owners = owners  # id of an array -> the Tensor that may get another one later
        self.labels = Labels()
        self.begun = tick()
        self.eager: str | None = None  # why the recording will not do as a program
        self.modules: dict[
            Any, bool
        ] = {}  # that were called, and those inside -> whether they were in training
        self.searched: set[Any] = set()  # those whose own tensors are among the owners
        self.drawn: dict[tuple[int, int], Var] = {}  # (seed, number) -> the random numbers
        self.vars: dict[int, Var] = {}  # id of a raw array -> its Var
        self.alive: dict[
            int, ref[Any]
        ] = {}  # id -> the array; both are gone when it is, before the id is used again
        self.captured: list[Tensor] = []
        self.local: list[Tensor] = []  # those of them that the function made out of numbers
        self.arrays: list[Any] = []  # theirs, when they were captured
        self.gradients: dict[Tensor, Tensor | None] = {}  # leaf -> what its .grad became; None: dropped
        self.added_to: dict[Tensor, Tensor] = {}  # a gradient from before the call -> its leaf
        self.leaves: dict[Tensor, None] = {}  # whose gradients an optimizer asked for
        self.not_zeroed: list[Tensor] = []  # leaves whose .grad was not dropped before it was set
        self.changes: list[Callable[[], None]] = [partial(random.set_state, random.get_state())]  # to undo
        self.origin = Origin("", "")
        for name, t in arguments:
            self.program.arguments.append(self.know(t.data, self.var(name, t.data, "argument")))

    # ---- names and Vars ----
    def var(self, name: str, value: Any, kind: str = "made", constant: Any = None) -> Var:
        var = Var(self.labels.unique(name), value.shape, np.dtype(value.dtype), kind, constant)
        var.order = order_of(value)
        var.dense = bool(getattr(getattr(value, "flags", None), "c_contiguous", True))
        return var

    def know(self, array: Any, var: Var) -> Var:
        self.vars[id(array)] = var
        self.alive[id(array)] = ref(array, partial(self.forget, id(array)))
        return var

    def forget(self, key: int, _: Any) -> None:
        del self.vars[key], self.alive[key]

    def known(self) -> list[Any]:
        return [a for reference in self.alive.values() if (a := reference()) is not None]

    def var_of(self, t: Tensor) -> Var:
        """The Var of a Tensor; one that was not made here is captured, by reference: the Tensor that owns the array, if
        this is its `detach()`."""
        known = self.vars.get(id(t.data))
        if known is not None:
            return known
        if id(t) not in self.names:
            for module in [m for m in self.modules if m not in self.searched]:
                self.searched.add(module)
                self.owners |= {id(p.data): p for p in vars(module).values() if isinstance(p, Tensor)}
            owner = self.owners.get(id(t.data), t)
            t = owner if owner.data is t.data else t
        var = self.var(self.names.get(id(t), "const"), t.data, "captured")
        var.span = span(t.data)
        var.dense = bool(t.data.flags.c_contiguous)
        if t.changed > self.begun and not t.requires_grad:
            self.local.append(t)
        self.captured.append(t)
        self.arrays.append(t.data)
        self.program.captured.append(var)
        return self.know(t.data, var)

    def constant(self, value: Any) -> Symbol:
        on_host = np.asarray(backend_of(value).to_numpy(value))
        if on_host.size > 16 and one_number(on_host):  # kept as long as the program, in one element
            on_host = np.broadcast_to(on_host.flat[0], on_host.shape)
        return Symbol(value, self.var("c", value, "constant", on_host), self)

    # ---- events ----
    def primitive(self, primitive: Any, args: tuple[Any, ...], params: dict[str, Any], result: Any) -> None:
        self.origin = Origin(*user_code(primitive.name))
        self.lower(primitive, args, params, result)

    def gradient(self, leaf: Tensor, gradient: Tensor | None, before: Tensor | None) -> None:
        self.changes.append(partial(setattr, leaf, "_grad", before))
        if gradient is not None and leaf not in self.gradients:
            self.not_zeroed.append(leaf)
            if before is not None:
                self.added_to[before] = leaf
        self.gradients[leaf] = gradient

    def gradient_read(self, leaf: Tensor) -> None:
        self.leaves[leaf] = None
        if leaf not in self.gradients and leaf._grad is not None:
            self.added_to[leaf._grad] = leaf
        elif leaf not in self.gradients:
            self.not_zeroed.append(leaf)

    def reseeded(self) -> None:
        self.origin = Origin(*user_code("seed"))
        self.eager = f"it sets the seed of the random numbers: {self.origin.line}"

    def read(self, tensor: Tensor, what: str, remedy: str) -> None:
        self.origin = Origin(*user_code("read"))
        raise TraceError(
            f"tg.jit: {what} needs a number while the step is being recorded, which would be the same at "
            f"each later call. {remedy}\n  {self.origin.line}"
        )

    def module_called(self, module: Any) -> None:
        for _, m in module.named_modules():
            self.modules.setdefault(m, m.training)

    def write(self, target: Tensor, value: Tensor) -> None:
        self.origin = Origin(*user_code("write"))
        array = target.data
        self.changes.append(partial(array.__setitem__, ..., target.backend.asarray(array, copy=True)))
        into, source = self.var_of(target), self.var_of(value)
        if into.kind != "captured":
            if into.kind == "argument" or any(
                a is not target.data and share(a, target.data) for a in self.known()
            ):
                self.eager = f"it writes into an argument or a view: {self.origin.line}"
            copied = self.apply("copy", Symbol(value.data, source, self)).var
            self.vars[id(target.data)] = copied
            return
        if target.changed > self.begun and any(t is target for t in self.local):
            self.eager = f"it writes into a tensor that it makes itself: {self.origin.line}"
        after = Var(into.name, into.shape, into.dtype, "captured", None, into.span, into.dense)
        self.program.ops.append(Op("write", [into, source], {}, after, self.origin))
        # What shares memory with the target holds something new from here on.
        for array in self.known():
            var = self.vars.get(id(array))
            if var is not None and var.kind == "captured" and var.overlaps(into):
                self.vars[id(array)] = Var(
                    var.name, var.shape, var.dtype, "captured", None, var.span, var.dense
                )

    def undo(self) -> None:
        """Put tensors, their gradients and the random streams back to what they were when the run began."""
        for put_back in reversed(self.changes):
            put_back()
        for t, array in zip(self.captured, self.arrays):
            t.data = array

    def lower(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any], result: Any) -> None:
        """Take a primitive apart by running its forward on Symbols."""
        symbols = [Symbol(a.data, self.var_of(a), self) if isinstance(a, Tensor) else a for a in args]
        results = result if isinstance(result, tuple) else (result,)
        if primitive.name == "move":
            raise TraceError(
                f"tg.jit: a step that moves arrays between devices is not compiled\n  {self.origin.line}"
            )
        if primitive.name in SAME_FOR_A_SHAPE:
            self.know(results[0].data, self.constant(results[0].data).var)
            return
        if primitive.name in INDEXING:
            name = INDEXING[primitive.name] if len(args) > 1 or not basic(params["index"]) else "slice"
            self.know(results[0].data, self.apply(name, *symbols, **params).var)
            return
        if primitive.name == "random_uniform":
            draw = random.position()
            if draw in self.drawn:  # drawn again, by a checkpoint
                self.know(results[0].data, self.drawn[draw])
                return
            self.drawn[draw] = self.var(primitive.name, results[0].data)
        if primitive.forward is None or primitive.name == "random_uniform":
            out = self.drawn[draw] if primitive.forward else self.var(primitive.name, results[0].data)
            inputs = [s.var if isinstance(s, Symbol) else s for s in symbols]
            self.program.ops.append(Op(primitive.name, inputs, dict(params), out, self.origin))
            self.know(results[0].data, out)
            return
        if primitive.name == "multiply_from_zero" and isinstance(args[1], (int, float)) and isfinite(args[1]):
            self.know(results[0].data, self.apply("multiply", *symbols).var)  # 0 stays 0 without help
            return
        xp = results[0].backend.xp
        if primitive.name in KERNELS and xp is np:  # one kernel, as in eager
            self.know(results[0].data, self.apply(primitive.name, *symbols).var)
            return
        lowered = primitive.forward(Namespace(self, xp), *symbols, **params)
        for r, s in zip(results, lowered if isinstance(lowered, tuple) else (lowered,), strict=True):
            if id(r.data) not in self.vars and isinstance(s, Symbol):
                self.know(r.data, s.var)

    def apply(self, name: str, *inputs: Any, **params: Any) -> Symbol:
        """Write an operation down, and carry it out."""
        values = [i.value if isinstance(i, Symbol) else i for i in inputs]
        params.pop("copy", None)
        if params.get("axis") is not None and isinstance(inputs[0], Symbol):
            params["axis"] = plain_axis(params["axis"], inputs[0].ndim)
        xp = next((backend_of(v).xp for v in values if hasattr(v, "shape")), np)
        row = operation(name)
        value = xp.asarray(row.evaluate(values, params, xp))
        out = self.var(row.label or name, value)
        self.program.ops.append(
            Op(name, [i.var if isinstance(i, Symbol) else i for i in inputs], params, out, self.origin)
        )
        return Symbol(value, out, self)


SAME_FOR_A_SHAPE = ("numbered", "zeros_like", "ones_like")
WHOLE = [row for row in OPERATIONS.values() if row.primitive]  # primitives that are one operation
INDEXING = {row.primitive: row.name for row in WHOLE if row.kind is Kind.INDEX}
KERNELS = {row.primitive for row in WHOLE if row.kind is not Kind.INDEX}


def plain_axis(axis: Any, ndim: int) -> Any:
    """One way to write each axis, so that the same operation is known again."""
    axes = tuple(a % ndim for a in axis) if isinstance(axis, tuple) else (axis % ndim,)
    return axes[0] if len(axes) == 1 else axes


def basic(index: tuple[Any, ...]) -> bool:
    """Whether an index makes a view: integers, slices, new axes alone."""
    return not any(isinstance(i, (Slot, bool)) for i in index)
