"""Losses of one number: where a loss needs an axis, it says so itself, before a rule of the backward pass fails."""

import re

import numpy as np
import pytest
from loss_rows import ROWS

import tapegrad as tg
from tapegrad import nn

OBJECTS = [name for name in dir(nn) if name.endswith("Loss")]
FUNCTIONS = [row.name for row in ROWS]
OF_THREE = ("CosineEmbeddingLoss", "MarginRankingLoss", "GaussianNLLLoss", "TripletMarginLoss")
CASES = [(name, t) for name in dict.fromkeys([*FUNCTIONS, *OBJECTS]) for t in (1.0, 1)]


@pytest.mark.parametrize(("name", "target"), CASES)
def test_one_number_is_a_sample_or_refused_at_the_call(name: str, target: float) -> None:
    if name in OBJECTS:
        loss = getattr(nn, name)()
    else:
        loss = getattr(nn.functional, name, None) or getattr(nn.losses, name)
    p = tg.tensor(0.5, requires_grad=True)
    others = [tg.tensor(0.25)] * (name in OF_THREE)
    try:
        value = loss(p, *others, tg.tensor(target))
    except ValueError as error:
        assert re.match(rf"{name}: expected .* of shape \(.*\), got shape \(\)$", str(error))
        return
    assert value.shape == ()
    assert tg.tape(value).html()
    value.backward()
    assert np.isfinite(p.grad.item())
