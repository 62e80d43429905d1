"""Primitives that keep the slope of a recorded call: the gradients are those of the rule, and so are the values."""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from primitives.table import FLOATS, Case, cases
from tapegrad.autograd.primitive import REGISTRY

FAR = np.array([0.0, -0.0, 1e-30, 5.0, -5.0, 12.0, -12.0, 90.0, -90.0, 2e4, -2e4, np.inf, -np.inf, np.nan])
KEEPING = [c for c in cases() if c.row.primitive is not None and REGISTRY[c.row.primitive].keeps_slope]


def test_there_are_some() -> None:
    assert {c.row.primitive for c in KEEPING} == {p.name for p in REGISTRY.values() if p.keeps_slope} != set()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", KEEPING, ids=lambda c: c.id)
def test_bits_are_those_of_the_rule(case: Case, dtype: str) -> None:
    for array in (*case.cast(dtype), FAR.astype(dtype)):
        x = tg.tensor(array, requires_grad=True)
        gradients: list[Any] = []
        for recorded in (False, True):
            y = case.row.call(x)
            # The one cotangent is one number, the others are not; the last one is 0 where the slope may be infinite.
            for weights in (1.0, np.linspace(-1, 1, array.size).reshape(array.shape), np.zeros(array.shape)):
                x.grad = None
                w = tg.tensor(np.broadcast_to(weights, array.shape).astype(dtype))
                y.backward(w, retain_graph=True, create_graph=recorded)
                gradients.append(x.grad.numpy())
        for raw, rule in zip(gradients[:3], gradients[3:], strict=True):
            assert raw.dtype == dtype
            np.testing.assert_array_equal(raw, rule)
        np.testing.assert_array_equal(y.numpy(), case.row.call(x.detach()).numpy())
