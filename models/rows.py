"""What `Sequential` is given, as arrays on the model's device that fit its layers and its loss."""

import math
from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from tapegrad import nn
from tapegrad.autograd.aliases import Array, DType
from tapegrad.autograd.arguments import refuse_masked
from tapegrad.autograd.dtypes import get_default_dtype, is_floating
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends import backend_of, default_place
from tapegrad.data.aliases import Features, RowWeights, Targets
from tapegrad.data.arrays import as_array, check_finite
from tapegrad.models import loss_kinds
from tapegrad.models.aliases import AsGiven, Model
from tapegrad.nn.aliases import LossLike

if TYPE_CHECKING:
    from tapegrad.models.sequential import Sequential

takes_class_numbers = loss_kinds.takes_class_numbers


def inputs(model: nn.Sequential, x: Features, name: str = "x") -> Array:
    """x in the dtype of the model's weights, or as int64 for a model that takes integers, on the device of the weights;
    ValueError for NaN and Inf, and for what is not whole where it must be."""
    check_columns(model, x, name)
    weight = next(iter(model.parameters()), None)
    device = default_place() if weight is None else weight.device
    if not model.takes_integers:
        array = as_array(name, x, dtype=float_dtype(model), device=device)
        check_finite(name, array, x)
        return array
    array = as_array(name, x, device=device)
    check_finite(name, array, x)
    whole = Tensor(array).astype("int64")
    if is_floating(array.dtype) and array.size and (whole != Tensor(array)).any().item():
        raise ValueError(f"{name}: the model's first layer takes integers; some here are not whole")
    return whole.data


def float_dtype(model: nn.Sequential) -> DType:
    """The dtype of the model's weights."""
    weight = next(iter(model.parameters()), None)
    return get_default_dtype() if weight is None else weight.dtype


def column_names(x: Features) -> list[str] | None:
    """The names of a table's columns, where all are texts; None for an array."""
    names = [] if isinstance(x, np.ndarray) else list(getattr(x, "columns", ()))
    return names if names and all(isinstance(name, str) for name in names) else None


def check_columns(model: Model, x: Features, name: str) -> None:
    """Raise ValueError for a table whose columns are not those, in their order, that the model was trained on."""
    known, names = getattr(model, "feature_names", None), column_names(x)
    if known is None or names is None or names == known:
        return
    if sorted(names) == sorted(known):
        first = next(i for i, (a, b) in enumerate(zip(names, known)) if a != b)
        fault = (
            f"the columns stand in another order: column {first} is {names[first]!r} and was {known[first]!r}"
        )
        remedy = "select them as x[model.feature_names]"
    else:
        missing = [n for n in known if n not in names]
        unknown = [n for n in names if n not in known]
        fault = f"the columns {missing} are missing" if missing else f"the columns {unknown} are new"
        remedy = "for other columns on purpose, set model.feature_names = None"
    raise ValueError(f"{name}: the model was trained on a table with other columns: {fault}: {remedy}")


def examples(
    model: Model, x: Features, y: Targets, sample_weight: RowWeights = None, *, where: str = ""
) -> tuple[Array, Array, Array]:
    """x, y and the weights (or None) as arrays of equal length. `where` begins their names in messages."""
    xs = inputs(model, x, f"{where}x")
    device = backend_of(xs).device_of(xs)
    ys = as_array(f"{where}y", y, device=device)
    check_finite(f"{where}y", ys, y)
    ys = targets(model, f"{where}y", ys, xs)
    weights = None
    if sample_weight is not None:
        if isinstance(sample_weight, Mapping):
            raise TypeError(
                f"{where}sample_weight: expected one number per row: a dict by class is class_weight"
            )
        weights = as_array(f"{where}sample_weight", sample_weight, dtype=float_dtype(model), device=device)
        check_finite(f"{where}sample_weight", weights)
        if weights.ndim == 0:
            raise ValueError(
                f"{where}sample_weight: expected one number per row, ({xs.shape[0]},), got the single number "
                f"{float(weights):g}: for one factor on all rows write np.full({xs.shape[0]}, {float(weights):g})"
            )
        if weights.ndim == 2 and weights.shape[1] == 1:
            weights = weights[:, 0]
    lengths = {
        name: a.shape[0] for name, a in (("x", xs), ("y", ys), ("sample_weight", weights)) if a is not None
    }
    if len(set(lengths.values())) > 1 or not lengths["x"]:
        raise ValueError(f"{where}data: equally many rows are needed, and at least one, got {lengths}")
    return xs, ys, weights


def targets(model: "Sequential", name: str, y: Targets, x: Features) -> Array:
    """y in the dtype that the loss takes, and reshaped where there is only one way to read it: (n,) for the (n, 1) of a
    model with one output, and (n, 1) for the (n,) class numbers of a sparse loss."""
    outputs = model.build(tuple(x.shape[1:]))
    if y.ndim == 0:
        raise ValueError(f"{name}: expected one target per row, got a single number")
    t = Tensor(y)
    if takes_class_numbers(model.loss) and y.ndim <= len(outputs) + 1 and y.shape[1:] != outputs:
        if y.ndim == len(outputs) + 1 and y.shape[-1] == 1:
            t = t.squeeze(-1)
        return class_numbers(model, name, t, outputs).data
    if outputs == (1,) and y.ndim == 1:
        t = t[:, None]
    t = t.astype(float_dtype(model))
    check_range(model.loss, name, t)
    return t.data


def class_numbers(model: "Sequential", name: str, t: Tensor, outputs: tuple[int, ...]) -> Tensor:
    numbers = t.astype("int64")
    loss = loss_kinds.name(model.loss)
    if is_floating(t.dtype) and abs(numbers.astype(t.dtype) - t).max().item() > 0:
        raise ValueError(f"{name}: {loss} takes class numbers 0, 1, 2, …; some here are not whole")
    if outputs == (1,):
        raise ValueError(
            f"{name}: {loss} takes class numbers and needs one output per class, the model has one output: give its "
            "last layer as many units as there are classes, or use binary_crossentropy for two"
        )
    return numbers


def check_range(loss: LossLike, name: str, t: Tensor) -> None:
    """Raise ValueError for targets that the loss does not take: with some of them it goes to minus infinity."""
    allowed = loss_kinds.targets_range(loss)
    if allowed is None or not t.size:
        return
    least, largest = t.min().item(), t.max().item()
    if least < allowed[0] - loss_kinds.ROUNDING or largest > allowed[1] + loss_kinds.ROUNDING:
        wrong = least if least < allowed[0] - loss_kinds.ROUNDING else largest
        raise ValueError(
            f"{name}: {loss_kinds.name(loss)} takes targets that are {allowed[2]}; some here are {wrong:g}"
        )


def split_at(rows: int, fraction: float) -> int:
    """The first row of the validation part, as Keras cuts it."""
    cut = math.floor(rows * (1.0 - fraction)) if 0 < fraction < 1 else 0
    if not 0 < cut < rows:
        raise ValueError(
            f"validation_split={fraction!r} of {rows} rows leaves none to train or to validate on"
        )
    return cut


# ---- weights of classes ----
def class_factors(class_weight: AsGiven, outputs: tuple[int, ...]) -> dict[int, float]:
    """`class_weight`, a dict or pandas Series {class number: factor} or a list of all factors, checked, as a dict."""
    classes = outputs[-1] if outputs and outputs[-1] > 1 else 2
    known = ", ".join(map(str, range(classes))) if classes <= 10 else f"0 to {classes - 1}"
    example = "{0: 1.0, 1: 5.0}"
    if isinstance(class_weight, str):
        raise ValueError(
            f"class_weight: expected a dict such as {example}, got {class_weight!r}: sklearn.utils.class_weight's "
            "compute_class_weight works such factors out"
        )
    if hasattr(class_weight, "items"):  # a Mapping, or a Series, which goes by its index
        class_weight = dict(class_weight.items())
    else:
        if np.ndim(class_weight) != 1 or len(class_weight) != classes:
            raise ValueError(
                f"class_weight: expected a dict such as {example}, or a list of one factor for each of the {classes} "
                f"classes, got {class_weight!r}"
            )
        refuse_masked("class_weight", class_weight)
        class_weight = dict(enumerate(np.asarray(class_weight).tolist()))
    factors: dict[int, float] = {}
    for number, factor in class_weight.items():
        whole = isinstance(number, Real) and float(number).is_integer()
        if not whole or not 0 <= number < classes:
            raise ValueError(f"class_weight: {number!r} is no class: the classes here are {known}")
        if not isinstance(factor, Real) or not math.isfinite(factor) or factor < 0:
            raise ValueError(
                f"class_weight: expected a number of at least 0 for class {number}, got {factor!r}"
            )
        factors[int(number)] = float(factor)
    return factors


def with_class_weights(weights: RowWeights, y: Targets, factors: dict[int, float]) -> Array:
    """The factor of each row's class, times its weight. Classes are numbers, or the largest of several columns."""
    backend = backend_of(y)
    host = np.asarray(backend.to_numpy(y))
    if host.ndim == 2 and host.shape[1] > 1:
        if (np.abs(host.sum(axis=-1) - 1) > 1e-3).any():
            raise ValueError(
                "class_weight: needs one class per row, and the columns of y do not add up to 1: give sample_weight"
            )
        classes = host.argmax(axis=-1)
    elif host.size != len(host):
        raise ValueError(
            f"class_weight: needs one class for each row, got targets {host.shape}: give sample_weight"
        )
    else:
        classes = host.reshape(len(host))
        if ((classes != np.floor(classes)) | (classes < 0)).any():
            raise ValueError(
                "class_weight: needs class numbers as targets, some here are not: give sample_weight"
            )
    by_row = np.ones(len(host), np.float32)
    for number, factor in factors.items():
        by_row[classes == number] = factor
    placed = backend.asarray(by_row, device=backend.device_of(y))
    return placed if weights is None else placed * weights
