"""Machine code that reads and writes arrays whose elements do not lie one after another in memory."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

VALUES = np.linspace(-1, 1, 12, dtype="f4").reshape(4, 3)
LAYOUTS: dict[str, Callable[[], np.ndarray]] = {
    "rows reversed": lambda: VALUES[::-1].copy()[::-1],
    "columns reversed": lambda: VALUES[:, ::-1].copy()[:, ::-1],
    "Fortran's order": lambda: np.asfortranarray(VALUES),
    "every second": lambda: np.repeat(np.repeat(VALUES, 2, 0), 2, 1)[::2, ::2],
    "some columns": lambda: np.tile(VALUES, 2)[:, 3:],
}
OTHER = tg.full((3, 3), 0.3)
EXPRESSIONS: dict[str, Callable[[Any], Any]] = {
    "product": lambda b: b @ OTHER,
    "linear": lambda b: tg.linear(b, OTHER, tg.ones(3)),
    "elements": lambda b: b * 0.9,
    "a mean": lambda b: b * 0.5 + b.mean(),
    "of another": lambda b: tg.tanh(tg.ones((4, 3)) * b.sum() * 0.1),
    "a sum of rows": lambda b: b - b.sum(axis=0) * 0.1,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_result_is_written_where_the_array_is(layout: str, expression: str) -> None:
    """The result goes straight to the array that is assigned to: also where one row of its elements is a copy."""

    def outcomes(wrap: Callable[[Any], Any]) -> list[np.ndarray]:
        buffer = tg.nn.Buffer(np.zeros((4, 3), "f4"))
        buffer.data = LAYOUTS[layout]()

        def step() -> Any:
            made = EXPRESSIONS[expression](buffer)
            buffer.assign(made - 0.125)
            return made

        f, found = wrap(step), []
        for _ in range(5):
            found += [f().numpy(), buffer.numpy().copy()]
        return found

    compiled: list[Any] = []

    def wrapped(f: Any) -> Any:
        compiled.append(tg.jit(f, emitter="native", strict=True))
        return compiled[0]

    for got, want in zip(outcomes(wrapped), outcomes(lambda f: f), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    assert compiled[0].stats()["programs"] == ["native"]
