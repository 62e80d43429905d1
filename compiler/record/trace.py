"""Recording. A `Trace` listens to the primitives while the function runs once, and takes each apart into operations of
the array library by running its forward on arrays that write down what is done to them."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from math import isfinite
from typing import Any
from weakref import ref

import numpy as np

from tapegrad.autograd import random
from tapegrad.autograd.aliases import Params, Value
from tapegrad.autograd.flags import current
from tapegrad.autograd.primitive import Primitive
from tapegrad.autograd.recorder import HostNumber, Recorder
from tapegrad.autograd.tensor import Node, Tensor
from tapegrad.autograd.writes import owner
from tapegrad.backends import Backend, backend_of
from tapegrad.backends.aliases import Array, ArrayModule
from tapegrad.compiler.aliases import Args
from tapegrad.compiler.errors import TraceError
from tapegrad.compiler.ir.memory import GrowingSpans, memory_of, order_of, share, span
from tapegrad.compiler.ir.operations import OPERATIONS, Kind, operation, plain_axis
from tapegrad.compiler.ir.program import Op, Origin, Program, Var, one_number
from tapegrad.compiler.record.calls import RecordedCalls
from tapegrad.compiler.record.host import HostNumbers
from tapegrad.compiler.record.labels import Labels, On, frame_of_the_user, line_of_the_user, rate_asked
from tapegrad.compiler.record.loops import Loop, emit_loop, recorded_loop
from tapegrad.compiler.record.symbols import Namespace, Symbol, basic, recorded_check, var_or_value
from tapegrad.compiler.watch.listen import unheard


class Trace(Recorder):
    """Listens to one run of a function and builds its Program.

    reason      why the recording will not do as a program: what was met first, with its line
    captured    the tensors that were there before, in the order they were met; `arrays`, what they held then
    written     name of an array that was written in place -> the line of the first write
    gradients   leaf -> what its .grad became; None: dropped
    gradients_before   leaf -> the gradient that it had when that was first asked; None: it had none

    beside      a context in which what runs is no part of the function

    strict: what cannot be recorded raises TraceError at once; else the run goes on, unrecorded, as without a trace.
    """

    compares = False

    def __init__(self, strict: bool) -> None:
        self.strict = strict
        self.reason: str | None = None
        self.program = Program()
        self.labels = Labels()
        # id of an array that shows a part of a captured one -> that tensor, and the index of the part
        self.view_of: dict[int, tuple[Tensor, Array]] = {}
        self.drawn: dict[tuple[int, int], Var] = {}  # (seed, number) -> the random numbers
        # id of a raw array -> the array, and its Var; another array may have the id once that one is gone
        self.vars: dict[int, tuple[ref[Any], Var]] = {}
        self.captured: list[Tensor] = []
        self.arrays: list[Array] = []
        self.spans = GrowingSpans()  # of the captured Vars, as they were first
        self.key_of: dict[Var, int] = {}  # one of these -> id of its array
        self.viewers: dict[int, set[int]] = {}  # id of memory -> ids of the bound arrays that look into it
        self.written: dict[str, str] = {}
        # id of an array that the function made -> a weak reference to it
        self.own: dict[int, Callable[[], Any]] = {}
        self.saved: set[int] = set()  # ids of the arrays whose contents can be put back
        self.gradients: dict[Tensor, Tensor | None] = {}
        self.gradients_before: dict[Tensor, Tensor | None] = {}
        self.host_numbers = HostNumbers()
        self.beside: Callable[[], AbstractContextManager[None]] = nullcontext
        self.kept: list[Any] = []  # alive until the end: modules and views that are known by their id
        self.modules: list[str] = []  # ids of those that are running, the innermost last
        self.node: Node | None = None  # the recorded call whose gradient rules are running
        self.around: list[Node | None] = []  # those in whose rules backward passes run
        self.parts: list[str] = []
        self.calls = RecordedCalls()
        self.module_of: dict[int, str] = {}  # id of a node -> the id of the module that it was made in
        self.changes: list[Callable[[], None]] = [partial(random.go_back, random.snapshot())]  # to undo
        self.moves = ""  # the line where an optimizer took up parameters that had their contents elsewhere
        self.origin = Origin("", "")
        self.origins: dict[Any, Origin] = {}  # ((file, line), part, module) -> what its operations share
        self.spread: dict[Var, Symbol | None] = {}  # what is one number, spread over a shape -> the number
        self.namespaces: dict[int, Namespace] = {}  # id of an array library -> what a forward sees as `xp`

    # ---- what cannot be recorded ----
    def refuse(self, what: str, remedy: str) -> None:
        """Note why this run will not do as a program; after a move the next run may."""
        line = line_of_the_user()
        if self.reason is None:
            self.reason = f"{what}{f' at {line}' if line else ''}. {remedy}"
        if self.strict and not self.moves:
            raise TraceError(f"tg.jit: {self.reason}")

    # ---- Vars ----
    def var(self, name: str, value: Any, kind: str = "made", constant: Any = None) -> Var:
        var = Var(self.labels.unique(name), value.shape, np.dtype(value.dtype), kind, constant)
        flags = getattr(value, "flags", None)
        if flags is not None and not flags.c_contiguous:
            var.order, var.dense = order_of(value), False
        return var

    def bind(self, array: Array, var: Var) -> Var:
        """From now on the array is what the Var stands for, until the array is gone."""
        self.vars[id(array)] = ref(array), var
        self.viewers.setdefault(memory_of(array), set()).add(id(array))
        return var

    def bound(self, array: Array) -> Var | None:
        """What the array stands for, if it is bound."""
        alive, var = self.vars.get(id(array), UNBOUND)
        return var if alive() is array else None

    def others_in_memory_of(self, array: Array) -> list[Array]:
        """The bound arrays that share memory with a bound one."""
        ids = self.viewers[memory_of(array)] - {id(array)}
        others = [self.vars[key][0]() for key in ids]
        return [other for other in others if other is not None and share(other, array)]

    def var_of(self, t: Tensor) -> Var:
        """The Var of a Tensor; one that was not made here is captured."""
        bound = self.bound(t.data)
        if bound is not None:
            return bound
        provisional = f"?{len(self.captured)}"  # the user's name is known when the run is over
        var = Var(provisional, t.data.shape, np.dtype(t.data.dtype), "captured")
        var.order, var.span = order_of(t.data), span(t.data)
        var.dense = bool(t.data.flags.c_contiguous)
        self.captured.append(t)
        self.arrays.append(t.data)
        self.program.captured.append(var)
        self.spans.add(var)
        self.key_of[var] = id(t.data)
        return self.bind(t.data, var)

    def constant(self, value: object) -> Symbol:
        on_host = np.asarray(backend_of(value).to_numpy(value))
        if on_host.size > 16 and one_number(on_host):  # kept as long as the program, in one element
            on_host = np.broadcast_to(on_host.flat[0], on_host.shape)
        return Symbol(value, self.var("c", value, "constant", on_host), self)

    # ---- events ----
    def primitive(self, primitive: Primitive, args: Args, params: Params, result: Any) -> None:
        given = {id(a.data) for a in args if isinstance(a, Tensor)}
        for r in result if isinstance(result, tuple) else (result,):
            if id(r.data) not in given:
                self.own[id(r.data)] = ref(r.data)
        if current.get().anomaly:
            self.refuse("it looks for NaN and Inf under tg.detect_anomaly()", "Put that around the call")
        if self.reason is None:
            with unheard():
                self.origin = self.here(primitive.name)
                node = (result[0] if isinstance(result, tuple) else result).node
                if node is not None:
                    self.module_of[id(node)] = self.origin.module
                start = len(self.program.ops)
                try:
                    self.expand(primitive, args, params, result)
                    self.calls.add(primitive, result, self.node, self.program.ops[start:], self.bound)
                except TraceError:
                    raise
                except Exception as error:  # eager has just done it: what fails is to record it
                    self.refuse(
                        f"the forward of {primitive.name} cannot be recorded ({type(error).__name__}: {error})",
                        "Write it with the functions of xp and with operators",
                    )

    def here(self, part: str) -> Origin:
        """Where an operation comes from: it belongs to a gradient rule or an optimizer before a primitive."""
        module = self.modules[-1] if self.modules else ""
        if (node := self.node) is not None:
            part, module = f"gradient of {node.primitive.name}", self.module_of.get(id(node), "")
        frame = frame_of_the_user()
        place = (frame.f_code.co_filename, frame.f_lineno) if frame is not None else None
        key = place, self.parts[-1] if self.parts else part, module
        origin = self.origins.get(key)
        if origin is None:
            origin = self.origins[key] = Origin(line_of_the_user(), *key[1:])
        return origin

    def module(self, module: Any) -> "On":
        self.kept.append(module)
        return On(self.modules, str(id(module)))  # named at the end

    def backward(self, outputs: list[Any]) -> None:
        self.around.append(self.node)

    def rule(self, node: Node | None) -> None:
        self.node = self.around.pop() if node is None else node

    def part(self, name: str) -> "On":
        return On(self.parts, name)

    def made(self, tensor: Tensor, shared: bool) -> None:
        """A copy of the numbers is part of the program; that they are the same each time is seen by recording twice."""
        if not shared:
            self.own[id(tensor.data)] = ref(tensor.data)
        if self.reason is None:
            with unheard():
                self.origin = self.here("numbers")
                copied = tensor.backend.asarray(tensor.data, copy=True)
                self.bind(tensor.data, self.constant(copied).var)

    def gradient(self, leaf: Tensor, gradient: Tensor | None, before: Tensor | None) -> None:
        self.changes.append(partial(setattr, leaf, "_grad", before))
        if gradient is not None and before is None and leaf not in self.gradients:
            self.gradients_before.setdefault(leaf, None)
        self.gradients[leaf] = gradient

    def gradient_read(self, leaf: Tensor) -> None:
        if leaf not in self.gradients:
            self.gradients_before.setdefault(leaf, leaf._grad)

    def moved(self, tensor: Tensor, view: object) -> None:
        self.moves = self.moves or line_of_the_user()
        self.save(view, tensor.backend)
        self.changes.append(partial(setattr, tensor, "_data", tensor.data))

    def failed(self, primitive: Primitive, args: Args) -> None:
        what = f"{primitive.name} raised an error that was caught, and that may depend on the values,"
        self.refuse(what, "Look at them outside")  # where nobody catches it, the run is over

    def host_number(self, number: HostNumber) -> None:
        with self.beside():
            self.host_numbers.add(self, number)

    def restructured(self, names: str) -> None:
        self.refuse(
            f"it sets {names} to or from None, 0, True or False, which makes another step,", "Do so outside"
        )

    checked = recorded_check

    def outside(self, what: str) -> None:
        self.refuse(f"it calls {what}", "Call it outside")

    def reseeded(self) -> None:
        self.refuse("it sets the seed of the random numbers", "Call tg.manual_seed outside")

    def read(self, tensor: Tensor, what: str, remedy: str) -> None:
        if self.reason is not None:
            return
        var = self.bound(tensor.data)
        name = f"{var.name}, " if var is not None and var.kind != "captured" else ""
        line = line_of_the_user().partition(": ")[2]
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
        # An object that the function made may outlive the run, with what was written to its arrays, or to views of
        # them. The state of an optimizer is put back with the parameters.
        if self.parts or not self.made_here(owner(array)):
            self.save(array, target.backend)
        if self.reason is not None:
            return
        with unheard():
            self.origin = self.here("write")
            self.record_write(target, value)

    def made_here(self, array: Array) -> bool:
        return self.own.get(id(array), UNBOUND[0])() is array

    def save(self, array: Array, backend: Backend) -> None:
        """Keep what an array holds, to be put back. What it held first counts; `changes` keeps the array alive."""
        writable = getattr(array.flags, "writeable", True)  # else the write will raise
        if id(array) not in self.saved and writable:
            self.saved.add(id(array))
            self.changes.append(partial(array.__setitem__, ..., backend.asarray(array, copy=True)))

    def record_write(self, target: Tensor, value: Tensor) -> None:
        into, source = self.var_of(target), self.var_of(value)
        if source.dtype != into.dtype:  # a cast of its own, so that no other is lost in the write
            source = self.emit_op("astype", Symbol(value.data, source, self), dtype=into.dtype).var
        if into.kind != "captured":
            if (seen := self.view_of.get(id(target.data))) is not None and self.bound(seen[0].data):
                base, index = seen  # b[1:] += x is a write into b
                whole = Symbol(base.data, self.var_of(base), self)
                made = self.emit_op("put_at", whole, Symbol(value.data, source, self), index=index)
                self.write_captured(self.var_of(base), made.var)
                return
            if self.others_in_memory_of(target.data):
                self.refuse(
                    "it writes into a view, or into what has one,",
                    "Write into the tensor itself before it has views, as in t[i] = v, or into a copy, t + 0",
                )
                return
            self.bind(target.data, self.emit_op("copy", Symbol(value.data, source, self)).var)
            return
        self.write_captured(into, source)

    def write_captured(self, into: Var, source: Var) -> None:
        """What was there before holds something new from here on, and so does what shares memory with it."""
        self.written.setdefault(into.name, self.origin.line)
        self.program.ops.append(Op("write", [into, source], {}, replace(into), self.origin))
        for first in self.spans.overlapping(into):
            key = self.key_of[first]
            array, var = self.vars[key]
            if var.kind == "captured":
                self.vars[key] = array, replace(var)

    def undo(self) -> None:
        """Put tensors, their gradients and the random streams back to what they were when the run began."""
        for t, array in zip(reversed(self.captured), reversed(self.arrays)):
            t._data = array  # in the end the one that it had first
        for put_back in reversed(self.changes):
            put_back()

    # ---- operations ----
    def loop(self, *loop: Any) -> Loop | None:
        return recorded_loop(self, *loop) if self.reason is None else None

    def expand(self, primitive: Primitive, args: tuple[Value, ...], params: Params, result: Any) -> None:
        """Take a primitive apart by running its forward on Symbols."""
        symbols = [Symbol(a.data, self.var_of(a), self) if isinstance(a, Tensor) else a for a in args]
        results = result if isinstance(result, tuple) else (result,)
        array, name, xp = results[0].data, primitive.name, results[0].backend.xp
        if primitive.loop is not None:
            emit_loop(self, primitive.loop, list(args[: primitive.loop.inputs]), results)
        elif name == "move":
            self.refuse("it moves arrays between devices", "Move them outside")
        elif name in SAME_FOR_A_SHAPE:
            self.bind(array, self.constant(array).var)
        elif name in INDEXING:
            by_slices = len(args) == 1 and basic(params["index"])
            if by_slices and symbols[0].var.kind == "captured":
                self.view_of[id(array)] = args[0], params["index"]
                self.kept.append(array)
            self.bind(array, self.emit_op("slice" if by_slices else INDEXING[name], *symbols, **params).var)
        elif name == "random_uniform":
            self.bind(array, self.drawn_var(symbols, params, array))
        elif primitive.forward is None:
            self.bind(array, self.emit_whole(name, symbols, params, array))
        elif name == "multiply_from_zero" and isinstance(args[1], (int, float)) and isfinite(args[1]):
            # 0 stays 0 without help. What is one number spread over a shape, is so afterwards.
            one = self.spread.get(symbols[0].var) if xp is np and not any(array.strides) else None
            product = self.emit_op("multiply", symbols[0] if one is None else one, symbols[1])
            if one is not None:
                product = self.emit_op("broadcast_to", product, shape=array.shape)
            self.bind(array, product.var)
        elif name in KERNELS and xp is np:  # one kernel, as in eager
            self.bind(array, self.emit_op(name, *symbols).var)
        else:
            parts = primitive.forward(self.namespace(xp), *symbols, **params)
            for r, part in zip(results, parts if isinstance(parts, tuple) else (parts,), strict=True):
                if isinstance(part, Symbol) and self.bound(r.data) is None:
                    self.bind(r.data, part.var)

    def namespace(self, xp: ArrayModule) -> Namespace:
        """What a forward sees as `xp`."""
        if id(xp) not in self.namespaces:
            self.namespaces[id(xp)] = Namespace(self, xp)
        return self.namespaces[id(xp)]

    def drawn_var(self, symbols: list[object], params: Params, array: Array) -> Var:
        """The Var of random numbers; the same one where a checkpoint draws them again."""
        draw = random.position()
        if draw not in self.drawn:
            self.drawn[draw] = self.emit_whole("random_uniform", symbols, params, array)
        return self.drawn[draw]

    def emit_whole(self, name: str, symbols: list[object], params: Params, array: Array) -> Var:
        """Write a primitive down as one operation, which eager has carried out."""
        out = self.var(name, array)
        self.program.ops.append(Op(name, [*map(var_or_value, symbols)], dict(params), out, self.origin))
        return out

    def emit_op(self, name: str, *inputs: Any, **params: object) -> Symbol:
        """Write an operation down, and carry it out."""
        values = [i.value if isinstance(i, Symbol) else i for i in inputs]
        params.pop("copy", None)
        if params.get("axis") is not None and isinstance(inputs[0], Symbol):
            params["axis"] = plain_axis(params["axis"], inputs[0].ndim)
        xp = next((backend_of(v).xp for v in values if hasattr(v, "shape")), np)
        row = operation(name)
        value = xp.asarray(row.evaluate(values, params, xp))
        out = self.var(row.label or name, value)
        self.program.ops.append(Op(name, [*map(var_or_value, inputs)], params, out, self.origin))
        if xp is np and value.ndim and not any(value.strides) and isinstance(inputs[0], Symbol):
            self.spread[out] = inputs[0] if values[0].size == 1 else self.spread.get(inputs[0].var)
        return Symbol(value, out, self)


UNBOUND: tuple[Any, Any] = (lambda: None, None)
SAME_FOR_A_SHAPE = ("numbered", "zeros_like", "ones_like")
WHOLE = [row for row in OPERATIONS.values() if row.primitive]  # primitives that are one operation
INDEXING = {row.primitive: row.name for row in WHOLE if row.kind is Kind.INDEX}
KERNELS = {row.primitive for row in WHOLE if row.kind is not Kind.INDEX}
