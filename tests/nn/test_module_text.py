"""How a Module reads: repr, summary, config."""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from module_samples import Builds, Net
from tapegrad import nn


def test_repr() -> None:
    assert repr(nn.Sequential(nn.Dense(4, tg.relu, in_features=3), nn.Sequential(nn.Dropout(0.5)))) == (
        "Sequential(\n"
        "  layers.0: Dense(units=4, activation='relu', in_features=3)\n"
        "  layers.1: Sequential(\n"
        "    layers.0: Dropout(rate=0.5)\n"
        "  )\n"
        ")"
    )
    assert repr(Net()).splitlines()[:2] == [
        "Net(",
        "  first: Dense(units=4, activation='tanh', in_features=3)",
    ]
    assert repr(nn.Dense(1, dtype="float64")) == "Dense(units=1, dtype='float64')"


def test_summary() -> None:
    model = nn.Sequential(nn.Flatten(input_shape=(5, 6)), nn.Dense(64, "relu"), nn.Dropout(0.1), nn.Dense(1))
    model[3].requires_grad_(False)
    assert model.summary() == (
        "layer     kind     output shape  parameters\n"
        "--------  -------  ------------  ----------\n"
        "layers.0  Flatten  (batch, 30)            0\n"
        "layers.1  Dense    (batch, 64)        1,984\n"
        "layers.2  Dropout  (batch, 64)            0\n"
        "layers.3  Dense    (batch, 1)            65\n"
        "--------  -------  ------------  ----------\n"
        "total 2,049 parameters, 1,984 of them trained"
    )
    assert "forward" not in vars(model) and model.training
    unbuilt = nn.Sequential(nn.Dense(3)).summary()
    assert "?" in unbuilt and "not built" in unbuilt
    net = Net().summary((3,))
    assert "blocks.2.last  Dense    (batch, 2)            10" in net and "total 47 parameters" in net
    assert net.splitlines()[2].split() == ["-", "Net", "(batch,", "2)", "1"]  # its own parameter, scale


class KeepsNothing(nn.Module):
    def __init__(self, size: int, scale: float = 1.0, *rest: Any, **more: Any) -> None:
        self.weight = nn.Parameter(tg.ones(size))
        self.scale = scale


class KeepsArrays(nn.Module):
    def __init__(self, table: Any, start: Any = None) -> None:
        self.table, self.start = table, nn.Parameter(start)


REPRS = (
    (lambda: KeepsNothing(2), "KeepsNothing()"),
    (lambda: KeepsNothing(2, 0.5), "KeepsNothing(scale=0.5)"),
    (lambda: KeepsArrays(np.ones(2), tg.ones(3)), "KeepsArrays(table=array([1., 1.]))"),
    (lambda: Builds(3), "Builds(units=3)"),
    (lambda: nn.Sequential(KeepsNothing(2), nn.ReLU()),
     "Sequential(\n  layers.0: KeepsNothing()\n  layers.1: ReLU()\n)"),
    (lambda: type("Bare", (nn.Module,), {})(), "Bare()"),
)  # fmt: skip


@pytest.mark.parametrize(("make", "want"), REPRS, ids=[want for _, want in REPRS])
def test_every_module_has_a_repr(make: Any, want: str) -> None:
    assert repr(make()) == want


def test_config_says_what_is_not_kept() -> None:
    with pytest.raises(
        AttributeError, match=r"config: the constructor of KeepsNothing takes 'size'.*self.size = size"
    ):
        KeepsNothing(2).config()


def test_a_module_that_knows_its_parent_has_a_repr_and_a_summary() -> None:
    net = nn.Sequential(nn.Dense(1, in_features=2))
    net.layers[0].parent = net
    assert repr(net).count("Dense(") == 1 and "(the module around this one)" in repr(net)
    assert "total 3 parameters" in net.summary((2,))
