"""A cotangent that is one number spread over a shape: the NumPy program has eager's bits, whose products read it so."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

Loss = Callable[..., tg.Tensor]
ROWS: dict[str, tuple[tuple[tuple[int, ...], ...], Loss]] = {
    "constant": (((4, 1), (1, 3)), lambda p, q: (p @ q * 0.3).sum() * 0.1),
    "one tensor": (((5, 1),), lambda p: (p.T @ p * 0.3).sum()),
    "mean": (((4, 6), (6, 3)), lambda p, q: (p @ q * 0.3).mean() * 0.7),
    "not constant": (((4, 1), (1, 3)), lambda p, q: (p @ q * 0.3).sum() * (p.sum() * 0.2)),
    "negative, divided": (((4, 6), (6, 3)), lambda p, q: (-(p @ q) * 2).sum() / 3),
    "batch": (((2, 4, 1), (2, 1, 3)), lambda p, q: (p @ q / 5.0 * 0.3).mean()),
    "twice": (((4, 1), (1, 3)), lambda p, q: (p @ q + 1).sum() - (p @ q * 0.5 * 0.3).mean()),
    "axis by axis": (((4, 1), (1, 3)), lambda p, q: (p @ q * 0.3 * 0.2).sum(axis=0).sum() * 0.1),
    "einsum": (((4, 1), (1, 3)), lambda p, q: (tg.einsum("ij,jk->ik", p, q) * 0.3).mean() * 3.0),
    "transposed convolution": (
        ((2, 4, 4, 2), (3, 3, 3, 2)),
        lambda x, k: tg.nn.functional.conv_transpose(x, k, strides=2).sum(),
    ),
    "whole number": (((4, 1), (1, 3)), lambda p, q: (p @ q * 3 * 0.3).sum() * 0.1),
}


@pytest.mark.parametrize("name", ROWS)
def test_gradients_have_eagers_bits(name: str) -> None:
    shapes, loss = ROWS[name]
    for seed in range(20):
        rng = np.random.default_rng(seed)
        values = [rng.standard_normal(shape).astype("float32") for shape in shapes]
        found = []
        for emitter in (None, "numpy"):
            leaves = [tg.Parameter(tg.tensor(value)) for value in values]

            def step(leaves: Any = leaves) -> tg.Tensor:
                for leaf in leaves:
                    leaf.grad = None
                total = loss(*leaves)
                total.backward()
                return total.detach()

            run: Any = step if emitter is None else tg.jit(step, emitter=emitter, strict=True)
            for _ in range(3):
                run()
            found.append([leaf.grad.numpy().tobytes() for leaf in leaves])  # type: ignore[union-attr]
        assert found[0] == found[1], seed
