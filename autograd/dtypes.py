"""Dtypes: the names, the default, and what comes of mixing them."""

from typing import Any

import numpy as np

bool = np.dtype("bool")
int8, int16, int32, int64 = (np.dtype(f"int{n}") for n in (8, 16, 32, 64))
uint8, uint16, uint32, uint64 = (np.dtype(f"uint{n}") for n in (8, 16, 32, 64))
float16, float32, float64 = (np.dtype(f"float{n}") for n in (16, 32, 64))

FLOATS = frozenset({float16, float32, float64})
ALL = FLOATS | {bool, int8, int16, int32, int64, uint8, uint16, uint32, uint64}
_default_float = float32


def name_of(dtype: Any) -> str:
    """ "float32" for any namespace's dtype of that name."""
    return getattr(dtype, "name", None) or str(dtype).rpartition(".")[2]


def is_floating(dtype: Any) -> Any:
    return dtype in FLOATS if isinstance(dtype, np.dtype) else name_of(dtype).startswith("float")


def get_default_dtype() -> Any:
    """The dtype of new tensors made of Python floats: float32, unless `set_default_dtype` said otherwise."""
    return _default_float


def set_default_dtype(dtype: Any) -> None:
    """Set the dtype of tensors made from Python floats, lists of them, and shapes (float32 at the start)."""
    global _default_float
    if np.dtype(dtype) not in FLOATS:
        raise ValueError(f"set_default_dtype: expected float16, float32 or float64, got {dtype!r}")
    _default_float = np.dtype(dtype)


def common_dtype(name: str, given: list[Any], promote: str) -> Any:
    """The dtype in which a primitive computes on arguments of the given dtypes and Python scalars.

    The array API standard's promotion; where it is silent, floats win over integers and keep their own precision
    (int64 with float32 is float32, not NumPy's float64), and a Python float makes integers the default float dtype.
    promote="float" (exp, divide, …) turns integers into the default float dtype, too.
    """
    scalars = [type(d) for d in given if isinstance(d, (int, float, complex))]
    names = sorted({name_of(d) for d in given if not isinstance(d, (int, float, complex))})
    if complex in scalars or any(n.startswith("complex") for n in names):
        raise TypeError(f"{name}: complex numbers are not supported")
    floats = [n for n in names if n.startswith("float")]
    if floats:
        return np.dtype(max(floats, key=lambda n: int(n[5:])))
    if promote == "float" or float in scalars:
        return _default_float
    integers = [n for n in names if n != "bool"]
    if not integers:
        return int64 if int in scalars and name not in _LOGICAL else bool
    common = np.result_type(*integers)
    if common.kind == "f":
        raise TypeError(
            f"{name}: no integer dtype holds both {' and '.join(integers)}: convert one with .astype(...)"
        )
    return common


_LOGICAL = frozenset({"logical_and", "logical_or", "logical_xor"})


def isdtype(dtype: Any, kind: Any) -> Any:
    """Whether `dtype` is of a kind ("bool", "integral", "real floating", "numeric", …), a dtype, or one of a tuple."""
    return np.isdtype(np.dtype(name_of(dtype)), kind)


def finfo(of: Any) -> Any:
    """Limits of a floating dtype, or of a tensor's."""
    return np.finfo(name_of(getattr(of, "dtype", of)))


def iinfo(of: Any) -> Any:
    """Limits of an integer dtype, or of a tensor's."""
    return np.iinfo(name_of(getattr(of, "dtype", of)))
