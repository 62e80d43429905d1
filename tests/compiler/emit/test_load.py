"""A program that goes gives back what was kept of it; files are bounded; saved files say what they take."""

import gc
import importlib.util
import linecache
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.compiler.emit.load import load

SOURCE = """
import numpy as np


def double(x):
    return x + x


def build(w):
    buffer = np.zeros(3)

    def step(x):
        buffer[:] = double(x) * w
        return buffer.copy(),

    return step, (buffer,)
"""


def kept(name: str) -> list[str]:
    """Sources of programs of this name that tracebacks can show."""
    return [f for f in linecache.cache if name in f]


def test_a_program_that_goes_leaves_nothing() -> None:
    build = load(SOURCE, "vanishes")
    w = np.ones(3)
    step, (gradient,) = build(w)
    assert step(np.ones(3))[0].tolist() == [2.0, 2.0, 2.0]
    assert len(kept("vanishes")) == 1
    gone = ref(gradient)
    del build, gradient, step
    assert gone() is None  # without a garbage collection
    gc.collect()
    assert kept("vanishes") == []


def test_a_source_that_fails_leaves_nothing() -> None:
    with pytest.raises(ZeroDivisionError):
        load("1 / 0", "stops_at_once")
    assert kept("stops_at_once") == []


def test_a_compiled_function_that_goes_leaves_nothing() -> None:
    def goes_with_it(x: Any) -> Any:
        return x * 2.0 + 1.0

    compiled = tg.jit(goes_with_it, emitter="numpy")
    for call in range(12):
        compiled(tg.ones((1 + call % 3, 2)))
    assert len(kept("goes_with_it")) == 3
    del compiled
    gc.collect()
    assert kept("goes_with_it") == []


def saved_step(folder: Path) -> Any:
    w = tg.tensor([[1.0, 2.0], [3.0, 4.0]])
    step = tg.jit(lambda x, i: (x @ w)[i], emitter="numpy")
    step(tg.ones((5, 2)), tg.tensor([0, 4]))
    step.save(str(folder / "saved.py"))
    spec = importlib.util.spec_from_file_location("saved", folder / "saved.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.open_step()


X, I = np.ones((5, 2), "float32"), np.array([0, 4])


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ((X.astype("float64"), I), ValueError, r"step: x must be float32\[5, 2\], got float64\[5, 2\]"),
        ((X[:4], I), ValueError, r"step: x must be float32\[5, 2\], got float32\[4, 2\]"),
        ((X, I.astype("int32")), ValueError, r"step: i must be int64\[2\], got int32\[2\]"),
        ((X, 1.5), ValueError, r"step: i must be int64\[2\], got float64\[\]"),
        ((X,), TypeError, r"step: takes 2 arrays \(x, i\), got 1"),
        ((X, I, I), TypeError, r"step: takes 2 arrays \(x, i\), got 3"),
    ],
)
def test_a_saved_step_refuses_other_arguments_by_name(
    given: tuple[Any, ...], error: type[Exception], message: str, tmp_path: Path
) -> None:
    step = saved_step(tmp_path)
    assert step(X, I)[0].tolist() == [[4.0, 6.0], [4.0, 6.0]]
    with pytest.raises(error, match=message):
        step(*given)
