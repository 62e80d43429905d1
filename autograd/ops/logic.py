"""Truth values and bits: primitives without a gradient."""

from tapegrad.autograd.aliases import Value
from tapegrad.autograd.dtypes import is_floating
from tapegrad.autograd.primitive import Primitive
from tapegrad.autograd.tensor import Tensor


def _truth(x: Value) -> Value:
    """Each element as a truth value: False for 0, True for anything else, NaN included."""
    return x if isinstance(x, bool) or str(getattr(x, "dtype", "")).endswith("bool") else x != 0


def _bits_only(*args: Value) -> str | None:
    if any(isinstance(a, float) or (isinstance(a, Tensor) and is_floating(a.dtype)) for a in args):
        return (
            "floats have no bits to combine: use logical_and, logical_or, logical_xor or logical_not for truth "
            "values, or compare first, as in (x > 0) & (y > 0)"
        )
    return None


logical_and = Primitive(
    "logical_and", lambda xp, a, b: _truth(a) & _truth(b), promote="same", doc="x1 and x2, as truth values"
)
logical_or = Primitive(
    "logical_or", lambda xp, a, b: _truth(a) | _truth(b), promote="same", doc="x1 or x2, as truth values"
)
logical_xor = Primitive(
    "logical_xor",
    lambda xp, a, b: _truth(a) ^ _truth(b),
    promote="same",
    doc="one of x1 and x2, but not both",
)
logical_not = Primitive("logical_not", lambda xp, x: ~_truth(x), doc="whether x is 0 or False")
bitwise_and = Primitive(
    "bitwise_and",
    lambda xp, a, b: a & b,
    promote="same",
    hint=_bits_only,
    doc="x1 & x2, of integers or booleans",
)
bitwise_or = Primitive(
    "bitwise_or",
    lambda xp, a, b: a | b,
    promote="same",
    hint=_bits_only,
    doc="x1 | x2, of integers or booleans",
)
bitwise_xor = Primitive(
    "bitwise_xor",
    lambda xp, a, b: a ^ b,
    promote="same",
    hint=_bits_only,
    doc="x1 ^ x2, of integers or booleans",
)
bitwise_invert = Primitive(
    "bitwise_invert", lambda xp, x: ~x, hint=_bits_only, doc="~x, of integers or booleans"
)
isnan = Primitive("isnan", lambda xp, x: xp.isnan(x), doc="whether x is NaN")
isinf = Primitive("isinf", lambda xp, x: xp.isinf(x), doc="whether x is infinite")
isfinite = Primitive("isfinite", lambda xp, x: xp.isfinite(x), doc="whether x is neither infinite nor NaN")
