"""Every schedule: against Keras, PyTorch or its formula, for any option, eager, compiled, in fit, saved and resumed."""

import json
import math
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optimizer_rows import leaf

import tapegrad as tg
from tapegrad import optim
from tapegrad.models import LearningRateScheduler, ReduceLROnPlateau, Sequential, compiled_step
from tapegrad.optim.schedules import (
    KINDS,
    Chained,
    Constant,
    Cosine,
    CosineRestarts,
    Exponential,
    InverseTime,
    MultiStep,
    OneCycle,
    Piecewise,
    Polynomial,
    StepDecay,
    Warmup,
    from_config,
)

STEPS = 150


def restarts(t: int, value: float, steps: float, end: float, growth: float, shrink: float) -> float:
    number = 0
    while t >= steps:
        t, steps, number = t - steps, steps * growth, number + 1
    return end + (value - end) * shrink**number * (1 + math.cos(math.pi * t / steps)) / 2


def one_cycle(t: int, peak: float, steps: int, start: float, end: float, up: float) -> float:
    top = up * steps - 1
    a, b, part = (start, peak, t / top) if t <= top else (peak, end, min((t - top) / (steps - 1 - top), 1))
    return b + (a - b) * (1 + math.cos(math.pi * part)) / 2


# A schedule, its formula, Keras's and PyTorch's counterpart as (name, arguments).
ROWS: list[tuple[Any, Any, Any, Any]] = [
    (Constant(0.25), lambda t: 0.25, None, ("ConstantLR", {"factor": 1.0})),
    (StepDecay(0.5, 30, 0.5), lambda t: 0.5 * 0.5 ** (t // 30),
     ("ExponentialDecay", (0.5, 30, 0.5, True)), ("StepLR", {"step_size": 30, "gamma": 0.5})),
    (Piecewise([0.5, 0.25, 1.0], [10, 20]), lambda t: 0.5 if t < 10 else 0.25 if t < 20 else 1.0,
     ("PiecewiseConstantDecay", ([9, 19], [0.5, 0.25, 1.0])), None),
    (MultiStep(0.5, [20, 50, 90], 0.25), lambda t: 0.5 * 0.25 ** ((t >= 20) + (t >= 50) + (t >= 90)),
     None, ("MultiStepLR", {"milestones": [20, 50, 90], "gamma": 0.25})),
    (Exponential(0.5, 0.96875), lambda t: 0.5 * 0.96875**t,
     ("ExponentialDecay", (0.5, 1, 0.96875)), ("ExponentialLR", {"gamma": 0.96875})),
    (InverseTime(0.5, 0.25, 30), lambda t: 0.5 / (1 + 0.25 * t / 30), ("InverseTimeDecay", (0.5, 30, 0.25)), None),
    (Polynomial(0.5, 100, 0.125, 2.0), lambda t: 0.125 + 0.375 * (1 - min(t, 100) / 100) ** 2,
     ("PolynomialDecay", (0.5, 100, 0.125, 2.0)), None),
    (Polynomial(0.5, 100), lambda t: 0.5 * (1 - min(t, 100) / 100),
     ("PolynomialDecay", (0.5, 100, 0.0)), ("PolynomialLR", {"total_iters": 100})),
    (Cosine(0.5, 160, 0.125), lambda t: 0.125 + 0.375 * (1 + math.cos(math.pi * min(t, 160) / 160)) / 2,
     ("CosineDecay", (0.5, 160, 0.25)), ("CosineAnnealingLR", {"T_max": 160, "eta_min": 0.125})),
    (CosineRestarts(0.5, 10, 0.125, 2.0), partial(restarts, value=0.5, steps=10, end=0.125, growth=2, shrink=1),
     ("CosineDecayRestarts", (0.5, 10, 2.0, 1.0, 0.25)),
     ("CosineAnnealingWarmRestarts", {"T_0": 10, "T_mult": 2, "eta_min": 0.125})),
    (CosineRestarts(0.5, 7, shrink=0.5), partial(restarts, value=0.5, steps=7, end=0, growth=1, shrink=0.5),
     ("CosineDecayRestarts", (0.5, 7, 1.0, 0.5)), None),
    (OneCycle(0.5, 150), partial(one_cycle, peak=0.5, steps=150, start=0.02, end=2e-6, up=0.3),
     None, ("OneCycleLR", {"max_lr": 0.5, "total_steps": 150, "cycle_momentum": False})),
    (OneCycle(0.85, 160, 0.95, 0.95, 0.5), partial(one_cycle, peak=0.85, steps=160, start=0.95, end=0.95, up=0.5),
     None, None),
    (Warmup(0.5, 40, 0.125), lambda t: 0.125 + 0.375 * min(t, 40) / 40,
     None, ("LinearLR", {"start_factor": 0.25, "total_iters": 40})),
    (Warmup(Cosine(0.5, 100), 10),
     lambda t: 0.5 * t / 10 if t < 10 else 0.25 * (1 + math.cos(math.pi * min(t - 10, 100) / 100)),
     ("CosineDecay", (0.0, 100, 0.0, "CosineDecay", 0.5, 10)), None),
    (Chained([Constant(0.5), Exponential(0.5, 0.5, 10), 0.25], [20, 30]),
     lambda t: 0.5 if t < 20 else 0.5 * 0.5 ** ((t - 20) / 10) if t < 50 else 0.25, None, None),
]  # fmt: skip
IDS = [f"{type(row[0]).__name__}-{i}" for i, row in enumerate(ROWS)]
OURS = [row[0] for row in ROWS]


def test_every_schedule_has_a_row() -> None:
    assert {type(schedule) for schedule in OURS} == set(KINDS.values())
    assert set(optim.schedules.__all__) == {"Schedule", *KINDS}


@pytest.mark.parametrize(("schedule", "formula", "keras", "torch"), ROWS, ids=IDS)
def test_follows_the_formula(schedule: Any, formula: Any, keras: Any, torch: Any) -> None:
    for t in range(STEPS):
        value = schedule(t)
        assert type(value) is float
        assert value == pytest.approx(formula(t), rel=1e-12, abs=1e-15), t
        assert schedule(tg.tensor(float(t), dtype="float64")).item() == value


@pytest.mark.tensorflow
@pytest.mark.parametrize(("schedule", "formula", "keras", "torch"), ROWS, ids=IDS)
def test_follows_keras(schedule: Any, formula: Any, keras: Any, torch: Any) -> None:
    if keras is None:
        return
    schedules = pytest.importorskip("keras").optimizers.schedules
    name, arguments = keras
    arguments = [a for a in arguments if not isinstance(a, str)]
    options = {}
    if len(arguments) > 5 or len(keras[1]) != len(arguments):
        options, arguments = {"warmup_target": arguments[3], "warmup_steps": arguments[4]}, arguments[:3]
    theirs = getattr(schedules, name)(*arguments, **options)
    for t in range(STEPS):  # in float32 there
        assert schedule(t) == pytest.approx(float(theirs(t)), rel=1e-5, abs=1e-6), t


@pytest.mark.parametrize(("schedule", "formula", "keras", "torch"), ROWS, ids=IDS)
def test_follows_pytorch(schedule: Any, formula: Any, keras: Any, torch: Any) -> None:
    if torch is None:
        return
    module = pytest.importorskip("torch", reason="PyTorch is not installed")
    name, options = torch
    opt = module.optim.SGD([module.nn.Parameter(module.zeros(1))], lr=0.5 if name != "ConstantLR" else 0.25)
    theirs = getattr(module.optim.lr_scheduler, name)(opt, **options)
    for t in range(STEPS):
        assert schedule(t) == pytest.approx(opt.param_groups[0]["lr"], rel=1e-9, abs=1e-12), t
        opt.step()
        if t < STEPS - 1:
            theirs.step()


@pytest.mark.parametrize("schedule", OURS, ids=IDS)
def test_is_plain_data(schedule: Any) -> None:
    again = from_config(json.loads(json.dumps(schedule.config())))
    assert again == schedule and hash(again) == hash(schedule)
    with pytest.raises(AttributeError):
        schedule.steps = 3


def with_numbers_as(kind: Any, config: Any) -> Any:
    """The plain data of a schedule with other objects for its numbers."""
    if isinstance(config, dict):
        return {name: with_numbers_as(kind, value) for name, value in config.items()}
    if isinstance(config, list):
        return [with_numbers_as(kind, value) for value in config]
    return config if config is None or isinstance(config, str) else kind(config)


@pytest.mark.parametrize(
    "kind", [lambda n: tg.tensor(n, dtype="float64"), np.float64, lambda n: np.array([n])]
)
@pytest.mark.parametrize("schedule", OURS, ids=IDS)
def test_numbers_may_be_tensors_of_one_element(schedule: Any, kind: Any) -> None:
    again = from_config(with_numbers_as(kind, schedule.config()))
    assert again == schedule and hash(again) == hash(schedule)
    assert [again(step) for step in (0, 3, 70)] == [schedule(step) for step in (0, 3, 70)]
    assert from_config(json.loads(json.dumps(again.config()))) == schedule


X = tg.tensor(np.random.default_rng(0).normal(size=(8, 3)).astype("float32"))
Y = tg.tensor(np.random.default_rng(1).normal(size=(8, 1)).astype("float32"))
WAYS = [None, "numpy", "native"]


class Training:
    """A small model, trained by steps that are eager or compiled."""

    def __init__(self, how: str | None, kind: Any = optim.SGD, **options: Any) -> None:
        tg.manual_seed(3)
        self.layer = tg.nn.Dense(1, in_features=3)
        self.opt = kind(self.layer, **options)
        self.step = self.train if how is None else tg.jit(self.train, emitter=how, strict=True)
        if how == "native":  # from the first step on, as the second one does
            self.step.prepare()  # type: ignore[attr-defined]

    def train(self) -> Any:
        loss = 0.1 * ((self.layer(X) - Y) ** 2).mean()
        self.opt.zero_grad()
        loss.backward()
        self.opt.step()
        return loss.detach()

    def run(self, steps: int) -> list[bytes]:
        for _ in range(steps):
            self.step()
        return [p.numpy().tobytes() for p in self.layer.parameters()]


@pytest.mark.parametrize("schedule", OURS, ids=IDS)
@pytest.mark.parametrize("how", WAYS)
def test_steps_follow_without_a_new_recording(how: str | None, schedule: Any) -> None:
    """The same as setting the option by hand before each step."""
    if how == "native":
        pytest.importorskip("llvmlite", reason="llvmlite is not installed")
    training, by_hand = Training(how, lr=schedule), Training(None)
    for t in range(60):
        training.step()
        assert training.opt.lr == pytest.approx(schedule(t), rel=0.0 if how != "native" else 1e-14)
        by_hand.opt.lr = schedule(t)
        by_hand.step()
    for p, q in zip(training.layer.parameters(), by_hand.layer.parameters()):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-5, atol=1e-6)
    if how is not None:
        assert training.step.stats()["recordings"] == 1  # type: ignore[attr-defined]


OPTIONS: list[tuple[Any, str, float]] = [
    (optim.SGD, "momentum", 0.9), (optim.Adam, "beta_1", 0.9), (optim.Adam, "beta_2", 0.99), (optim.Adam, "eps", 0.1),
    (optim.Adam, "weight_decay", 0.1), (optim.RMSprop, "rho", 0.9), (optim.SGD, "clipvalue", 0.1),
    (optim.SGD, "clipnorm", 0.1), (optim.SGD, "global_clipnorm", 0.1), (optim.Nadam, "momentum_decay", 0.5),
]  # fmt: skip


@pytest.mark.parametrize("how", [None, "numpy"])
@pytest.mark.parametrize(("kind", "option", "value"), OPTIONS)
def test_any_option(kind: Any, option: str, value: float, how: str | None) -> None:
    schedule = Polynomial(value, 20, value / 2)
    training, by_hand = Training(how, kind, **{option: schedule}), Training(how, kind, **{option: value})
    for t in range(12):
        training.step()
        setattr(by_hand.opt, option, schedule(t))
        by_hand.step()
    assert training.run(0) == by_hand.run(0)


@pytest.mark.parametrize("how", WAYS)
def test_resumes_to_equal_bytes(how: str | None) -> None:
    if how == "native":
        pytest.importorskip("llvmlite", reason="llvmlite is not installed")
    options = {"lr": Warmup(Cosine(0.5, 20), 4), "beta_1": Polynomial(0.9, 20, 0.5), "kind": optim.Nadam}
    whole = Training(how, **options)
    expected = whole.run(12)
    first, second = Training(how, **options), Training(how, **options)
    first.run(5)
    second.layer.load_state_dict(first.layer.state_dict())
    second.opt.load_state_dict(first.opt.state_dict())
    assert second.opt.lr == first.opt.lr == options["lr"](4)
    assert second.run(7) == expected
    a, b = whole.opt.state_dict(), second.opt.state_dict()
    assert {n: t.numpy().tobytes() for n, t in a.items()} == {n: t.numpy().tobytes() for n, t in b.items()}


@pytest.mark.parametrize("how", [None, "numpy"])
def test_set_and_dropped_between_steps(how: str | None) -> None:
    training = Training(how, lr=0.5)
    training.run(3)
    training.opt.lr = lambda step: 0.5 + 0.0 * step
    training.run(1)
    assert training.opt.lr == 0.5
    training.opt.lr = Cosine(0.5, 100)
    training.run(2)
    assert training.opt.lr == Cosine(0.5, 100)(5)
    training.opt.lr = 0.125
    training.run(1)
    assert training.opt.lr == 0.125


def test_a_group_has_its_own() -> None:
    a, b = leaf(0.0), leaf(0.0)
    opt = optim.SGD([{"params": [a]}, {"params": [b], "lr": StepDecay(1.0, 1, 0.5)}], lr=1.0)
    for _ in range(3):
        a.grad, b.grad = tg.tensor([1.0], dtype="float64"), tg.tensor([1.0], dtype="float64")
        opt.step()
    assert [a.item(), b.item()] == [-3.0, -1.75]
    opt.groups[0].lr = Constant(0.5)
    assert [group.lr for group in opt.groups] == [0.5, 0.25]


def test_a_function_of_the_users_own() -> None:
    training = Training(None, lr=lambda step: 0.1 * 0.5**step)
    training.run(3)
    assert training.opt.lr == 0.025
    compiled = Training("numpy", lr=lambda step: 0.1 * 0.5**step)
    assert compiled.run(3) == training.run(0)


RATE = 0.5


def test_a_function_that_reads_what_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training("numpy", lr=lambda step: RATE + 0.0 * step)
    training.run(3)
    monkeypatch.setitem(globals(), "RATE", 0.25)
    training.run(1)
    assert training.opt.lr == 0.25


def test_before_there_are_parameters() -> None:
    for opt in (
        optim.Adam(Cosine(0.5, 10)),
        optim.Adam(lr=Cosine(0.5, 10)),
        optim.Adam(learning_rate=Cosine(0.5, 10)),
    ):
        assert opt.lr == 0.5 and opt.config()["lr"] == Cosine(0.5, 10)
        assert "Cosine(value=0.5, steps=10, end=0.0)" in repr(opt)


def test_fit_follows_and_a_file_keeps_it(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_step, "PATIENCE", 1)

    def made() -> Sequential:
        tg.manual_seed(3)
        model = Sequential(tg.nn.Dense(1, in_features=3))
        model.compile(optim.Adam(lr=Warmup(Cosine(0.5, 30), 5)), "mse")
        return model

    def fit(model: Sequential, epochs: int) -> None:
        model.fit(X, Y, epochs=epochs, batch_size=4, verbose=0, shuffle=False)

    whole, first = made(), made()
    fit(whole, 8)
    assert whole.optimizer is not None and whole.optimizer.lr == Warmup(Cosine(0.5, 30), 5)(15)
    fit(first, 4)
    first.save(tmp_path / "half")
    second = Sequential.load(tmp_path / "half")
    assert second.optimizer is not None and second.optimizer.config()["lr"] == Warmup(Cosine(0.5, 30), 5)
    fit(second, 4)
    for a, b in zip(whole.parameters(), second.parameters()):
        assert a.numpy().tobytes() == b.numpy().tobytes()
    own = Sequential(tg.nn.Dense(1, in_features=3))
    own.compile(optim.SGD(lr=lambda step: 0.1), "mse")
    fit(own, 1)
    with pytest.raises(TypeError, match="lr of SGD is a function of the step of your own"):
        own.save(tmp_path / "own")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Cosine(tg.ones(2), 9), "Cosine: value must be a finite number"),
        (lambda: Cosine(0.1, tg.tensor(9.0, requires_grad=True)), "Cosine: steps .* would get no gradient"),
        (lambda: Cosine(0.1, 0), "Cosine: steps must be a finite number above 0"),
        (lambda: MultiStep(0.1, [3, 2]), "increasing"),
        (lambda: Piecewise([1.0], [3]), "one value more"),
        (lambda: Chained([1.0, 2.0], [0]), "lengths above 0"),
        (lambda: OneCycle(0.1, 100, up=1.5), "up: expected a part"),
        (lambda: CosineRestarts(0.1, 10, growth=0.5), "growth: expected"),
        (lambda: from_config({"schedule": "Cosin"}), "unknown schedule 'Cosin'"),
        (lambda: optim.SGD(lr=Constant(-1.0)), "lr by its schedule at step 0"),
        (lambda: optim.SGD(nesterov=Constant(1.0)), "not a number that a schedule could change"),
        (lambda: optim.Adagrad(initial_accumulator_value=Constant(1.0)), "not a number that a schedule"),
        (lambda: Training(None, lr=Polynomial(0.1, 2, -0.1)).run(9), "lr by its schedule at step 2"),
    ],
)
def test_what_is_refused(make: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_the_page_says_what_happens(capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(__file__).parents[2] / "docs" / "schedules.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for snippet in re.findall(r"```python\n(.*?)```", text, re.S):
        exec(compile(snippet, "schedules.md", "exec"), names)
    shown = re.findall(r"```text\n(.*?)```", text, re.S)[0]
    assert capsys.readouterr().out == shown + "(32, 1)\n"
    assert all(f"`{name}(" in text for name in KINDS)


@pytest.mark.parametrize(
    "callback",
    [LearningRateScheduler(lambda epoch: 0.1), ReduceLROnPlateau(monitor="loss")],
    ids=lambda callback: type(callback).__name__,
)
def test_a_callback_does_not_end_a_schedule(callback: Any) -> None:
    model = Sequential(tg.nn.Dense(1, in_features=2))
    model.compile(optim.Adam(lr=Cosine(0.1, 100)), "mse")
    x, y = np.ones((4, 2), "float32"), np.ones((4, 1), "float32")
    with pytest.raises(ValueError, match=f"{type(callback).__name__} sets lr, which a schedule"):
        model.fit(x, y, callbacks=[callback], verbose=0)
    model.compile(optim.Adam(lr=0.1, beta_1=Constant(0.9)), "mse")
    assert len(model.fit(x, y, callbacks=[callback], verbose=0)["loss"]) == 1


def test_a_plateau_does_not_end_a_schedule() -> None:
    opt = optim.Adam([leaf(1.0)], lr=Cosine(0.1, 100))
    with pytest.raises(ValueError, match="Plateau sets lr, which a schedule of this Adam sets"):
        optim.Plateau(opt)
    assert optim.Plateau(opt, option="beta_1").factor == 0.1


@pytest.mark.parametrize(("mode", "numbers"), [("min", (-100, -91, -111)), ("max", (-100, -91, -89))])
def test_a_plateau_of_negative_numbers(mode: str, numbers: tuple[float, ...]) -> None:
    """A tenth of the best one's size, towards what is better; PyTorch takes -91 as below -100."""
    plateau = optim.Plateau(optim.Adam([leaf(1.0)]), mode=mode, threshold=0.1)
    assert [(plateau.update(n), plateau.waited)[1] for n in numbers] == [0, 1, 0]
