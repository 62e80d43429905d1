"""The planner's indexes answer what a look at every operation would: which captured arrays share memory, and what is
read of it between two operations."""

import numpy as np
import pytest

from tapegrad.compiler.ir.memory import Spans
from tapegrad.compiler.ir.program import Op, Origin, Var
from tapegrad.compiler.plan.reads import CapturedReads


def captured(name: str, start: int, end: int) -> Var:
    return Var(name, (end - start,), np.dtype("int8"), "captured", span=(start, end))


def random_arrays(rng: np.random.Generator, count: int) -> list[Var]:
    """Parts of two large arrays, the arrays themselves, and single ones; some of them empty."""
    starts = rng.integers(0, 60, count)
    ends = starts + rng.choice([0, 1, 3, 40], count)
    arrays = [captured(f"a{i}", int(a), int(b)) for i, (a, b) in enumerate(zip(starts, ends))]
    return [*arrays, captured("low", 0, 50), captured("high", 50, 100)]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 17, 60])
def test_spans_that_overlap_are_found(count: int) -> None:
    rng = np.random.default_rng(count)
    for _ in range(20):
        arrays = random_arrays(rng, count)
        spans = Spans(arrays)
        for v in (*arrays, captured("far", 200, 201), captured("all", 0, 200)):
            want = {a for a in arrays if a.overlaps(v)}
            found = spans.overlapping(v)
            assert set(found) == want and len(found) == len(want)
            assert spans.overlap(v) == bool(want)


def test_reads_between_two_operations() -> None:
    rng = np.random.default_rng(0)
    arrays = random_arrays(rng, 12)
    views = [Var(f"view{i}", v.shape, v.dtype) for i, v in enumerate(arrays)]
    base = dict(zip(views, arrays))
    ops = []
    for i in range(60):
        read = [(arrays + views)[k] for k in rng.integers(0, 2 * len(arrays), 2)]
        name = "guard" if i % 11 == 0 else "add"
        ops.append(Op(name, read, {}, Var(f"out{i}", (), np.dtype("int8")), Origin("", "")))
    reads = CapturedReads(ops, base)
    for target in arrays:
        for start, end in rng.integers(0, 60, (20, 2)):
            want = [v for op in ops[start:end] for v in op.vars if base.get(v, v).overlaps(target)]
            found = [v for v, _ in reads.between(target, start, end)]
            assert sorted(v.name for v in found) == sorted(v.name for v in want)
            assert reads.checks_between(start, end) == any(op.name == "guard" for op in ops[start:end])
