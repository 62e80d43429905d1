"""The rows of layers, losses and optimizers as runs of a step, which the compiler's tests do with and without tg.jit.

The tables of rows are found where a folder's conftest.py puts tests/nn and tests/optim on the path.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

import layer_rows
import loss_rows
import numpy as np
import optimizer_rows

import tapegrad as tg
from compiler_emitters import close, flat
from tapegrad import nn

# (step, arguments of each call, what it changes) of a run from the beginning
Run = tuple[Callable[..., Any], Iterable[list[Any]], Callable[[], list[Any]]]


class Fed(nn.Module):
    """A module with its input as a parameter, so that the input has a gradient."""

    def __init__(self, example: np.ndarray, dtype: str, call: Any) -> None:
        zeros = np.zeros_like(example)
        self.x = nn.Buffer(zeros) if zeros.dtype.kind == "i" else nn.Parameter(zeros.astype(dtype))
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


def fed(call: Any, values: list[np.ndarray], dtype: str, model: Any) -> Run:
    """Value and all gradients of a call on inputs that change."""
    feed = Fed(values[0], dtype, model)

    def step() -> Any:
        feed.zero_grad()
        y = call(feed.x)
        (y * weights(y)).sum().backward()
        return y.detach() + 0

    def arguments() -> Iterable[list[Any]]:
        for value in values:
            feed.x.assign(tg.tensor(value if value.dtype.kind == "i" else value.astype(dtype)))
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
    draws = [np.random.default_rng(i) for i in range(3)]
    given = [
        r.integers(0, row.integers, row.shape) if row.integers else r.normal(0, 2, row.shape) for r in draws
    ]
    return fed(model, given, dtype, model)


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


WINDOWS = re.compile(r"layer \S*(Conv|Pool|Padding|Cropping|Sampling|Upsample)")


def repeats(name: str, dtype: str) -> bool:
    """Whether another row runs the same code: windows do in evaluation what they do in training, and along one or three
    axes, which are compiled in float32, what they do along two."""
    if not WINDOWS.match(name):
        return False
    return name.endswith("evaluation") or (dtype != "float32" and re.search(r"[13][dD]", name) is not None)


def outcomes(run: Run, wrap: Any) -> tuple[list[list[np.ndarray]], Any]:
    """What each call returned and left behind, and the wrapped step."""
    tg.manual_seed(3)
    step, arguments, changed = run
    wrapped, seen = wrap(step), []
    for given in arguments:
        seen.append(flat(wrapped(*given)) + flat(changed()))
    return seen, wrapped


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


def as_one_step(names: list[str], dtype: str, jit: Any) -> Any:
    """Several rows as one step, by `jit` against the same without: the numbers are close. Returns the compiled step."""
    found = []
    for wrap in (lambda f: f, jit):
        tg.manual_seed(0)
        found.append(outcomes(together(names, dtype), wrap))
    (want, _), (got, compiled) = found
    for a, b in zip(got, want, strict=True):
        for x, y in zip(a, b, strict=True):
            close(x, y, dtype, compiled.source())
    return compiled
