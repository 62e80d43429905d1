"""What the checks share: running a row forward and backward, and comparing."""

from typing import Any, NamedTuple

import numpy as np

import tapegrad as tg
from primitives.table import TOLERANCE, Case, spread
from tapegrad.autograd.dtypes import name_of


class Run(NamedTuple):
    inputs: list[Any]
    y: Any
    grads: list[Any]  # of the floating inputs, in order


def tensors(arrays: Any, device: str | None = None) -> list[Any]:
    return [tg.tensor(a, device=device, requires_grad=a.dtype.kind == "f") for a in arrays]


def cotangent(y: Any, seed: int = 7) -> np.ndarray:
    """Weights for the elements of y: none 0, both signs, all different."""
    return spread(y.shape, -1.0, 1.5, seed).astype(name_of(y.dtype))


def run(case: Case, dtype: str = "float64", device: str | None = None, record: bool = False) -> Run:
    """The row on one of its inputs, and the gradients for `cotangent`."""
    xs = tensors(case.cast(dtype), device)
    y = case.row.call(*xs)
    if case.row.grad:
        y.backward(tg.tensor(cotangent(y), device=y.device), create_graph=record)
    return Run(xs, y, [x.grad for x in xs if x.requires_grad] if case.row.grad else [])


def close(got: Any, want: Any, dtype: str = "float64", slack: float = 1.0) -> None:
    """Equal shapes, and values that differ by no more than the dtype's tolerance of the largest of them."""
    got, want = (a.numpy() if isinstance(a, tg.Tensor) else np.asarray(a) for a in (got, want))
    assert got.shape == want.shape
    if want.dtype.kind != "f":
        np.testing.assert_array_equal(got, want)
        return
    got, want = got.astype(np.float64), want.astype(np.float64)
    scale = np.max(np.abs(want), initial=0.1)
    np.testing.assert_allclose(got, want, rtol=0, atol=slack * TOLERANCE[dtype] * scale)
