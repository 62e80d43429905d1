"""What cannot be recorded, what is recorded again, and what runs as without `tg.jit`: never a silently stale value."""

import logging
import pickle
import re
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.autograd.primitive import Primitive

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
    "print": (lambda x: print(x), "print", "Print what the step returns"),
    "an f-string": (lambda x: f"{x}", "numpy()", "convert it outside"),
    "a formatted number": (lambda x: f"{x.sum():.3f}", "float()", "read it outside"),
    "format": (lambda x: "{}".format(x.sum()), "numpy()", "convert it outside"),  # noqa: UP032
    "sorted": (lambda x: sorted(x), "bool()", "tg.where"),
    "max": (lambda x: max(x), "bool()", "tg.where"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    """By the user's line, what was asked for, and what to do instead; strict, nothing is left behind."""
    act, what, remedy = REFUSED[name]
    step = jit(act, strict=True)
    with pytest.raises(tg.TraceError, match=re.escape(remedy)) as caught:
        step(X)
    message = str(caught.value)
    line = act.__code__.co_firstlineno
    assert what in message and f"test_refusals.py:{line}: " in message and "lambda x:" in message
    assert "float32" in message or "bool" in message or "int64" in message, "names the tensor"
    assert step.stats()["compiled"] == 0
    with pytest.raises(RuntimeError, match="call <lambda> once"):
        step.source()


@pytest.mark.parametrize("name", REFUSED)
def test_else_it_runs_as_python(name: str) -> None:
    """With one warning; the results are those of the function as it is."""
    act, what, _ = REFUSED[name]
    step = jit(act)
    with pytest.warns(tg.JitWarning, match="strict=True raises instead") as told:
        found = [run(step) for _ in range(3)]
    assert found == [run(act)] * 3 and len(told) == 1 and told[0].filename == __file__
    assert what in str(told[0].message)
    stats = step.stats()
    assert (stats["calls"], stats["compiled"], stats["eager"]) == (3, 0, 3) and what in stats["refused"]
    for text in (step.source(), step.explain(), step.program(), stats["programs"][0]):
        assert "Python" in text and what in text
    with pytest.raises(ValueError, match="there is no program"):
        step.save("nowhere.py")


FORWARDS = {
    "a_method_of_arrays": lambda xp, x: x / x.max(),
    "a_function_of_numpy": lambda xp, x: xp.asarray(np.sort(x)),
}


@pytest.mark.parametrize("name", FORWARDS)
def test_a_primitive_that_cannot_be_recorded_runs_as_python(name: str) -> None:
    """No number of its first call is in a program: an array that comes later gives what it gives eager."""
    own = Primitive(name, FORWARDS[name], register=False)
    step = jit(lambda x: own(x))
    inputs = [tg.tensor([1.0, 4.0])] * 3 + [tg.tensor([1.0, 8.0])]
    with pytest.warns(tg.JitWarning, match=rf"the forward of {name} .* the functions of xp"):
        found = [step(x).tolist() for x in inputs]
    assert found == [own(x).tolist() for x in inputs] and step.stats()["compiled"] == 0


def test_a_refusal_that_never_comes_again_is_not_recorded_without_end() -> None:
    """What the step changes makes each call a new case: after some, it runs as Python for good."""
    w = tg.tensor([1.0, 2.0])
    box = {"w": w.detach().requires_grad_()}

    def step(x: Any) -> None:
        (box["w"] * x).sum().backward()
        box["w"] = (box["w"].detach() - 0.1 * box["w"].grad).requires_grad_(True)

    compiled = jit(step)
    with pytest.warns(tg.JitWarning) as told:
        for _ in range(80):
            compiled(X)
    assert len(told) == 1 and compiled.stats()["recordings"] <= 33 and compiled.stats()["eager"] == 80
    assert np.allclose(box["w"].numpy(), w.numpy() - 80 * 0.1 * X.numpy(), rtol=1e-5)


def run(f: Callable[[Any], Any]) -> str:
    try:
        return repr(f(X))
    except Exception as error:
        return type(error).__name__


MISTAKES: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "no function": (lambda: tg.jit(3), TypeError, "expected a function, got 3"),
    "an emitter": (lambda: tg.jit(lambda x: x, emitter="fortran"), ValueError, r"'auto', 'numpy', .* got 'fortran'"),
    "calls between checks": (lambda: tg.jit(run, check=-1), ValueError, "check must be a number of calls, .* got -1"),
    "a pass": (
        lambda: recorded().program("nonsense"), ValueError,
        "known passes are recorded, dead.code"),
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
    inputs = [((X,), "the first call"), ((tg.ones(3),), "x: a tensor of shape (3,) instead of (2,)"),
              ((X, 2.0), "another number of arguments"), ((X, 3.0), "c: 3.0 instead of 2.0"),
              ((X.astype("float64"),), "x: a tensor of dtype float64 instead of float32")]  # fmt: skip
    with caplog.at_level(logging.INFO, "tapegrad.jit"), tg.no_grad():
        for given, reason in inputs:
            for _ in range(3):
                assert step(*given).tolist() == (given[0] * (given[1] if len(given) > 1 else 1.0)).tolist()
            assert step.stats()["reasons"][-1] == reason
        assert step.stats()["calls"] == 15 and step.stats()["recordings"] == step.stats()["compiled"] == 5
        for mode in (True, False, True):
            model.train(mode)
            for _ in range(3):
                predict(X)
    said = [record.getMessage() for record in caplog.records]
    for number, ((_, reason), message) in enumerate(zip(inputs, said)):
        assert message == f"<lambda>: recording {number + 1} ({reason}), run by numpy"
    assert said[-1] == "<lambda>: recording 2 (model.training: False instead of True), run by numpy"
    assert {record.levelname for record in caplog.records} == {"INFO"} and len(said) == len(inputs) + 2


OTHERWISE: dict[str, tuple[Callable[[Any], Any], str]] = {
    "an array that is written to": (lambda w: setattr(w, "data", w.data.copy()), "was replaced"),
    "another shape": (lambda w: setattr(w, "data", np.full(1, 0.25, "float32")), "another shape, dtype or place"),
    "frozen": (lambda w: w.requires_grad_(False), "requires_grad of w"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERWISE)
def test_what_it_captured_changed(name: str) -> None:
    change, reason = OTHERWISE[name]
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    f = lambda x: w.detach() * x + (0.0 if name == "another shape" else 1.0)
    step = jit(f if name != "an array that is written to" else lambda x: w.assign(w.detach() * x))
    for _ in range(3):
        step(X)
    change(w)
    before = w.detach() + 0.0
    found = step(X)
    assert reason in step.stats()["reasons"][1] and step.stats()["recordings"] == 2
    assert (w if found is None else found).tolist() == (before * X if found is None else f(X)).tolist()


# ---- Python's own values ----
def test_what_python_closes_over_is_followed() -> None:
    """A number of Python's is a guard; held in a tensor it takes no further recording."""
    factor, held, several = 2.0, tg.tensor(2.0), {"factor": 2.0}
    closed = jit(lambda x: x * factor)
    inside = jit(lambda x: x * several["factor"])
    tensor = jit(lambda x: x * held)
    for value in (2.0, 3.0, 2.0):
        factor = several["factor"] = value
        held.assign(value)
        for f in (closed, inside, tensor):
            for _ in range(3):
                assert f(X).tolist() == [value, 2.0 * value]
    assert [f.stats()["recordings"] for f in (closed, inside, tensor)] == [2, 2, 1]
    assert closed.stats()["reasons"][1] == "factor: 3.0 instead of 2.0"
    assert inside.stats()["reasons"][1] == "several['factor']: 3.0 instead of 2.0"


# ---- runs as without ----
def seeded(x: Any) -> Any:
    tg.manual_seed(3)
    return F.dropout(x, 0.5)


def switching(model: Any) -> Callable[[Any], Any]:
    def f(x: Any) -> Any:
        model.train()
        return model(x)

    return f


@pytest.mark.filterwarnings("ignore::tapegrad.JitWarning")
def test_seeds_and_modes_set_inside_take_effect_at_each_call() -> None:
    x = tg.ones(50)
    step = jit(seeded)
    tg.manual_seed(3)
    assert len({step(x).numpy().tobytes() for _ in range(4)}) == 1
    assert "sets the seed of the random numbers at test_refusals.py" in step.stats()["programs"][0]
    model = tg.nn.Dropout(0.5)
    step = jit(switching(model))
    for _ in range(5):
        model.eval()
        assert (step(x).numpy() == 0).any() and model.training
    assert step.stats()["compiled"] == 0
    for _ in range(3):
        assert (step(x).numpy() == 0).any()


@pytest.mark.filterwarnings("ignore::tapegrad.JitWarning")
def test_two_optimizers_of_one_parameter_in_one_step() -> None:
    """Each takes the parameter into a buffer of its own, in turn, which a program cannot do."""

    def trained(wrap: Callable[[Any], Any]) -> tuple[Any, Any]:
        w = tg.Parameter(np.ones(3, "float32"))
        one, other = tg.optim.Adam([w], lr=0.01), tg.optim.SGD([w], lr=0.1)

        def f(x: Any) -> None:
            one.zero_grad()
            (w * x).sum().backward()
            one.step()
            other.step()

        step = wrap(f)
        for _ in range(5):
            step(tg.ones(3))
        return w.tolist(), step

    expected, _ = trained(lambda f: f)
    found, step = trained(jit)
    assert found == expected
    assert "Give each parameter to one optimizer" in step.stats()["refused"]
    assert "Give each parameter to one optimizer" in step.program()


ARRAYS: dict[str, tuple[Callable[[], Any], bool]] = {
    "text": (lambda: np.array(["a", "b"]), True),
    "records": (lambda: np.zeros(2, [("a", "f4")]), True),
    "objects": (lambda: np.array([None, {}]), False),
    "unpickled": (lambda: pickle.loads(pickle.dumps(X.numpy())), True),
}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.filterwarnings("ignore::tapegrad.JitWarning")
def test_arrays_of_every_kind_are_taken_as_arguments(name: str) -> None:
    """Those that are no numbers are compared, or cannot be; an unpickled dtype equals the one that others share."""
    make, compiles = ARRAYS[name]
    step = jit(lambda a, x: x * len(a))
    for _ in range(4):
        assert step(make(), X).tolist() == [2.0, 4.0]
    assert step.stats()["compiled"] == (2 if compiles else 0)
    assert compiles or "of Python objects" in step.stats()["refused"]


# ---- before the first call ----
PREPARED: dict[str, Callable[[Any], Any]] = {
    "arrays": lambda f: f(np.ones(3, "float32")),
    "by name": lambda f: f(x=tg.ones(3), c=3.0),
    "in its place": lambda f: f(tg.ones(3), 3.0),
}


@pytest.mark.parametrize("name", PREPARED)
def test_what_was_prepared_is_what_the_first_call_runs(name: str) -> None:
    step = jit(lambda x, c=2.0: x * c)
    PREPARED[name](step.prepare)
    PREPARED[name](step)
    assert (step.stats()["compiled"], step.stats()["recordings"]) == (1, 1)


def test_prepared_with_and_without_gradients() -> None:
    step = jit(lambda x: x * 2.0).prepare(X)
    with tg.no_grad():
        step.prepare(X)
        step(X)
    step(X)
    assert (step.stats()["compiled"], step.stats()["recordings"]) == (2, 2)


def test_preparing_what_runs_as_python_says_so() -> None:
    step = jit(lambda x: print("effect") or x)
    with pytest.warns(tg.JitWarning, match="print"):
        step.prepare(X)
    assert "print" in step.stats()["refused"]


def test_preparing_what_does_something_else_at_each_call_says_so() -> None:
    times = iter(range(99))
    step = jit(lambda x: x * next(times).__float__())
    with pytest.warns(tg.JitWarning, match=r"next at test_refusals.py|times"):
        step.prepare(X)
    assert step.stats()["refused"]
    step = jit(lambda x: print("effect") or x, strict=True)
    with pytest.raises(tg.TraceError, match="print"):
        step.prepare(X)


# ---- a profiler ----
def test_a_profiler_is_left_on_and_nothing_is_recorded() -> None:
    """Recording takes the place of one: a call runs as Python then, and so does `prepare` nothing."""
    step, called = jit(lambda x: x * 2.0), []

    def profiler(*event: Any) -> None:
        called.append(event)

    sys.setprofile(profiler)
    try:
        with pytest.warns(tg.JitWarning, match="a profiler is on") as told:
            step.prepare(X)
            assert step(X).tolist() == [2.0, 4.0]
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(None)
    assert len(told) == 1 and step.stats()["recordings"] == 0
    assert "a profiler is on" in step.stats()["refused"] and "a profiler is on" in step.source()
    step.prepare(X)(X)
    assert step.stats()["compiled"] == 1 and step.stats()["refused"] is None


# ---- arguments ----
KINDS_OF_RUN: dict[str, Callable[[Any, Any], Any]] = {
    "recorded and compiled": lambda step, a: [step(a) for _ in range(3)],
    "inside another one": lambda step, a: [jit(lambda y: step(a) * y)(X) for _ in range(3)],
    "being differentiated": lambda step, a: [tg.grad(lambda y: (step(a) * y).sum())(X)],
}


@pytest.mark.parametrize("name", KINDS_OF_RUN)
def test_arrays_arrive_as_tensors_however_it_runs(name: str) -> None:
    step = jit(lambda a: a.detach() * 2.0)
    for result in KINDS_OF_RUN[name](step, X.numpy()):
        assert isinstance(result, tg.Tensor) and result.shape == (2,)


@pytest.mark.filterwarnings("ignore::tapegrad.JitWarning")
def test_arrays_arrive_as_tensors_where_it_runs_as_python() -> None:
    seen = []

    def f(x: Any, c: float) -> Any:
        seen.append(type(x))
        return x * c

    step = jit(f)
    assert all(step(X.numpy(), float(i)).tolist() == [i, 2.0 * i] for i in range(70))
    assert step.stats()["refused"] and set(seen) == {tg.Tensor}


def test_the_order_of_arguments_by_name_is_no_new_case() -> None:
    """But f sees those that it takes in a dict in the order in which they were given."""

    def f(x: Any, *, a: float, b: float) -> Any:
        return x * a + b

    step = jit(f)
    for _ in range(3):
        step(X, a=1.0, b=2.0)
    assert step(x=X, b=2.0, a=1.0).tolist() == step(X, b=2.0, a=1.0).tolist() == [3.0, 4.0]
    assert (step.stats()["recordings"], step.stats()["compiled"]) == (1, 3)
    names = jit(lambda x, **more: [*more])
    assert names(X, b=1.0, a=2.0) == names(x=X, b=1.0, a=2.0) == ["b", "a"]


class Slotted:
    __slots__ = ("inside",)

    def __init__(self, inside: Any) -> None:
        self.inside = inside


def test_an_argument_that_is_returned_is_the_one_that_was_given() -> None:
    step = jit(lambda pair, held, x: (pair[1]["o1"], held.inside, x * 2.0))
    for _ in range(4):
        inner, slotted = tg.ones(3), Slotted(tg.ones(2))
        first, second, doubled = step((1.0, {"o1": inner}), slotted, X)
        assert first is inner and second.tolist() == [1.0, 1.0] and doubled.tolist() == [2.0, 4.0]
        assert second is slotted.inside or step.stats()["compiled"] == 0
    assert step.stats()["compiled"] == 2


# ---- lines ----
def test_a_colon_in_a_name_is_not_taken_for_a_line() -> None:
    times = {"at 12:30": 0}

    def step(x: Any) -> Any:
        times["at 12:30"] += 1
        return x * 2.0

    line = step.__code__.co_firstlineno + 1
    with pytest.warns(tg.JitWarning, match=rf"changes times\['at 12:30'\] at test_refusals.py:{line}"):
        jit(step).prepare(X)


@tg.jit
def decorated(x: Any) -> Any:
    return x * 2.0


def test_a_decorated_function_is_pickled_by_its_name() -> None:
    assert pickle.loads(pickle.dumps(decorated)) is decorated
    assert pickle.loads(pickle.dumps(tg.jit(run))) is not decorated
