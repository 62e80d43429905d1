"""Arguments of functions and layers are checked by kind: what no such argument can be raises and names it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

F, nn = tg.nn.functional, tg.nn
X = tg.tensor([[0.5, 1.0], [-1.0, 2.0]])
T = tg.tensor([[1.0, 0.0], [0.0, 1.0]])
LABELS = tg.tensor([0, 1])
KERNEL = tg.ones((2, 1, 1))
GROWS = tg.ones(2, requires_grad=True)

# kind -> values that no argument of that kind may have
WRONG: dict[str, tuple[Any, ...]] = {
    "truth": ("none", "False", "", 2, 0.5, None, [True]),
    "truth or None": ("none", "False", "", 2, 0.5, [True], np.array([1, 2])),
    "axis": ("0", 0.0, True, [0.5]),
    "at_least_0": (-0.5, float("nan"), float("inf"), "1", None, True, 1j),
    "above_0": (0.0, -1.0, float("nan"), "1", None, True),
    "number": (float("nan"), float("inf"), "1", None, True, [1.0]),
    "nonzero": (0.0, float("nan"), "1", None, True),
    "probability": (-0.1, 1.1, float("nan"), "0.5", None, True),
    "rate": (-0.1, 1.0, 1.5, float("nan"), "0.5", None, True),
    "form": ("exact", "TANH", "false", 2, None),
    "reduction": ("average", "", None, True),
    "count": (0, -1, 1.5, "3", None, True, np.array([2, 2]), np.array(2.0), tg.tensor([2, 2])),
    "axes": (0.0, "0", None, True, {}, (1, 2.0), np.array([1, 2])),
    "length": (-1, 1.5, "3", None, True, (2, -1), (2.0,)),
}


def loss(function: Callable[..., Any], option: str) -> Callable[[Any], Any]:
    target = LABELS if "sparse" in function.__name__ or function is F.nll_loss else T
    return lambda v: function(F.sigmoid(X), target, **{option: v})


def loss_of(x: Any) -> Any:
    return (x * x).sum()


def checked(**options: Any) -> None:
    tg.check_grads(loss_of, [X], **options)


REDUCTIONS = (
    "sum",
    "mean",
    "prod",
    "max",
    "min",
    "any",
    "all",
    "argmax",
    "argmin",
    "logsumexp",
    "var",
    "std",
)
CREATION = {
    "zeros": tg.zeros, "ones": tg.ones, "empty": tg.empty, "full": lambda s: tg.full(s, 1.0), "uniform": tg.uniform,
    "broadcast_to": lambda s: tg.broadcast_to(tg.tensor(1.0), s), "eye": tg.eye,
}  # fmt: skip
LOSSES = [getattr(F, name) for name in F.__all__ if name.endswith("_loss")] + [
    F.binary_cross_entropy, F.binary_cross_entropy_with_logits, F.categorical_crossentropy, F.categorical_hinge,
    F.cosine_similarity, F.cross_entropy, F.hinge, F.kl_divergence, F.log_cosh, F.poisson,
    F.sparse_categorical_crossentropy, F.squared_hinge,
]  # fmt: skip

# the function and argument, its kind, a call with the value
ROWS: list[tuple[str, str, Callable[[Any], Any]]] = [
    *((f"{f}: keepdims", "truth", lambda v, f=f: getattr(tg, f)(X, keepdims=v)) for f in REDUCTIONS),
    *((f"{f}: axis", "axis", lambda v, f=f: getattr(tg, f)(X, axis=v)) for f in REDUCTIONS),
    *((f"{f}: axis", "axis", lambda v, f=f: getattr(tg, f)(X, axis=v)) for f in ("softmax", "log_softmax", "flip")),
    *((f"{f}: axis", "axis", lambda v, f=f: getattr(tg, f)([X, X], axis=v)) for f in ("concat", "stack")),
    ("LayerNormalization: axis", "axes", lambda v: nn.LayerNormalization(axis=v)),
    ("UnitNormalization: axis", "axes", lambda v: nn.UnitNormalization(axis=v)),
    ("Permute: dims", "axes", nn.Permute),
    ("conv_transpose: output_padding", "axes", lambda v: F.conv_transpose(X[..., None], KERNEL, 2, output_padding=[v])),
    ("backward: retain_graph", "truth or None", lambda v: loss_of(GROWS).backward(retain_graph=v)),
    ("backward: create_graph", "truth", lambda v: loss_of(GROWS).backward(create_graph=v)),
    ("grad: has_aux", "truth", lambda v: tg.grad(loss_of, has_aux=v)),
    ("grad: has_aux", "truth", lambda v: tg.value_and_grad(loss_of, has_aux=v)),
    ("check_grads: order", "count", lambda v: checked(order=v)),
    ("check_grads: rtol", "at_least_0", lambda v: checked(rtol=v)),
    ("check_grads: atol", "at_least_0", lambda v: checked(atol=v)),
    ("check_grads: step", "above_0", lambda v: checked(step=v)),
    ("check_grads: seed", "length", lambda v: checked(seed=v)),
    ("expand_dims: axis", "axis", lambda v: tg.expand_dims(X, axis=v)),
    ("squeeze: axis", "axis", lambda v: tg.squeeze(tg.ones((1, 2)), axis=v)),
    ("var: correction", "at_least_0", lambda v: tg.var(X, correction=v)),
    ("astype: copy", "truth", lambda v: X.astype("float64", copy=v)),
    ("tensor: requires_grad", "truth", lambda v: tg.tensor([1.0], requires_grad=v)),
    ("zeros: requires_grad", "truth", lambda v: tg.zeros(2, requires_grad=v)),
    ("requires_grad_: value", "truth", lambda v: tg.ones(2).requires_grad_(v)),
    ("linspace: endpoint", "truth", lambda v: tg.linspace(0, 1, 3, endpoint=v)),
    ("tile: repetitions", "length", lambda v: tg.tile(X, v)),
    *((f"{name}: ", "length", f) for name, f in CREATION.items()),
    ("leaky_relu: negative_slope", "number", lambda v: F.leaky_relu(X, v)),
    ("LeakyReLU: negative_slope", "number", nn.LeakyReLU),
    ("elu: alpha", "number", lambda v: F.elu(X, v)),
    ("ELU: alpha", "number", nn.ELU),
    ("celu: alpha", "nonzero", lambda v: F.celu(X, v)),
    ("CELU: alpha", "nonzero", nn.CELU),
    ("gelu: approximate", "form", lambda v: F.gelu(X, approximate=v)),
    ("GELU: approximate", "form", nn.GELU),
    ("soft_shrink: threshold", "at_least_0", lambda v: F.soft_shrink(X, v)),
    ("SoftShrink: threshold", "at_least_0", nn.SoftShrink),
    ("hard_shrink: threshold", "at_least_0", lambda v: F.hard_shrink(X, v)),
    ("HardShrink: threshold", "at_least_0", nn.HardShrink),
    ("dropout: rate", "rate", lambda v: F.dropout(X, v)),
    ("dropout: training", "truth", lambda v: F.dropout(X, 0.5, training=v)),
    ("Dropout: rate", "rate", nn.Dropout),
    ("Dense: units", "count", nn.Dense),
    ("Dense: in_features", "count", lambda v: nn.Dense(2, in_features="no" if v is None else v)),
    ("Dense: use_bias", "truth", lambda v: nn.Dense(2, use_bias=v)),
    ("Dense.train: mode", "truth", lambda v: nn.Dense(2).train(v)),
    ("random_normal: stddev", "at_least_0", lambda v: nn.init.random_normal((2,), stddev=v)),
    ("truncated_normal: stddev", "at_least_0", lambda v: nn.init.truncated_normal((2,), stddev=v)),
    ("huber_loss: delta", "above_0", loss(F.huber_loss, "delta")),
    *((f"{f.__name__}: reduction", "reduction", loss(f, "reduction")) for f in LOSSES),
    *((f"{f.__name__}: from_logits", "truth", loss(f, "from_logits"))
      for f in (F.binary_cross_entropy, F.categorical_crossentropy, F.sparse_categorical_crossentropy)),
    *((f"{f.__name__}: label_smoothing", "probability", loss(f, "label_smoothing"))
      for f in (F.binary_cross_entropy, F.binary_cross_entropy_with_logits, F.categorical_crossentropy,
                F.cross_entropy)),
]  # fmt: skip
CASES = [(name, call, v) for name, kind, call in ROWS for v in WRONG[kind]]


@pytest.mark.parametrize(("name", "call", "value"), CASES, ids=[f"{n}={v!r}" for n, _, v in CASES])
def test_what_cannot_be_is_refused_by_name(name: str, call: Callable[[Any], Any], value: Any):
    function, argument = name.split(": ")
    with pytest.raises((TypeError, ValueError)) as caught:
        call(value)
    said = str(caught.value)
    assert argument in said and function.removesuffix(".train") in said, said


@pytest.mark.parametrize("value", [True, False, 1, 0, np.True_, np.False_], ids=repr)
def test_what_counts_as_true_or_false(value: Any):
    assert X.sum(axis=0, keepdims=value).shape == ((1, 2) if value else (2,))
    assert F.dropout(X, 0.0, training=value) is not None


@pytest.mark.parametrize(("spelling", "same"), [("none", False), ("tanh", True), (1, True), (0, False)])
def test_gelu_takes_the_spelling_of_pytorch(spelling: Any, same: bool):
    assert F.gelu(X, approximate=spelling).tolist() == F.gelu(X, approximate=same).tolist()
    assert nn.GELU(approximate=spelling)(X).tolist() == F.gelu(X, approximate=same).tolist()


def test_gelu_of_minus_one_by_pytorchs_default():
    assert abs(F.gelu(tg.tensor([-1.0]), approximate="none").item() - -0.158655) < 1e-6


def test_an_option_that_requires_grad_is_not_read_silently():
    a = tg.tensor(0.5, requires_grad=True)
    with pytest.raises(TypeError, match="would get no gradient"):
        F.elu(X, a)
    F.leaky_relu(X, a).sum().backward()
    assert a.grad is not None and a.grad.item() == -1.0


INTEGERS = tg.tensor([2, 0, 3]), tg.tensor([1, 1, 0])
TRUTHS = (
    (tg.logical_and, [True, False, False]), (tg.logical_or, [True, True, True]), (tg.logical_xor, [False, True, True]),
)  # fmt: skip


@pytest.mark.parametrize(("function", "want"), TRUTHS, ids=lambda v: getattr(v, "name", ""))
@pytest.mark.parametrize("dtype", ["int64", "uint8", "float32", "float64", "bool"])
@pytest.mark.parametrize("compiled", [False, True])
def test_logical_functions_give_truth_values(function: Any, want: list[bool], dtype: str, compiled: bool):
    call = tg.jit(lambda a, b: (function(a, b), tg.logical_not(a))) if compiled else lambda a, b: (
        function(a, b), tg.logical_not(a))  # fmt: skip
    a, b = (t.astype(dtype) for t in INTEGERS)
    for _ in range(3):
        got, opposite = call(a, b)
    assert got.dtype == opposite.dtype == tg.bool
    assert got.tolist() == want and opposite.tolist() == [False, True, False]


def test_signs_combine_bits_and_numpy_agrees():
    a, b = INTEGERS
    assert (a & b).tolist() == [0, 0, 0] and (a | b).tolist() == [3, 1, 3] and (~a).tolist() == [-3, -1, -4]
    assert np.logical_and(a, b).tolist() == [True, False, False] and np.bitwise_or(a, b).tolist() == [3, 1, 3]
    assert tg.logical_not(tg.tensor([float("nan"), 0.0])).tolist() == [False, True]
    assert (tg.tensor([True]) & 1).dtype == (np.array([True]) & 1).dtype


def test_numpy_integers_are_integers() -> None:
    one, x = np.int64(1), tg.rand(2, 3, 4)
    assert (
        nn.LayerNormalization(axis=(one, np.int32(2)))(x).shape
        == nn.UnitNormalization(axis=one)(x).shape
        == x.shape
    )
    assert nn.Permute([np.int64(2), one])(x).shape == (2, 4, 3)
    assert nn.Conv1DTranspose(5, 2, strides=2, output_padding=one)(x).shape == (2, 7, 5)
