"""Checks of arguments. Each takes the name for messages ("dropout: rate") and the value, and returns the value."""

import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import index
from typing import Any

import numpy as np

from tapegrad.autograd.flags import current
from tapegrad.autograd.tensor import Tensor


def shortened(texts: Sequence[str], limit: int) -> str:
    """`a, b, c and 4 more`."""
    return ", ".join(texts[:limit]) + f" and {len(texts) - limit} more" * (len(texts) > limit)


def truth(name: str, value: object) -> bool:
    """The value as a bool. A text such as "no", which Python counts as true, raises TypeError."""
    if value is True or value is False:
        return bool(value)
    if isinstance(value, np.bool_) or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise TypeError(f"{name} must be True or False, got {value!r}")


def number(
    name: str,
    value: object,
    holds: Callable[[float], bool] = math.isfinite,
    expected: str = "a finite number",
) -> float:
    """The value as a Python float. Raises unless it is a finite number for which `holds` is true."""
    if type(value) is float and math.isfinite(value) and holds(value):  # as is most frequent
        return value
    given = any_number(name, value, expected)
    if not (math.isfinite(given) and holds(float(given))):
        raise ValueError(f"{name} must be {expected}, got {given!r}")
    return float(given)


def any_number(name: str, value: object, expected: str = "a number") -> Any:
    """The value as a number of Python or NumPy, infinite ones and NaN included."""
    if isinstance(value, (Tensor, np.ndarray)) and value.size == 1:
        if isinstance(value, Tensor) and value.requires_grad:
            raise TypeError(
                f"{name} must be a number: a tensor that requires grad would get no gradient here"
            )
        value = value.item()
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be {expected}, got {value!r}")
    return value


def at_least_0(name: str, value: object) -> float:
    return number(name, value, lambda x: x >= 0, "a finite number of at least 0")


def optional(check: Callable[[str, object], Any]) -> Callable[[str, object], Any]:
    """The same check, which accepts None as well."""
    return lambda name, value: None if value is None else check(name, value)


def above_0(name: str, value: object) -> float:
    return number(name, value, lambda x: x > 0, "a finite number above 0")


def probability(name: str, value: object) -> float:
    return number(name, value, lambda x: 0 <= x <= 1, "a number from 0 to 1")


def rate(name: str, value: object) -> float:
    """A probability below 1, so that a division by 1 - rate is safe."""
    return number(name, value, lambda x: 0 <= x < 1, "at least 0 and below 1")


def text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a text, got {value!r}")
    return value


def one_of(name: str, value: object, known: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name} must be {', '.join(map(repr, known[:-1]))} or {known[-1]!r}, got {value!r}")
    return value


def state_given(name: str, value: object) -> Any:
    """What a `load_state_dict` was given; TypeError if it is no dict."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name}: expected the dict that state_dict() gave, got {value!r}")
    return value


def index_of(value: Any) -> int | None:
    """The value as an int; None if it is no integer, as an array of several is not."""
    if isinstance(value, bool) or getattr(value, "shape", None):
        return None
    try:
        return int(index(value))
    except TypeError:
        return None


def whole_number(name: str, value: object) -> int:
    """The value as an int; TypeError if it is none."""
    if (found := index_of(value)) is None:
        raise TypeError(f"{name} must be an integer, got {value!r}")
    return found


def several_integers(name: str, value: object) -> tuple[int, ...]:
    """A list, tuple, range or array of integers as a tuple; TypeError if it is none."""
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise TypeError(f"{name} must be integers, got {value!r}")
    return tuple(whole_number(name, n) for n in value)


def integer(name: str, value: object, least: int) -> int:
    if (found := index_of(value)) is None or found < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
    return found


def positive_integer(name: str, value: object) -> int:
    if (found := index_of(value)) is None or found < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}")
    return found


def refuse_masked(name: str, data: object) -> None:
    """Raise TypeError for masked values of NumPy, in an array or in a list: NumPy gives what is under the mask."""
    # NumPy loads it when it is asked for; without it there are no masked arrays.
    masked_arrays = sys.modules.get("numpy.ma")
    if (
        masked_arrays is not None
        and type(data) is not np.ndarray
        and has_masked(data, masked_arrays.MaskedArray)
    ):
        raise TypeError(
            f"{name}: a masked array of NumPy with masked values, which tapegrad has none of: give "
            "numpy.ma.filled(x, value), or the rows without masked values: numpy.ma.compress_rows(x)"
        )


def has_masked(data: object, kind: type) -> bool:
    if isinstance(data, kind):
        return bool(np.any(data.mask))  # type: ignore[attr-defined]
    if not isinstance(data, (list, tuple)) or not data or type(data[0]) in (float, int):
        return False
    return any(has_masked(part, kind) for part in data)


def somewhere(t: Tensor, wrong: Callable[[Any], Any], repeated: bool = False) -> bool:
    """Whether a condition of the elements holds for one, of which an error will tell. Who records checks it, too.

    repeated   whether the operation that takes them checks it once more in a program
    """
    found = bool(t.backend.to_numpy(t.backend.xp.any(wrong(t.data))))
    if found:
        t._read("a check that failed", "Look at the numbers outside.")
    elif (recorder := current.get().recorder) is not None:
        recorder.checked(t, wrong, repeated)
    return found
