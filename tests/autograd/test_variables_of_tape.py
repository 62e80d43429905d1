"""What a tape that `tg.keep_lines()` was over calls its leaves: a name is that of one tensor, which has it where the
user's `with` stands."""

from collections.abc import Callable
from contextlib import ExitStack
from contextvars import copy_context
from functools import partial
from threading import Thread
from typing import Any

import pytest

import tapegrad as tg


def leaf(value: float) -> tg.Tensor:
    return tg.tensor([value, 1.0], requires_grad=True)


OF_MODULE = leaf(9.0)


def square(x: tg.Tensor) -> tg.Tensor:
    return x * x


def product(p: tg.Tensor, q: tg.Tensor) -> tg.Tensor:
    return p * q


def with_parameter_of_another_name() -> tg.Tensor:
    x, y = leaf(1.0), leaf(2.0)
    with tg.keep_lines():
        return square(y) + 10.0 * x


def with_parts_of_another_list() -> tg.Tensor:
    xs, ys = [leaf(1.0)], [leaf(2.0)]

    def first(xs: list[tg.Tensor]) -> tg.Tensor:
        return square(xs[0])

    with tg.keep_lines():
        return first([*ys]) + xs[0] * 3.0


def with_what_the_caller_cannot_see() -> tg.Tensor:
    x = leaf(1.0) * 2.0
    with tg.keep_lines():
        return square(leaf(2.0)) + x.detach() * square(OF_MODULE)


def with_roles_exchanged() -> tg.Tensor:
    with tg.keep_lines():
        return product(a := leaf(1.0), leaf(2.0)) + product(leaf(3.0), a)


def with_a_variable_set_again() -> tg.Tensor:
    with tg.keep_lines():
        x = leaf(1.0)
        y = x * 2.0
        x = leaf(2.0)
        return y * x


def with_a_loop_over_a_list() -> Any:
    ws, total = [leaf(1.0), leaf(2.0)], 0.0
    with tg.keep_lines():
        for w in ws:
            total = w * w + total
    return total


def under_a_stack() -> tg.Tensor:
    x, y = leaf(1.0), leaf(2.0)
    with ExitStack() as stack:
        stack.enter_context(tg.keep_lines())
        return square(y) + 10.0 * x


def decorated() -> tg.Tensor:
    x, y = leaf(1.0), leaf(2.0)
    return tg.keep_lines(lambda: square(y) + 10.0 * x)()


def with_a_variable_called_as_a_weight() -> tg.Tensor:
    layer, kernel = tg.nn.Dense(2, in_features=2, use_bias=False), leaf(1.0)
    with tg.keep_lines():
        return layer(tg.reshape(kernel, (1, 2)))


def with_a_function_of_two_layers() -> tg.Tensor:
    one, two = (tg.nn.Dense(2, in_features=2, use_bias=False) for _ in range(2))

    def run(layer: tg.nn.Module, t: tg.Tensor) -> tg.Tensor:
        return layer(t)

    with tg.keep_lines():
        return run(two, run(one, tg.ones((1, 2))))


NAMES: dict[Callable[[], tg.Tensor], list[str]] = {
    with_parameter_of_another_name: ["y", "x"],
    with_parts_of_another_list: ["ys[0]", "xs[0]"],
    with_what_the_caller_cannot_see: ["p1", "OF_MODULE", "x1"],
    with_roles_exchanged: ["a", "p1", "p2"],
    with_a_variable_set_again: ["p1", "p2"],
    with_a_loop_over_a_list: ["ws[0]", "ws[1]"],
    under_a_stack: ["y", "x"],
    decorated: ["y", "x"],
    with_a_variable_called_as_a_weight: ["kernel", "layer.kernel"],
    with_a_function_of_two_layers: ["t", "one.kernel", "two.kernel"],
}


@pytest.mark.parametrize("program", NAMES, ids=lambda program: program.__name__)
def test_a_leaf_has_the_name_that_the_function_with_the_with_gives_it(
    program: Callable[[], tg.Tensor],
) -> None:
    assert list(tg.tape(program()).leaves.values()) == NAMES[program]


def test_what_if_changes_the_variable_of_that_name() -> None:
    x, y = leaf(1.0), leaf(2.0)
    with tg.keep_lines():
        total = square(y) + 10.0 * x
    assert tg.tape(total).what_if({"x": [0.0, 0.0]}).output.tolist() == [4.0, 1.0]


def test_another_thread_has_the_names_of_its_own_function() -> None:
    found: list[tg.Tensor] = []
    with tg.keep_lines():
        context = copy_context()
        thread = Thread(target=partial(context.run, lambda x: found.append(x * x), leaf(1.0)))
        thread.start()
        thread.join()
    assert list(tg.tape(found[0]).leaves.values()) == ["x"]
