"""An accepted line does something: attributes that nothing would read are refused, with the name to use."""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.models import EarlyStopping, Sequential

REFUSED = [
    (lambda: nn.Dense(2, in_features=2), "activaton", "activation"),
    (lambda: nn.Dense(2, in_features=2), "trainin", "training"),
    (lambda: nn.Dense(2, in_features=2), "weight", "kernel"),
    (lambda: nn.Dropout(0.5), "rat", "rate"),
    (lambda: Sequential([nn.Dense(2, in_features=2)]), "stop_trainin", "stop_training"),
    (lambda: nn.losses.Huber(), "reducton", "reduction"),
    (lambda: nn.losses.Huber(), "detla", "delta"),
    (lambda: EarlyStopping(), "patince", "patience"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "name", "word"), REFUSED, ids=[f"{n}-{row[1]}" for n, row in enumerate(REFUSED)]
)
def test_refused_with_the_name_to_use(make: Any, name: str, word: str) -> None:
    made = make()
    with pytest.raises(AttributeError, match=f"nothing reads the attribute '{name}'.*{word}"):
        setattr(made, name, 0)
    assert name not in vars(made)


def test_notes_and_known_names_are_taken() -> None:
    layer = nn.Dense(2, in_features=2)
    layer.note, layer.activation, layer.training = "first", tg.tanh, False
    assert layer.note == "first" and (layer(tg.ones((1, 2))).numpy() <= 1).all()


def test_options_of_a_loss_may_be_set() -> None:
    loss = nn.losses.Huber(delta=1.0)
    loss.delta, loss.reduction = 3.0, "sum"
    y, p = tg.zeros((2, 1)), tg.tensor([[2.0], [10.0]])
    assert loss(y, p).item() == nn.losses.Huber(delta=3.0, reduction="sum")(y, p).item()
    assert loss.delta == 3.0


def test_a_class_of_the_users_takes_any_name() -> None:
    class Net(nn.Dense):
        pass

    net = Net(2, in_features=2)
    net.trainable = net.activaton = False
    assert net.trainable is net.activaton is False


# ---- what is saved stays saved ----
class Mean(nn.Module):
    """A running mean, changed as `write` does it."""

    def __init__(self, write: Any) -> None:
        self.write = write
        self.mean = nn.Buffer(tg.zeros(1))
        self.scale = nn.Parameter(tg.ones(1))

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        self.write(self, x)
        return (x * self.scale + self.mean).detach()


def set_to(name: str, value: Any) -> Any:
    return lambda m, x: setattr(m, name, value(m, x))


def add_in_place(m: Mean, x: tg.Tensor) -> None:
    m.mean += x.mean()


LOST = {
    "a Tensor for a Buffer": (set_to("mean", lambda m, x: 0.9 * m.mean + x.mean()), False, "mean is a Buffer"),
    "a sum with a gradient": (add_in_place, True, r"t is a Buffer, which keeps none: write t\.assign\(t \+ value\)"),
    "a number for a Buffer": (set_to("mean", lambda m, x: 3.0), False, "mean is a Buffer, got 3.0"),
    "an array for a Buffer": (set_to("mean", lambda m, x: np.ones(1)), False, "mean is a Buffer, got ndarray"),
    "a Tensor for a Parameter": (set_to("scale", lambda m, x: m.scale * 2), False, "scale is a Parameter"),
}  # fmt: skip
KEPT = {
    "assign": (lambda m, x: m.mean.assign(0.9 * m.mean + x.mean()), True),
    "in place": (add_in_place, False),
    "another Buffer": (set_to("mean", lambda m, x: nn.Buffer(x.detach())), True),
    "another Parameter": (set_to("scale", lambda m, x: nn.Parameter(m.scale.detach() * 2)), True),
}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(("write", "differentiated", "said"), LOST.values(), ids=list(LOST))
def test_a_plain_value_does_not_replace_what_is_saved(
    write: Any, differentiated: bool, said: str, compiled: bool
) -> None:
    m = Mean(write)
    call = tg.jit(lambda x: m(x)) if compiled else m
    with pytest.raises((RuntimeError, TypeError), match=said):
        call(tg.ones(1, requires_grad=differentiated))
    assert list(m.state_dict()) == ["mean", "scale"] and m.scale.tolist() == [1.0]


@pytest.mark.parametrize(("write", "differentiated"), KEPT.values(), ids=list(KEPT))
def test_what_is_saved_is_replaced_by_its_kind(write: Any, differentiated: bool) -> None:
    m = Mean(write)
    m(tg.ones(1, requires_grad=differentiated))
    assert list(m.state_dict()) == ["mean", "scale"]
    assert m.mean.tolist() == [1.0] or m.scale.tolist() == [2.0]
    m.scale = None  # type: ignore[assignment]
    assert list(m.state_dict()) == ["mean"]
