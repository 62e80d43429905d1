"""When layers make their weights, and what `build` of a user's own does."""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from module_samples import Builds
from tapegrad import nn


def test_unbuilt_layers_say_how_to_build() -> None:
    model = nn.Sequential(nn.Dense(3), nn.Dense(2))
    for ask in (
        model.parameters,
        model.state_dict,
        lambda: model.to("float64"),
        lambda: tg.optim.SGD(model.parameters(), lr=1.0),
    ):
        with pytest.raises(
            RuntimeError,
            match=r"Dense\(units=3\) at 'layers.0' has not made .*Sequential.build",
        ):
            ask()
    assert model.build((None, 5)) == (2,)
    assert [p.shape for p in model.parameters()] == [(5, 3), (3,), (3, 2), (2,)]
    with pytest.raises(ValueError, match=r"shape: expected .* of positive integers, got \(5, -1\)"):
        model.build((5, -1))


def test_build_of_a_module_of_ones_own() -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            self.inner = nn.Dense(3)
            self.drop = nn.Dropout(0.5)

        def forward(self, x: Any) -> Any:
            modes.append(self.training)
            return self.drop(self.inner(x)).sum(axis=1)

    modes: list[bool] = []
    module = Wrapped()
    module.drop.eval()
    assert module.build((4, 5)) == (3,)
    assert module.inner.kernel.shape == (5, 3) and modes == [False]
    assert module.training and not module.drop.training  # the modes are as they were


def test_a_build_is_called_before_the_first_forward() -> None:
    layer = Builds()
    with pytest.raises(RuntimeError, match=r"Builds.* has not made its weights yet"):
        layer.parameters()
    with pytest.raises(RuntimeError, match="has not made its weights yet"):
        tg.optim.SGD(nn.Sequential(nn.Dense(3), layer).parameters(), lr=0.1)
    assert layer(tg.ones((5, 4))).shape == (5, 2) and layer.weight.shape == (4, 2)
    kept = layer.weight
    layer(tg.ones((5, 4)))
    assert layer.weight is kept and len(layer.parameters()) == 1


def test_a_build_may_be_called_by_hand_inside_others_and_by_its_base() -> None:
    model = nn.Sequential(nn.Dense(3, in_features=4), Builds(7))
    assert model.build((4,)) == (7,) and model.layers[1].weight.shape == (3, 7)

    class AsInKeras(Builds):
        def build(self, shape: Any) -> None:
            super().build(shape)
            self.built = True

    assert AsInKeras()(tg.ones((2, 3))).shape == (2, 2)

    class Fails(Builds):
        def build(self, shape: Any) -> None:
            raise KeyError("no")

    layer = Fails()
    for _ in range(2):
        with pytest.raises(KeyError):
            layer(tg.ones((2, 3)))
    assert not layer.built


def test_a_build_trains_compiled_and_plain_alike() -> None:
    def trained(compiled: bool) -> Any:
        layer = Builds()
        layer(tg.ones((1, 4)))
        optimizer = tg.optim.SGD(layer.parameters(), lr=0.1)

        def step(x: Any) -> Any:
            optimizer.zero_grad()
            loss = (layer(x) ** 2).mean()
            loss.backward()
            optimizer.step()
            return loss.detach()

        run = tg.jit(step, strict=True) if compiled else step
        return [run(tg.ones((2, 4))).item() for _ in range(4)]

    np.testing.assert_allclose(trained(True), trained(False), rtol=1e-6)
