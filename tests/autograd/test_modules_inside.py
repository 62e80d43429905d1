"""Modules inside of structures under the transforms, and vectors of structures."""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn

X = tg.tensor([[1.0, 2.0]])
STRUCTURES: dict[str, tuple[Any, Any]] = {
    "dict": (lambda m, s: {"m": m, "s": s}, lambda d: (d["m"], d["s"])),
    "list": (lambda m, s: [s, m], lambda d: (d[1], d[0])),
    "nested": (lambda m, s: ({"m": [m]}, s), lambda d: (d[0]["m"][0], d[1])),
}


@pytest.mark.parametrize(("put", "take"), STRUCTURES.values(), ids=list(STRUCTURES))
def test_a_module_inside_is_differentiated_for_its_parameters(put: Any, take: Any) -> None:
    m, s = nn.Dense(1, in_features=2), tg.tensor([3.0])
    m.bias.requires_grad_(False)
    f = lambda m, s: (m(X) * s).sum()
    right = tg.grad(f, (0, 1))(m, s)
    for found in (
        tg.grad(lambda d: f(*take(d)))(put(m, s)),
        tg.vjp(lambda d: f(*take(d)), put(m, s))[1](tg.tensor(1.0))[0],
    ):
        inside, scale = take(found)
        assert np.array_equal(inside["kernel"].numpy(), right[0]["kernel"].numpy()) and inside["bias"] is None
        assert np.array_equal(scale.numpy(), right[1].numpy())


def test_unravel_gives_memory_of_its_own() -> None:
    v, unravel = tg.tree.ravel({"w": tg.tensor([1.0, 2.0]), "b": tg.tensor(3.0)})
    parts = unravel(v)
    parts["w"] += 1
    assert v.tolist() == [3.0, 1.0, 2.0] or v.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(("n", "floats", "exact"), [
    (2**53 + 1, "float64", False), (2**53, "float64", True), (2**24 + 1, "float32", False),
    (-(2**24) - 1, "float32", False),
    (2**24, "float32", True), (3, "float32", True),
])  # fmt: skip
def test_integers_beside_floats_are_exact_or_refused(n: int, floats: str, exact: bool) -> None:
    tree = [tg.tensor([n], dtype="int64"), tg.tensor([0.5], dtype=floats)]
    if not exact:
        with pytest.raises(ValueError, match=r"tree\.ravel: integers beyond"):
            tg.tree.ravel(tree)
        return
    v, unravel = tg.tree.ravel(tree)
    assert unravel(v)[0].tolist() == [n]


def test_messages() -> None:
    import copy

    with pytest.raises(TypeError, match=r"reshape has no keyword 'order'"):
        tg.ones((2, 3)).reshape(3, 2, order="F")
    with pytest.raises(TypeError, match=r"nor copied by copy\.copy.* copy with copy\.deepcopy"):
        copy.copy(nn.Dense(1))
