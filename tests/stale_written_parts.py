"""A write into one part of a tensor, after a gradient came to need a view of another part."""

from collections.abc import Callable, Iterator
from typing import Any

import tapegrad as tg
from surroundings import Case, T, Table

CASES = Table()
W = tg.nn.Parameter(T([1.0, 2.0]))
HELD = T([[1.0, 2.0], [3.0, 4.0]])


def gradient(loss: Any) -> Any:
    W.grad = None
    loss.sum().backward()
    return W.grad * 1.0


def a_row(x: Any) -> Any:
    a = x * x
    v = a[0] * W
    a[1] = 5.0
    return gradient(v)


def a_number(x: Any) -> Any:
    a = x * x
    v = a[0] * W
    a[1, 1] = 5.0
    return gradient(v)


def rows_from_one_on(x: Any) -> Any:
    a = x * x
    v = a[:1] * W
    a[1:] = 5.0
    return gradient(v)


def a_row_of_a_view(x: Any) -> Any:
    a = x * x
    v = tg.outer(a[0], W)
    turned = a[::-1]
    turned[0] = x[-1] * 0.5
    return gradient(v) + a[1]


def a_row_in_place(x: Any) -> Any:
    a = x * x
    v = a[0] * W
    a[1] += 5.0
    return gradient(v) + a[1]


def a_row_without_gradients(x: Any) -> Any:
    a = x * x
    v = a[0] * W
    with tg.no_grad():
        a[1] = 5.0
    return gradient(v)


def rows_in_a_loop(x: Any) -> Any:
    a, total = tg.zeros((4, 2)), tg.zeros(2)
    for i in range(3):
        a[i + 1] = a[i] + x[0]
        total = total + a[i] * W
    return gradient(total) + a[3]


def of_what_was_there(x: Any) -> Any:
    v = HELD[0] * W
    HELD[1] = x[0]
    return gradient(v) + HELD[1]


def with_what_was_there(x: Any) -> Any:
    row = HELD[1]
    v = row * W
    HELD[0] = row + x[0]
    return gradient(v) + HELD[0] + row


OF_VIEWS = (
    a_row, a_number, rows_from_one_on, a_row_of_a_view, a_row_in_place, a_row_without_gradients, rows_in_a_loop,
)  # fmt: skip


def calls(step: Callable[[Any], Any]) -> Callable[[Any], Iterator[Any]]:
    def case(J: Any) -> Iterator[Any]:
        f = J(step)
        HELD.assign(T([[1.0, 2.0], [3.0, 4.0]]))
        for n in range(5):
            yield f(T([[1.0, 2.0], [3.0, 4.0]]) + n)

    return case


for step in OF_VIEWS:
    CASES[f"written: {step.__name__}"] = Case(calls(step), "eager", ("what has one",))
for step in (of_what_was_there, with_what_was_there):
    CASES[f"written: {step.__name__}"] = Case(calls(step), "compiled")
