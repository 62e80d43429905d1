"""`Tape.what_if` where the program looks at numbers until the tape is made: it raises where these are others, or gives
what the program gives."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn
from what_if_pairs import numbers

Program = Callable[[tg.Tensor], tg.Tensor]
FIRST = (1.0, 2.0, 3.0)


# ---- what comes of a look behind the last call ----
def returned_early(x: tg.Tensor) -> tg.Tensor:
    y = x.sum()
    return y if y > 5 else y * 2


def doubled(x: tg.Tensor) -> tg.Tensor:
    y = x.sum()
    while y < 100:
        y = y * 2
    return y


def newton(x: tg.Tensor) -> tg.Tensor:
    square = x.sum()
    root = tg.tensor(1.0, dtype="float64")
    while abs(float(root * root - square)) > 1e-9:
        root = (root + square / root) / 2
    return root


def picked(x: tg.Tensor) -> tg.Tensor:
    a, b = x.sum(), (x * x).sum()
    return a if a > b else b


def largest(x: tg.Tensor) -> tg.Tensor:
    return max([tg.sin(x[0]), tg.cos(x[0]), x[1] * 0.1])


def asserted(x: tg.Tensor) -> tg.Tensor:
    y = x.sum()
    assert y > 0
    return y


def caught(x: tg.Tensor) -> tg.Tensor:
    y = x.sum()
    try:
        if y.item() > 5:
            raise ValueError
        return y * 2
    except ValueError:
        return y


# ---- what a mask picks ----
def counted(x: tg.Tensor) -> tg.Tensor:
    return x.sum() / x[x > 0].shape[0]


def counted_without_gradients(x: tg.Tensor) -> tg.Tensor:
    return x.sum() * len(x.detach()[x.detach() > 0])


def shaped_alike(x: tg.Tensor) -> tg.Tensor:
    return x.sum() * tg.ones_like(x[x > 0].detach()).sum()


def gone_through(x: tg.Tensor) -> tg.Tensor:
    return x.sum() * sum(1 for _ in x[x > 0])


# ---- errors of arithmetic ----
def raising(x: tg.Tensor) -> tg.Tensor:
    with np.errstate(all="raise"):
        try:
            y = tg.log(x)
        except FloatingPointError:
            y = x
    return y.sum()


def anomalies(x: tg.Tensor) -> tg.Tensor:
    try:
        with tg.detect_anomaly():
            y = tg.log(x)
    except FloatingPointError:
        y = x
    return y.sum()


def divided(x: tg.Tensor) -> tg.Tensor:
    with np.errstate(all="raise"):
        try:
            return (6 // x.astype("int64")).sum() * x.sum()
        except FloatingPointError:
            return x.sum()


def vanishing(x: tg.Tensor) -> tg.Tensor:
    with np.errstate(under="raise"):
        try:
            return tg.exp(x).sum()
        except FloatingPointError:
            return x.sum()


def failing_in_a_checkpoint(x: tg.Tensor) -> tg.Tensor:
    def f(v: tg.Tensor) -> tg.Tensor:
        return v * [1.0, 2.0, 3.0][int(v[0])]

    try:
        return tg.checkpoint(f)(x).sum()
    except IndexError:
        return x.sum()


# ---- numbers ----
def sign_of_zero(x: tg.Tensor) -> tg.Tensor:
    return x.sum() * math.copysign(1, x[0])


def probabilities(x: tg.Tensor) -> tg.Tensor:
    return nn.BCELoss()(x / 4.0, tg.ones(3, dtype="float64"))


def signs(x: tg.Tensor) -> tg.Tensor:
    return nn.HingeEmbeddingLoss()(numbers(1.0, 2.0, 3.0), x / x.detach().abs()) + x.sum()


def variances(x: tg.Tensor) -> tg.Tensor:
    return nn.GaussianNLLLoss()(numbers(1.0, 2.0, 3.0), numbers(1.0, 2.0, 2.0), x)


def looked_up(x: tg.Tensor) -> tg.Tensor:
    table = nn.Embedding(4, 2, embeddings_initializer="ones")
    return table(x.detach().astype("int64")).sum() * x.sum()


def of_classes(x: tg.Tensor) -> tg.Tensor:
    return nn.CrossEntropyLoss()(x * numbers(1.0, 2.0)[:, None], x.detach().astype("int64")[:2] - 1)


def indexed(x: tg.Tensor) -> tg.Tensor:
    return (x[x.detach().astype("int64") - 1] * x).sum()


def caught_check(x: tg.Tensor) -> tg.Tensor:
    try:
        return nn.BCELoss()(x / 2.0, tg.ones(3, dtype="float64"))
    except ValueError:
        return x.sum()


ANOTHER = (-2.0, 5.0, 0.5)
# program -> the change that it cannot follow, the message, and one that it can, or None
LOOKED_AT: dict[Program, tuple[tuple[float, ...], str, tuple[float, ...] | None]] = {
    returned_early: (ANOTHER, "reads bool", (2.0, 2.0, 3.0)),
    doubled: ((100.0, 1.0, 1.0), "reads bool", (1.0, 2.0, 3.1)),
    newton: ((50.0, 1.0, 1.0), "reads float64", None),
    picked: ((0.1, 0.1, 0.1), "reads bool", (2.0, 2.0, 3.0)),
    largest: ((0.0, 2.0, 3.0), "reads bool", (1.1, 2.0, 3.0)),
    asserted: ((-9.0, 1.0, 1.0), "reads bool", (2.0, 2.0, 3.0)),
    caught: (ANOTHER, "reads float64", None),
    counted: (ANOTHER, "another shape", (2.0, 2.0, 3.0)),
    counted_without_gradients: (ANOTHER, "another shape", (2.0, 2.0, 3.0)),
    shaped_alike: (ANOTHER, "another shape", (2.0, 2.0, 3.0)),
    gone_through: (ANOTHER, "another shape", (2.0, 2.0, 3.0)),
    raising: (ANOTHER, "raises an error on these numbers", (2.0, 2.0, 3.0)),
    anomalies: (ANOTHER, "lets errors of arithmetic raise", (2.0, 2.0, 3.0)),
    divided: ((0.0, 2.0, 3.0), "raises an error on these numbers", (2.0, 2.0, 3.0)),
    vanishing: ((-1000.0, 2.0, 3.0), "raises an error on these numbers", (2.0, 2.0, 3.0)),
    failing_in_a_checkpoint: ((7.0, 2.0, 3.0), "reads float64", (1.0, 2.0, 5.0)),
    sign_of_zero: ((-0.0, 2.0, 3.0), "reads float64", (0.0, 2.0, 4.0)),
    probabilities: ((9.0, 2.0, 3.0), "checks the numbers", (2.0, 2.0, 3.0)),
    variances: ((-1.0, 2.0, 3.0), "checks the numbers", (2.0, 2.0, 3.0)),
    looked_up: ((1.0, 2.0, -1.0), "raises an error on these numbers", (2.0, 2.0, 3.0)),
    of_classes: ((0.0, 2.0, 3.0), "raises an error on these numbers", (2.0, 2.0, 2.0)),
    indexed: ((1.0, 2.0, 4.0), "raises an error on these numbers", (2.0, 2.0, 3.0)),
    caught_check: ((1.0, 0.5, 0.5), "reads float64", None),
    signs: ((float("nan"), 2.0, 3.0), "checks the numbers", (-2.0, 2.0, 3.0)),
}


@pytest.mark.parametrize("program", LOOKED_AT, ids=lambda program: program.__name__)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_program_goes_the_same_way_or_it_raises(program: Program) -> None:
    unlike, message, alike = LOOKED_AT[program]
    x = numbers(*((0.0, 2.0, 3.0) if program is sign_of_zero else FIRST)).requires_grad_()
    with tg.keep_lines():
        y = program(x)
    tape = tg.tape(y, {"x": x})
    with pytest.raises(RuntimeError, match=message):
        tape.what_if({"x": unlike})
    if alike is not None:
        assert tape.what_if({"x": alike}).output.item() == program(numbers(*alike).requires_grad_()).item()


def test_what_is_looked_at_behind_the_tape_does_not_matter() -> None:
    x = numbers(*FIRST).requires_grad_()
    with tg.keep_lines():
        loss = (x * x).sum()
        tape = tg.tape(loss, {"x": x})
        assert loss.item() == 14.0 and x.tolist() and bool(loss > 3)
    assert tape.what_if({"x": [0.0, 0.0, 1.0]}).output.item() == 1.0


def test_a_change_of_a_change_looks_at_the_program_again() -> None:
    """Also where a leaf of the first change is behind nothing but a branch."""
    x, w = numbers(1.0, 2.0).requires_grad_(), numbers(3.0, 4.0).requires_grad_()
    with tg.keep_lines():
        y = (w * w).sum() if x.sum() > 0 else w.sum()
    changed = tg.tape(y, {"x": x, "w": w}).what_if({"x": [3.0, 1.0], "w": [1.0, 1.0]})
    again = changed.what_if({"x": [1.0, 1.0]})
    assert changed.output.item() == again.output.item() == 2.0
    assert again.what_if({"w": [5.0, 1.0]}).output.item() == 26.0
    for tape in (changed, again):
        with pytest.raises(RuntimeError, match="reads bool"):
            tape.what_if({"x": [-3.0, 1.0]})


def test_a_cotangent_that_was_made_of_the_leaf_follows_it() -> None:
    x = numbers(*FIRST).requires_grad_()

    def program(x: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        return x * x, x.detach() * 2.0

    with tg.keep_lines():
        y, g = program(x)
    changed = tg.tape(y, {"x": x}, cotangent=g).what_if({"x": [3.0, 2.0, 1.0]})
    ((output, cotangent),) = changed.starts
    other = numbers(3.0, 2.0, 1.0).requires_grad_()
    expected, given = program(other)
    assert cotangent is not None and cotangent.tolist() == given.tolist() == [6.0, 4.0, 2.0]
    output.backward(cotangent)
    expected.backward(given)
    (leaf,) = changed.leaves
    assert leaf.grad is not None and other.grad is not None and leaf.grad.tolist() == other.grad.tolist()


def test_no_change_of_a_tape_behind_a_gradient_that_stays() -> None:
    x, c = numbers(1.0, 2.0).requires_grad_(), numbers(3.0, 4.0)
    with tg.keep_lines():
        y = (tg.jvp(lambda q: q * q, (c,), (numbers(1.0, 1.0),))[1] * x).sum()
    assert tg.tape(y, {"x": x, "c": c}).what_if({}).output.item() == y.item()


# ---- writes ----
def swapped(y: tg.Tensor) -> tg.Tensor:
    kept = y[0] * 1
    y[0] = y[2]
    y[2] = kept
    return y


def seen_by_a_view(y: tg.Tensor) -> tg.Tensor:
    view = y.reshape((3, 1))
    y[0] = 5.0
    return view * view


def detached_before(y: tg.Tensor) -> tg.Tensor:
    kept = y.detach()
    y[0] = 5.0
    return y + kept


def compared_before(y: tg.Tensor) -> tg.Tensor:
    mask = y > 1
    y[0] = 5.0
    return y * mask


def given_before(y: tg.Tensor) -> tg.Tensor:
    z = y * y
    y[0] = 5.0
    return y + z


@pytest.mark.parametrize("write", [swapped, seen_by_a_view, detached_before, compared_before, given_before])
def test_a_write_is_refused_where_it_is_refused_without_keep_lines(write: Program) -> None:
    def program(x: Any) -> list[float]:
        return write(x * 1.0).tolist()

    results: list[object] = []
    for scope in (tg.enable_grad(), tg.keep_lines()):
        with scope:
            try:
                results.append(program(numbers(*FIRST).requires_grad_()))
            except RuntimeError as error:
                results.append(str(error).splitlines()[0])
    assert results[0] == results[1]
