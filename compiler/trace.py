"""Recording. A `Trace` listens to the primitives while the function runs once, and takes each apart into operations of
the array library by running its forward on arrays that write down what is done to them."""

import builtins
import keyword
import linecache
import re
import sys
from collections.abc import Callable
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np

from tapegrad.autograd import random
from tapegrad.autograd.ops.indexing import Slot
from tapegrad.autograd.primitive import OWN_FOLDERS, Primitive
from tapegrad.autograd.tensor import GRAD, READ, SEED, USE, WRITE, Tensor, tick
from tapegrad.backends import backend_of
from tapegrad.compiler.operations import run_op
from tapegrad.compiler.program import Op, Origin, Program, Var, one_number, share, span


class TraceError(RuntimeError):
    """The function does something that cannot be recorded."""


class Symbol:
    """An array under a primitive's forward: the real one, for values and shapes, and the Var that stands for it."""

    __array_priority__ = 1000
    __array_ufunc__ = None

    def __init__(self, value: Any, var: Var, trace: "Trace") -> None:
        self.value, self.var, self.trace = value, var, trace

    shape = property(lambda self: self.value.shape)
    dtype = property(lambda self: self.value.dtype)
    ndim = property(lambda self: self.value.ndim)
    size = property(lambda self: self.value.size)
    device = property(lambda self: self.value.device)

    def __bool__(self) -> bool:
        """A forward that chooses by value: the choice is checked again at each call."""
        choice = bool(self.value)
        self.trace.apply("guard", self, expected=choice)
        return choice

    def min(self) -> Any:
        return self.value.min()

    def max(self) -> Any:
        return self.value.max()

    @property
    def T(self) -> "Symbol":
        return self.trace.apply("permute_dims", self, axes=tuple(reversed(range(self.ndim))))

    def __getitem__(self, index: Any) -> "Symbol":
        parts = index if isinstance(index, tuple) else (index,)
        return self.trace.apply("slice", self, index=parts)


def _operators() -> None:
    table = {
        "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "floordiv": "floor_divide",
        "mod": "remainder", "pow": "power", "matmul": "matmul", "and": "bitwise_and", "or": "bitwise_or",
        "xor": "bitwise_xor", "eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater",
        "ge": "greater_equal",
    }  # fmt: skip
    for short, name in table.items():
        setattr(Symbol, f"__{short}__", lambda a, b, name=name: a.trace.apply(name, a, b))
        setattr(Symbol, f"__r{short}__", lambda a, b, name=name: a.trace.apply(name, b, a))
        setattr(Symbol, f"__i{short}__", lambda a, b, name=name: a.trace.apply(name, a, b))
    for short, name in {
        "neg": "negative",
        "pos": "positive",
        "invert": "bitwise_invert",
        "abs": "abs",
    }.items():
        setattr(Symbol, f"__{short}__", lambda a, name=name: a.trace.apply(name, a))


_operators()


class Namespace:
    """What a forward sees as `xp`: the array library, with every call written down."""

    def __init__(self, trace: "Trace", xp: Any) -> None:
        self.trace, self.xp = trace, xp

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.xp, name)
        if not callable(real) or isinstance(real, type):
            return real
        trace = self.trace
        if name == "arange":  # CuPy's takes no device
            return lambda *args, dtype=None, device=None: trace.constant(real(*args, dtype=dtype))
        if name in ("zeros_like", "ones_like", "full_like"):

            def made(*args: Any, **options: Any) -> Symbol:
                return trace.constant(
                    real(*[a.value if isinstance(a, Symbol) else a for a in args], **options)
                )

            return made
        if name == "asarray":
            return lambda x, copy=None: trace.apply("copy", x) if copy else x
        if name == "concat":
            return lambda arrays, axis=0: trace.apply("concat", *arrays, axis=axis)
        spelled = POSITIONAL.get(name)

        def call(*args: Any, **options: Any) -> Symbol:
            if spelled:
                count, names = spelled
                options = {**dict(zip(names, args[count:])), **options}
                args = args[:count]
            return trace.apply(name, *args, **options)

        return call


# Functions whose later positional arguments are plain values: (how many arrays, the names of the rest).
POSITIONAL = {
    "reshape": (1, ("shape",)), "permute_dims": (1, ("axes",)), "broadcast_to": (1, ("shape",)),
    "astype": (1, ("dtype",)), "clip": (1, ("min", "max")),
}  # fmt: skip


class Trace:
    """Listens to one run of a function and builds its Program."""

    def __init__(
        self, arguments: list[tuple[str, Tensor]], names: dict[int, str], owners: dict[int, Tensor]
    ) -> None:
        self.program = Program()
        self.names = names  # id of a Tensor -> what the user calls it
        self.owners = owners  # id of an array -> the Tensor that may get another one later
        self.used: dict[str, int] = dict.fromkeys((*dir(np), *dir(builtins), *keyword.kwlist, *OURS), 0)
        self.taken = set(self.used)
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
        base = (
            name
            if name.isidentifier()
            else "".join(c if c.isalnum() else "_" for c in name).strip("_") or "v"
        )
        base += "_" * bool(RESERVED.fullmatch(base))
        number = self.used.get(base, -1) + 1
        join = "__" if RESERVED.fullmatch(f"{base}_1") else "_"  # a second "c" is no c_1, which is a constant
        while (unique := f"{base}{join}{number}" if number else base) in self.taken:
            number += 1
        self.used[base] = number
        self.taken.add(unique)
        return Var(unique, value.shape, np.dtype(value.dtype), kind, constant)

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
    def __call__(self, primitive: Any, args: tuple[Any, ...], params: dict[str, Any], result: Any) -> None:
        self.origin = Origin(*user_code(primitive.name))
        if primitive is WRITE:
            array = args[0].data
            self.changes.append(partial(array.__setitem__, ..., args[0].backend.asarray(array, copy=True)))
            self.write(*args)
        elif primitive is GRAD:
            leaf, gradient, before = args
            self.changes.append(partial(setattr, leaf, "grad", before))
            if gradient is not None and leaf not in self.gradients:
                self.not_zeroed.append(leaf)
                if before is not None:
                    self.added_to[before] = leaf
            self.gradients[leaf] = gradient
        elif primitive is USE:
            (leaf,) = args
            self.leaves[leaf] = None
            if leaf not in self.gradients and leaf.grad is not None:
                self.added_to[leaf.grad] = leaf
            elif leaf not in self.gradients:
                self.not_zeroed.append(leaf)
        elif primitive is SEED:
            self.eager = f"it sets the seed of the random numbers: {self.origin.line}"
        elif primitive is READ:
            raise TraceError(
                f"tg.jit: {params['what']} needs a number while the step is being recorded, which would be the same at "
                f"each later call. {params['remedy']}\n  {self.origin.line}"
            )
        else:
            self.lower(primitive, args, params, result)

    def write(self, target: Tensor, value: Tensor) -> None:
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
        value = xp.asarray(run_op(name, values, params, xp))
        out = self.var(SHORT.get(name, name), value)
        self.program.ops.append(
            Op(name, [i.var if isinstance(i, Symbol) else i for i in inputs], params, out, self.origin)
        )
        return Symbol(value, out, self)


OURS = (
    *("np", "math", "njit", "prange", "erf", "s_", "index_add", "step", "build", "draw", "program", "turn"),
    *("values", "best", "first", "value", "rows", "inf", "nan", "numba_math", "cut", "dot"),
    *("cupy", "ElementwiseKernel", "ReductionKernel", "get_backend", "index_get", "index_set"),
    *(
        "products",
        "replay",
        "check",
        "check_bounds",
        "build_checks",
        "added",
        "Captured",
        "Products",
        "scatter_add",
    ),
)
# Names that the emitters give.
RESERVED = re.compile(
    r"(buffer|constant|gradient|drawn|out|work|loop|at|parts|cache)(_.*)?|(c|n|i|k)_?\d.*|c_(minus|inf|nan).*|i_."
    r"|.+_(here|flat|total|value|low|bits|part|taken)(_\d+)?"
)
SAME_FOR_A_SHAPE = ("numbered", "zeros_like", "ones_like")
INDEXING = {"getitem": "take_at", "index_update": "put_at", "index_add_at": "add_at"}


def plain_axis(axis: Any, ndim: int) -> Any:
    """One way to write each axis, so that the same operation is known again."""
    axes = tuple(a % ndim for a in axis) if isinstance(axis, tuple) else (axis % ndim,)
    return axes[0] if len(axes) == 1 else axes


def basic(index: tuple[Any, ...]) -> bool:
    """Whether an index makes a view: integers, slices, new axes alone."""
    return not any(isinstance(i, (Slot, bool)) for i in index)


SHORT = {"permute_dims": "transposed", "broadcast_to": "spread", "reshape": "shaped", "slice": "part"}
COMMANDS = str(Path(__file__).parent.parent / "cli")  # no lines of the user's


def user_code(part: str) -> tuple[str, str]:
    """(file:line: code of the innermost frame that is the user's, what is being done)."""
    frame: Any = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename.startswith(OWN_FOLDERS):
        inside = frame.f_locals
        if frame.f_code.co_name in ("apply_rules", "backward_pass") and "node" in inside:
            part = f"gradient of {inside['node'].primitive.name}"
        elif frame.f_code.co_name in ("_advance", "step") and hasattr(inside.get("self"), "flats"):
            part = type(inside["self"]).__name__
        frame = frame.f_back
    if frame is None or frame.f_code.co_filename.startswith(COMMANDS):
        return "", part
    path, number = frame.f_code.co_filename, frame.f_lineno
    return f"{path.rpartition('/')[2]}:{number}: {linecache.getline(path, number).strip()}", part
