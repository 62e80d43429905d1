"""Powers of single numbers in float64, which NumPy's scalars work out: the bits are those of eager."""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg

POWERS: dict[str, Any] = {
    "of two tensors": lambda a, b: a**b,
    "of a number": lambda a, b: 0.96**b,
    "of a number below 0": lambda a, b: (-0.5) ** (b + 2.0),
    "to a number": lambda a, b: a**1.7,
    "to a whole number": lambda a, b: a**9,
    "and on": lambda a, b: (a ** (b * 0.3) * 2.0 + 1.0) ** (b - 0.5),
    "in an array": lambda a, b: tg.stack([a, b]) ** (b * 0.1),
}


@pytest.mark.parametrize("returned", [True, False])
@pytest.mark.parametrize("name", POWERS)
def test_bits_are_those_of_eager(name: str, returned: bool) -> None:
    def f(a: tg.Tensor, b: tg.Tensor) -> tg.Tensor:
        y = POWERS[name](a, b)
        return y if returned else (y * 3.0).astype("float32")

    step = tg.jit(f, emitter="numpy")
    for k in range(40):
        given = [tg.tensor(np.float64(v)) for v in (0.9 + 0.0021 * k, float(k))]
        np.testing.assert_array_equal(step(*given).numpy(), f(*given).numpy())
    assert step.stats()["compiled"] == 38
