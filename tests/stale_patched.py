"""Patched methods and operators of Tensor, another metaclass, memory that is named by its address, attributes of the
compiled function itself."""

import functools
import math
import operator
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import tapegrad as tg
from surroundings import Case, Table

CASES = Table()
compiled, eager, either = CASES.compiled, CASES.eager, CASES.either
X = np.array([1.0, -2.0], "f4")


# ---- methods of Tensor ----
PATCHED: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "a product": ("__mul__", lambda x: x * 2.0),
    "a product from the right": ("__rmul__", lambda x: 2.0 * x),
    "a product in place": ("__imul__", lambda x: operator.imul(x + 1.0, 2.0)),
    "a product by a function": ("__mul__", lambda x: operator.mul(x, 2.0)),
    "a sum": ("__add__", lambda x: x + 1.0),
    "a sum of many": ("__radd__", lambda x: sum([x, x])),
    "a difference": ("__sub__", lambda x: x - 1.0),
    "a power": ("__pow__", lambda x: x**2),
    "an element": ("__getitem__", lambda x: x[0]),
    "a part": ("__getitem__", lambda x: x[:1]),
    "a sign": ("__neg__", lambda x: -x),
    "a size": ("__abs__", lambda x: abs(x)),
    "a comparison": ("__gt__", lambda x: tg.where(x > 0, x, 5.0)),
    "a comparison turned round": ("__lt__", lambda x: tg.where(np.float32(0) > x, x, 5.0)),
    "a row after another": ("__getitem__", lambda x: [row * 3.0 for row in x]),
    "two rows": ("__getitem__", lambda x: (lambda a, b: a)(*x)),
}


def patched(name: str, step: Callable[[Any], Any]) -> Callable[[Any], Iterator[Any]]:
    def case(J: Any) -> Iterator[Any]:
        f, method = J(step), vars(tg.Tensor)[name]

        def another(*args: Any) -> Any:
            return tg.ones_like(method(*args))

        try:
            for call in range(8):
                if call == 4:
                    setattr(tg.Tensor, name, another)
                yield f(tg.tensor(X))
        finally:
            setattr(tg.Tensor, name, method)

    return case


for name, (method, step) in PATCHED.items():
    CASES[f"a_patched_method_for_{name.replace(' ', '_')}"] = Case(patched(method, step), "compiled")


# ---- numbers that the first call draws on the host ----
LAZY: dict[str, Callable[[], Any]] = {
    "NumPy draws": lambda: np.random.randn(2),
    "Python draws": lambda: [random.gauss(0.0, 1.0) for _ in range(2)],
}


def lazy(draw: Callable[[], Any]) -> Callable[[Any], Iterator[Any]]:
    def case(J: Any) -> Iterator[Any]:
        np.random.seed(0)
        random.seed(0)
        held: dict[str, Any] = {}

        def step(x: Any) -> Any:
            if not held:
                held["w"] = tg.tensor(draw(), dtype="float32")
            return held["w"] * x

        f = J(step)
        for _ in range(6):
            yield f(tg.tensor(X))

    return case


for name, draw in LAZY.items():
    CASES[f"weights_that_{name.replace(' ', '_')}_at_the_first_call"] = Case(lazy(draw), "compiled")


def seeded(x: Any) -> Any:
    np.random.seed(3)
    return x * np.random.randn(2)


@eager("np.random.seed")
def a_stream_that_ends_where_it_began(J: Any) -> Any:
    f = J(seeded)
    for _ in range(6):
        yield f(tg.tensor(X))


# ---- methods that a subclass of Tensor is given, and that Tensor did not have ----
W = tg.nn.Parameter(tg.tensor([3.0, 4.0])).requires_grad_(False)
BUFFER = tg.nn.Buffer(tg.tensor([3.0, 4.0]))
OWN_W = type("OwnParameter", (tg.nn.Parameter,), {})(W).requires_grad_(False)
OWN_BUFFER = type("OwnBuffer", (tg.nn.Buffer,), {})(tg.tensor([3.0, 4.0]))
A_TENSOR = property(lambda t: tg.tensor([7.0, 7.0]))


def two_of_seven(t: Any) -> Iterator[Any]:
    return iter([tg.tensor(7.0), tg.tensor(7.0)])


class Operand:
    """Something that operators of Tensors ask for a result."""

    def __rlshift__(self, x: Any) -> Any:
        return x * 2.0


OPERAND = Operand()
GIVEN: dict[str, tuple[type, str, Any, Callable[[Any], Any]]] = {
    "a product of a parameter": (tg.nn.Parameter, "__mul__", None, lambda x: W * x),
    "a product with a parameter": (tg.nn.Parameter, "__rmul__", None, lambda x: x * W),
    "a product of a parameter of one's own class": (tg.nn.Parameter, "__mul__", None, lambda x: OWN_W * x),
    "a product with a parameter of one's own class": (tg.nn.Parameter, "__rmul__", None, lambda x: x * OWN_W),
    "a difference from a buffer of one's own class": (tg.nn.Buffer, "__rsub__", None, lambda x: x - OWN_BUFFER),
    "a sum of a parameter": (tg.nn.Parameter, "sum", None, lambda x: x * W.sum()),
    "a sum of a buffer": (tg.nn.Buffer, "sum", None, lambda x: x * BUFFER.sum()),
    "a sum by a text": (tg.nn.Parameter, "sum", None, lambda x: x * getattr(W, "sum")()),  # noqa: B009
    "a sum by a computed name": (
        tg.Tensor, "sum", lambda t: t * 5.0, lambda x: getattr(x, "".join(("su", "m")))() * 1.0,
    ),
    "a parameter's rows": (tg.nn.Parameter, "__iter__", two_of_seven, lambda x: [x * r for r in W]),
    "rows": (tg.Tensor, "__iter__", two_of_seven, lambda x: [r * 3.0 for r in x]),
    "a shift": (tg.Tensor, "__lshift__", None, lambda x: x << OPERAND),
    "a product turned round by a function": (tg.Tensor, "__rmul__", None, lambda x: operator.mul(2.0, x)),
    "a product of all": (tg.Tensor, "__mul__", None, lambda x: math.prod([x, x])),
    "a length": (tg.Tensor, "__len__", lambda t: 5, lambda x: x * len(x)),
    "a property": (tg.Tensor, "mT", A_TENSOR, lambda x: x.expand_dims(0).mT * 2.0),
    "a wish for gradients": (
        tg.Tensor, "requires_grad", property(lambda t: None), lambda x: x * (3.0 if x.requires_grad is None else 2.0),
    ),
    "a function of NumPy": (tg.Tensor, "__array_ufunc__", lambda t, *a, **k: tg.tensor([7.0]), lambda x: np.exp(x)),
    "a sum of NumPy": (tg.Tensor, "__array_function__", lambda t, *a, **k: tg.tensor([7.0]), lambda x: np.sum(x)),
    "an attribute that is not there": (
        tg.Tensor, "__getattr__", lambda t, name: 11.0, lambda x: x * getattr(x, "k", 3.0),
    ),
    "a call": (tg.Tensor, "__call__", lambda t: 1, lambda x: x * callable(x)),
    "a number of dimensions": (tg.Tensor, "ndim", property(lambda t: 5), lambda x: x * x.ndim),
}  # fmt: skip


def given(
    kind: Any, name: str, method: Any, step: Callable[[Any], Any], calls: int = 10
) -> Callable[[Any], Iterator[Any]]:
    """With a class that has another method of its own for four calls, and then as at first."""
    another = method or (lambda *args: tg.tensor([7.0, 7.0]))

    def case(J: Any) -> Iterator[Any]:
        f, own = J(step), vars(kind).get(name)
        try:
            for call in range(calls):
                if call == 4:
                    setattr(kind, name, another)
                elif call == 8 and own is None:
                    delattr(kind, name)
                yield f(tg.tensor(X))
        finally:
            if own is not None:
                setattr(kind, name, own)
            elif name in vars(kind):
                delattr(kind, name)

    return case


for name, row in GIVEN.items():
    CASES[f"a_method_given_for_{name.replace(' ', '_')}"] = Case(given(*row), "compiled")


AGAIN: dict[str, Callable[[Any], Any]] = {
    "reshape": lambda x: x * W.reshape(2),
    "exp": lambda x: x * W.exp(),
    "tanh": lambda x: x * getattr(W, "".join(("ta", "nh")))(),
}


def given_again(name: str, step: Callable[[Any], Any]) -> Callable[[Any], Iterator[Any]]:
    """With a Parameter that has a method of its own, then another one, then none."""

    def case(J: Any) -> Iterator[Any]:
        f = J(step)
        try:
            for call in range(12):
                if call in (0, 4):
                    method = functools.partialmethod(tensor_of, call + 1.0) if call else a_seven
                    setattr(tg.nn.Parameter, name, method)
                elif call == 8:
                    delattr(tg.nn.Parameter, name)
                yield f(tg.tensor(X))
        finally:
            if name in vars(tg.nn.Parameter):
                delattr(tg.nn.Parameter, name)

    return case


def tensor_of(t: Any, number: float, *shape: int) -> Any:
    return tg.tensor([number, number])


def a_seven(t: Any, *shape: int) -> Any:
    return tg.tensor([7.0, 7.0])


for name, step in AGAIN.items():
    CASES[f"a_method_given_again_for_{name}"] = Case(given_again(name, step), "compiled")


def another_attribute(t: Any, name: str) -> Any:
    return object.__getattribute__(t, {"sum": "mean"}.get(name, name))


patched_access = given(tg.nn.Parameter, "__getattribute__", another_attribute, lambda x: x * W.sum(), calls=8)
CASES["a_method_given_for_any_attribute"] = Case(patched_access, "eager", ("t.data",))


# ---- the class of a class ----
READINGS: dict[str, Callable[[Any, Any], Any]] = {
    "an attribute": lambda x, C: x * C.k,
    "an attribute of its class": lambda x, C: x * type(C).k,
    "a method": lambda x, C: x * C.m(),
    "a property": lambda x, C: x * C.p,
    "its length": lambda x, C: x * len(C),
    "an item": lambda x, C: x * C[0],
    "a call": lambda x, C: x * C(),
    "what is in it": lambda x, C: x * 2.0 if 1 in C else x,
    "what is an instance": lambda x, C: x * 2.0 if isinstance(3, C) else x,
}


def classes() -> tuple[Any, Any]:
    """A class, and another one for what its class is."""

    class First(type):
        k: Any = 2.0
        p = property(lambda C: C.k)
        m = __call__ = lambda C: C.k
        __getitem__ = lambda C, i: C.k
        __len__ = lambda C: int(C.k)
        __contains__ = __instancecheck__ = lambda C, x: C.k == 2.0

    class Second(First):
        k = 8.0

    return First("Held", (), {}), Second


def with_another_metaclass(read: Callable[[Any, Any], Any], of: str) -> Callable[[Any], Iterator[Any]]:
    def case(J: Any) -> Iterator[Any]:
        held, another = classes()
        value = {"the class": held, "an instance": object.__new__(held)}[of]
        f = J((lambda x: read(x, held)) if of == "the class" else (lambda x: read(x, type(value))))
        for call in range(8):
            if call == 4:
                held.__class__ = another
            yield f(tg.tensor(X))

    return case


for name, read in READINGS.items():
    for of in ("the class", "an instance"):
        case_name = f"another_metaclass_that_gives_{name} of {of}".replace(" ", "_")
        CASES[case_name] = Case(with_another_metaclass(read, of), "compiled")


# ---- attributes of the compiled function itself ----
@compiled
def what_the_compiled_function_says_of_itself(J: Any) -> Any:
    held: dict[str, Any] = {}

    def step(x: Any) -> Any:
        f = held["f"]
        return x * len(f.__name__) + len(f.__doc__ or "") + len(f.__qualname__) + len(f.__module__)

    f = held["f"] = J(step)
    for attribute in ("", "__name__", "__doc__", "__qualname__", "__module__"):
        if attribute:
            setattr(f, attribute, "a name of another length")
        for _ in range(4):
            yield f(tg.tensor(X))


@compiled
def an_attribute_of_the_compiled_function_by_a_computed_name(J: Any) -> Any:
    held: dict[str, Any] = {}
    f = held["f"] = J(lambda x: x * getattr(held["f"], "_".join(("a", "factor")), 2.0))
    for value in (None, 3.0, 4.0):
        if value is not None:
            f.a_factor = value
        for _ in range(4):
            yield f(tg.tensor(X))


# ---- objects that are new at each call ----
class Batch:
    """Of a class whose text says where an instance lies."""

    def __init__(self, x: Any, mode: str = "a") -> None:
        self.x, self.mode = x, mode


def decorated(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **kwargs: f(*args, **kwargs)


MODE = "a"
FIXED = Batch(tg.tensor(X))
OF_A_BATCH: dict[str, Callable[[Any], Any]] = {
    "under a decorator": decorated(lambda b: b.x * 2.0),
    "under two decorators": decorated(decorated(lambda b: b.x * 2.0)),
    "given with a keyword": decorated(lambda b: decorated(lambda b, k: b.x * k)(b, k=3.0)),
    "beside a comparison": lambda b: b.x * (b.mode == MODE),
    "beside a search": lambda b: b.x * (b.mode in [MODE, "b"]),
    "that may be another": lambda b: b.x * (3.0 if b is FIXED else 2.0),
    "equal to another": lambda b: b.x * (3.0 if b == FIXED else 2.0),
    "in one entry": lambda b: {"loss": b.x * 2.0},
    "in a dict of keys": lambda b: {key: b.x for key in ("a", "b")},
    "that is a key": lambda b: {b: b.x * 2.0}[b],
}


def of_a_batch(step: Callable[[Any], Any]) -> Callable[[Any], Iterator[Any]]:
    def case(J: Any) -> Iterator[Any]:
        f = J(step)
        for call in range(16):
            yield f(FIXED if 8 <= call < 12 else Batch(tg.tensor(X + call)))

    return case


for name, step in OF_A_BATCH.items():
    CASES[f"a_new_object_{name.replace(' ', '_')}"] = Case(of_a_batch(step), "compiled")


@compiled
def a_result_under_an_argument_as_its_key(J: Any) -> Any:
    f = J(lambda b, x: {b: b.x * 2.0, (b, 1): b.x, x: x})
    for call in range(8):
        b, x = Batch(tg.tensor(X + call)), tg.tensor(X)
        y = f(b, x)
        yield [y.get(b), y.get((b, 1)), y.get(x)]
