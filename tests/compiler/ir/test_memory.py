"""What shares memory with what, against every byte of it."""

import random
from typing import Any

import numpy as np
import pytest

from pass_text import parsed
from tapegrad.compiler.ir.memory import GrowingSpans, Spans, bases, memory_of, order_of, share, span, written
from tapegrad.compiler.ir.program import Var


def captured(start: int, end: int) -> Var:
    return Var("w", (), np.dtype("float32"), "captured", None, (start, end))


@pytest.mark.parametrize("seed", range(20))
def test_spans_against_comparing_each_with_each(seed: int) -> None:
    rng = random.Random(seed)
    size = rng.choice([0, 1, 2, 3, 7, 40])
    arrays = []
    for _ in range(size):
        start = rng.randrange(100)
        arrays.append(captured(start, start + rng.choice([0, 1, 4, 60])))
    spans, growing = Spans(arrays), GrowingSpans()
    for array in arrays:
        growing.add(array)
    assert all(len(stretch.trees) <= size.bit_length() for stretch in growing.stretches)
    assert sum(len(tree.arrays) for stretch in growing.stretches for tree in stretch.trees) == len(
        set(arrays)
    )
    assert spans.sharing() == {v for v in arrays if any(w is not v and w.overlaps(v) for w in arrays)}
    for _ in range(200):
        start = rng.randrange(-5, 110)
        v = captured(start, start + rng.choice([0, 1, 5, 30]))
        sharing = {id(w) for w in arrays if w.overlaps(v)}
        assert {id(w) for w in spans.overlapping(v)} == sharing
        assert {id(w) for w in growing.overlapping(v)} == sharing
        assert spans.overlap(v) == bool(sharing)


WHOLE = np.arange(24.0).reshape(4, 6)
VIEWS = {
    "whole": WHOLE, "row": WHOLE[1], "column": WHOLE[:, 2], "reversed": WHOLE[::-1], "part": WHOLE[2:, 3:],
    "transposed": WHOLE.T, "empty": WHOLE[:0], "element": WHOLE[3, 5:], "another": np.zeros(24),
}  # fmt: skip


@pytest.mark.parametrize("a", VIEWS)
@pytest.mark.parametrize("b", VIEWS)
def test_share_is_never_less_than_the_truth(a: str, b: str) -> None:
    if np.shares_memory(VIEWS[a], VIEWS[b]):
        assert share(VIEWS[a], VIEWS[b])
    if "another" in (a, b) and a != b:
        assert not share(VIEWS[a], VIEWS[b])


def on_gpu(array: np.ndarray) -> Any:
    class Array:
        shape, strides, dtype, size = array.shape, array.strides, array.dtype, array.size
        __cuda_array_interface__ = {"data": (array.__array_interface__["data"][0], False)}

    return Array()


@pytest.mark.parametrize("name", [name for name in VIEWS if name != "empty"])
def test_the_span_of_an_array_on_a_gpu(name: str) -> None:
    assert span(on_gpu(VIEWS[name])) == span(VIEWS[name])


def test_memory_and_order() -> None:
    assert memory_of(VIEWS["row"]) == memory_of(WHOLE)
    whole = np.zeros((2, 3))
    assert memory_of(whole) == memory_of(whole[1][::2]) == id(whole)
    assert order_of(whole) is None and order_of(whole.T) == (1, 0) and order_of(whole[0]) is None
    assert order_of(np.zeros((2, 3, 4)).transpose(2, 0, 1)) == (1, 2, 0)


def test_bases_and_written() -> None:
    program = parsed("""
        x: float32[2, 3]
        w: captured float32[2, 3] 0:24
        a = permute_dims(w, axes=(1, 0))
        b = slice(a, index=(0,))
        c = exp(b)
        d = reshape(c, shape=(2, 1))
        w = write(w, x)
        """)
    base = {view.name: memory.name for view, memory in bases(program.ops).items()}
    assert base == {"a": "w", "b": "w", "d": "c"}
    assert written(program) == [program.captured[0]]
