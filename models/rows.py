"""What `Sequential` is given, as arrays on the model's device that fit its layers and its loss."""

import math
from typing import Any

import numpy as np

from tapegrad import nn
from tapegrad.autograd.dtypes import get_default_dtype
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends import backend_of, default_place
from tapegrad.data.arrays import as_array, check_finite

CLASS_NUMBERS = (nn.losses.sparse_categorical_crossentropy, nn.losses.cross_entropy, nn.losses.nll_loss)


def function_of(loss: Any) -> Any:
    """The function behind a loss, which may be an object that holds its options."""
    return getattr(loss, "function", loss)


def takes_class_numbers(loss: Any) -> bool:
    """Whether the targets are class numbers (or for some losses may be) and not of the outputs' shape."""
    return function_of(loss) in CLASS_NUMBERS


def inputs(model: nn.Sequential, x: Any, name: str = "x") -> Any:
    """x in the dtype of the model's weights, on their device; ValueError for NaN and Inf."""
    weight = next(iter(model.parameters()), None)
    dtype = get_default_dtype() if weight is None else weight.dtype
    array = as_array(name, x, dtype=dtype, device=default_place() if weight is None else weight.device)
    check_finite(name, array, x)
    return array


def examples(
    model: Any, x: Any, y: Any, sample_weight: Any = None, *, where: str = ""
) -> tuple[Any, Any, Any]:
    """x, y and the weights (or None) as arrays of equal length. `where` begins their names in messages."""
    xs = inputs(model, x, f"{where}x")
    device = backend_of(xs).device_of(xs)
    ys = as_array(f"{where}y", y, device=device)
    check_finite(f"{where}y", ys, y)
    ys = targets(model, f"{where}y", ys, xs)
    weights = None
    if sample_weight is not None:
        weights = as_array(f"{where}sample_weight", sample_weight, dtype=xs.dtype, device=device)
        check_finite(f"{where}sample_weight", weights)
    lengths = {
        name: a.shape[0] for name, a in (("x", xs), ("y", ys), ("sample_weight", weights)) if a is not None
    }
    if len(set(lengths.values())) > 1 or not lengths["x"]:
        raise ValueError(f"{where}data: equally many rows are needed, and at least one, got {lengths}")
    return xs, ys, weights


def targets(model: Any, name: str, y: Any, x: Any) -> Any:
    """y in the dtype that the loss takes, and reshaped where there is only one way to read it: (n,) for the (n, 1) of a
    model with one output, and (n, 1) for the (n,) class numbers of a sparse loss."""
    outputs = model.build(tuple(x.shape[1:]))
    if y.ndim == 0:
        raise ValueError(f"{name}: expected one target per row, got a single number")
    t = Tensor(y)
    if takes_class_numbers(model.loss) and y.ndim <= len(outputs) + 1 and y.shape[1:] != outputs:
        if y.ndim == len(outputs) + 1 and y.shape[-1] == 1:
            t = t.squeeze(-1)
        numbers = t.astype("int64")
        if "float" in str(y.dtype) and abs(numbers.astype(y.dtype) - t).max().item() > 0:
            raise ValueError(
                f"{name}: {function_of(model.loss).__name__} takes class numbers 0, 1, 2, …; some here are not whole"
            )
        return numbers.data
    if outputs == (1,) and y.ndim == 1:
        t = t[:, None]
    return t.astype(x.dtype).data


def split_at(rows: int, fraction: float) -> int:
    """The first row of the validation part, as Keras cuts it."""
    cut = math.floor(rows * (1.0 - fraction)) if 0 < fraction < 1 else 0
    if not 0 < cut < rows:
        raise ValueError(
            f"validation_split={fraction!r} of {rows} rows leaves none to train or to validate on"
        )
    return cut


def with_class_weights(weights: Any, y: Any, class_weight: dict[int, float]) -> Any:
    """The factor of each row's class, times its weight. Classes are numbers, or the largest of several columns."""
    backend = backend_of(y)
    host = np.asarray(backend.to_numpy(y))
    classes = host.argmax(axis=-1) if host.ndim == 2 and host.shape[1] > 1 else host.reshape(len(host))
    factors = np.ones(len(host), np.float32)
    for number, factor in class_weight.items():
        factors[classes == number] = factor
    placed = backend.asarray(factors, device=backend.device_of(y))
    return placed if weights is None else placed * weights
