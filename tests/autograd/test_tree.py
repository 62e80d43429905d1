"""tg.tree: structures mapped, taken apart and put together, and as one vector; in gradients and compiled."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn

Pair = namedtuple("Pair", ["a", "b"])


@dataclass
class Weights:
    a: Any
    name: str = field(default="w", metadata={"static": True})


def structure(dtype: str = "float32") -> Any:
    a, b = (tg.tensor(np.arange(6.0).reshape(2, 3) + n, dtype=dtype) for n in (0, 10))
    return {"dict": OrderedDict(x=a, none=None), "list": [b, (Pair(a, 2.0 * b), Weights(b))], "empty": ()}


def test_map_keeps_the_structure() -> None:
    tree = structure()
    doubled = tg.tree.map(lambda x: 2 * x, tree)
    assert type(doubled["dict"]) is OrderedDict and doubled["dict"]["none"] is None and doubled["empty"] == ()
    assert type(doubled["list"][1][0]) is Pair and doubled["list"][1][1].name == "w"
    for got, x in zip(tg.tree.leaves(doubled), tg.tree.leaves(tree), strict=True):
        np.testing.assert_array_equal(got.numpy(), 2 * x.numpy())


def test_map_takes_several_structures_by_key() -> None:
    total = tg.tree.map(lambda x, y, z: x - y + z, {"a": 1, "b": 2}, {"b": 10, "a": 20}, {"a": 0, "b": 100})
    assert total == {"a": -19, "b": 92}
    with pytest.raises(ValueError, match=r"structure 2.*keys"):
        tg.tree.map(lambda x, y: x, {"a": 1}, {"b": 1})
    with pytest.raises(TypeError, match="the function comes first"):
        tg.tree.map({"a": 1}, abs)  # type: ignore[arg-type]


def test_flatten_and_unflatten() -> None:
    leaves, rebuild = tg.tree.flatten(structure())
    assert len(leaves) == len(tg.tree.leaves(structure())) == 5
    again = tg.tree.unflatten(rebuild, [1, 2, 3, 4, 5])
    assert again["list"][0] == 2 and again["list"][1][1].a == 5
    with pytest.raises(ValueError, match="5 leaves, got 4"):
        tg.tree.unflatten(rebuild, [1, 2, 3, 4])
    with pytest.raises(TypeError, match="a tuple"):
        rebuild(tg.ones(5))
    with pytest.raises(TypeError, match="then the leaves"):
        tg.tree.unflatten([1], rebuild)  # type: ignore[arg-type]
    assert tg.tree.leaves(None) == [] and tg.tree.leaves(3) == [3]


def test_a_module_is_the_dict_of_its_parameters() -> None:
    layer = nn.Dense(3, in_features=2)
    assert set(tg.tree.map(lambda p: p.shape, layer)) == {name for name, _ in layer.named_parameters()}


def test_ravel_and_back() -> None:
    tree = structure()
    vector, unravel = tg.tree.ravel(tree)
    assert vector.shape == (30,) and vector.dtype == "float32"
    for got, want in zip(tg.tree.leaves(unravel(vector)), tg.tree.leaves(tree), strict=True):
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got.numpy(), want.numpy())
    with pytest.raises(ValueError, match=r"\(30,\), got \(29,\)"):
        unravel(vector[1:])
    with pytest.raises(TypeError, match=r"tree\.ravel"):
        tg.tree.ravel({"a": "text"})
    empty, back = tg.tree.ravel({"a": None})
    assert empty.shape == (0,) and back(empty) == {"a": None}


def test_ravel_gives_each_leaf_its_dtype() -> None:
    vector, unravel = tg.tree.ravel(
        {"a": tg.tensor([1, 2]), "b": tg.ones((2,), dtype="float64"), "c": tg.ones(())}
    )
    assert vector.dtype == "float64"
    assert [str(x.dtype) for x in tg.tree.leaves(unravel(vector * 3))] == ["int64", "float64", "float32"]


def test_a_function_of_a_structure_as_one_of_a_vector() -> None:
    """Its gradient and its Hessian, eagerly and compiled."""
    tree = {
        "w": tg.tensor([[1.0, 2.0], [3.0, 4.0]], dtype="float64"),
        "b": (tg.tensor(0.5, dtype="float64"),),
    }
    vector, unravel = tg.tree.ravel(tree)

    def loss(p: Any) -> Any:
        return (p["w"] ** 3).sum() * p["b"][0]

    whole = tg.grad(loss)(tree)
    np.testing.assert_array_equal(
        tg.grad(lambda v: loss(unravel(v)))(vector).numpy(), tg.tree.ravel(whole)[0].numpy()
    )
    tg.check_grads(lambda v: loss(unravel(v)), (vector,), order=2)
    for emitter in ("numpy", "native"):
        step = tg.jit(lambda v: tg.grad(lambda u: loss(unravel(u)))(v), emitter=emitter, strict=True)
        for k in (1.0, 2.0, 3.0):
            np.testing.assert_allclose(
                step(vector * k).numpy(), tg.grad(lambda u: loss(unravel(u)))(vector * k).numpy(), rtol=1e-14
            )
