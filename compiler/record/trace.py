"""Recording. A `Trace` listens to the primitives while the function runs once, and takes each apart into operations of
the array library by running its forward on arrays that write down what is done to them."""

import re
import sys
from collections.abc import Callable
from functools import partial
from math import isfinite
from typing import Any
from weakref import ref

import numpy as np

from tapegrad.autograd import random
from tapegrad.autograd.ops.indexing import Slot
from tapegrad.autograd.primitive import OWN_FOLDERS, Primitive
from tapegrad.autograd.recorder import Recorder
from tapegrad.autograd.tensor import Tensor, tick
from tapegrad.backends import backend_of
from tapegrad.compiler.errors import TraceError
from tapegrad.compiler.ir.memory import order_of, share, span
from tapegrad.compiler.ir.operations import OPERATIONS, Kind, operation
from tapegrad.compiler.ir.program import Op, Origin, Program, Var, one_number
from tapegrad.compiler.record.labels import Labels, user_line
from tapegrad.compiler.record.symbols import Namespace, Symbol
from tapegrad.compiler.watch.listen import unheard


def memory_of(array: Any) -> int:
    """The id of the array that owns the memory that this one looks into."""
    base = array.base
    while type(base) is type(array):
        array, base = base, base.base
    return id(array)


class On:
    """`with On(stack, item):` the item is on top of the stack inside."""

    __slots__ = ("item", "stack")

    def __init__(self, stack: list[Any], item: Any) -> None:
        self.stack, self.item = stack, item

    def __enter__(self) -> None:
        self.stack.append(self.item)

    def __exit__(self, *error: object) -> None:
        self.stack.pop()


class Trace(Recorder):
    """Listens to one run of a function and builds its Program.

    reason      why the recording will not do as a program: what was met first, with its line
    captured    the tensors that were there before, as they came, and their arrays then
    gradients   leaf -> what its .grad became; None: dropped
    had_gradient   leaf -> whether it had one when that was first asked, for leaves where the program depends on it
    before      id of a gradient from before the call -> its leaf

    strict: what cannot be recorded raises TraceError at once; else the run goes on, unrecorded, as without a trace.
    """

    def __init__(self, strict: bool) -> None:
        self.strict = strict
        self.reason: str | None = None
        self.program = Program()
        self.labels = Labels()
        self.begun = tick()
        # id of an array that shows a part of a captured one -> that tensor, and the index of the part
        self.view_of: dict[int, tuple[Tensor, Any]] = {}
        self.drawn: dict[tuple[int, int], Var] = {}  # (seed, number) -> the random numbers
        self.vars: dict[int, Var] = {}  # id of a raw array -> its Var
        # id -> the array; both are gone when it is, before the id is used again
        self.alive: dict[int, ref[Any]] = {}
        self.captured: list[Tensor] = []
        self.arrays: list[Any] = []
        self.sharing: dict[
            int, list[int]
        ] = {}  # id of memory -> ids of the captured arrays that look into it
        self.written: dict[str, str] = {}  # name of what was written in place -> the line
        self.gradients: dict[Tensor, Tensor | None] = {}
        self.had_gradient: dict[Tensor, bool] = {}
        self.before: dict[int, Tensor] = {}
        self.kept: list[Any] = []  # alive until the end: gradients that are known by their id
        self.modules: list[str] = []  # ids of those that are running, the innermost last
        self.node: Any = None  # the recorded call whose gradient rules are running
        self.parts: list[str] = []
        self.module_of: dict[int, str] = {}  # id of a node -> the id of the module that it was made in
        self.changes: list[Callable[[], None]] = [partial(random.go_back, random.snapshot())]  # to undo
        self.origin = Origin("", "")

    # ---- what cannot be recorded ----
    def refuse(self, what: str, remedy: str) -> None:
        """Note why this run will not do as a program."""
        line = user_line()
        if self.reason is None:
            self.reason = f"{what}{f' at {line}' if line else ''}. {remedy}"
        if self.strict:
            raise TraceError(f"tg.jit: {self.reason}")

    # ---- Vars ----
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
        self.vars.pop(key, None)
        self.alive.pop(key, None)

    def known(self) -> list[Any]:
        return [a for reference in self.alive.values() if (a := reference()) is not None]

    def var_of(self, t: Tensor) -> Var:
        """The Var of a Tensor; one that was not made here is captured."""
        known = self.vars.get(id(t.data))
        if known is not None:
            return known
        var = Var(
            f"?{len(self.captured)}", t.data.shape, np.dtype(t.data.dtype), "captured"
        )  # named at the end
        var.order, var.span = order_of(t.data), span(t.data)
        var.dense = bool(t.data.flags.c_contiguous)
        self.captured.append(t)
        self.arrays.append(t.data)
        self.sharing.setdefault(memory_of(t.data), []).append(id(t.data))
        self.program.captured.append(var)
        return self.know(t.data, var)

    def constant(self, value: Any) -> Symbol:
        on_host = np.asarray(backend_of(value).to_numpy(value))
        if on_host.size > 16 and one_number(on_host):  # kept as long as the program, in one element
            on_host = np.broadcast_to(on_host.flat[0], on_host.shape)
        return Symbol(value, self.var("c", value, "constant", on_host), self)

    # ---- events ----
    def primitive(self, primitive: Any, args: tuple[Any, ...], params: dict[str, Any], result: Any) -> None:
        if self.reason is None:
            with unheard():
                self.origin = self.here(primitive.name)
                node = (result[0] if isinstance(result, tuple) else result).node
                if node is not None:
                    self.module_of[id(node)] = self.origin.module
                self.lower(primitive, args, params, result)

    def here(self, part: str) -> Origin:
        """Where an operation comes from: it belongs to a gradient rule or an optimizer before a primitive."""
        module = self.modules[-1] if self.modules else ""
        if (node := self.node) is not None:
            part, module = f"gradient of {node.primitive.name}", self.module_of.get(id(node), "")
        return Origin(user_line(), self.parts[-1] if self.parts else part, module)

    def module(self, module: Any) -> "On":
        self.kept.append(module)
        return On(self.modules, str(id(module)))  # named at the end

    def rule(self, node: Any) -> None:
        self.node = node

    def part(self, name: str) -> "On":
        return On(self.parts, name)

    def made(self, tensor: Tensor) -> None:
        """A copy of the numbers is part of the program; that they are the same each time is seen by recording twice."""
        if self.reason is None:
            with unheard():
                self.origin = self.here("numbers")
                copied = tensor.backend.asarray(tensor.data, copy=True)
                self.know(tensor.data, self.constant(copied).var)

    def gradient(self, leaf: Tensor, gradient: Tensor | None, before: Tensor | None) -> None:
        self.changes.append(partial(setattr, leaf, "_grad", before))
        self.kept.append(before)
        if gradient is not None and before is None and leaf not in self.gradients:
            self.had_gradient.setdefault(leaf, False)
        self.gradients[leaf] = gradient

    def gradient_read(self, leaf: Tensor) -> None:
        if leaf in self.gradients:
            return
        self.had_gradient.setdefault(leaf, leaf._grad is not None)
        if leaf._grad is not None:
            self.before[id(leaf._grad)] = leaf
            self.kept.append(leaf._grad)

    def reseeded(self) -> None:
        self.refuse("it sets the seed of the random numbers", "Call tg.manual_seed outside")

    def read(self, tensor: Tensor, what: str, remedy: str) -> None:
        if self.reason is not None:
            return
        var = self.vars.get(id(tensor.data))
        name = f"{var.name}, " if var is not None and var.kind != "captured" else ""
        line = user_line().partition(": ")[2]
        if asked := rate_asked():
            what, remedy = asked, f"Set and read {asked} outside the step: the program follows it."
        elif re.search(r"\bprint\(|\blog(ger|ging)?\.", line):
            what, remedy = "print", "Print what the step returns, outside."
        self.refuse(
            f"{what} needs the number in {name}{tensor.dtype}{list(tensor.shape)}, which is not there while a "
            "program runs:",
            remedy,
        )

    def write(self, target: Tensor, value: Tensor) -> None:
        array = target.data
        self.changes.append(partial(array.__setitem__, ..., target.backend.asarray(array, copy=True)))
        if self.reason is not None:
            return
        with unheard():
            self.origin = self.here("write")
            self.record_write(target, value)

    def record_write(self, target: Tensor, value: Tensor) -> None:
        into, source = self.var_of(target), self.var_of(value)
        if into.kind != "captured":
            if (seen := self.view_of.get(id(target.data))) is not None and self.vars.get(id(seen[0].data)):
                base, index = seen  # b[1:] += x is a write into b
                whole = Symbol(base.data, self.var_of(base), self)
                made = self.apply("put_at", whole, Symbol(value.data, source, self), index=index)
                self.write_captured(base, self.var_of(base), made.var)
                return
            if any(a is not target.data and share(a, target.data) for a in self.known()):
                self.refuse(
                    "it writes into a view, or into what has one,",
                    "Write into the tensor itself, as in t[i] = v",
                )
                return
            copied = self.apply("copy", Symbol(value.data, source, self)).var
            self.vars[id(target.data)] = copied
            return
        self.write_captured(target, into, source)

    def write_captured(self, target: Tensor, into: Var, source: Var) -> None:
        """What was there before holds something new from here on, and so does what shares memory with it."""
        self.written.setdefault(into.name, self.origin.line)
        after = Var(into.name, into.shape, into.dtype, "captured", None, into.span, into.dense)
        self.program.ops.append(Op("write", [into, source], {}, after, self.origin))
        for key in self.sharing[memory_of(target.data)]:
            var = self.vars.get(key)
            if var is not None and var.kind == "captured" and var.overlaps(into):
                self.vars[key] = Var(var.name, var.shape, var.dtype, "captured", None, var.span, var.dense)

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
            self.refuse("it moves arrays between devices", "Move them outside")
            return
        if primitive.name in SAME_FOR_A_SHAPE:
            self.know(results[0].data, self.constant(results[0].data).var)
            return
        if primitive.name in INDEXING:
            name = INDEXING[primitive.name] if len(args) > 1 or not basic(params["index"]) else "slice"
            if name == "slice" and symbols[0].var.kind == "captured":
                self.view_of[id(results[0].data)] = args[0], params["index"]
                self.kept.append(results[0].data)
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


def rate_asked() -> str:
    """ "opt.lr", if a number is needed because the user's code asks an optimizer for it."""
    frame: Any = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename.startswith(OWN_FOLDERS):
        if frame.f_code.co_qualname in ("Optimizer.lr", "Group.lr", "Optimizer.steps"):
            return f"opt.{frame.f_code.co_name}"
        frame = frame.f_back
    return ""


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
