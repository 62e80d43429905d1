"""How the NumPy program goes through large arrays: in parts that fit the cache. Here everything counts as large, so
that the rows of small arrays go that way."""

from functools import partial
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from call_cases import CASES
from compiler_emitters import EMITTERS, close, flat
from compiler_steps import HOW, make, step_of
from hazard_cases import same_as_without
from primitives.harness import cotangent
from primitives.table import Case, rows
from tapegrad.compiler.emit.numpy import chunks as numpy_parts
from tapegrad.compiler.passes import lifetimes, zero_masks


@pytest.fixture
def jit(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(numpy_parts, "LARGE", 1)
    monkeypatch.setattr(numpy_parts, "PART", 5)
    monkeypatch.setattr(zero_masks, "MANY", 1)
    return partial(tg.jit, emitter="numpy")


ROWS = {row.name: row for row in rows() if row.grad and row.primitive != "move"}


@pytest.mark.parametrize("name", ROWS)
def test_rows(name: str, jit: Any) -> None:
    """All of a row's samples in one program."""
    row = ROWS[name]

    def of_sample(xs: list[Any]) -> Any:
        def loss(*xs: Any) -> Any:
            y = row.call(*xs)
            return (y * cotangent(y)).sum(), y

        floating = tuple(i for i, x in enumerate(xs) if x.dtype.kind == "f")
        return tg.value_and_grad(loss, argnums=floating, has_aux=True)(*xs)

    def eager(*xs: Any) -> Any:
        rest = iter(xs)
        return [of_sample([next(rest) for _ in sample]) for sample in row.inputs]

    compiled = jit(lambda *xs: eager(*xs))
    arrays = [a for sample in row.inputs for a in Case(row, sample).cast("float64")]
    for seed in (0, 1):
        xs = [tg.tensor(np.asarray(a * (1 + 1e-3 * seed * (a.dtype.kind == "f")), a.dtype)) for a in arrays]
        for got, want in zip(flat(compiled(*xs)), flat(eager(*xs)), strict=True):
            close(got, want, "float64", name)


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::tapegrad.JitWarning")
@pytest.mark.parametrize("name", CASES)
def test_hazards(name: str, jit: Any) -> None:
    same_as_without(name, jit)


def steps(how: Any, wrap: Any, n: int = 8) -> tuple[list[np.ndarray], Any]:
    model, opt = make(**how)
    step = wrap(step_of(model, opt))
    rng = np.random.default_rng(0)
    for _ in range(n):
        x = rng.normal(size=(16, 6)).astype("float32")
        step(tg.tensor(x), tg.tensor((x[:, :1] > 0).astype("float32")))
    return flat([*model.parameters(), *opt.state_dict().values()]), step


@pytest.mark.parametrize("how", ["adam", "nesterov", "rmsprop", "dropout", "global_clipnorm"])
def test_training(how: str, jit: Any) -> None:
    want, _ = steps(HOW[how], lambda f: f)
    got, step = steps(HOW[how], jit)
    for a, b in zip(got, want, strict=True):
        assert np.allclose(a, b, rtol=1e-5, atol=1e-7)
    assert " in parts_1:" in step.source()


@pytest.mark.parametrize("emitter", EMITTERS)
def test_a_gradient_takes_the_memory_of_the_activations_that_mask_it(
    emitter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One array of activations less than where products stay where they were recorded."""
    batch, width, sizes = 4096, 64, []
    for large in (lifetimes.LARGE, 1 << 40):
        monkeypatch.setattr(lifetimes, "LARGE", large)
        layers = [tg.nn.Dense(width, "relu", in_features=width) for _ in range(4)]
        model = tg.nn.Sequential(*layers, tg.nn.Dense(2, in_features=width))
        step = tg.jit(step_of(model, tg.optim.SGD(model.parameters(), lr=0.1)), emitter=emitter)
        step(tg.zeros((batch, width)), tg.zeros((batch, 2)))
        sizes.append(step.shown().runner.plan.nbytes)
    activations = batch * width * 4
    assert activations * 4 < sizes[0] < 8 * activations
    assert sizes[1] - sizes[0] > 0.5 * activations


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(16, 16), (17, 31), (300, 1000), (1000, 300), (131072,)])
def test_a_number_beside_an_array_is_an_array_for_maximum(shape: tuple[int, ...], dtype: str) -> None:
    """NumPy is slow with the number. The bits are those of the number: of zeros, NaN and infinities, too."""
    rng = np.random.default_rng(0)
    x = rng.choice(np.array([-1.5, -0.0, 0.0, 2.0, np.nan, np.inf, -np.inf], dtype), shape)

    def f(x: tg.Tensor) -> list[tg.Tensor]:
        return [tg.maximum(x, 0.0), tg.minimum(x, -0.0), tg.maximum(x * 2, 1.0) + 1, tg.nn.functional.relu(x)]

    step = tg.jit(f, emitter="numpy", strict=True)
    for _ in range(3):
        found = step(tg.tensor(x))
    for a, b in zip(found, f(tg.tensor(x)), strict=True):
        assert a.numpy().tobytes() == b.numpy().tobytes()
    assert ("np.full(" in step.source()) == (np.prod(shape) > 256)
