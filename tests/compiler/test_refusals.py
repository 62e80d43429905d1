"""What cannot be recorded, what is recorded again, and what runs as without `tg.jit`: never a silently stale value."""

import pickle
import re
import warnings
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.autograd.primitive import Primitive
from tapegrad.compiler.run.runner import is_failed_check
from tapegrad.compiler.watch.rooms import SITE

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


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("first", [True, False])
def test_where_the_warning_is_an_error_nothing_is_left_behind(name: str, first: bool) -> None:
    """The call that raises it can be made again: it has not made half of two steps. Later calls run as Python."""
    act, held = REFUSED[name][0], tg.zeros(1)

    def f(x: Any) -> Any:
        if first:
            act(x)
        held.assign(held + 1.0)
        tg.random.uniform(size=2)
        return x if first else act(x)

    step = jit(f)
    tg.manual_seed(0)
    draws = tg.random.uniform(size=2).tolist()
    tg.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", tg.JitWarning)
        with pytest.raises(tg.JitWarning, match="runs as Python"):
            step(X)
        assert held.item() == 0.0 and tg.random.uniform(size=2).tolist() == draws
        step(X)
        assert held.item() == 1.0


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
    assert "give each parameter to one optimizer" in step.stats()["refused"]
    assert "give each parameter to one optimizer" in step.program()


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


# ---- strict ----
def building_first() -> Callable[[Any], Any]:
    state = SimpleNamespace(built=False, calls=0)

    def f(x: Any) -> Any:
        if state.built:
            state.calls += 1
        else:
            state.built = True
        return x * 2.0

    return f


def appending() -> Callable[[Any], Any]:
    seen: list[Any] = []

    def f(x: Any) -> Any:
        seen.append(x.shape)
        return x * 2.0

    return f


def iterating() -> Callable[[Any], Any]:
    numbers = iter(range(99))
    return lambda x: x * next(numbers)


def counting() -> Callable[[Any], Any]:
    calls = [0]
    return lambda x: x * float(len(calls.append(0) or calls))


# (a function, the call that raises)
TIMES: dict[str, tuple[Callable[[], Callable[[Any], Any]], int]] = {
    "a number is read": (lambda: lambda x: x * float(x.sum()), 1),
    "an iterator": (iterating, 1),
    "a seed": (lambda: seeded, 1),
    "print": (lambda: lambda x: print("effect") or x, 2),
    "a random number of the host": (lambda: lambda x: x * np.random.rand(), 2),
    "a change": (appending, 3),
    "a change in the second branch": (building_first, 3),
    "a number that always differs": (counting, 3),
}  # fmt: skip


@pytest.mark.parametrize("name", TIMES)
def test_strict_raises_at_the_first_call_that_can_know(name: str) -> None:
    make, at = TIMES[name]
    step = jit(make(), strict=True)
    for _ in range(at - 1):
        step(X)
    with pytest.raises(tg.TraceError):
        step(X)


def test_preparing_does_what_python_does_twice() -> None:
    seen: list[int] = []
    with pytest.warns(tg.JitWarning, match="seen"):
        jit(lambda x: (seen.append(1), x * 2.0)[1]).prepare(X)
    assert len(seen) >= 2
    assert "twice" in tg.jit(run).prepare.__doc__  # type: ignore[operator]


# ---- what a program raises ----
def test_only_a_failed_check_is_another_case() -> None:
    assert is_failed_check(LookupError("guard: another case than recorded"))
    assert not any(
        is_failed_check(e) for e in (IndexError("guard: "), KeyError("guard: "), ValueError("guard: "))
    )


def test_an_error_is_the_functions_own_and_names_the_line_of_the_program() -> None:
    step, eager = jit(lambda x, i: x[i]), lambda x, i: x[i]
    for _ in range(3):
        step(X, tg.tensor([0]))
    with pytest.raises(IndexError) as want:
        eager(X, tg.tensor([7]))
    with pytest.raises(IndexError) as got:
        step(X, tg.tensor([7]))
    first = lambda error: str(error.value).partition("\n")[0]
    assert first(got) == first(want) and "in the program: " in got.value.__notes__[0]


def test_what_a_kernel_looks_for_at_its_first_use_is_no_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """CuPy finds CUDA's libraries when a product first needs them: not a value that the program depends on."""
    kernel: dict[str, Any] = {"__name__": "cupy.kernels"}
    exec("def erf(xp, x):\n    find()\n    return real(xp, x)", kernel)
    finder: dict[str, Any] = {"__name__": "cuda.pathfinder.folders"}
    exec(
        compile(
            "import site\ndef find():\n    return site.getsitepackages()", f"{SITE}/cuda/folders.py", "exec"
        ),
        finder,
    )
    kernels = tg.get_backend("numpy").kernels
    kernel |= {"find": finder["find"], "real": kernels["erf"]}
    monkeypatch.setitem(kernels, "erf", kernel["erf"])
    step = jit(lambda x: tg.erf(x) + 1.0, strict=True)
    for x in (tg.tensor([n]) for n in (0.5, 1.0, 1.5, 2.0)):
        assert step(x).numpy() == tg.erf(x).numpy() + 1.0
    assert step.stats()["refused"] is None and step.stats()["compiled"]
