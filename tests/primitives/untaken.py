"""A value that nothing takes may be anything: where all outputs that depend on an element have the cotangent 0, no
gradient may change when the element does, be it infinite or NaN, and its own gradient is 0."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import tapegrad as tg
from primitives.harness import cotangent

BAD = (np.nan, np.inf, -np.inf, 0.0, 1.0, -2.0, 1e200, -1e200)
FEW = (np.nan, np.inf, -np.inf)
Function = Callable[..., Any]
Arrays = list[np.ndarray]
# Gradients of <weights, f(*arrays)> for the floating arrays: (weights, arrays) -> gradients
Gradients = Callable[[np.ndarray, Arrays], Arrays]


class Untaken(NamedTuple):
    """Arrays of which a part is bad, and weights of the outputs, 0 for those that depend on that part."""

    argument: int
    part: Any
    bad: float
    arrays: Arrays
    weights: np.ndarray

    def __str__(self) -> str:
        return f"argument {self.argument}, {self.bad} at {self.part}"


def floating(arrays: Any) -> list[int]:
    return [i for i, a in enumerate(arrays) if a.dtype.kind == "f"]


def parts(array: np.ndarray) -> list[Any]:
    """The index of an element, and that of the row it stands in."""
    at = tuple(map(int, np.unravel_index(array.size // 2, array.shape)))
    return [at, (*at[:-1], slice(None))] if at else [at]


def changed(arrays: Any, argument: int, part: Any, value: Any) -> Arrays:
    new = list(map(np.copy, arrays))
    new[argument][part] = value
    return new


def untaken(f: Function, arrays: Any, values: tuple[float, ...]) -> Iterator[Untaken]:
    """For each floating argument, part and bad value. An output depends on a part if it differs for another value of
    it, or is NaN for NaN."""
    compute = lambda given: f(*map(tg.tensor, given)).numpy()
    plain = compute(arrays)
    for i in floating(arrays):
        for part in parts(arrays[i]) if arrays[i].size else ():
            for bad in values:
                others = [
                    compute(changed(arrays, i, part, v)) for v in (bad, np.nan, arrays[i][part] * 0.9 + 0.01)
                ]
                depends = np.any([(y != plain) | np.isnan(y) for y in others], axis=0)
                weights = np.where(depends, 0.0, cotangent(plain))
                yield Untaken(i, part, bad, changed(arrays, i, part, bad), weights)


def eager(f: Function, order: int = 1, device: str | None = None) -> Gradients:
    """By `backward`; of order 2, of the sum of the gradients of order 1."""

    def gradients(weights: np.ndarray, arrays: Arrays) -> Arrays:
        xs = [tg.tensor(a, device=device, requires_grad=a.dtype.kind == "f") for a in arrays]
        leaves = [x for x in xs if x.requires_grad]
        y = f(*xs)
        y.backward(tg.tensor(weights, dtype=y.dtype, device=y.device), create_graph=order > 1)
        if order > 1:
            firsts = [x.grad.sum() for x in leaves if x.grad is not None and x.grad.requires_grad]
            for x in leaves:
                x.grad = None
            if firsts:
                sum(firsts[1:], start=firsts[0]).backward()
        return [np.zeros(x.shape) if x.grad is None else x.grad.numpy() for x in leaves]

    return gradients


def transformed(f: Function, arrays: Any) -> Function:
    """By `tg.grad`: a function of Tensors, for `tg.jit`."""
    loss = lambda weights, *xs: (f(*xs) * weights).sum()
    return tg.grad(loss, argnums=tuple(1 + i for i in floating(arrays)))


def of_tensors(gradients: Function) -> Gradients:
    return lambda weights, arrays: [g.numpy() for g in gradients(tg.tensor(weights), *map(tg.tensor, arrays))]


def check(f: Function, arrays: Any, gradients: Gradients, values: Any = BAD, others: bool = True) -> None:
    """Compare the gradients with those where nothing is bad. others: those of the arguments that are not bad, too."""
    for case in untaken(f, arrays, values):
        got, want = gradients(case.weights, case.arrays), gradients(case.weights, list(arrays))
        own = floating(arrays).index(case.argument)
        assert not got[own][case.part].any(), f"{case}: its gradient is {got[own][case.part]}"
        for i, (g, w) in enumerate(zip(got, want, strict=True)):
            if i == own or others:
                np.testing.assert_allclose(g, w, rtol=1e-12, atol=1e-14, err_msg=f"{case}: gradient {i}")
