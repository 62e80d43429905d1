"""What cannot be recorded, what is recorded again, and what runs as without `tg.jit`: never a silently stale value."""

import logging
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

F = tg.nn.functional
jit = partial(tg.jit, emitter="numpy")
X = tg.tensor([1.0, 2.0])

# (what the function does on its line, what the message says is needed, the remedy it names)
REFUSED: dict[str, tuple[Callable[..., Any], str, str]] = {
    "float": (lambda x: x * float(x.sum()), "float()", "Return the tensor"),
    "int": (lambda x: x * int(x.sum()), "int()", "Return the tensor"),
    "item": (lambda x: x * x.sum().item(), "item()", "read it outside"),
    "if": (lambda x: x if x.sum() > 0 else -x, "bool()", "tg.where"),
    "not": (lambda x: not x.sum(), "bool()", "tg.where"),
    "while": (lambda x: [x for _ in iter(lambda: bool(x.sum() > 9), False)], "bool()", "tg.where"),
    "range": (lambda x: list(range(x.sum().astype("int64"))), "int()", "read it outside"),
    "numpy": (lambda x: x.numpy() * 2, "numpy()", "convert it outside"),
    "tolist": (lambda x: x.tolist(), "numpy()", "convert it outside"),
    "np.asarray": (lambda x: np.asarray(x), "numpy()", "convert it outside"),
    "in": (lambda x: 1.0 in x, "numpy()", "convert it outside"),
    "print": (lambda x: print(x), "numpy()", "convert it outside"),
    "an f-string": (lambda x: f"{x}", "numpy()", "convert it outside"),
    "a formatted number": (lambda x: f"{x.sum():.3f}", "float()", "read it outside"),
    "format": (lambda x: "{}".format(x.sum()), "numpy()", "convert it outside"),  # noqa: UP032
    "sorted": (lambda x: sorted(x), "bool()", "tg.where"),
    "max": (lambda x: max(x), "bool()", "tg.where"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    """By the user's line, what was asked for, and what to do instead; and nothing is left behind."""
    act, what, remedy = REFUSED[name]
    step = jit(act)
    with pytest.raises(tg.TraceError, match=re.escape(remedy)) as caught:
        step(X)
    message = str(caught.value)
    line = act.__code__.co_firstlineno
    assert what in message and f"test_refusals.py:{line}: " in message and "lambda x:" in message
    assert step.stats()["recordings"] == 0
    with pytest.raises(RuntimeError, match="call <lambda> once"):
        step.source()


MISTAKES: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "a bare array": (lambda: jit(lambda x: x)(np.ones(3)), TypeError, r"a bare array: make it a tensor"),
    "a bare array inside": (lambda: jit(lambda x: x["a"])({"a": np.ones(3)}), TypeError, r"tg\.tensor\(array\)"),
    "an emitter": (lambda: tg.jit(lambda x: x, emitter="fortran"), ValueError, r"'auto', 'numpy', .* got 'fortran'"),
    "a pass": (lambda: recorded().program("nonsense"), ValueError, "known passes are recorded, dead_code"),
    "too early": (lambda: jit(lambda x: x).explain(), RuntimeError, "it is recorded at its first call"),
}  # fmt: skip


def recorded() -> Any:
    step = jit(lambda x: x * 2.0)
    step(X)
    return step


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str) -> None:
    act, kind, message = MISTAKES[name]
    with pytest.raises(kind, match=message):
        act()


# ---- recorded again ----
def test_a_shape_that_changed_is_recorded_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    step = jit(lambda x, c=1.0: x * c)
    model = tg.nn.Dropout(0.5)
    predict = jit(lambda x: model(x))
    inputs = [((X,), "the first call"), ((X,), None), ((tg.ones(3),), "a tensor of shape (3,) instead of (2,)"),
              ((X, 2.0), "another structure"), ((X, 3.0), "float 3.0 instead of float 2.0"), ((X, 3.0), None),
              ((X.astype("float64"),), "a tensor of dtype float64 instead of float32"), ((X,), None)]  # fmt: skip
    with caplog.at_level(logging.INFO, "tapegrad.jit"), tg.no_grad():
        for given, reason in inputs:
            assert step(*given).tolist() == (given[0] * (given[1] if len(given) > 1 else 1.0)).tolist()
            found = step.stats()["reasons"][len([r for r in caplog.records]) - 1]
            assert reason is None or reason in found
        reasons = [reason for _, reason in inputs if reason]
        assert step.stats()["calls"] == len(inputs) and step.stats()["recordings"] == len(reasons)
        predict(X)
        predict(X)
        model.eval()
        predict(X)
    said = [record.getMessage() for record in caplog.records]
    for number, (reason, message) in enumerate(zip(reasons, said)):
        assert message.startswith(f"<lambda>: recording {number + 1} (") and reason in message
        assert message.endswith(", run by numpy")
    assert said[-1] == "<lambda>: recording 2 (a new kind of input: a module is in evaluation), run by numpy"
    assert {record.levelname for record in caplog.records} == {"INFO"} and len(said) == len(reasons) + 2


OTHERWISE: dict[str, tuple[Callable[[Any], Any], str]] = {
    "an array that is written to": (lambda w: setattr(w, "data", w.data.copy()), "was replaced"),
    "another shape": (lambda w: setattr(w, "data", np.full(1, 0.25, "float32")), "another shape, dtype or place"),
    "frozen": (lambda w: w.requires_grad_(False), "ceased to require grad"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERWISE)
def test_what_it_captured_changed(name: str) -> None:
    change, reason = OTHERWISE[name]
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    f = lambda x: w.detach() * x + (0.0 if name == "another shape" else 1.0)
    step = jit(f if name != "an array that is written to" else lambda x: w.assign(w.detach() * x))
    step(X)
    change(w)
    before = w.detach() + 0.0
    found = step(X)
    assert reason in step.stats()["reasons"][1] and step.stats()["recordings"] == 2
    assert (w if found is None else found).tolist() == (before * X if found is None else f(X)).tolist()


# ---- Python's own values ----
def test_what_python_closes_over_is_as_it_was_and_arguments_are_not() -> None:
    """The documented case: whatever Python computes outside of tensors is part of the program, so give it as an
    argument, or hold it in a tensor."""
    factor, held, several = 2.0, tg.tensor(2.0), {"factor": 2.0}
    closed = jit(lambda x: x * factor)
    inside = jit(lambda x: x * several["factor"])
    given = jit(lambda x, factor: x * factor)
    tensor = jit(lambda x: x * held)
    raw = jit(lambda x: x + tg.tensor(x.data * 10.0))
    first = [f(X).tolist() for f in (closed, inside, tensor)] + [given(X, factor).tolist()]
    assert first == [[2.0, 4.0]] * 4 and raw(X).tolist() == [11.0, 22.0]
    factor, several["factor"] = 3.0, 3.0
    held.assign(3.0)
    assert closed(X).tolist() == inside(X).tolist() == [2.0, 4.0]  # as they were
    assert given(X, factor).tolist() == tensor(X).tolist() == [3.0, 6.0]
    assert raw(X * 2.0).tolist() == [12.0, 24.0]  # its raw arrays were not followed
    assert "closes over" in tg.jit.__doc__ and ".data" in tg.jit.__doc__


# ---- runs as without ----
def seeded(x: Any) -> Any:
    tg.manual_seed(3)
    return F.dropout(x, 0.5)


def switching(model: Any) -> Callable[[Any], Any]:
    def f(x: Any) -> Any:
        model.train()
        return model(x)

    return f


def test_seeds_and_modes_set_inside_take_effect_at_each_call() -> None:
    x = tg.ones(50)
    step = jit(seeded)
    tg.manual_seed(3)
    assert len({step(x).numpy().tobytes() for _ in range(4)}) == 1
    assert "sets the seed of the random numbers: test_refusals.py" in step.stats()["programs"][0]
    model = tg.nn.Dropout(0.5)
    step = jit(switching(model))
    for _ in range(3):
        model.eval()
        assert (step(x).numpy() == 0).any() and model.training
    assert "switches a model's training mode" in step.stats()["programs"][0]
    assert [step(x) is not None, step(x) is not None, step.stats()["programs"][1]] == [True, True, "numpy"]
