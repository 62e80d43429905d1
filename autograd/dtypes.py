"""Dtypes: the names, the default, and what comes of mixing them."""

import builtins
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tapegrad.backends.aliases import DType, DTypeLike

if TYPE_CHECKING:
    from tapegrad.autograd.tensor import Tensor

bool = np.dtype("bool")
int8, int16, int32, int64 = (np.dtype(f"int{n}") for n in (8, 16, 32, 64))
uint8, uint16, uint32, uint64 = (np.dtype(f"uint{n}") for n in (8, 16, 32, 64))
float16, float32, float64 = (np.dtype(f"float{n}") for n in (16, 32, 64))

FLOATS = frozenset({float16, float32, float64})
ALL = FLOATS | {bool, int8, int16, int32, int64, uint8, uint16, uint32, uint64}
_NAMES = {d: d.name for d in ALL}  # NumPy works a name out at each question
DTYPE_NAMES = frozenset(_NAMES.values())
_default_float = float32


def name_of(dtype: DType) -> str:
    """ "float32" for any namespace's dtype of that name."""
    if isinstance(dtype, np.dtype) and dtype in _NAMES:
        return _NAMES[dtype]
    return getattr(dtype, "name", None) or str(dtype).rpartition(".")[2]


def is_floating(dtype: DType) -> builtins.bool:
    return dtype in FLOATS if isinstance(dtype, np.dtype) else name_of(dtype).startswith("float")


_OTHER_NAMES = {"float": float64, "double": float64, "half": float16, "int": int64, "long": int64}


def integer_limits(name: str) -> tuple[int, int]:
    """The least and the greatest number of a dtype of integers."""
    limits = np.iinfo(name)
    return int(limits.min), int(limits.max)


def refuse_unheld(what: str, number: float, dtype: DType) -> None:
    """Raise for a Python number that a dtype of integers does not hold: a fraction, NaN, or one beyond its limits."""
    kind = name_of(dtype)
    if not kind.startswith(("int", "uint")):
        return
    from tapegrad.autograd.diagnostics import user_line

    if isinstance(number, float) and not number.is_integer():
        raise ValueError(
            f"{what}: {number} is no whole number, as {kind} needs: round it first, cut off the fraction as NumPy does "
            f"with np.asarray(data).astype({kind!r}), or choose a float dtype\n{user_line()}"
        )
    least, greatest = integer_limits(kind)
    if not least <= number <= greatest:
        raise OverflowError(
            f"{what}: {number} is out of range for {kind}, {least} to {greatest}: choose a longer dtype, "
            f"or wrap around as NumPy does with np.asarray(data).astype({kind!r})\n{user_line()}"
        )


def as_dtype(given: DTypeLike, argument: str = "dtype") -> DType:
    """The dtype that a user asks for, as a NumPy dtype: the one reader of every `dtype=`.

    It takes tapegrad's and NumPy's dtypes, NumPy's scalar types, Python's float, int and bool (float64, int64 and
    bool, as in NumPy and PyTorch), their names, and the dtypes of other libraries, which are known by their names.
    Raises TypeError, which lists the dtypes there are.
    """
    if isinstance(given, np.dtype):
        dtype: DType = given if given.isnative else given.newbyteorder("=")
    else:
        name = given.rpartition(".")[2] if isinstance(given, str) else ""
        dtype = _OTHER_NAMES.get(name)
        if dtype is None:
            dtype = _from_name(name or given)
    if dtype not in ALL:
        known = ", ".join(str(d) for d in (bool, *sorted(ALL - {bool}, key=lambda d: (d.kind, d.itemsize))))
        raise TypeError(f"{argument}: expected a dtype of tapegrad, got {given!r}: there are {known}")
    return dtype


def _from_name(given: object) -> DType:
    """NumPy's reading of a type or a name, and the name of another library's dtype; None for what is neither."""
    if given is None or (hasattr(given, "shape") and not isinstance(given, type)):
        return None
    if not isinstance(given, (str, type)):
        given = name_of(given)
    try:
        dtype = np.dtype(given)
    except TypeError:
        return None
    return dtype if dtype in ALL else dtype.newbyteorder("=")


def get_default_dtype() -> DType:
    """The dtype of new tensors made of Python floats: float32, unless `set_default_dtype` said otherwise."""
    return _default_float


def set_default_dtype(dtype: DTypeLike) -> None:
    """Set the dtype of tensors made from Python floats, lists of them, and shapes (float32 at the start).

    Args:
        dtype: Float16, float32 or float64.

    Raises:
        ValueError: The dtype is no float.
    """
    global _default_float
    asked = as_dtype(dtype, "set_default_dtype")
    if asked not in FLOATS:
        raise ValueError(f"set_default_dtype: expected float16, float32 or float64, got {dtype!r}")
    _default_float = asked


def common_dtype(name: str, given: Sequence[DType | builtins.bool | float], promote: str) -> DType:
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
        return int64 if int in scalars else bool
    common = np.result_type(*integers)
    if common.kind == "f":
        raise TypeError(
            f"{name}: no integer dtype holds both {' and '.join(integers)}: convert one with .astype(...)"
        )
    return common


def isdtype(dtype: DTypeLike, kind: DTypeLike | tuple[DTypeLike, ...]) -> builtins.bool:
    """Whether `dtype` is of a kind ("bool", "integral", "real floating", "numeric", …), a dtype, or one of a tuple.

    Args:
        dtype: A dtype, or its name.
        kind: A kind such as "integral" or "real floating", a dtype, or a tuple of these.
    """
    kinds = kind if isinstance(kind, tuple) else (kind,)
    own = tuple(k if isinstance(k, str) and k in _KINDS else as_dtype(k, "isdtype: kind") for k in kinds)
    return np.isdtype(as_dtype(dtype, "isdtype: dtype"), own)


_KINDS = {
    "bool",
    "signed integer",
    "unsigned integer",
    "integral",
    "real floating",
    "complex floating",
    "numeric",
}


def _limits_of(name: str, of: "DTypeLike | Tensor", expected: str, among: frozenset[DType]) -> DType:
    # NumPy's scalar types have an attribute `dtype` of their own, which is a descriptor.
    dtype = as_dtype(of if isinstance(of, type) or not hasattr(of, "dtype") else name_of(of.dtype), name)
    if dtype not in among:
        raise TypeError(f"{name}: expected {expected} or a tensor of one, got {dtype}")
    return dtype


def finfo(of: "DTypeLike | Tensor") -> np.finfo:
    """Limits of a floating dtype, or of a tensor's.

    Args:
        of: A floating dtype, its name, or a tensor.

    Returns:
        NumPy's finfo: bits, eps, max, min, smallest_normal.

    Raises:
        TypeError: The dtype is no float.
    """
    return np.finfo(_limits_of("finfo", of, "a floating dtype", FLOATS))


def iinfo(of: "DTypeLike | Tensor") -> np.iinfo:
    """Limits of an integer dtype, or of a tensor's.

    Args:
        of: An integer dtype, its name, or a tensor.

    Returns:
        NumPy's iinfo: bits, max, min.

    Raises:
        TypeError: The dtype is no integer.
    """
    return np.iinfo(_limits_of("iinfo", of, "an integer dtype", ALL - FLOATS - {bool}))
