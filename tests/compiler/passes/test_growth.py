"""Every pass takes time in proportion to the operations. Counted, not timed: lines of Python that run, and comparisons
of operations and arrays, which a search in a list makes without running a line."""

import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pass_text import parsed
from tapegrad.compiler.ir.program import Op, Program, Var
from tapegrad.compiler.passes import PIPELINES, improve, lifetimes, zero_masks

FEW, FACTOR = 40, 5


def layers(n: int) -> Iterator[str]:
    """Forward, backward and an update of one array in which all parameters lie, as an optimizer's."""
    yield "x: float32[2, 2]"
    yield f"parameters: captured float32[{4 * n}] 0:{16 * n}"
    for i in range(n):
        yield f"w{i}: captured float32[2, 2] {16 * i}:{16 * i + 16}"
    yield "h0 = exp(x)"
    yield "zero: constant float32[] 0.0"
    for i in range(n):
        yield f"p{i} = matmul(h{i}, w{i})"
        yield f"h{i + 1} = maximum(p{i}, zero)"
    yield f"g{n} = positive(h{n})"
    for i in reversed(range(n)):
        yield f"m{i} = greater(h{i + 1}, 0)"
        yield f"k{i} = where(m{i}, g{i + 1}, 0.0)"
        yield f"t{i} = permute_dims(h{i}, axes=(1, 0))"
        yield f"d{i} = matmul(t{i}, k{i})"
        yield f"r{i} = reshape(d{i}, shape=(4,))"
        yield f"u{i} = permute_dims(w{i}, axes=(1, 0))"
        yield f"g{i} = matmul(k{i}, u{i})"
    yield f"g = concat({', '.join(f'r{i}' for i in range(n))}, axis=0)"
    yield "new = subtract(parameters, g)"
    yield "parameters = write(parameters, new)"
    yield f"return h{n}"


def chain(n: int) -> Iterator[str]:
    yield "a0: float32[3]"
    for i in range(n):
        yield f"a{i + 1} = sin(a{i})"
    yield f"return a{n}"


def buffers(n: int) -> Iterator[str]:
    """Each array is written on its own, and all lie in one."""
    yield "x: float32[3]"
    yield f"whole: captured float32[{3 * n}] 0:{12 * n}"
    for i in range(n):
        yield f"w{i}: captured float32[3] {12 * i}:{12 * i + 12}"
    yield "total = sum(whole)"
    for i in range(n):
        yield f"a{i} = multiply(w{i}, 1.0)"
        yield f"b{i} = add(a{i}, x)"
        yield f"w{i} = write(w{i}, b{i})"
    yield "return total"


def rewrites(n: int) -> Iterator[str]:
    """One array is written again and again."""
    yield "x: float32[3]"
    yield "w: captured float32[3] 0:12"
    for i in range(n):
        yield f"a{i} = add(w, x)"
        yield f"w = write(w, a{i})"


def picks(n: int) -> Iterator[str]:
    """Many large products that wait, and many picks."""
    yield "x: float32[2, 2]"
    yield "i: int64[2, 1]"
    for k in range(n):
        yield f"a{k} = exp(x)"
        yield f"p{k} = matmul(x, a{k})"
        yield f"s{k} = sum(a{k}, axis=0)"
        yield f"b{k} = sin(p{k})"
        yield f"t{k} = take_along_axis(b{k}, i, axis=1)"
    yield f"return {', '.join(f't{k}' for k in range(n))}"


def broadcasts(n: int) -> Iterator[str]:
    """Views of views, and repeated subexpressions."""
    yield "x: float32[2, 3]"
    for k in range(n):
        yield f"a{k} = reshape({f'b{k - 1}' if k else 'x'}, shape=(3, 2))"
        yield f"b{k} = permute_dims(a{k}, axes=(1, 0))"
        yield f"c{k} = negative(b{k})"
        yield f"d{k} = negative(c{k})"
        yield f"e{k} = exp(x)"
    yield f"return b{n - 1}, {', '.join(f'e{k}' for k in range(n))}"


PROGRAMS = (layers, chain, buffers, rewrites, picks, broadcasts)


def work(run: Any, program: Program, monkeypatch: pytest.MonkeyPatch) -> int:
    """Lines and comparisons while `run(program)` runs."""
    count = 0

    def compared(a: object, b: object) -> bool:
        nonlocal count
        count += 1
        return a is b

    def line(frame: Any, event: str, value: Any) -> Any:
        nonlocal count
        count += 1
        return line

    usual = sys.gettrace()
    with monkeypatch.context() as patch:
        for kind in (Op, Var):
            patch.setattr(kind, "__eq__", compared)
            patch.setattr(kind, "__hash__", object.__hash__)
        sys.settrace(line)
        try:
            run(program)
        finally:
            sys.settrace(usual)
    return count


@pytest.mark.parametrize("target", PIPELINES)
@pytest.mark.parametrize("make", PROGRAMS, ids=lambda make: make.__name__)
def test_work_is_in_proportion_to_the_operations(
    make: Any, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifetimes, "LARGE", 1)
    monkeypatch.setattr(zero_masks, "MANY", 1)
    few, many = (parsed("\n".join(make(n))) for n in (FEW, FEW * FACTOR))
    before = improve(few, target)[1], improve(many, target)[1]
    for at, function in enumerate(PIPELINES[target]):
        counts = [work(function, history[at][1], monkeypatch) for history in before]
        # A binary search grows by a little more than the factor; anything else by its square.
        assert counts[1] < 1.3 * FACTOR * counts[0] + 200, (function.__name__, counts)


def test_a_search_in_a_list_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(program: Program) -> None:
        for op in program.ops:
            program.ops.index(op)

    few, many = (work(slow, parsed("\n".join(chain(n))), monkeypatch) for n in (FEW, FEW * FACTOR))
    assert many > 2 * FACTOR * few


def test_what_is_not_counted_is_in_proportion_too() -> None:
    """Time, with a wide margin, for work inside of single calls of Python's own: ten times as many operations take
    about ten times as long, and a hundred times if each looks at all before it."""
    times = []
    for n in (1500, 15000):
        program = parsed("\n".join(broadcasts(n // 5)))
        rounds = []
        for _ in range(3):
            start = time.process_time()
            improve(program, "numpy")
            rounds.append(time.process_time() - start)
        times.append(min(rounds))
    assert times[1] < 30 * times[0], times
