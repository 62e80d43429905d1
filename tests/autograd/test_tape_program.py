"""The printed tape is a program: its text is run, forward and backward, and gives the gradients of `.backward()`."""

import random
import re
from collections.abc import Callable
from time import process_time
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.autograd.primitive import REGISTRY
from tapegrad.autograd.tapes.tape import Tape

Leaves = dict[str, tg.Tensor]
CALL = re.compile(r"  (\w+) = (.*?)\s+(?:float|int|bool)\w*\[[\d, ]*\]\s*$")
LINE = re.compile(r"([\w.\[\], ]+) (\+?=) (.*)")


def columns(tape: Tape) -> tuple[list[tuple[str, str]], list[str]]:
    """The two columns of the printed tape: the calls from the top down, the adjoint lines from the bottom up."""
    calls, lines = [], []
    for row in str(tape).split("backward, from the bottom up\n")[1].split("\n"):
        left, _, right = row.partition("  |")
        if found := CALL.match(left):
            calls.append((found[1], found[2]))
        if right:
            lines.insert(0, right.strip())
    return calls, lines


def run(tape: Tape, cotangents: Leaves, others: Leaves | None = None) -> dict[str, Any]:
    """The values of all names once the printed program has run, on other numbers of some leaves."""
    # Keywords that are off are not printed.
    values: dict[str, Any] = {**REGISTRY, "sum": tg.sum, "mean": tg.mean, "inf": np.inf, "nan": np.nan}
    values |= {name: t.detach() for t, name in tape.leaves.items()} | (others or {})
    ones, given = tape.word("ones"), tape.word("given")
    calls, lines = columns(tape)
    for name, call in calls:
        values[name] = eval(call, values)
    for line in lines:
        found = LINE.fullmatch(line)
        assert found is not None, line
        target, sign, call = found.groups()
        values[given] = cotangents.get(target)
        if call == ones:
            result = tg.ones(values[target.removeprefix(tape.prefix)].shape, dtype="float64")
        else:
            result = eval(call, values)
        values[target] = result if sign == "=" else values[target] + result
    return values


STEPS: dict[str, Callable[[tg.Tensor, tg.Tensor], tg.Tensor]] = {
    "add": lambda a, b: a + b,
    "add to itself": lambda a, b: a + a,
    "a residual": lambda a, b: a + tg.tanh(b) + a,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / (b * b + 1.0),
    "sin": lambda a, b: tg.sin(a),
    "exp": lambda a, b: tg.exp(-a * a),
    "a sum of rows": lambda a, b: a.sum(axis=0, keepdims=True) + b,
    "a mean": lambda a, b: a.mean() * b,
    "maximum": lambda a, b: tg.maximum(a, b),
    "where": lambda a, b: tg.where(a > b, a, b),
    "transpose": lambda a, b: a.T + b,
    "matmul": lambda a, b: a @ b,
    "reshape": lambda a, b: a.reshape((-1,)).reshape(a.shape) + b,
}


def random_result(seed: int, leaves: Leaves) -> tg.Tensor:
    choose = random.Random(seed)
    values = list(leaves.values())
    for _ in range(choose.randint(2, 7)):
        # Mostly on from the last one, so that long chains and early leaves come together.
        a, b = (values[-1] if choose.random() < 0.5 else choose.choice(values) for _ in range(2))
        values.append(STEPS[choose.choice([*STEPS, "add", "add", "a residual"])](a, b))
    return values[-1].sum() if choose.random() < 0.5 else values[-1]


def leaves_of(seed: int) -> Leaves:
    rng = np.random.default_rng(seed)
    return {name: tg.tensor(rng.normal(size=(2, 2)), requires_grad=True) for name in "abc"}


def check(y: tg.Tensor, leaves: Leaves, cotangent: tg.Tensor | None = None) -> None:
    tape = tg.tape(y, leaves, cotangent)
    shown = str(tape)
    values = run(tape, {} if cotangent is None else {tape.cotangent(y): cotangent})
    y.backward(tg.ones(y.shape, dtype="float64") if cotangent is None else cotangent)
    for name, leaf in leaves.items():
        if leaf.grad is None:
            assert leaf not in tape.leaves or tape.cotangent(leaf) not in values
        else:
            np.testing.assert_allclose(
                values[tape.cotangent(leaf)].numpy(),
                leaf.grad.numpy(),
                rtol=1e-12,
                err_msg=f"{name} of {shown}",
            )


@pytest.mark.parametrize("start", range(0, 400, 50))
def test_the_text_of_random_programs_computes_the_gradients(start: int) -> None:
    for seed in range(start, start + 50):
        leaves = leaves_of(seed)
        check(random_result(seed, leaves), leaves)


# An addition hands its cotangent on, array and all, to leaves and calls that other calls add to.
HANDED_ON: dict[str, Callable[..., tg.Tensor]] = {
    "to a leaf twice": lambda a, b, c: (a + b) + a,
    "to a leaf thrice": lambda a, b, c: ((a + b) + a) + (a + c),
    "to a call": lambda a, b, c: (s := a * b) + (s + c) + s,
    "a residual sum": lambda a, b, c: (h := a + tg.sin(b) + a) + tg.sin(h) + h,
    "by a concatenation": lambda a, b, c: tg.concat([a, a, b]) * tg.concat([c, a, a]),
    "by a product of one": lambda a, b, c: a * a + (a + b),
}  # fmt: skip


@pytest.mark.parametrize("case", HANDED_ON)
def test_a_cotangent_that_is_handed_on_keeps_its_value(case: str) -> None:
    leaves = leaves_of(0)
    y = HANDED_ON[case](*leaves.values())
    check(y, leaves, tg.tensor(np.random.default_rng(1).normal(size=y.shape)))


@tg.custom_gradient
def handed_to_all(a: tg.Tensor, b: tg.Tensor, c: tg.Tensor) -> Any:
    def pullback(g: tg.Tensor) -> Any:
        shared = g * 3.0
        return shared, shared, shared * 2.0

    return a + b + c, pullback


@pytest.mark.parametrize("order", [(0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 1, 2), (0, 0, 0)])
def test_one_array_for_several_arguments(order: tuple[int, ...]) -> None:
    """A rule of the user's returns one array twice, and computes the third gradient of it."""
    leaves = leaves_of(0)
    tensors = list(leaves.values())
    y = handed_to_all(*(tensors[i] for i in order)) + tensors[0]
    tape = tg.tape(y, leaves)
    shown, lines = str(tape), columns(tape)[1]
    values: dict[str, Any] = {**REGISTRY, "dv2": tg.ones((2, 2), dtype="float64")}
    for target, sign, call in (found.groups() for line in lines[1:] if (found := LINE.fullmatch(line))):
        result = eval(call, values)
        values[target] = result if sign == "=" else values[target] + result
    y.backward(tg.ones((2, 2), dtype="float64"))
    for name, leaf in leaves.items():
        if leaf.grad is not None:
            assert values[f"d{name}"].tolist() == leaf.grad.tolist(), shown


def test_a_start_that_is_given_twice_is_added() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    shown = str(Tape(y, {"x": x}, [(y, tg.ones(2)), (y, tg.ones(2))]))
    assert [line.partition("| ")[2] for line in shown.split("\n")[-2:]] == ["dv1 += given", "dv1 = given"]


# What leaves may be called, and what else in the text could be.
NAMES = [
    ("x", "dx", "y"), ("x", "dx", "d_x"), ("v1", "dv1", "dv2"), ("x", "d", "dd"), ("ones", "const", "given"),
    ("t1", "t2", "dt1"), ("v2", "dv3", "const"),
]  # fmt: skip


@pytest.mark.parametrize("names", NAMES, ids=" ".join)
def test_no_name_of_a_leaf_is_that_of_a_cotangent(names: tuple[str, ...]) -> None:
    for seed in range(30):
        leaves = dict(zip(names, leaves_of(seed).values(), strict=True))
        check(random_result(seed, leaves), leaves)


def test_results_of_a_call_and_leaves_in_a_list_have_names_of_their_own() -> None:
    v1 = [tg.tensor([1.0, 2.0], requires_grad=True), tg.tensor([3.0, 4.0], requires_grad=True)]
    with tg.keep_lines():
        a, b = tg.checkpoint(lambda x: (tg.sin(x), tg.cos(x)))(v1[0])
        tape = tg.tape((a * b * v1[1]).sum())
    assert [*tape.leaves.values()] == ["v1[0]", "v1[1]"] and "v1" not in tape.calls.values()


# Programs of a tensor and of others that share its memory, which are leaves of their own: the gradient of x.
SHARED: dict[str, tuple[Callable[..., tg.Tensor], Callable[..., Any]]] = {
    "a product": (lambda x, other: x * other, lambda x, other: other),
    "the other first": (lambda x, other: other * x, lambda x, other: other),
    "a sine": (lambda x, other: tg.sin(x) * other, lambda x, other: np.cos(x) * other),
    "a quotient": (lambda x, other: other / x, lambda x, other: -other / x**2),
    "a result": (lambda x, other: tg.sin(x * 1.0) * other, lambda x, other: np.cos(x) * other),
    "twice": (lambda x, other: tg.exp(x * other) * x, lambda x, other: np.exp(x * other) * (1 + other * x)),
}  # fmt: skip


@pytest.mark.parametrize("grad", [False, True], ids=["detached", "a leaf that requires grad"])
@pytest.mark.parametrize("case", SHARED)
def test_tensors_of_one_memory_are_told_apart(case: str, grad: bool) -> None:
    """The printed program is the right one on other numbers, where they are no longer equal."""
    f, slope = SHARED[case]
    x = tg.tensor([1.0, 2.0], dtype="float64", requires_grad=True)
    other = x.detach().requires_grad_(grad)
    tape = tg.tape(f(x, other).sum(), {"x": x, "other": other})
    numbers = {"x": tg.tensor([0.5, 3.0], dtype="float64"), "other": tg.tensor([7.0, -2.0], dtype="float64")}
    found = run(tape, {}, numbers)["dx"].numpy()
    np.testing.assert_allclose(
        found, slope(*(t.numpy() for t in numbers.values())), rtol=1e-12, err_msg=str(tape)
    )


def test_a_result_that_shares_memory_is_told_from_its_call() -> None:
    x = tg.tensor([1.0, 2.0], dtype="float64", requires_grad=True)
    h = x * 3.0
    tape = tg.tape((tg.sin(h) * h.detach()).sum(), {"x": x})
    other = {"x1": tg.tensor([7.0, -2.0], dtype="float64")}
    np.testing.assert_allclose(
        run(tape, {}, other)["dx"].numpy(), np.cos([3.0, 6.0]) * [21.0, -6.0], rtol=1e-12
    )


def test_the_time_of_a_text_is_in_proportion_to_its_calls() -> None:
    """Also where one call has many operands: four times as many take less than ten times as long."""
    x = tg.tensor([1.0], requires_grad=True)

    def seconds(count: int) -> float:
        tape, found = tg.tape(tg.stack([x * 2.0] * count).sum()), []
        for _ in range(3):
            began = process_time()
            str(tape)
            found.append(process_time() - began)
        return min(found)

    assert seconds(2000) < 10 * seconds(500)
