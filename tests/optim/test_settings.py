"""Every option of every optimizer, changed between steps: eager, compiled and in fit, as an optimizer made with it."""

from typing import Any

import numpy as np
import pytest
from optimizer_rows import leaf, step_with

import tapegrad as tg
from tapegrad import optim
from tapegrad.models import Callback, Sequential, compiled_step

# For each option: the value at first, and the one that it is set to.
CHANGES = {
    "lr": (0.1, 0.03), "momentum": (0.9, 0.5), "nesterov": (False, True), "dampening": (0.5, 0.25),
    "beta_1": (0.9, 0.6), "beta_2": (0.99, 0.9), "eps": (1e-3, 1e-1), "amsgrad": (False, True), "rho": (0.9, 0.6),
    "momentum_decay": (1.0, 0.5), "ns_steps": (5, 2), "rms_rate": (0.2, 0.5), "matrices": (True, False),
    "centered": (False, True), "weight_decay": (0.1, 0.3), "clipvalue": (0.5, 0.1), "clipnorm": (0.5, 0.1),
    "global_clipnorm": (0.5, 0.1), "maximize": (False, True),
}  # fmt: skip
NEEDS = {"nesterov": {"momentum": 0.9}, "dampening": {"momentum": 0.9, "form": "torch"}}
FIXED = {"form", "initial_accumulator_value"}
OFF = [("weight_decay", None, 0.3), ("weight_decay", 0.1, 0.0), ("clipnorm", None, 0.1), ("global_clipnorm", 0.1, None),
       ("momentum", 0.0, 0.9), ("momentum", 0.9, 0.0)]  # fmt: skip
FORMS = [(kind, form) for kind in optim.BY_NAME.values() for form in ("keras", "torch")]
FORMS.remove((optim.Muon, "torch"))  # which it has not
ROWS = [
    (kind, {"form": form, **NEEDS.get(name, {}), name: first}, name, then)
    for kind, form in FORMS
    for name, (first, then) in [*CHANGES.items(), *((n, (a, b)) for n, a, b in OFF)]
    if name in kind.option_kinds() and (name != "dampening" or form == "torch")
]


def row_id(row: Any) -> str:
    kind, options, name, then = row
    return f"{kind.__name__}-{options['form']}-{name}-{options[name]}-{then}"


# Numbers whose compiled steps are looked at in all ways; the others' are in NumPy's program and in fit.
NATIVE = {"lr", "momentum", "beta_1", "rho", "weight_decay", "global_clipnorm"}
CASES = [
    (row, how)
    for row in ROWS
    for how in ("eager", "numpy", "native", "fit")
    if how == "eager" or row[1]["form"] == "keras" or row[2] == "dampening"
    if how != "native" or (row[2] in NATIVE and row[1].get(row[2]) and row[3])
]
X = tg.tensor(np.random.default_rng(0).normal(size=(8, 3)).astype("float32"))
Y = tg.tensor(np.random.default_rng(1).normal(size=(8, 1)).astype("float32"))


def test_every_option_has_a_row() -> None:
    for kind in optim.BY_NAME.values():
        assert set(kind.option_kinds()) - FIXED <= {name for k, _, name, _ in ROWS if k is kind}


class Training:
    """A small model, trained in one of the ways."""

    def __init__(self, kind: Any, options: dict[str, Any], how: str) -> None:
        tg.manual_seed(3)
        self.layer = tg.nn.Dense(1, in_features=3)
        self.opt = kind(**options)
        self.how = how
        if how == "fit":
            self.model = Sequential(self.layer)
            self.model.compile(self.opt, "mse")
            self.model.bind_optimizer()
        else:
            self.opt.bind(self.layer)
            self.step = self.train if how == "eager" else tg.jit(self.train, emitter=how, strict=True)

    def train(self) -> Any:
        loss = ((self.layer(X) - Y) ** 2).mean()
        self.opt.zero_grad()
        loss.backward()
        self.opt.step()
        return loss.detach()

    def steps(self, n: int) -> None:
        if self.how == "fit":
            self.model.fit(X, Y, epochs=n, batch_size=8, verbose=0, shuffle=False)
        else:
            for _ in range(n):
                self.step()

    def recordings(self) -> int:
        if self.how == "eager":
            return 0
        stats = self.model.stats()["train"] if self.how == "fit" else self.step.stats()
        return int(stats["recordings"])

    def values(self) -> list[np.ndarray]:
        return [p.numpy() for p in self.layer.parameters()]


def expected(kind: Any, options: dict[str, Any], name: str, then: Any) -> list[np.ndarray]:
    """A new optimizer that was made with the option's new value takes over the state after four steps."""
    first = Training(kind, options, "eager")
    first.steps(4)
    second = Training(kind, {**options, name: then}, "eager")
    second.layer.load_state_dict(first.layer.state_dict())
    own, state = second.opt.state_dict(), first.opt.state_dict()
    second.opt.load_state_dict(
        {k: state[k] if k in state and ("." in k or k in ("steps", *kind.totals)) else own[k] for k in own}
    )
    second.steps(4)
    return second.values()


@pytest.mark.parametrize(("row", "how"), CASES, ids=[f"{how}-{row_id(row)}" for row, how in CASES])
def test_a_change_counts_from_the_next_step(row: Any, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_step, "PATIENCE", 1)
    if how == "native":
        pytest.importorskip("llvmlite", reason="llvmlite is not installed")
    kind, options, name, then = row
    if name == "nesterov":
        options = options | {"nesterov": False}
    training = Training(kind, options, how)
    training.steps(4)
    before = training.recordings()
    setattr(training.opt, name, then)
    assert getattr(training.opt, name) == then
    training.steps(4)
    stays = isinstance(then, float) and bool(then) and bool(options[name])
    assert training.recordings() - before <= (0 if stays else 1)
    tolerance = 0.0 if how == "eager" else 1e-6
    for a, b in zip(training.values(), expected(*row), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def test_a_group_has_its_own() -> None:
    a, b = leaf(0.0), leaf(0.0)
    opt = optim.SGD([{"params": [a]}, {"params": [b]}], lr=1.0, momentum=0.9)
    step_with(opt, (a, [1.0]), (b, [1.0]))
    opt.groups[0].momentum = 0.0
    step_with(opt, (a, [1.0]), (b, [1.0]))
    assert [a.item(), b.item()] == pytest.approx([-2.0, -2.9])
    with pytest.raises(
        ValueError, match=r"different values of momentum, \[0.0, 0.9\]: use opt.groups\[i\].momentum"
    ):
        _ = opt.momentum
    opt.momentum = 0.5
    assert [group.momentum for group in opt.groups] == [0.5, 0.5]


def test_a_schedule_is_one_line_in_fit() -> None:
    class Warm(Callback):
        def on_epoch_begin(self, epoch: int) -> None:
            self.model.optimizer.momentum = min(0.9, 0.5 + epoch / 10)

    model = Sequential(tg.nn.Dense(1, in_features=3))
    model.compile(optim.SGD(lr=0.01, momentum=0.5), "mse")
    model.fit(X, Y, epochs=6, batch_size=8, verbose=0, callbacks=[Warm()])
    assert model.optimizer.momentum == 0.9


def test_set_inside_a_compiled_step() -> None:
    """A number that the step sets itself is part of the program; what makes another step runs as Python."""
    a = leaf(0.0, dtype="float32")
    opt = optim.SGD([a], lr=1.0)

    def step(g: Any) -> None:
        opt.lr = 0.5
        a.grad = g
        opt.step()

    compiled = tg.jit(step, emitter="numpy", strict=True)
    for _ in range(4):
        opt.lr = 1.0
        compiled(tg.tensor([1.0]))
    assert a.item() == -2.0 and opt.lr == 0.5

    def other(g: Any) -> None:
        opt.weight_decay = None if opt.weight_decay else 0.5
        a.grad = g
        opt.step()

    with pytest.warns(tg.JitWarning, match="it sets weight_decay to or from None"):
        tg.jit(other, emitter="numpy")(tg.tensor([1.0]))
    assert opt.weight_decay == 0.5
