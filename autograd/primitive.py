"""`Primitive`: a name, a forward on raw arrays, and one gradient rule (vjp) per array argument."""

import inspect
from collections.abc import Callable, Container, Sequence
from typing import Any, NoReturn

from tapegrad.autograd.aliases import Array, ArrayModule, Function, Params, Result, Value
from tapegrad.autograd.diagnostics import all_finite, describe, user_line
from tapegrad.autograd.dtypes import FLOATS, common_dtype, is_floating
from tapegrad.autograd.flags import Flags, current
from tapegrad.autograd.foreign import BY_POSITION, by_position, unknown_keyword
from tapegrad.autograd.signatures import signature as signature_of
from tapegrad.autograd.tensor import Node, Tensor
from tapegrad.backends import BY_TYPE, BackendError, backend_of

SCALARS = (bool, int, float)  # go to the forward as they are and take the arrays' dtype
REGISTRY: dict[str, "Primitive"] = {}
# What a forward may raise; anything else comes from outside, such as the handler of an alarm.
EXPLAINED = (
    AttributeError,
    IndexError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
    ZeroDivisionError,
)

EVERY = range(-1, 1 << 20)  # the result and each argument, however many there are

Rule = Function | None


class Primitive:
    """A differentiable operation on arrays.

    forward(xp, *arrays, **params) sees raw arrays and their namespace; None: each backend brings a kernel of that name.
    vjp        one rule (g, y, *inputs, **params) -> cotangent of that input, or None, for each array argument;
               or one joint rule (needed, g, y, *inputs, **params) -> a cotangent for each, for primitives that take
               any number of arrays or share work between their cotangents; or None: nothing to differentiate.
    promote    bring the arguments to one dtype first: "same" (the standard's promotion, an integer beside a float
               takes the float's dtype), "float" (and integers become the default float dtype), "" (leave them)
    outputs    how many arrays it returns
    keeps_slope   of a function of one array: for a call that is recorded the forward is given `slope=True`, and returns
               the result and the slope of each element, which share work. The node keeps the slope. On raw arrays the
               rule is g times that; the one in `vjp`, on Tensors, gives the same
    unread     the numbers of the arguments (-1: the result) of which the rules use no more than shape and dtype: they
               may be written to before the backward pass
    crossed    whether the rule of an argument reads the other one and not that one: where the other one has no
               gradient, it may be written to, too
    hint       called when the forward has failed, (*args, **params) -> what was wrong with them, in the user's terms

    Rules are written with primitives and operators, and serve twice: on Tensors, when the backward pass is itself
    recorded, and on raw arrays, when it is not. A rule never mentions broadcasting, dtypes or accumulation: the
    backward loop does (`match_shape_dtype`). Array arguments are positional, plain Python values keywords.
    """

    loop: Any = None  # of a loop that a recorder takes as one operation: what it made of it
    # Of a call whose forward gives what was computed before it was recorded: the function that computes it from others.
    again: Callable[[Sequence[Value]], list[Tensor]] | None = None
    begun = 0  # and when that function began, on the clock that numbers nodes
    user: tuple[
        object, ...
    ] = ()  # of such a call, the user's function, and what else than tensors it is given
    _run: dict[type, tuple[Function, ArrayModule]]  # array type -> (forward or kernel, namespace)

    def __init__(
        self,
        name: str,
        forward: Function | None,
        *,
        vjp: tuple[Rule, ...] | Callable[..., tuple[Value, ...]] | None = None,
        promote: str = "",
        outputs: int = 1,
        hint: Callable[..., str | None] | None = None,
        unread: Container[int] = (),
        keeps_slope: bool = False,
        crossed: bool = False,
        doc: str = "",
        register: bool = True,
    ) -> None:
        self.name = self.__name__ = name
        self.forward = forward
        self.vjp = vjp
        self.promote = promote
        self.outputs = outputs
        self.hint = hint
        self.unread = unread
        self.keeps_slope = keeps_slope
        self.crossed = crossed
        self.__doc__ = doc
        if register:
            if name in REGISTRY:
                raise ValueError(f"a primitive called {name!r} exists already")
            REGISTRY[name] = self

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    # A primitive is one of a kind, as a function is: copies are itself, and a pickle holds its name.
    def __copy__(self) -> "Primitive":
        return self

    def __deepcopy__(self, memo: object) -> "Primitive":
        return self

    def __reduce__(self) -> tuple[object, ...]:
        if REGISTRY.get(self.name) is not self:
            raise TypeError(f"{self!r} cannot be pickled: it is not registered, so no name finds it again")
        return primitive_named, (self.name,)

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name == "forward":  # the one that runs from now on
            self._run = {}

    def __call__(self, *args: Value, **params: object) -> Any:
        flags = current.get()
        if flags.raw:
            run = self._run.get(type(args[0])) or self.find_run(*args)
            return run[0](run[1], *args, **params)
        raw: list[Value] = []
        grad_inputs: list[int] = []
        first = None
        mixed = False
        for a in args:
            if isinstance(a, Tensor):
                data = a._data
                if first is None:
                    first = data
                elif type(data) is not type(first) or (self.promote and data.dtype is not first.dtype):
                    mixed = True
                if a._requires_grad:
                    grad_inputs.append(len(raw))
                raw.append(data)
            elif type(a) in SCALARS:
                raw.append(a)
            elif a is None:
                what = dict(enumerate(self.array_names)).get(len(raw), f"argument {len(raw)}")
                raise TypeError(f"{self.name}: {what} is None: {BY_POSITION.get(self.name, 'give an array')}")
            else:
                return self(*to_tensors(args), **params)
        if first is None or mixed or (self.promote and first.dtype not in FLOATS):
            alike = self.promoted(args)
            if alike is not None:
                return self(*alike, **params)

        kind = type(first)
        run = self._run.get(kind) or self.find_run(first)
        records = grad_inputs and flags.grad and self.vjp is not None
        slope = None
        try:
            if records and self.keeps_slope:
                out, slope = run[0](run[1], *raw, slope=True, **params)
            else:
                out = run[0](run[1], *raw, **params)
        except Exception as error:
            self.raise_explained(error, args, params)
        if self.outputs > 1:
            out = tuple(out)
        elif type(out) is not kind:  # NumPy's reductions return scalars
            out = backend_of(out).asarray(out)
        node = None
        if records:
            node = Node(self, args, raw, grad_inputs, params, out, slope)
        result = Tensor(out, node is not None, node) if self.outputs == 1 else several_tensors(out, node)
        if flags.anomaly or flags.recorder is not None:
            self.report(flags, args, params, result, node)
        return result

    def raise_explained(self, error: Exception, args: tuple[Value, ...], params: Params) -> NoReturn:
        """Raise what `explain` makes of the error of a forward."""
        if (recorder := current.get().recorder) is not None:
            recorder.failed(self, args)
        explained = self.explain(error, args, params)
        try:
            if explained is error:
                raise error
            raise explained from error
        finally:
            # This frame would hold them, and they this frame: a cycle that keeps the tensors.
            del error, explained

    def report(
        self, flags: Flags, args: tuple[Value, ...], params: Params, result: Result, node: Node | None
    ) -> None:
        """Tell of a call what listens: the search for anomalies, and the recorder."""
        if flags.anomaly:
            try:
                self.look_for_anomaly(result, node)
            except FloatingPointError:
                if flags.recorder is not None:
                    flags.recorder.failed(self, args)
                raise
        if flags.recorder is not None:
            flags.recorder.primitive(self, args, params, result)

    def make(self, **params: object) -> Tensor:
        """A call without array arguments: a tensor out of nothing (random numbers)."""
        assert self.forward is not None
        out = self.forward(None, **params)
        result = out if current.get().raw else Tensor(out)
        if (recorder := current.get().recorder) is not None:
            recorder.primitive(self, (), params, result)
        return result

    def find_run(self, *arrays: object) -> tuple[Function, ArrayModule]:
        """The forward for the arrays' backend, and its namespace. Cached by array type."""
        backend = backend_of(*arrays)
        kind = next(type(a) for a in arrays if type(a) in BY_TYPE)
        forward = backend.kernels.get(self.name, self.forward)
        if forward is None:
            raise BackendError(f"{self.name}: the backend {backend.name!r} has no kernel for it")
        if backend.several_devices:
            plain = forward

            def forward(xp: ArrayModule, *arrays: Array, **params: object) -> Array:
                places = {i: backend.device_of(a) for i, a in enumerate(arrays) if type(a) is kind}
                if len(set(places.values())) > 1:
                    raise mixed_devices(self.name, places)
                with backend.scope(next((a for a in arrays if type(a) is kind), None)):
                    return plain(xp, *arrays, **params)

        self._run[kind] = forward, backend.xp
        return self._run[kind]

    def promoted(self, args: tuple[Value, ...]) -> list[Value] | None:
        """The arguments cast to one dtype, numbers that stand alone as Tensors, or None if they are so already. Raises
        if their devices differ."""
        if not args:
            raise TypeError(f"{self.name}: give the arrays by position, got none")
        tensors = [a for a in args if isinstance(a, Tensor)]
        if not tensors:
            return to_tensors(args, scalars=True)
        places = {i: a.device for i, a in enumerate(args) if isinstance(a, Tensor)}
        if len(set(places.values())) > 1:
            raise mixed_devices(self.name, places)
        if not self.promote:
            return None
        dtype = common_dtype(self.name, [a.dtype if isinstance(a, Tensor) else a for a in args], self.promote)
        dtype = tensors[0].backend.dtype(dtype)
        if all(t._data.dtype == dtype for t in tensors):
            return None
        return [a.astype(dtype, copy=False) if isinstance(a, Tensor) else a for a in args]

    def explain(self, error: Exception, args: tuple[object, ...], params: Params) -> Exception:
        """The same kind of exception, saying which primitive failed, on what, and where in the user's code; the very
        same one where it says what it is about."""
        if not isinstance(error, EXPLAINED) or isinstance(error, (BackendError, NotImplementedError)):
            return error
        given = ", ".join(describe(a) for a in args)
        # Of the user's function, which has no such option, `checked` is none.
        options = "".join(f", {k}={v!r}" for k, v in params.items() if k != "checked")
        reason = self.misfit(args, params) or (self.hint and self.hint(*args, **params)) or error
        message = f"{self.name}({given}{options}): {reason}\n{user_line()}"
        kinds = (IndexError, TypeError, ZeroDivisionError, OverflowError, ValueError)
        kind = next((k for k in kinds if isinstance(error, k)), RuntimeError)
        return kind(message)

    @property
    def array_names(self) -> tuple[str, ...]:
        """What the arrays are called that it takes: x, or x1 and x2 as in the array API standard."""
        code = getattr(self.forward, "__code__", None)
        if code is None:
            return ("x",)
        names = code.co_varnames[1 : code.co_argcount]
        return ("x1", "x2") if names == ("a", "b") else names

    def describe_arguments(self) -> None:
        """Add the arguments and the result to the docstring, for a primitive that users call."""
        floats = " Integers become the default float dtype." if self.promote == "float" else ""
        kind = "A Tensor, an array, a number or nested lists of numbers, of any shape."
        described = "\n".join(f"    {name}: {kind}{floats}" for name in self.array_names)
        shape = "x's shape" if len(self.array_names) == 1 else "the shape to which the arguments broadcast"
        products = {"matmul": "shape (…, m, n) of (…, m, k) and (…, k, n)", "linear": "shape (…, out)"}
        shape = products.get(self.name, shape)
        self.__doc__ = f"{self.__doc__}\n\nArgs:\n{described}\n\nReturns:\n    A Tensor of {shape}."

    @property
    def arrays(self) -> int | None:
        """How many arrays it takes; None for any number."""
        if isinstance(self.vjp, tuple):
            return len(self.vjp)
        parameters = list(signature_of(self.forward).parameters.values()) if self.forward else []
        alike = [p for p in parameters[1:] if p.kind is p.POSITIONAL_OR_KEYWORD and not self.vjp]
        return len(alike) or None

    def misfit(self, args: tuple[object, ...], params: Params) -> str:
        """What is wrong with a call that gives an unknown keyword or too many arrays, or ""."""
        if self.forward is None or self.arrays is None:
            return ""
        parameters = signature_of(self.forward).parameters
        options = list(parameters)[1 + self.arrays :]
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        for word in params:
            if word not in options and not takes_any:
                return unknown_keyword(self.name, word, options)
        if len(args) != self.arrays:
            names = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in self.array_names]
            remark = by_position(self.name, args, names)
            return f"it takes {self.arrays} array{'s' * (self.arrays > 1)}, got {len(args)}{remark}"
        return ""

    def look_for_anomaly(self, result: Result, node: Node | None) -> None:
        line = user_line()
        if node is not None:
            node.line = line
        results = result if isinstance(result, tuple) else (result,)
        if not current.get().in_rule and not all(all_finite(t._data) for t in results):
            raise FloatingPointError(f"forward of {self.name} made a NaN or Inf\n{line}")


def primitive_named(name: str) -> Primitive:
    """The registered primitive of a name, which a pickle holds."""
    return REGISTRY[name]


def to_tensors(args: Sequence[Value], scalars: bool = False) -> list[Value]:
    """Convert array and list arguments to Tensors on the device of the other arguments. Lists also take their dtype.

    NumPy scalars count as Python scalars: they do not turn float32 into float64.
    """
    from tapegrad.autograd.creation import tensor

    tensors = [a for a in args if isinstance(a, Tensor)]
    like = tensors[0] if tensors else None
    place = None if like is None else like.device
    dtype = next((t.dtype for t in tensors if is_floating(t.dtype)), None)
    converted = []
    for a in args:
        if type(a) in BY_TYPE and not hasattr(a, "__len__"):  # a scalar of NumPy
            a = a.item()
        elif isinstance(a, SCALARS):
            a = next(kind(a) for kind in SCALARS if isinstance(a, kind))
        if isinstance(a, Tensor) or (type(a) in SCALARS and not scalars):
            converted.append(a)
        elif type(a) in BY_TYPE and like is not None and BY_TYPE[type(a)] is not like.backend:
            converted.append(tensor(a, device=BY_TYPE[type(a)].name))  # refused by name, not moved silently
        else:
            made = tensor(a, device=place)
            in_full = dtype is not None and isinstance(a, (list, tuple)) and is_floating(made.dtype)
            converted.append(tensor(a, dtype=dtype, device=place) if in_full else made)
    return converted


def several_tensors(arrays: tuple[Array, ...], node: Node | None) -> tuple[Tensor, ...]:
    """The results of a primitive with several outputs."""
    return tuple(Tensor(array, node is not None, node, i) for i, array in enumerate(arrays))


def mixed_devices(name: str, places: dict[int, str]) -> BackendError:
    at = ", ".join(f"argument {i} is on {place}" for i, place in places.items())
    return BackendError(f"{name}: {at}: move one with .to({max(places.values())!r})\n{user_line()}")
