"""What each argument of the public layers, losses, optimizers, schedules and functions cannot be, and calls of each."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import tapegrad as tg
from tapegrad import nn, optim
from tapegrad.autograd.signatures import signature
from tapegrad.data import metric_objects
from tapegrad.optim import schedules

NAN = float("nan")
PAIR = np.array([1, 2])
# What an argument of each kind cannot be.
WRONG: dict[str, tuple[Any, ...]] = {
    "flag": ("no", b"1", {}, NAN, 2, None, [True], PAIR),
    "integer": ("3", b"3", {}, NAN, 1.5, True, None, PAIR, [1, 2]),
    "number": ("x", b"1", {}, NAN, True, None, [1.0, 2.0], PAIR),
    "numbers": ("x", b"1", {}, NAN, True, None, ["1", "2"]),
    "sizes": ("2", b"2", {}, NAN, 1.5, True, (1.5,), None),
    "shape": ("2", b"2", {}, NAN, 1.5, True, (1.5,), -2),
    "name": (b"same", {}, 3, NAN, "no such", None, True, PAIR),
    "name or function": (b"relu", {}, NAN, True, 3, "no such", PAIR, None),
    "dtype": ("no such", b"float32", {}, NAN, 3, True, PAIR),
    "array": ("x", b"x", {}, None, object()),
}
# The annotations of arguments, without None, and the kind of each.
KINDS = {
    "<class 'bool'>": "flag", "bool": "flag", "bool | str": "flag", "<class 'int'>": "integer", "int": "integer",
    "<class 'float'>": "number", "float": "number", "float | schedules.Schedule": "number",
    "float | Sequence[float]": "number", "float | Tensor | Any": "number",
    "Sequence[float]": "numbers", "Sequence[float | schedules.Schedule]": "numbers", "tuple[float, ...]": "numbers",
    "int | Sequence[int]": "sizes", "Sequence[int] | int": "sizes", "Sequence[int]": "sizes",
    "tuple[int, ...]": "sizes", "<class 'Tensor'>": "array",
    "str | int | Sequence[int | Sequence[int]]": "sizes", "int | Sequence[int | Sequence[int]]": "sizes",
    "int | Sequence[int] | str": "sizes", "int | Sequence[int | None]": "shape",
    "<class 'str'>": "name", "str": "name", "str | Callable[..., Any]": "name or function",
    "str | type[Any] | numpy.dtype[Any]": "dtype", "Tensor | Any": "array", "TensorLike": "array",
}  # fmt: skip
# Functions of modules, parameters or programs have tests of their own; so do groups of modules and arrays.
OTHERS = re.compile(
    r"Module|Trainable|Callable\[|Function|Optimizer|_Layer|Sequence\[Tensor|Sequence\[Any\]|^Any$|object|Node|Mapping"
    r"|PathLike|Sequence\[Sequence|DTypeLike \| Tensor|tuple\[str|int \| Tensor|^F$|dict|Path|Iterable"
)

METRICS = sorted({kind.__name__ for kind in metric_objects.OBJECTS.values() if isinstance(kind, type)})
LABELS = tg.tensor([0, 1])
LOSSES = [name for name in nn.losses.__all__ if isinstance(getattr(nn.losses, name), type)]
X = tg.tensor([[0.5, 0.25], [0.75, 0.5]])
IMAGE = tg.ones((1, 4, 2))
DENSE = nn.Dense(2, in_features=2)
LEAF = tg.tensor([1.0], requires_grad=True)
LEAF.grad = tg.tensor([1.0])
# Values of arguments without a default, by name, and of some that need others than these.
GIVEN: dict[str, Any] = {
    "units": 2, "rate": 0.5, "stddev": 0.1, "filters": 2, "kernel_size": 2, "input_dim": 4, "output_dim": 3,
    "num_heads": 2, "key_dim": 4, "size": 2, "padding": 1, "cropping": 1, "activation": "relu", "target_shape": (2, 1),
    "n": 3, "num_groups": 1, "num_channels": 2, "in_features": 2, "out_features": 2, "in_channels": 2,
    "out_channels": 2, "output_size": 2, "num_features": 2, "normalized_shape": 2, "dims": (1,), "factor": 0.1,
    "value": 0.1, "steps": 10, "every": 5, "embed_dim": 4, "d_model": 4, "nhead": 2, "sequence_length": 3,
    "limit": 1.0, "layer": nn.LSTM(2), "params": [LEAF], "initializer": "zeros", "shape": (2, 2), "axis": 0,
    "repeats": 2, "repetitions": 2, "indices": tg.tensor([0, 1]), "sections": 2, "stop": 3.0, "start": 0.0, "k": 1,
    "shift": 1, "arrays": [X, X], "fill_value": 1.0, "low": 0, "high": 3, "n_rows": 2, "classes": 3, "source": 0,
    "destination": 1, "dtype": "float32", "seed": 1, "peak": 1.0, "rates": 1, "optimizer": optim.SGD([LEAF], 0.1),
    "schedules": [0.1, 0.2], "then": 0.1, "values": (1.0, 2.0), "lengths": [5], "pool_size": 2, "strides": 1,
    "name": "cpu", "pad_width": 1, "fn": len, "kind": "integral", "num_classes": 3,
}  # fmt: skip
OWN: dict[str, dict[str, Any]] = {
    "nn.Upsample": {"scale_factor": 2.0}, "nn.GroupNorm": {"num_channels": 2}, "schedules.MultiStep": {"steps": (3,)},
    "schedules.Piecewise": {"steps": (3,)}, "schedules.Warmup": {"steps": 5}, "tg.reshape": {"shape": (4,)},
    "tg.squeeze": {"x": tg.ones((1, 2))}, "tg.permute_dims": {"axes": (1, 0)}, "tg.one_hot": {"labels": LABELS},
    "random.integers": {"high": 3}, "tg.astype": {"dtype": "float64"},
    "tg.take_along_axis": {"indices": tg.ones((2, 2), dtype="int64")},
    "F.nll_loss": {"labels": LABELS}, "F.sparse_categorical_crossentropy": {"labels": LABELS},
    "F.cross_entropy": {"labels": LABELS}, "tg.cumulative_sum": {"axis": 0}, "tg.cumulative_prod": {"axis": 0},
    "F.max_pool": {"x": IMAGE}, "F.average_pool": {"x": IMAGE}, "F.conv": {"x": IMAGE, "kernel": tg.ones((2, 2, 2))},
    "F.conv_transpose": {"x": IMAGE, "kernel": tg.ones((2, 2, 2))}, "random.choice": {"a": 3},
    "F.depthwise_conv": {"x": IMAGE, "kernel": tg.ones((2, 2, 1))}, "F.scaled_dot_product_attention": {
        "query": IMAGE, "key": IMAGE, "value": IMAGE}, "random.categorical": {"logits": X},
    "F.separable_conv": {"x": IMAGE, "depthwise_kernel": tg.ones((2, 2, 1)), "pointwise_kernel": tg.ones((1, 2, 3))},
    "tg.pad": {"pad_width": 1}, "tg.arange": {"stop": 3.0}, "tg.tape": {"t": LEAF * 2.0},
    "data.WeightedSampler": {"weights": [0.5, 0.5]}, "data.BalancedSampler": {"labels": [0, 1]},
    "data.SubsetSampler": {"indices": [0, 1]}, "tg.get_backend": {"name": "numpy"},
}  # fmt: skip
# What comes by position before the arguments.
DATA = {"Batches": (np.ones(4),), "DataLoader": (np.ones((4, 2)),)}
# Left out, with the reason.
LEFT_OUT = {
    "data.Dataset": "a record of what `load` read",
    "tg.einsum": "its arrays come by position, and tests of its own give it wrong texts",
    "tg.randint": "it takes PyTorch's two orders of arguments, and has tests of its own",
    "losses.Loss": "the base class", "optim.Optimizer": "the base class", "schedules.Schedule": "the base class",
    "nn.Module": "the base class",
    "nn.Layer": "the base class",
}  # fmt: skip


def public() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every function and class that is tested, with its name here."""
    for room, names, prefix in (
        (nn, nn.__all__, "nn"), (nn.losses, LOSSES, "losses"), (nn.init, nn.init.__all__, "init"),
        (metric_objects, METRICS, "metrics"), (nn.functional, nn.functional.__all__, "F"),
        (optim, optim.__all__, "optim"), (schedules, schedules.__all__, "schedules"), (tg, tg.__all__, "tg"),
        (tg.random, tg.random.__all__, "random"), (tg.data, tg.data.__all__, "data"),
    ):  # fmt: skip
        for name in names:
            thing, known = getattr(room, name), f"{prefix}.{name}"
            is_class = isinstance(thing, type)
            if room in (nn, nn.losses, metric_objects, tg.data):
                takes = is_class
            else:
                takes = callable(thing) and not (room is tg and is_class)
            if takes and known not in LEFT_OUT:
                yield known, thing


PUBLIC = dict(public())


def kind_of(annotation: object) -> tuple[str | None, bool]:
    """The kind of an argument, None if it has its own tests, and whether None is one of its values."""
    text = re.sub(
        r"tapegrad\.[a-z_.]*?(?=Tensor|schedules\.|Module|Node|Trainable|Optimizer)", "", str(annotation)
    )
    parts = text.replace("collections.abc.", "").replace("typing.", "").split(" | ")
    alone = " | ".join(p for p in parts if p != "None")
    if alone in KINDS:
        return KINDS[alone], "None" in parts
    assert OTHERS.search(alone), f"a new annotation, {alone!r}: give it a kind in KINDS"
    return None, False


def parameters(thing: Callable[..., Any]) -> list[Any]:
    return [
        p for p in signature(thing).parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]


def call(thing: Callable[..., Any], values: dict[str, Any]) -> object:
    """A call with these arguments, by position where they have no other way."""
    data = DATA.get(getattr(thing, "__name__", ""), ())
    first = [p.name for p in parameters(thing) if p.kind is p.POSITIONAL_ONLY and p.name in values]
    return thing(*data, *(values[n] for n in first), **{n: v for n, v in values.items() if n not in first})


def given(known: str, thing: Callable[..., Any]) -> dict[str, Any] | None:
    """Arguments of a call that works; None if it needs arguments that are not of these kinds."""
    values = dict(OWN.get(known, {}))
    for p in parameters(thing):
        if p.default is p.empty and p.name not in values:
            if p.name not in GIVEN and kind_of(p.annotation)[0] != "array":
                return None
            values[p.name] = GIVEN.get(p.name, X)
    return values


TESTED = {known: values for known, thing in PUBLIC.items() if (values := given(known, thing)) is not None}
