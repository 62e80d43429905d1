"""Schedules of the user's own: functions of an int that Python calls before each step, compiled or not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optimizer_rows import leaf

import tapegrad as tg
from tapegrad import optim
from tapegrad.models import Sequential, compiled_step
from tapegrad.optim.schedules import Cosine

Rate = Callable[[int], Any]
EMITTERS = ("numpy", "native")


class Counting:
    """Gives another number at each call, whatever the step."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, step: int) -> float:
        self.calls += 1
        return 0.5 / self.calls


class Halved(Cosine):
    """Of one's own, though it is made of one of ours."""

    def at(self, step: Any) -> Any:
        return super().at(step) * (0.5 if int(step) % 2 else 1.0)


ROWS: dict[str, Callable[[], Rate]] = {
    "formula": lambda: lambda step: 0.1 * 0.5**step,
    "if": lambda: lambda step: 0.5 if step < 5 else 0.25,
    "dict": lambda: lambda step: {0: 0.3, 3: 0.2}.get(step, 0.05),
    "set": lambda: lambda step: 0.1 if step in {1, 3} else 0.01,
    "isinstance": lambda: lambda step: 0.3 if isinstance(step, int) else 0.01,
    "hash": lambda: lambda step: 0.01 * (hash(step) % 3),
    "list": lambda: lambda step: [0.1, 0.05, 0.01][min(step // 3, 2)],
    "array": lambda: lambda step: np.linspace(0.1, 0.9, 20)[step],
    "bits": lambda: lambda step: 0.01 * (step & 3) + 0.001 * step.bit_length(),
    "comparison as a number": lambda: lambda step: 0.01 * (step > 3) + 0.01,
    "a tensor of the step": lambda: lambda step: tg.where(tg.tensor(float(step)) > 3, 0.1, 0.2),
    "class of ours": lambda: Halved(0.5, 10),
}  # fmt: skip
STATE: dict[str, Any] = {}


def toggling(step: int) -> float:
    """Python's own state, which is read later, is another from step 5 on."""
    STATE.__setitem__("factor", 2.0 if step >= 5 else 1.0)
    return 0.1


def counted(state: dict[str, Any], step: int) -> float:
    if step > 4:
        state["factor"] += 1
    return 0.1


# What a schedule does besides giving a number: the step may depend on it.
ACTING: dict[str, Callable[[tg.Tensor, Any], Rate]] = {
    "counts": lambda buffer, other: Counting(),
    "prints": lambda buffer, other: lambda step: print(end="") or 0.1,  # type: ignore[func-returns-value]
    "draws": lambda buffer, other: lambda step: 0.1 * float(tg.rand(())),
    "draws later": lambda buffer, other: lambda step: 0.1 * float(tg.rand(())) if step > 4 else 0.1,
    "seeds": lambda buffer, other: lambda step: tg.manual_seed(step) or 0.1,  # type: ignore[func-returns-value]
    "writes": lambda buffer, other: lambda step: buffer.assign([0.1 * step]) or 0.1,  # type: ignore[func-returns-value]
    "writes later": lambda buffer, other: lambda step: (buffer.assign([0.1 * step]) if step > 4 else None) or 0.1,
    "sets an option": lambda buffer, other: lambda step: setattr(other, "lr", 0.01 * (step + 1)) or 0.1,  # type: ignore[func-returns-value]
    "sets an item": lambda buffer, other: toggling,
    "seeds later": lambda buffer, other: lambda step: (tg.manual_seed(step) if step > 4 else None) or 0.1,  # type: ignore[func-returns-value]
    "counts later, handed on": lambda buffer, other: lambda step: counted(STATE, step),
}  # fmt: skip


class Training:
    """`step()` trains by SGD with this learning rate; `rates` collects it."""

    def __init__(self, how: str | None, rate: Any, after: Callable[[tg.Tensor], None] | None = None) -> None:
        self.weight, self.rates = leaf(1.0), list[float]()
        weight = self.weight
        opt = self.opt = optim.SGD([weight], lr=rate)

        def train() -> tg.Tensor:
            loss = (weight * weight).sum()
            opt.zero_grad()
            loss.backward()
            if after is not None:
                after(weight)
            opt.step()
            return loss.detach()

        self.train: Any = train if how is None else tg.jit(train, emitter=how)
        if how == "native":
            pytest.importorskip("llvmlite", reason="llvmlite is not installed")

    def run(self, steps: int) -> "Training":
        for _ in range(steps):
            self.train()
            self.rates.append(self.opt.lr)
        return self


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("how", EMITTERS)
def test_compiled_steps_follow(how: str, name: str) -> None:
    eager, compiled = Training(None, ROWS[name]()).run(12), Training(how, ROWS[name]()).run(12)
    assert compiled.rates == eager.rates
    assert compiled.weight.numpy().tobytes() == eager.weight.numpy().tobytes()
    stats = compiled.train.stats()
    assert (stats["programs"], stats["compiled"], stats["recordings"]) == ([how], 10, 1)


@pytest.mark.filterwarnings("ignore::tapegrad.JitWarning")
@pytest.mark.parametrize("name", ACTING)
@pytest.mark.parametrize("how", EMITTERS)
def test_what_a_schedule_does_is_done_in_its_place(how: str, name: str) -> None:
    if how == "native":
        pytest.importorskip("llvmlite", reason="llvmlite is not installed")
    found = []
    for way in (None, how):
        tg.manual_seed(5)
        STATE["factor"] = 1.0
        weight, second, buffer = leaf(1.0), leaf(1.0), tg.tensor([0.0], dtype="float64")
        other = optim.SGD([second], lr=0.1)
        opt = optim.SGD([weight], lr=ACTING[name](buffer, other))
        dropout = tg.nn.Dropout(0.5)

        def train(weight: Any = weight, second: Any = second, buffer: Any = buffer, opt: Any = opt,
                  other: Any = other, dropout: Any = dropout) -> tg.Tensor:  # fmt: skip
            loss = (dropout(weight * weight) * (1 + buffer) + second).sum()
            weight.grad = second.grad = None
            loss.backward()
            other.step()
            opt.step()
            return loss.detach() * STATE["factor"]

        run: Any = train if way is None else tg.jit(train, emitter=way)
        found.append([(run().item(), opt.lr, other.lr, weight.item(), second.item()) for _ in range(9)])
    assert found[0] == found[1]


def test_what_it_does_is_named() -> None:
    with pytest.warns(tg.JitWarning, match="the schedule of lr is a function of your own that does more than to give a "
                      "number: it changes calls"):  # fmt: skip
        Training("numpy", Counting()).run(3)


def with_gradient(training: Training) -> Rate:
    def rate(step: int) -> float:
        gradient = training.weight.grad
        return 0.1 if gradient is None else 0.1 / (1 + float(gradient.sum()))

    return rate


def with_weight(training: Training) -> Rate:
    return lambda step: 0.1 / (1 + float(training.weight.sum()))


def with_data(training: Training) -> Rate:
    return lambda step: 0.1 / (1 + float(training.weight.data[0]))


def later_with_weight(training: Training) -> Rate:
    return lambda step: 0.1 if step < 4 else 0.1 / (1 + float(training.weight.sum()))


@pytest.mark.parametrize("how", EMITTERS)
@pytest.mark.parametrize("made", [with_gradient, with_weight, with_data, later_with_weight])
def test_what_looks_at_the_step_itself_runs_as_python(how: str, made: Callable[[Training], Rate]) -> None:
    rates = {}
    for way in (None, how):
        training = Training(way, 0.1)
        training.opt.lr = made(training)
        if way is None or made is later_with_weight:
            training.run(9)
        else:
            with pytest.warns(tg.JitWarning, match=r"the schedule of lr|it looks at t\.data"):
                training.run(9)
            assert training.train.stats()["compiled"] == 0
        rates[way] = training.rates, training.weight.numpy().tobytes()
    assert rates[None] == rates[how]


@pytest.mark.parametrize("how", EMITTERS)
def test_two_steps_in_one_call_run_as_python(how: str) -> None:
    found = []
    for way in (None, how):
        weight = leaf(1.0)
        opt = optim.SGD([weight], lr=lambda step: 0.1 * (step + 1))

        def train(weight: Any = weight, opt: Any = opt) -> None:
            for _ in range(2):
                opt.zero_grad()
                (weight * weight).sum().backward()
                opt.step()

        compiled: Any = train if way is None else tg.jit(train, emitter=way)
        if way is not None:
            with pytest.warns(tg.JitWarning, match="makes two steps in one call"):
                compiled()
        else:
            compiled()
        for _ in range(4):
            compiled()
        found.append(weight.numpy().tobytes())
    assert found[0] == found[1]


@pytest.mark.parametrize("how", [None, *EMITTERS])
@pytest.mark.parametrize(("bad", "error"), [(-1.0, ValueError), ("x", TypeError)])
def test_a_bad_number_raises_and_changes_nothing(how: str | None, bad: Any, error: type[Exception]) -> None:
    training = Training(how, lambda step: 0.1 if step < 5 else bad).run(5)
    before = training.weight.numpy().tobytes(), training.opt.lr, training.opt.steps
    with pytest.raises(error, match="lr by its schedule at step 5"):
        training.train()
    assert before == (training.weight.numpy().tobytes(), training.opt.lr, training.opt.steps)
    training.opt.lr = 0.1
    training.train()
    assert training.opt.steps == 6


def test_an_error_in_the_program_puts_the_number_back() -> None:
    training = Training("numpy", lambda step: 0.1 / (step + 1)).run(4)
    before = training.opt.lr
    training.weight.assign([1e308])
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        training.train()
    assert training.opt.lr == before and training.opt.steps == 4


def test_prepare_puts_the_number_back() -> None:
    training = Training("numpy", lambda step: 0.1 / (step + 1))
    training.train.prepare()
    assert training.opt.lr == 0.1 and training.opt.steps == 0
    assert training.run(3).rates == [0.1, 0.05, 0.1 / 3]
    assert training.train.stats()["compiled"] == 3


def test_check_compares_it_too() -> None:
    training = Training(None, ROWS["dict"]())
    training.train = tg.jit(training.train, emitter="numpy", check=1)
    assert training.run(8).rates == Training(None, ROWS["dict"]()).run(8).rates


def test_another_function_is_another_case() -> None:
    training = Training("numpy", lambda step: 0.1).run(4)
    training.opt.lr = lambda step: 0.2
    assert training.run(3).rates[-3:] == [0.2] * 3


def test_a_file_cannot_have_it(tmp_path: Path) -> None:
    training = Training("numpy", lambda step: 0.1).run(4)
    with pytest.raises(ValueError, match=r"save: a schedule of your own .* take one of tg\.optim\.schedules"):
        training.train.save(str(tmp_path / "step.py"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("emitter", EMITTERS)
def test_fit_follows_it(emitter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if emitter == "native":
        pytest.importorskip("llvmlite", reason="llvmlite is not installed")
    monkeypatch.setattr(compiled_step, "PATIENCE", 1)
    weights = []
    for options in ({"run_eagerly": True}, {"emitter": emitter}):
        tg.manual_seed(3)
        model = Sequential(tg.nn.Dense(1, in_features=3))
        model.compile(optim.SGD(lr=lambda step: {3: 0.3, 9: 0.2}.get(step, 0.05)), "mse", **options)
        x = np.linspace(-1.0, 1.0, 24).reshape(8, 3)
        model.fit(x, x.sum(axis=1), epochs=6, batch_size=4, verbose=0, shuffle=False)
        weights.append(np.concatenate([p.numpy().ravel() for p in model.parameters()]))
    np.testing.assert_allclose(*weights, rtol=1e-5)
