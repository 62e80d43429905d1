"""Calls of modules and of methods with words of other libraries: what is said, and that nothing private is named."""

from collections.abc import Callable
from typing import Any

import pytest

import tapegrad as tg
from tapegrad import models, nn, optim

X, S = tg.ones((2, 3)), tg.ones((2, 4, 3))
MODES = "model.train() and model.eval() switch all layers inside"


class Net(nn.Module):
    def forward(self, x: Any) -> Any:
        return x


class Subclass(nn.Dense):
    pass


class Inside(nn.Dense):
    """Its own call is the mistake."""

    def forward(self, x: Any) -> Any:
        return super().forward(x, mask=3)  # type: ignore[call-arg]


def dense() -> nn.Dense:
    return nn.Dense(1, in_features=3)


CASES: dict[str, tuple[Callable[[], object], str]] = {
    "training": (lambda: nn.Dropout(0.5)(X, training=True), f"Dropout has no keyword 'training': {MODES}"),
    "a private base": (lambda: nn.LSTM(2, in_features=3)(S, training=True), f"LSTM has no keyword 'training': {MODES}"),
    "of noise": (lambda: nn.GaussianNoise(0.1)(X, training=True), "GaussianNoise has no keyword 'training'"),
    "of a container": (lambda: nn.Sequential(dense())(X, training=True), "Sequential has no keyword 'training'"),
    "of a model": (lambda: models.Sequential([dense()])(X, mask=None), "Sequential has no keyword 'mask'"),
    "of a subclass": (lambda: Subclass(1, in_features=3)(X, training=True), "Subclass has no keyword 'training'"),
    "of the user's": (lambda: Net()(X, training=True), "Net.forward() got an unexpected keyword argument 'training'"),
    "inside the user's": (lambda: Inside(1, in_features=3)(X), "Dense.forward() got an unexpected keyword"),
    "a state by position": (
        lambda: nn.LSTM(2, in_features=3)(S, [tg.ones((2, 2))] * 2),
        "LSTM: 2 arguments by position are too many for LSTM(x, *, mask=None, initial_state=None)",
    ),
    "nothing": (lambda: nn.LSTM(2, in_features=3)(), "LSTM: missing 1 required positional argument: 'x'"),
    "inputs": (lambda: dense()(inputs=X), "Dense has no keyword 'inputs': give the arrays by position"),
    "a mask of keys": (
        lambda: nn.TransformerEncoderLayer(3, 1)(S, key_padding_mask=None),
        "TransformerEncoderLayer: tapegrad's word for key_padding_mask is src_key_padding_mask",
    ),
    "to(device=)": (lambda: dense().to(device="cpu"), "to: tapegrad's word for device is place"),
    "to(dtype=)": (lambda: dense().to("cpu", dtype="float64"), "to has no keyword 'dtype': convert with x.to(dtype)"),
    "state_dict(prefix=)": (lambda: dense().state_dict(prefix="a"), "state_dict has no keyword 'prefix': write {"),
    "named_parameters(recurse=)": (lambda: dense().named_parameters(recurse=False), "named_parameters has no keyword"),
    "parameters(False)": (lambda: dense().parameters(False), "1 argument by position is too many for parameters()"),
    "requires_grad_": (lambda: dense().requires_grad_(requires_grad=False), "word for requires_grad is value"),
    "build": (lambda: dense().build(input_shape=(3,)), "build: tapegrad's word for input_shape is shape"),
    "an optimizer's state": (lambda: optim.SGD(dense()).state_dict(prefix="a"), "state_dict has no keyword 'prefix'"),
    "conv(stride=)": (lambda: nn.functional.conv(S, tg.ones((2, 3, 3)), stride=1), "word for stride is strides"),
    "max_pool(kernel_size=)": (lambda: nn.functional.max_pool(S, kernel_size=2), "word for kernel_size is pool_size"),
    "uniform(0, 1)": (lambda: tg.uniform(0, 1), "tg.random.uniform(low, high, size) has bounds"),
    "no_grad of a class": (lambda: tg.no_grad()(Net), "no_grad: expected a function to decorate, got <class"),
    "enable_grad of a class": (lambda: tg.enable_grad(Net), "enable_grad: expected a function to decorate"),
    "anomaly of a class": (lambda: tg.detect_anomaly()(Net), "detect_anomaly: expected a function to decorate"),
    "Muon's words": (
        lambda: optim.Muon([tg.Parameter([1.0])], adam_weight_decay=0.1),
        "lr and weight_decay are of both updates: give the parameters of Adam's a group of their own",
    ),
    "Muon's other words": (
        lambda: optim.Muon([tg.Parameter([1.0])], exclude_layers=["a"]),
        "give those parameters a group of their own, {'params': …, 'matrices': False}",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_foreign_call_is_answered(case: str) -> None:
    call, said = CASES[case]
    with pytest.raises(TypeError) as caught:
        call()
    assert said in str(caught.value)
    assert " _" not in str(caught.value) and not str(caught.value).startswith("_")


@pytest.mark.parametrize("kind", ["numpy", None])
def test_the_same_is_said_while_a_function_is_recorded(kind: Any) -> None:
    layer = nn.Dropout(0.5)
    with pytest.raises(TypeError, match="Dropout has no keyword 'training'"):
        tg.jit(lambda x: layer(x, training=True), **({"emitter": kind} if kind else {}))(X)


def test_a_class_of_a_loss_says_of_each_argument_what_is_its_own() -> None:
    for name in nn.losses.__all__:
        if isinstance(made := getattr(nn.losses, name), type):
            assert "Raises: " not in (made.__doc__ or ""), name
