"""Functions under `checkpoint` and `custom_gradient` that keep something of a call outside of themselves: `what_if`
runs them again, and leaves what they keep as it was."""

from collections import deque
from collections.abc import Callable
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.autograd.tapes.what_if.kept import Kept

Function = Callable[..., Any]
FIRST, OTHER = [1.0, 2.0, 3.0], [10.0, 20.0, 30.0]
HELD: Any = None
ALL: list[Any] = []


def in_a_dict() -> Function:
    held: dict[str, tg.Tensor] = {}

    def f(x: tg.Tensor) -> Any:
        held["largest"] = x.max()
        return x * 2.0, lambda g: g * held["largest"]

    return f


def in_a_list() -> Function:
    held: list[tg.Tensor] = []

    def f(x: tg.Tensor) -> Any:
        held.append(x * 1.0)
        return x * 2.0, lambda g: g * held[-1]

    return f


def taken_from_a_list() -> Function:
    held: deque[tg.Tensor] = deque()

    def f(x: tg.Tensor) -> Any:
        held.append(x * 1.0)
        return x * 2.0, lambda g: g * held.pop()

    return f


def as_an_array() -> Function:
    held: list[Any] = []

    def f(x: tg.Tensor) -> Any:
        held.append(x.data.copy())
        return x * 2.0, lambda g: g * tg.tensor(held[0])

    return f


class Holder:
    """An object that is called."""

    def __call__(self, x: tg.Tensor) -> Any:
        self.saved = x * 1.0
        return x * 2.0, self.back

    def method(self, x: tg.Tensor) -> Any:
        return self(x)

    def back(self, g: tg.Tensor) -> tg.Tensor:
        return g * self.saved


def in_a_variable_around() -> Function:
    held = None

    def f(x: tg.Tensor) -> Any:
        nonlocal held
        held = x * 1.0
        return x * 2.0, lambda g: g * held

    return f


def in_a_variable_of_the_module() -> Function:
    def f(x: tg.Tensor) -> Any:
        global HELD
        HELD = x * 1.0
        return x * 2.0, lambda g: g * HELD

    return f


def in_a_list_of_the_module() -> Function:
    def f(x: tg.Tensor) -> Any:
        ALL.append(x * 1.0)
        return x * 2.0, lambda g: g * ALL[-1]

    return f


def in_an_attribute_of_itself() -> Function:
    def f(x: tg.Tensor) -> Any:
        f.saved = x * 1.0  # type: ignore[attr-defined]
        return x * 2.0, lambda g: g * f.saved  # type: ignore[attr-defined]

    return f


def in_a_default() -> Function:
    def f(x: tg.Tensor, *, held: list[Any] = []) -> Any:  # noqa: B006
        held.append(x * 1.0)
        return x * 2.0, lambda g: g * held[-1]

    return f


def in_what_it_is_given() -> Function:
    def f(x: tg.Tensor, held: Holder) -> Any:
        held.saved = x * 1.0
        return x * 2.0, lambda g: g * held.saved

    return partial(tg.custom_gradient(f), held=Holder())


class Layer(nn.Module):
    """Has an attribute that is no tensor of its own."""

    def forward(self, x: tg.Tensor) -> Any:
        self.saved = [x * 1.0]
        return x * 2.0, lambda g: g * self.saved[0]


def behind_another_function() -> Function:
    inner = in_a_dict()
    return lambda x: inner(x)


class Counting:
    last: Any = None

    def __call__(self, x: tg.Tensor) -> Any:
        type(self).last = x * 1.0
        return x * 2.0, lambda g: g * Counting.last


class Slotted:
    __slots__ = ("__hidden", "saved")

    def __call__(self, x: tg.Tensor) -> Any:
        self.saved = self.__hidden = x * 1.0
        return x * 2.0, lambda g: g * self.saved * self.__hidden


class Listing:
    """Its method uses a list of the module."""

    def __call__(self, x: tg.Tensor) -> Any:
        ALL.append(x * 1.0)
        return x * 2.0, lambda g: g * ALL[-1]


def in_a_class() -> Function:
    def f(x: tg.Tensor) -> Any:
        Counting.last = x * 1.0
        return x * 2.0, lambda g: g * Counting.last

    return f


def in_an_array() -> Function:
    held = np.zeros(3, "float32")

    def f(x: tg.Tensor) -> Any:
        held[...] = x.numpy()
        return x * 2.0, lambda g: g * tg.tensor(held)

    return f


def in_an_array_of_objects() -> Function:
    held = np.array([None, None])

    def f(x: tg.Tensor) -> Any:
        held[0] = x * 1.0
        return x * 2.0, lambda g: g * held[0]

    return f


def in_a_file() -> Function:
    held = BytesIO(b"before")
    held.seek(0, 2)

    def f(x: tg.Tensor) -> Any:
        held.write(x.numpy().tobytes())
        return x * 2.0, lambda g: g * tg.tensor(np.frombuffer(held.getvalue()[6:18], "float32"))

    return f


KEEP = [
    in_a_dict, in_a_list, taken_from_a_list, as_an_array, Holder, lambda: Holder().method, in_a_variable_around,
    in_a_variable_of_the_module, in_a_list_of_the_module, in_an_attribute_of_itself, in_a_default, Layer,
    in_what_it_is_given, behind_another_function, Counting, Slotted, Listing, in_a_class, in_an_array,
    in_an_array_of_objects, in_a_file,
]  # fmt: skip


def taped(make: Callable[[], Function]) -> tuple[tg.Tensor, tg.Tensor]:
    f = make()
    g = f if isinstance(f, partial) else tg.custom_gradient(f)
    x = tg.tensor(FIRST, requires_grad=True)
    with tg.keep_lines():
        return x, (g(x) * g(x * 3.0)).sum()


@pytest.mark.parametrize("make", KEEP, ids=lambda make: make.__name__)
def test_what_is_kept_is_refused_and_stays(make: Callable[[], Function]) -> None:
    x, y = taped(make)
    tape = tg.tape(y, {"x": x})
    with pytest.raises(RuntimeError, match="keeps something of a call outside of itself"):
        tape.what_if({"x": OTHER})
    y.backward()
    other, expected = taped(make)
    expected.backward()
    assert x.grad is not None and other.grad is not None and x.grad.tolist() == other.grad.tolist()


def test_a_pullback_that_takes_away_is_refused() -> None:
    kept = [2.0, 3.0]

    @tg.custom_gradient
    def f(x: tg.Tensor) -> Any:
        return x * 2.0, lambda g: g * kept.pop()

    x = tg.tensor(FIRST, requires_grad=True)
    with tg.keep_lines():
        y = f(x).sum()
    changed = tg.tape(y, {"x": x}).what_if({"x": OTHER})
    with pytest.raises(RuntimeError, match="keeps something of a call"):
        changed.output.backward()
    assert kept == [2.0, 3.0]


def test_a_checkpoint_that_counts_is_refused() -> None:
    calls: list[int] = []

    def f(x: tg.Tensor) -> tg.Tensor:
        calls.append(1)
        return x * x

    x = tg.tensor(FIRST, requires_grad=True)
    with tg.keep_lines():
        y = tg.checkpoint(f)(x).sum()
    with pytest.raises(RuntimeError, match="keeps something of a call"):
        tg.tape(y, {"x": x}).what_if({"x": OTHER})
    assert len(calls) == 1


def test_what_only_reads_goes_on() -> None:
    """Also of a compiled function, which counts its calls."""
    table = {"factor": 3.0, "list": [1.0, [2.0]], "model": nn.Dense(3, in_features=3)}
    compiled = tg.jit(lambda x: x * table["factor"])

    def f(x: tg.Tensor) -> tg.Tensor:
        with tg.no_grad():
            factor = compiled(x)
        return x * factor + table["model"](x[None])[0]

    x = tg.tensor(FIRST, requires_grad=True)
    with tg.keep_lines():
        y = tg.checkpoint(f)(x).sum()
    changed = tg.tape(y, {"x": x}).what_if({"x": OTHER})
    assert changed.output.item() == pytest.approx(f(tg.tensor(OTHER)).sum().item(), rel=1e-6)
    changed.output.backward()
    assert compiled.stats()["calls"] > 1


def test_everything_is_put_back() -> None:
    held: Any = {"a": [1, 2], "b": {3}, "c": deque([4])}
    array, slotted, file = np.arange(3.0), Slotted(), BytesIO(b"before")
    slotted.saved = 1  # type: ignore[assignment]
    last = Counting.last
    kept = Kept(lambda: (held, array, slotted, file, Counting))
    array[1], slotted.saved, Counting.last, Counting.new = 5, 2, 3, 4  # type: ignore[assignment, attr-defined]
    file.seek(0, 2)
    file.write(b"more")
    held["a"].append(5)
    held["b"].clear()
    held["c"].popleft()
    held["d"] = 6
    assert kept.put_back() and not kept.put_back()
    assert held == {"a": [1, 2], "b": {3}, "c": deque([4])}
    assert array.tolist() == [0.0, 1.0, 2.0] and slotted.saved == 1 and file.getvalue() == b"before"
    assert file.tell() == 0 and Counting.last is last and not hasattr(Counting, "new")
