"""What an optimizer refuses, and the names its messages give."""

import math

import numpy as np
import pytest
from optimizer_rows import leaf

import tapegrad as tg
from tapegrad import optim


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda p: optim.SGD([]), ValueError, "there are no parameters"),
        (lambda p: optim.SGD(q for q in []), ValueError, "generator used up"),
        (lambda p: optim.SGD([{"params": []}]), ValueError, "group 0: there are no parameters"),
        (lambda p: optim.SGD([{"lr": 1.0}]), ValueError, "group 0 has no 'params'"),
        (lambda p: optim.SGD(p), TypeError, "got Tensor: put it in a list"),
        (lambda p: optim.SGD(0.1, 0.9), TypeError, "give all options by name, lr=0.1"),
        (lambda p: optim.SGD([p], learning_rate=0.1), TypeError, "tapegrad's name for learning_rate is lr"),
        (lambda p: optim.SGD(0.1, learning_rate=0.1), TypeError, "tapegrad's name for learning_rate is lr"),
        (lambda p: optim.SGD("adam"), TypeError, "expected a Module"),
        (lambda p: optim.SGD([p, 3.0]), TypeError, "'1' is not a tensor but float"),
        (lambda p: optim.SGD([p * 2]), ValueError, "not a leaf but made by multiply"),
        (lambda p: optim.SGD([tg.tensor([1.0])]), ValueError, "'0' does not require grad"),
        (lambda p: optim.SGD([p, p]), ValueError, "'0' and '1' are the same parameter"),
        (lambda p: optim.SGD([{"params": [p]}, {"params": [p]}]), ValueError, "'0.0' and '1.0' are the same"),
        (lambda p: optim.SGD([("w", p), ("w", p)]), ValueError, "the name 'w' is given more than once"),
        (lambda p: optim.SGD([p]).bind([p]), RuntimeError, "has its parameters already"),
        (lambda p: optim.SGD([{"params": [p], "rho": 1}]), TypeError, "option 'rho' of group 0; known are lr, mom"),
        (lambda p: optim.SGD([{"params": [p], "lr": -1}]), ValueError, "lr of group 0: .* got -1"),
        (lambda p: optim.Adam(betas=(0.9, 0.99)), TypeError, "tapegrad's name for betas is beta_1 and beta_2"),
        (lambda p: optim.Adam(lr=-0.1), ValueError, "lr: expected a finite number of at least 0, got -0.1"),
        (lambda p: optim.Adam(lr=math.nan), ValueError, "lr: .* got nan"),
        (lambda p: optim.Adam(lr=math.inf), ValueError, "lr: .* got inf"),
        (lambda p: optim.Adam(lr="0.1"), TypeError, "lr: .* got '0.1'"),
        (lambda p: optim.Adam(lr=True), TypeError, "lr: .* got True"),
        (lambda p: optim.Adam(eps=math.nan), ValueError, "eps: .* got nan"),
        (lambda p: optim.Adam(beta_1=1.0), ValueError, "beta_1: expected a number of at least 0 and below 1, got 1.0"),
        (lambda p: optim.Adam(beta_2=-0.1), ValueError, "beta_2: .* got -0.1"),
        (lambda p: optim.Adam(eps=0), ValueError, "eps: expected a finite number above 0, got 0"),
        (lambda p: optim.Adam(amsgrad=1), TypeError, "amsgrad: expected True or False, got 1"),
        (lambda p: optim.Adam(maximize="yes"), TypeError, "maximize: .* got 'yes'"),
        (lambda p: optim.AdamW(weight_decay=-1), ValueError, "weight_decay: .* got -1"),
        (lambda p: optim.SGD(momentum=1.5), ValueError, "momentum: expected a number from 0 to 1, got 1.5"),
        (lambda p: optim.SGD(nesterov=True), ValueError, "expected momentum above 0"),
        (lambda p: optim.SGD([{"params": [p], "nesterov": True}]), ValueError, "expected momentum above 0"),
        (lambda p: optim.RMSprop(rho=1), ValueError, "rho: .* got 1"),
        (lambda p: optim.Adagrad(initial_accumulator_value=-1), ValueError, "initial_accumulator_value: .* got -1"),
        (lambda p: optim.SGD(clipnorm=0), ValueError, "clipnorm: expected a finite number above 0, got 0"),
        (lambda p: optim.SGD(clipnorm=1, clipvalue=1), ValueError, "only one of .* got .'clipvalue', 'clipnorm'"),
        (lambda p: optim.SGD().step(), RuntimeError, "SGD has no parameters yet: call bind"),
        (lambda p: optim.SGD().state_dict(), RuntimeError, "no parameters yet"),
        (lambda p: optim.SGD().load_state_dict({}), RuntimeError, "no parameters yet"),
        (lambda p: optim.SGD([p]).step(), RuntimeError, r"no parameter has a gradient: call loss.backward\(\).* 0$"),
        (lambda p: optim.get("adamm"), ValueError, "unknown name 'adamm'; known are .*'adam', 'adamw'"),
        (lambda p: optim.get(0.1), TypeError, "expected an Optimizer or one of the names .* got 0.1"),
        (lambda p: optim.get(optim.Adam(), lr=1.0), TypeError, "options .*lr.* cannot be applied to an existing"),
    ],
)  # fmt: skip
def test_bad_input(make, kind, message):
    with pytest.raises(kind, match=message):
        make(leaf(1.0, 2.0))


def test_bad_gradients():
    p = leaf(1.0, 2.0)
    opt = optim.SGD({"w": p})
    p.grad = tg.ones_like(p)
    p.data = np.array([1.0])
    with pytest.raises(ValueError, match=r"'w' had shape \(2,\) .* and has \(1,\) now: make a new optimizer"):
        opt.step()


def test_gradient_on_another_device_is_refused(elsewhere):
    p = leaf(1.0, 2.0)
    with pytest.raises(ValueError, match=rf"device cpu, the value {elsewhere}: use value.to"):
        p.grad = tg.tensor([1.0, 2.0], device=elsewhere)


def test_unbuilt_and_frozen_modules():
    with pytest.raises((RuntimeError, ValueError), match="build"):
        optim.SGD(tg.nn.Dense(3))
    model = tg.nn.Dense(1, in_features=1)
    for p in model.parameters():
        p.requires_grad_(False)
    with pytest.raises(ValueError, match="every parameter of this Dense is frozen"):
        optim.SGD(model)
