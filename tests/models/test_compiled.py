"""`fit`, `evaluate` and `predict` by NumPy's programs are what they are with `run_eagerly`: the same bits."""

import warnings
from typing import Any

import numpy as np
import pytest
from compiled_cases import CASES, Case, F, dense, ran

import tapegrad as tg
from tapegrad import nn

pytestmark = pytest.mark.usefixtures("soon")


@pytest.mark.filterwarnings("ignore:(divide by zero|invalid value|overflow) encountered")
@pytest.mark.parametrize("name", CASES)
def test_the_same_numbers(name: str) -> None:
    case = CASES[name]
    model, compiled = ran(case, run_eagerly=False, emitter="numpy")
    _, eager = ran(case, run_eagerly=True)
    assert list(compiled) == list(eager)
    for what, want in eager.items():
        got = compiled[what]
        same = np.allclose(got, want, case.rtol, case.rtol) if case.rtol else got.tobytes() == want.tobytes()
        assert same, (what, got, want)
    for step in model.stats().values():
        assert step["refused"] is None and step["compiled"] > 0, step


@pytest.mark.parametrize(
    "name", ["dense", "batch norm", "float64", "softmax", "class weights", "stopped and restored"]
)
def test_nearly_the_same_numbers_by_native_programs(name: str) -> None:
    """Their sums have another order."""
    pytest.importorskip("llvmlite", reason="the emitter native needs llvmlite")
    _, native = ran(CASES[name], run_eagerly=False, emitter="native")
    _, eager = ran(CASES[name], run_eagerly=True)
    for what, want in eager.items():
        assert np.allclose(native[what], want, 1e-4, 1e-5), what


# ---- what cannot be recorded ----
class Peeking(nn.Module):
    """Follows a mean and then reads a number, which a program cannot."""

    def __init__(self) -> None:
        self.mean = nn.Buffer(np.zeros(6, "f"))

    def forward(self, x: Any) -> Any:
        if self.training:
            self.mean.assign(0.5 * self.mean + x.detach().mean(axis=0))
        return x / (1.0 + abs(float(self.mean.sum())))


class Counting(nn.Module):
    """Works with a number of Python's that it changes itself."""

    def __init__(self) -> None:
        self.calls = 0

    def forward(self, x: Any) -> Any:
        self.calls += 1
        return x / self.calls


class Overwriting(nn.Module):
    """Replaces an array that it works with."""

    def __init__(self) -> None:
        self.last = tg.zeros(6)

    def forward(self, x: Any) -> Any:
        y = x + self.last
        self.last[0] = x.detach().mean()
        return y


def printing(t: Any, p: Any, sample_weight: Any = None) -> Any:
    loss = F.binary_cross_entropy(p, t)
    print(f"{loss:.1f}")
    return loss


PLAIN = {
    "a layer reads a number": (Case(lambda: [nn.Dropout(0.3), Peeking(), *dense()]), "return x / (1.0 + abs(float("),
    "a layer counts": (Case(lambda: [Counting(), *dense()]), "it changes model.layers[0].calls at test_compiled.py"),
    "a loss is printed": (Case(loss=printing), 'print(f"{loss:.1f}")'),
    "an array is replaced": (Case(lambda: [Overwriting(), *dense()]), ""),
}  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
def test_what_cannot_be_recorded_trains_as_it_is(name: str) -> None:
    """One warning for each step, with the line; and what the recording had done before it gave up is not done twice."""
    case, words = PLAIN[name]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _, compiled = ran(case, run_eagerly=False, emitter="numpy")
    _, eager = ran(case, run_eagerly=True)  # any warning is an error here
    assert {what: value.tobytes() for what, value in compiled.items()} == {
        what: value.tobytes() for what, value in eager.items()
    }
    messages = [str(w.message) for w in caught]
    assert len(messages) <= 3 and bool(messages) == bool(words)
    for message in messages:
        assert words in message and "run_eagerly=True" in message, message
    assert all(w.filename.endswith("compiled_cases.py") for w in caught)  # where `fit` is called
