"""An accepted line does something: attributes that nothing would read are refused, with the name to use."""

from typing import Any

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
