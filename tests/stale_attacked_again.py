"""What was found by attacks once more: patched methods and operators of Tensor, another metaclass, memory that is named
by its address, attributes of the compiled function itself."""

import operator
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
