"""One element that stays is seen without its axes where arithmetic spreads it over many, and nowhere else."""

import numpy as np
import pytest

import tapegrad as tg


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("units", [1, 2])
def test_a_layer_of_one_unit(rows: int, units: int) -> None:
    model = tg.nn.Sequential(tg.nn.Dense(3, "tanh", in_features=2), tg.nn.Dense(units))
    x = tg.tensor(np.linspace(-1, 1, 2 * rows, dtype="f").reshape(rows, 2))

    def gradients(x: tg.Tensor) -> list[tg.Tensor]:
        for p in model.parameters():
            p.grad = None
        loss = (model(x) ** 2).mean()
        loss.backward()
        return [loss.detach(), *(p.grad for p in model.parameters())]  # type: ignore[misc]

    want = [t.numpy().copy() for t in gradients(x)]
    compiled = tg.jit(gradients, emitter="numpy")
    for _ in range(4):
        got = [t.numpy().copy() for t in compiled(x)]
        for a, b in zip(got, want, strict=True):
            np.testing.assert_array_equal(a, b)
    assert compiled.stats()["compiled"] >= 2
    assert ("_bias_number" in compiled.source()) == (units == 1 and rows > 1)
