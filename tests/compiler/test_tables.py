"""Every row of the tables of layers, losses and optimizers, compiled by each emitter, against the same run eagerly."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import layer_rows
import loss_rows
import numpy as np
import optimizer_rows
import pytest

import tapegrad as tg
from compiler_emitters import EMITTERS, TOLERANCE, close, emitting, flat, same_bits
from tapegrad import nn

RNG = np.random.default_rng(2)
# (step, arguments of each call, what it changes) of a run from the beginning
Run = tuple[Callable[..., Any], Iterable[list[Any]], Callable[[], list[Any]]]


class Fed(nn.Module):
    """A module with its input as a parameter, so that the input has a gradient."""

    def __init__(self, shape: tuple[int, ...], dtype: str, call: Any) -> None:
        self.x = nn.Parameter(np.zeros(shape, dtype))
        self.call = call


class Tracking(nn.Module):
    """Keeps a running mean in training, and subtracts it in evaluation."""

    def __init__(self, dtype: str) -> None:
        self.mean = nn.Buffer(np.zeros(5, dtype))
        self.scale = nn.Parameter(np.ones(5, dtype))

    def forward(self, x: Any) -> Any:
        mean = x.mean(axis=0) if self.training else self.mean
        if self.training:
            self.mean.assign(self.mean * 0.9 + mean.detach() * 0.1)
        return (x - mean) * self.scale


LAYERS = [*layer_rows.ROWS, layer_rows.Row("a buffer that training changes", Tracking, (6, 5))]


def test_every_layer_has_a_row() -> None:
    kinds = {k for k in vars(nn).values() if isinstance(k, type) and issubclass(k, nn.Module)} - {nn.Module}
    assert {type(row.make("float32")) for row in LAYERS} >= kinds


def fed(call: Any, values: list[np.ndarray], dtype: str, model: Any) -> Run:
    """Value and all gradients of a call on inputs that change."""
    feed = Fed(values[0].shape, dtype, model)

    def step() -> Any:
        feed.zero_grad()
        y = call(feed.x)
        (y * weights(y)).sum().backward()
        return y.detach() + 0

    def arguments() -> Iterable[list[Any]]:
        for value in values:
            feed.x.assign(tg.tensor(value.astype(dtype)))
            yield []

    return (
        step,
        arguments(),
        lambda: [p.grad for p in feed.parameters()] + [b for _, b in feed.named_buffers()],
    )


def weights(y: Any) -> Any:
    """Weights for the elements of y, all different."""
    return tg.tensor(np.linspace(-1.0, 1.5, y.size).reshape(y.shape).astype(y.dtype))


def layer_run(row: Any, dtype: str, training: bool) -> Run:
    model = row.make(dtype).train(training)
    return fed(model, [np.random.default_rng(i).normal(0, 2, row.shape) for i in range(3)], dtype, model)


def loss_run(row: Any, dtype: str, reduction: str) -> Run:
    p = loss_rows.MADE[row.prediction]
    call = loss_rows.call(row, loss_rows.target_of(row, dtype), reduction=reduction)
    return fed(call, [p, p * 0.9, p * 0.8], dtype, None)


STEPS = 25


def optimizer_run(row: Any, dtype: str, grouped: bool) -> Run:
    """25 steps; of two groups of parameters, the learning rate is changed on the way."""
    params = optimizer_rows.parameters(optimizer_rows.starts(dtype))
    lr = row.make().lr
    two = [{"params": {"kernel": params["kernel"]}, "lr": lr / 2},
           {"params": {n: params[n] for n in ("bias", "scale")}}]  # fmt: skip
    opt = row.optimizer(two if grouped else params)

    def step(*gradients: Any) -> Any:
        opt.zero_grad()
        loss = sum((p * g).sum() for p, g in zip(params.values(), gradients))
        loss.backward()
        opt.step()
        return loss

    def arguments() -> Iterable[list[Any]]:
        for i, gradients in enumerate(optimizer_rows.gradients(STEPS, dtype)):
            if grouped:
                opt.lr = lr / (1 + i)
            yield [tg.tensor(gradients[name]) for name in params]

    return step, arguments(), lambda: [*params.values(), *opt.state_dict().values()]


RUNS: dict[str, Callable[[str], Run]] = {
    **{f"layer {r.name} {'training' if t else 'evaluation'}": lambda dtype, r=r, t=t: layer_run(r, dtype, t)
       for r in LAYERS for t in (True, False)},
    **{f"loss {loss_rows.named(r)} {how}": lambda dtype, r=r, how=how: loss_run(r, dtype, how)
       for r in loss_rows.ROWS for how in ("mean", "none")},
    **{f"optimizer {r.name}{' groups' if g else ''}": lambda dtype, r=r, g=g: optimizer_run(r, dtype, g)
       for r in optimizer_rows.ROWS for g in (False, True)},
}  # fmt: skip


def rounded_otherwise(name: str, dtype: str) -> bool:
    """Where the NumPy emitter does not give eager's bits: eager works out Adam's beta**step from two scalars, a program
    from arrays of 0 axes, and NumPy rounds powers of the two differently. In float32 that is rounded away."""
    return name.startswith("optimizer adam") and dtype == "float64"


def outcomes(run: Run, wrap: Any) -> tuple[list[list[np.ndarray]], Any]:
    """What each call returned and left behind, and the wrapped step."""
    tg.manual_seed(3)
    step, arguments, changed = run
    wrapped, seen = wrap(step), []
    for given in arguments:
        seen.append(flat(wrapped(*given)) + flat(changed()))
    return seen, wrapped


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("emitter", EMITTERS)
def test_row(emitter: str, name: str, dtype: str) -> None:
    tg.manual_seed(0)
    want, _ = outcomes(RUNS[name](dtype), lambda f: f)
    tg.manual_seed(0)
    with emitting(emitter) as jit:
        got, compiled = outcomes(RUNS[name](dtype), jit)
    for a, b in zip(got, want, strict=True):
        for x, y in zip(a, b, strict=True):
            close(x, y, dtype, compiled.source())
    stats = compiled.stats()
    assert stats["recordings"] == 1
    assert stats["programs"] == [
        {"numpy": "numpy", "loops": "numba"}[emitter]
    ]  # nothing is left to another emitter
    if emitter == "numpy" and not rounded_otherwise(name, dtype):
        assert all(same_bits(a, b) for a, b in zip(got, want)), compiled.source()


# Rows that are really compiled by numba, together, since each program takes seconds.
COMPILED = [
    ("float64", ["layer Dense(activation=softmax) training", "layer LogSoftmax(axis=0) evaluation",
                 "layer Mish() training", "layer a buffer that training changes training",
                 "loss cross_entropy-real-classes mean", "loss cosine_similarity-real-near none"]),
    ("float32", ["layer a buffer that training changes evaluation", "loss log_cosh-real-near none",
                 "loss binary_cross_entropy_with_logits-real-between-label_smoothing mean"]),
    ("float32", ["optimizer sgd-nesterov", "optimizer adam-amsgrad"]),
    ("float64", ["optimizer rmsprop-all", "optimizer adagrad-start"]),
]  # fmt: skip


def together(names: list[str], dtype: str) -> Run:
    """Several rows as one step: what is given to one is given to all."""
    runs = [RUNS[name](dtype) for name in names]

    def arguments() -> Iterable[list[Any]]:
        for given in zip(*(run[1] for run in runs)):
            yield given[0]

    return (
        (lambda *xs: [run[0](*xs) for run in runs]),
        arguments(),
        lambda: [a for run in runs for a in run[2]()],
    )


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "names"), COMPILED, ids=["fed64", "fed32", "optimizers32", "optimizers64"])
def test_rows_compiled(dtype: str, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba", reason="numba is not installed")
    monkeypatch.setenv("TAPEGRAD_CACHE", str(tmp_path))
    tg.manual_seed(0)
    want, _ = outcomes(together(names, dtype), lambda f: f)
    tg.manual_seed(0)
    got, compiled = outcomes(together(names, dtype), lambda f: tg.jit(f, emitter="numba"))
    assert compiled.stats()["programs"] == ["numba"]
    for a, b in zip(got, want, strict=True):
        for x, y in zip(a, b, strict=True):
            close(x, y, dtype, compiled.source())
