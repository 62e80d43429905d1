"""One gradient whose square is no number of its dtype: the state stays finite, eager and compiled to the same bits."""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import optim

KINDS = [
    (kind, options)
    for kind in optim.BY_NAME.values()
    for options in ({}, {"amsgrad": True}, {"centered": True}, {"form": "torch"})
    if all(name in kind.option_kinds() for name in options)
    if kind.option_kinds().keys() & {"rho", "eps", "beta_1"}
    if not (kind is optim.Muon and "form" in options)  # which it has not
]
# So many that RAdam, a plain descent in its first five steps, divides by what it saw.
BEFORE = (1, 2, 1, 2, 1, 1, 1)
HUGE = [
    ("float16", 300),
    ("float16", 6e4),
    ("float32", 1e25),
    ("float32", 3e38),
    ("float64", 1e160),
    ("float64", 1e308),
]


def steps(
    kind: Any, options: dict[str, Any], dtype: str, sizes: Any, emitter: str | None
) -> tuple[list[float], Any]:
    p = tg.Parameter(tg.tensor([1.0, 2.0], dtype=dtype))
    opt = kind([p], lr=0.1, **options)

    def step(g: Any) -> None:
        p.grad = g
        opt.step()

    f = step if emitter is None else tg.jit(step, emitter=emitter)
    seen = []
    for size in sizes:
        f(tg.tensor([size, size], dtype=dtype))
        seen.append(p[0].item())
    return seen, opt


@pytest.mark.parametrize(("dtype", "size"), HUGE)
@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_one_huge_gradient(kind: Any, options: dict[str, Any], dtype: str, size: float) -> None:
    sizes = (*BEFORE, size, 1, 1)
    seen, opt = steps(kind, options, dtype, sizes, None)
    assert all(np.isfinite(t.numpy()).all() for name, t in opt.state_dict().items() if "." in name)
    exact, _ = steps(kind, options, "float64", (*BEFORE, min(size, 1e100), 1, 1), None)
    np.testing.assert_allclose(seen, exact, atol=2e-2)
    compiled, other = steps(kind, options, dtype, sizes, "numpy")
    assert compiled == seen
    for name, t in opt.state_dict().items():
        assert t.numpy().tobytes() == other.state_dict()[name].numpy().tobytes(), name


@pytest.mark.parametrize(("dtype", "size"), [("float32", 1e25), ("float64", 1e160)])
@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_native_code_alike(kind: Any, options: dict[str, Any], dtype: str, size: float) -> None:
    pytest.importorskip("llvmlite", reason="llvmlite is not installed")
    sizes = (*BEFORE, size, 1, 1)
    eager, native = (steps(kind, options, dtype, sizes, emitter)[0] for emitter in (None, "native"))
    np.testing.assert_allclose(native, eager, rtol=1e-6)


def test_float16_as_in_pytorch() -> None:
    seen, _ = steps(optim.Adam, {}, "float16", (1, 300, 1, 1), None)
    np.testing.assert_allclose(seen, [0.9, 0.825, 0.767, 0.719], atol=1e-3)


@pytest.mark.parametrize(("kind", "options"), KINDS)
@pytest.mark.parametrize("bad", [np.inf, np.nan])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_is_not_finite_is_not_hidden(kind: Any, options: dict[str, Any], bad: float) -> None:
    for emitter in (None, "numpy"):
        assert np.isnan(steps(kind, options, "float32", (1, 1, 1, bad), emitter)[0][-1])
