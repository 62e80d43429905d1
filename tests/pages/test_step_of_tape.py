"""`tape.html(step=step)`: which tapes a compiled step computes, and which it does not."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn

Program = Callable[..., tg.Tensor]


class World:
    """What the programs close over."""

    def __init__(self) -> None:
        tg.manual_seed(0)
        self.m = nn.Dense(3, "tanh", in_features=3)
        self.twin = nn.Dense(3, "tanh", in_features=3)
        self.norm = nn.Sequential(nn.BatchNormalization(in_features=3), nn.Dropout(0.5))
        self.c = tg.ones((2, 3))
        self.again = tg.ones((2, 3))
        self.half = 0.5


def numbers(seed: int) -> tuple[tg.Tensor, tg.Tensor]:
    draw = np.random.default_rng(seed)
    return tuple(tg.tensor(draw.normal(size=(2, 3)), dtype="float32") for _ in "xy")  # type: ignore[return-value]


def compiled(f: Program, w: World, again: bool = False) -> Any:
    """A step that minimizes f(w, x, y), after calls enough to have a program. again: it makes two steps in each."""
    optimizer = tg.optim.SGD(w.m.parameters(), lr=0.1)

    @tg.jit(emitter="numpy")
    def step(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
        for _ in range(1 + again):
            loss = f(w, x, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss.detach()

    for _ in range(5):
        step(*numbers(0))
    assert step.stats()["compiled"], step.stats()
    return step


def lines_of(step: Any, tape: Any) -> int:
    """How many lines of the program belong to a call of the tape."""
    assert '"program":{"name":"step, emitter numpy"' in tape.html(step=step)
    return len(step.lines_of_tape(tape)["lines"])


def squared(f: Program) -> Program:
    return lambda w, x, y: (f(w, x, y) ** 2).sum()


def written(w: World, x: tg.Tensor, y: tg.Tensor, row: int = 0) -> tg.Tensor:
    h = w.m(x) * 2.0
    h[row] = y[0]
    square = h * h
    return (square * h).sum()


def parts(first: int, second: int) -> Program:
    def f(w: World, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
        both = tg.checkpoint(lambda t: (tg.exp(t), tg.cos(t)))(w.m(x))
        return (tg.sin(both[first]) * tg.tan(both[second])).sum()

    return f


def product_of_parts(first: int, second: int) -> Program:
    def f(w: World, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
        both = tg.checkpoint(lambda t: (tg.exp(t), tg.cos(t)))(w.m(x))
        return (both[first] * both[second]).sum()

    return f


def taken(dtype: str) -> Program:
    return squared(lambda w, x, y: tg.take(w.m(x), tg.argmax(y, axis=1).astype(dtype) * 0, axis=0))


def looped(w: World, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    return (tg.scan(lambda h, _: (tg.tanh(w.m(h)), None), x, length=4)[0] ** 2).sum()


def two_carries(first: int, second: int, count: int = 3) -> Program:
    """A loop of two carries, of which one is handed on, and of a y; its results are multiplied."""

    def f(w: World, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
        def step(
            c: tuple[tg.Tensor, tg.Tensor], row: tg.Tensor
        ) -> tuple[tuple[tg.Tensor, tg.Tensor], tg.Tensor]:
            return (tg.tanh(w.m(c[0]) + row), c[1]), c[0] * 2.0

        rows = tg.stack([y, x, y])[:count]
        (h, kept), ys = tg.scan(step, (x, w.m(y)), rows)
        results = [h, kept, ys[0]]
        return (results[first] * tg.sin(results[second])).sum()

    return f


def constant_carry(w: World, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    """A carry that requires no grad but is a result of the call that does, and another one twice."""
    h, c, again = tg.scan(
        lambda c, _: ((w.m(c[0]) * c[1], c[1] * 0.5, w.m(c[2])), None), (x, y, x), length=2
    )[0]
    return (h * c * again).sum()


def same_carry(w: World, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    def step(c: tuple[tg.Tensor, tg.Tensor], _: None) -> tuple[tuple[tg.Tensor, tg.Tensor], None]:
        h = w.m(c[0] * c[1])
        return (h, h), None

    a, b = tg.scan(step, (x, y), length=2)[0]
    return (a * tg.sin(b)).sum()


def nested(w: World, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    inner = lambda h, row: (tg.tanh(w.m(h) + row), None)
    return tg.scan(lambda h, _: (tg.scan(inner, h, tg.stack([y, x]))[0], None), x, length=2)[0].sum()


def of_two_dtypes(w: World, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    """A loop that the compiler, too, takes apart, and one that it does not."""
    h, ys = tg.scan(lambda h, _: (w.m(h), h.astype("float64")), x, length=2)
    return (tg.scan(lambda h, _: (w.m(h), None), h, length=2)[0] * ys[0]).sum()


def rerun(w: World, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    return tg.checkpoint(lambda t: tg.sin(w.m(t)))(x).sum()


def alike(w: World, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    """Two halves that differ by what they are given alone."""
    return (tg.sin(w.m(x) * 2.0) * x).sum() + (tg.sin(w.m(y) * 2.0) * y).sum()


@tg.custom_gradient
def doubled(x: tg.Tensor) -> Any:
    y = tg.exp(x) * 2.0
    return y, lambda g: g * tg.cos(y)


def labelled(w: World, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    return nn.functional.cross_entropy(w.m(x), tg.tensor([0, 2]))


PROGRAMS: dict[str, Program] = {
    "a model": squared(lambda w, x, y: w.m(x) - y),
    "a number": squared(lambda w, x, y: w.m(x) * 2.0),
    "an option": squared(lambda w, x, y: w.m(x).clip(-0.5, 0.5)),
    "an axis": squared(lambda w, x, y: w.m(x).sum(axis=0)),
    "a part": squared(lambda w, x, y: w.m(x)[:, 1:]),
    "a tensor of the program": squared(lambda w, x, y: w.m(x) * w.c),
    "a number of the program": squared(lambda w, x, y: w.m(x) * w.half),
    "a constant": squared(lambda w, x, y: w.m(x) * tg.tensor([1.0, 2.0, 3.0])),
    "zeros": squared(lambda w, x, y: w.m(x) + tg.zeros((2, 3))),
    "a mask": squared(lambda w, x, y: w.m(x) * (x > 0)),
    "no gradient": squared(lambda w, x, y: w.m(x) * w.m(y).detach()),
    "layers that train": squared(lambda w, x, y: w.norm(w.m(x))),
    "a weight in two places": squared(lambda w, x, y: w.m(x) @ w.m.kernel),
    "an argument in two places": lambda w, x, y: ((w.m(x) - y) * y).sum(),
    "halves": alike,
    "a write": written,
    "a loop": looped,
    "carries": two_carries(0, 2),
    "a carry that is handed on": two_carries(0, 1),
    "a carry that requires no grad": constant_carry,
    "one tensor for two carries": same_carry,
    "loops in loops": nested,
    "loops of two dtypes": of_two_dtypes,
    "a checkpoint": rerun,
    "a checkpoint of one": lambda w, x, y: (tg.checkpoint(lambda t: tg.tanh(tg.checkpoint(w.m)(t)))(x) ** 2).mean(),
    "a gradient of one's own": lambda w, x, y: (doubled(w.m(x)) ** 2).sum(),
    "a loss of labels": labelled,
    "a double gradient": lambda w, x, y: (tg.grad(lambda t: (w.m(t) ** 2).sum())(x) ** 2).sum(),
    "a jvp": lambda w, x, y: tg.jvp(w.m, (x,), (x,))[1].sum(),
    "integers": squared(lambda w, x, y: w.m(x) * tg.tensor([1, 2, 3])),
    "a call of two results": parts(0, 1),
}  # fmt: skip


# Where `what_if` raises, for x reaches the output in another way than by the tape's calls.
REFUSED_CHANGES = ("a write", "a mask", "a checkpoint", "a checkpoint of one", "a call of two results")


@pytest.mark.parametrize("again", [False, True], ids=["one step", "two steps"])
@pytest.mark.parametrize("case", PROGRAMS)
def test_a_step_computes_its_own_tape(case: str, again: bool) -> None:
    w, f = World(), PROGRAMS[case]
    step = compiled(f, w, again)
    for seed in (0, 1):
        x, y = numbers(seed)
        if case == "loops of two dtypes":
            with pytest.raises(ValueError, match=r"(?s)scan\(.*under `with tg.keep_lines"):
                tg.tape(f(w, x, y)).html(step=step)
        else:
            assert lines_of(step, tg.tape(f(w, x, y)))
            assert lines_of(step, tg.tape(f(w, x, x)))
        with tg.keep_lines():
            tape = tg.tape(f(w, x, y), {"x": x})
        assert lines_of(step, tape)
        if x in tape.leaves and case not in REFUSED_CHANGES:
            assert lines_of(step, tape.what_if({"x": y}))


def test_the_gradient_of_a_loop_is_not_taken_apart() -> None:
    w, f = World(), squared(lambda w, x, y: tg.grad(lambda t: looped(w, t, y))(x))
    step, given = compiled(f, w), numbers(0)
    assert lines_of(step, tg.tape(f(w, *given)))
    with tg.keep_lines(), pytest.raises(ValueError, match=r"and without tg\.keep_lines\(\)"):
        lines_of(step, tg.tape(f(w, *given)))


def test_weights_that_are_loaded_are_the_same_weights() -> None:
    w, f = World(), PROGRAMS["a model"]
    step = compiled(f, w)
    w.m.load_state_dict(w.twin.state_dict())
    w.m.kernel.data = w.m.kernel.numpy().copy()
    assert lines_of(step, tg.tape(f(w, *numbers(0))))


# What the step computes, what the tape has, and the first call that is another one.
DIFFER: dict[str, tuple[Program, Program, str]] = {
    "another number": (PROGRAMS["a number"], squared(lambda w, x, y: w.m(x) * 3.0), r"multiply\(v1, 3\.0\)"),
    "another option": (PROGRAMS["an option"], squared(lambda w, x, y: w.m(x).clip(-0.5, 1.0)), "clip.*max=1.0"),
    "another axis": (squared(lambda w, x, y: (w.m(x) @ w.m.kernel[:, :2]).sum(axis=0)),
                     squared(lambda w, x, y: (w.m(x) @ w.m.kernel[:, :2]).sum(axis=1)), r"sum\(v3, axis=.*1"),
    "another part": (PROGRAMS["a part"], squared(lambda w, x, y: w.m(x)[:, :2]), "get|slice|index"),
    "another model": (PROGRAMS["a model"], squared(lambda w, x, y: w.twin(x) - y), "dense_tanh"),
    "another weight": (PROGRAMS["a weight in two places"], squared(lambda w, x, y: w.m(x) @ w.twin.kernel), "matmul"),
    "another tensor": (PROGRAMS["a tensor of the program"], squared(lambda w, x, y: w.m(x) * w.again), "multiply"),
    "a tensor in place of an argument": (
        PROGRAMS["a tensor of the program"], squared(lambda w, x, y: w.m(x) * x), r"multiply\(v1, x1\)"),
    "another constant": (
        PROGRAMS["a constant"], squared(lambda w, x, y: w.m(x) * tg.tensor([1.0, 2.0, 4.0])), "multiply"),
    "other integers": (
        PROGRAMS["integers"], squared(lambda w, x, y: w.m(x) * tg.tensor([1, 2, 4])), "multiply"),
    "other truths": (squared(lambda w, x, y: w.m(x) * tg.tensor([True, False, True])),
                     squared(lambda w, x, y: w.m(x) * tg.tensor([True, True, True])), "multiply"),
    "another double gradient": (
        PROGRAMS["a double gradient"], lambda w, x, y: (tg.grad(lambda t: (w.m(t) ** 3).sum())(x) ** 2).sum(), ""),
    "exchanged arguments": (PROGRAMS["an argument in two places"],
                            lambda w, x, y: ((w.m(x) - y) * x).sum(), ""),
    "halves that are exchanged": (
        alike, lambda w, x, y: (tg.sin(w.m(x) * 2.0) * y).sum() + (tg.sin(w.m(y) * 2.0) * x).sum(), ""),
    "one half twice": (lambda w, x, y: (tg.sin(w.m(x)) * tg.sin(w.m(y))).sum(),
                       lambda w, x, y: (lambda h: (h * h).sum())(tg.sin(w.m(x))), ""),
    "another dtype": (squared(lambda w, x, y: w.m(x).astype("float16")),
                      squared(lambda w, x, y: w.m(x).astype("float64")), "astype"),
    "other outputs": (parts(0, 1), parts(0, 0), r"tan\(v2\[0\]"),
    "another second output": (product_of_parts(0, 1), product_of_parts(0, 0), r"multiply\(v2\[0\], v2\[0\]"),
    "another dtype of an argument": (taken("int32"), taken("int64"), "getitem"),
    "another write": (written, lambda w, x, y: written(w, x, y, 1), "update"),
    "another order": (squared(lambda w, x, y: tg.sin(tg.cos(w.m(x)))),
                      squared(lambda w, x, y: tg.cos(tg.sin(w.m(x)))), "sin"),
}  # fmt: skip


@pytest.mark.parametrize("case", DIFFER)
def test_a_tape_of_something_else_is_told_from_it(case: str) -> None:
    f, other, call = DIFFER[case]
    w = World()
    step = compiled(f, w)
    assert lines_of(step, tg.tape(f(w, *numbers(0))))
    with pytest.raises(ValueError, match=rf"step does not compute this tape: it has no v\d+ = .*{call}"):
        tg.tape(other(w, *numbers(0))).html(step=step)


# Loops whose steps keep_lines took apart: what the step computes, and what the tape has.
OTHER_LOOPS: dict[str, tuple[Program, Program]] = {
    "another result": (two_carries(0, 2), two_carries(2, 0)),
    "another carry": (two_carries(0, 2), two_carries(1, 2)),
    "another length": (two_carries(0, 2), two_carries(0, 2, count=2)),
    "another weight": (looped, lambda w, x, y: (
        tg.scan(lambda h, _: (tg.tanh(w.twin(h)), None), x, length=4)[0] ** 2).sum()),
    "another start": (
        lambda w, x, y: (tg.scan(lambda h, _: (w.m(h), None), w.m(x) * 2.0, length=4)[0] ** 2).sum(),
        lambda w, x, y: (tg.scan(lambda h, _: (w.m(h), None), w.m(x) * 3.0, length=4)[0] ** 2).sum()),
    "another order of loops": (
        lambda w, x, y: tg.scan(lambda h, _: (w.m(h), None), tg.scan(
            lambda h, _: (w.twin(h), None), x, length=4)[0], length=4)[0].sum(),
        lambda w, x, y: tg.scan(lambda h, _: (w.twin(h), None), tg.scan(
            lambda h, _: (w.m(h), None), x, length=4)[0], length=4)[0].sum()),
}  # fmt: skip


@pytest.mark.parametrize("case", OTHER_LOOPS)
def test_a_tape_of_another_loop_is_told_from_it(case: str) -> None:
    f, other = OTHER_LOOPS[case]
    w = World()
    step = compiled(f, w)
    for program, same in ((f, True), (other, False)):
        with tg.keep_lines():
            tape = tg.tape(program(w, *numbers(0)))
        if same:
            assert lines_of(step, tape)
        else:
            with pytest.raises(ValueError, match="step does not compute this tape: it has no "):
                tape.html(step=step)


def test_the_lines_of_a_loop_belong_to_each_of_its_calls() -> None:
    w = World()
    step = compiled(looped, w)
    with tg.keep_lines():
        tape = tg.tape(looped(w, *numbers(0)))
    lines = step.lines_of_tape(tape)["lines"]
    source = step.source().split("\n")
    loop = next(calls for line, *calls in lines if "scan" in source[line - 1] and len(calls) > 1)
    inside = [name for node, name in tape.calls.items() if node.primitive.name in ("dense_tanh", "tanh")]
    assert len(inside) == 8 and {name for name, back in loop} == {*inside}


# What docs/pages.md says is not compared.
NOT_COMPARED: dict[str, tuple[Program, Program]] = {
    "a mask": (PROGRAMS["a mask"], squared(lambda w, x, y: w.m(x) * (x > 1))),
    "no gradient": (PROGRAMS["no gradient"], squared(lambda w, x, y: w.m(x) * (3.0 * w.twin(y)).detach())),
    "inside of a loop": (
        looped, lambda w, x, y: (tg.scan(lambda h, _: (tg.sin(w.m(h)), None), x, length=4)[0] ** 2).sum()),
    "inside of a checkpoint": (rerun, lambda w, x, y: tg.checkpoint(lambda t: tg.cos(w.m(t)))(x).sum()),
}  # fmt: skip


@pytest.mark.parametrize("case", NOT_COMPARED)
def test_what_a_tape_does_not_have_is_not_compared(case: str) -> None:
    f, other = NOT_COMPARED[case]
    w = World()
    assert lines_of(compiled(f, w), tg.tape(other(w, *numbers(0))))


def test_where_the_cotangents_start_is_not_compared() -> None:
    w, f = World(), PROGRAMS["a model"]
    assert lines_of(compiled(f, w), tg.tape(f(w, *numbers(0)), cotangent=tg.tensor(2.0)))


# Lines of an emitted program, and the call that each carries out, forward or backward.
OWNED: dict[str, list[tuple[str, str, bool]]] = {
    "a checkpoint of one": [
        ("matmul(x, w_m_kernel", "checkpoint(<lambda>)", False), ("square(", "power", False),
        ("= add.reduce(", "mean", False), ("subtract(c_1", "checkpoint(<lambda>)", True),
        ("matmul(transposed,", "checkpoint(<lambda>)", True), ("axis=0, dtype=", "checkpoint(<lambda>)", True),
    ],
    "a gradient of one's own": [
        ("matmul(x, w_m_kernel", "dense_tanh", False), ("exp(", "doubled", False), ("square(", "power", False),
        ("cos(", "doubled", True), ("matmul(transposed,", "dense_tanh", True),
    ],
    "a loss of labels": [
        ("= take_along_axis(", "sparse_cross_entropy_with_logits", False),
        ("subtract(take_along_axis", "sparse_cross_entropy_with_logits", False),
        ("matmul(transposed,", "dense_tanh", True),
    ],
    "a double gradient": [
        ("matmul(x, w_m_kernel", "dense_tanh", False), ("tanh(", "dense_tanh", False),
        ("subtract(c_1", "subtract", False),
        ("negative(", "subtract", True), ("matmul(transposed_5,", "dense_tanh", True),
    ],
}  # fmt: skip


@pytest.mark.parametrize("case", OWNED)
def test_lines_belong_to_the_call_that_they_carry_out(case: str) -> None:
    w = World()
    step = compiled(PROGRAMS[case], w)
    tape = tg.tape(PROGRAMS[case](w, *numbers(0)))
    primitives = {name: node.primitive.name for node, name in tape.calls.items()}
    owners = {line: calls for line, *calls in step.lines_of_tape(tape)["lines"]}
    source = step.source().split("\n")
    for part, primitive, back in OWNED[case]:
        lines = [
            n for n, text in enumerate(source, 1) if part in text and text.lstrip()[:1] not in ("#", "f")
        ]
        assert lines, (part, step.source())
        for line in lines:
            found = {(primitives[name], bool(back)) for name, back in owners.get(line, [])}
            assert found == {(primitive, back)}, (source[line - 1], found)


def target_first(w: World, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    with tg.no_grad():
        target = w.m(x)
    return ((w.m(x) - target * y) ** 2).mean()


@pytest.mark.parametrize("program", [target_first, lambda w, x, y: (w.m(x) * w.m(x)).sum()])
def test_calls_that_were_merged_have_the_lines_of_the_one_that_stayed(program: Program) -> None:
    w = World()
    step = compiled(program, w)
    tape = tg.tape(program(w, *numbers(0)))
    shown = {tuple(call) for _, *calls in step.lines_of_tape(tape)["lines"] for call in calls}
    assert {(name, 0) for name in tape.calls.values()} <= shown
