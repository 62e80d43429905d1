"""Rows: arithmetic, comparison, exponentials, trigonometry, activations, choice."""

import math
from itertools import starmap
from typing import Any

import numpy as np

import tapegrad as tg
from primitives.table import ONE, TWO, Row, samples
from tapegrad.autograd import ops

WIDE, POSITIVE, SMALL, UNIT, ABOVE_1 = (-2.0, 2.0), (0.2, 3.0), (-1.2, 1.2), (-0.9, 0.9), (1.2, 3.0)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def softplus(x: Any) -> Any:
    return np.logaddexp(0.0, x)


erf = np.vectorize(math.erf, otypes=["float64"])


# name, NumPy's, TensorFlow's, limits, what integers give, has a gradient
ONE_ARGUMENT: tuple[tuple[Any, ...], ...] = (
    ("negative", np.negative, "negative", WIDE, "same"),
    ("positive", np.positive, "identity", WIDE, "same"),
    ("square", np.square, "square", WIDE, "same"),
    ("abs", np.abs, "abs", WIDE, "same"),
    ("exp", np.exp, "exp", WIDE, "float"),
    ("expm1", np.expm1, "math.expm1", WIDE, "float"),
    ("log", np.log, "math.log", POSITIVE, "float"),
    ("log1p", np.log1p, "math.log1p", UNIT, "float"),
    ("log2", np.log2, lambda tf, x: tf.math.log(x) / math.log(2), POSITIVE, "float"),
    ("log10", np.log10, lambda tf, x: tf.math.log(x) / math.log(10), POSITIVE, "float"),
    ("sqrt", np.sqrt, "sqrt", POSITIVE, "float"),
    ("sin", np.sin, "sin", WIDE, "float"),
    ("cos", np.cos, "cos", WIDE, "float"),
    ("tan", np.tan, "tan", SMALL, "float"),
    ("asin", np.arcsin, "asin", UNIT, None),
    ("acos", np.arccos, "acos", UNIT, None),
    ("atan", np.arctan, "atan", WIDE, "float"),
    ("sinh", np.sinh, "sinh", WIDE, "float"),
    ("cosh", np.cosh, "cosh", WIDE, "float"),
    ("tanh", np.tanh, "tanh", WIDE, "float"),
    ("asinh", np.arcsinh, "asinh", WIDE, "float"),
    ("acosh", np.arccosh, "acosh", ABOVE_1, "float"),
    ("atanh", np.arctanh, "atanh", UNIT, None),
    ("sigmoid", sigmoid, "sigmoid", WIDE, "float"),
    ("softplus", softplus, "math.softplus", WIDE, "float"),
    ("erf", erf, "math.erf", WIDE, "float"),
    ("relu", lambda x: np.maximum(x, 0), "nn.relu", WIDE, "same"),
    ("sign", np.sign, "sign", WIDE, "same", False),
    ("floor", np.floor, "floor", WIDE, "same", False),
    ("ceil", np.ceil, "math.ceil", WIDE, "same", False),
    ("trunc", np.trunc, lambda tf, x: tf.sign(x) * tf.floor(tf.abs(x)), WIDE, "same", False),
    ("round", np.round, "round", WIDE, "same", False),
    ("isnan", np.isnan, "math.is_nan", WIDE, "bool", False),
    ("isinf", np.isinf, "math.is_inf", WIDE, "bool", False),
    ("isfinite", np.isfinite, "math.is_finite", WIDE, "bool", False),
)

TWO_ARGUMENTS: tuple[tuple[Any, ...], ...] = (
    ("multiply_from_zero", np.multiply, "multiply", (WIDE, WIDE), "same"),
    ("multiply_from_zeros", np.multiply, "multiply", (WIDE, WIDE), "same"),
    ("share", np.divide, "divide", (WIDE, POSITIVE), "float"),
    ("divide_from_zero", np.divide, "divide", (WIDE, POSITIVE), None),
    ("add", np.add, "add", (WIDE, WIDE), "same"),
    ("subtract", np.subtract, "subtract", (WIDE, WIDE), "same"),
    ("multiply", np.multiply, "multiply", (WIDE, WIDE), "same"),
    ("divide", np.divide, "divide", (WIDE, POSITIVE), "float"),
    ("power", np.power, "pow", (POSITIVE, WIDE), "same"),
    ("remainder", np.remainder, "math.floormod", ((-9.0, 9.0), POSITIVE), "same"),
    ("maximum", np.maximum, "maximum", (WIDE, WIDE), "same"),
    ("minimum", np.minimum, "minimum", (WIDE, WIDE), "same"),
    ("atan2", np.arctan2, "atan2", (WIDE, WIDE), "float"),
    ("hypot", np.hypot, lambda tf, a, b: tf.sqrt(a * a + b * b), (WIDE, WIDE), "float"),
    ("floor_divide", np.floor_divide, "math.floordiv", ((-9.0, 9.0), POSITIVE), "same", False),
    ("equal", np.equal, "equal", (WIDE, WIDE), "bool", False),
    ("not_equal", np.not_equal, "not_equal", (WIDE, WIDE), "bool", False),
    ("less", np.less, "less", (WIDE, WIDE), "bool", False),
    ("less_equal", np.less_equal, "less_equal", (WIDE, WIDE), "bool", False),
    ("greater", np.greater, "greater", (WIDE, WIDE), "bool", False),
    ("greater_equal", np.greater_equal, "greater_equal", (WIDE, WIDE), "bool", False),
)

INTS = (np.arange(12).reshape(3, 4), np.array([3, 1, 2, 7]))
BOOLS = (np.arange(6).reshape(2, 3) % 2 == 0, np.array([True, False, True]))

# Truth values of anything, and bits of booleans and integers.
LOGIC = (
    ("logical_and", np.logical_and, 2),
    ("logical_or", np.logical_or, 2),
    ("logical_xor", np.logical_xor, 2),
    ("logical_not", np.logical_not, 1),
    ("bitwise_and", np.bitwise_and, 2),
    ("bitwise_or", np.bitwise_or, 2),
    ("bitwise_xor", np.bitwise_xor, 2),
    ("bitwise_invert", np.invert, 1),
)


def tf_logic(name: str) -> Any:
    kind, word = name.split("_")

    def call(tf: Any, *a: Any) -> Any:
        if kind == "bitwise" and a[0].dtype != bool:
            return getattr(tf.bitwise, word if word == "invert" else name)(*a)
        return getattr(tf.math, f"logical_{'not' if word == 'invert' else word}")(
            *(tf.cast(x, bool) for x in a)
        )

    return call


# A number in place of an array takes another way through the rules.
NUMBERS = (
    ("2.5 + x", lambda x: 2.5 + x, WIDE),
    ("x + 2", lambda x: x + 2, WIDE),
    ("2.5 - x", lambda x: 2.5 - x, WIDE),
    ("x - 2.5", lambda x: x - 2.5, WIDE),
    ("2 * x", lambda x: 2 * x, WIDE),
    ("x * -0.5", lambda x: x * -0.5, WIDE),
    ("2.5 / x", lambda x: 2.5 / x, POSITIVE),
    ("x / 4", lambda x: x / 4, WIDE),
    ("x ** 2", lambda x: x**2, WIDE),
    ("x ** 3", lambda x: x**3, WIDE),
    ("x ** 1", lambda x: x**1, WIDE),
    ("x ** 0", lambda x: x**0, WIDE),
    ("x ** 4", lambda x: x**4, WIDE),
    ("x ** 5", lambda x: x**5, WIDE),
    ("x ** 6", lambda x: x**6, WIDE),
    ("x ** 7", lambda x: x**7, WIDE),
    ("x ** 8", lambda x: x**8, WIDE),
    ("x ** 9", lambda x: x**9, WIDE),
    ("x ** -1", lambda x: x**-1.0, POSITIVE),
    ("x ** -2", lambda x: x**-2.0, POSITIVE),
    ("x ** -3", lambda x: x**-3.0, POSITIVE),
    ("x ** 0.5", lambda x: x**0.5, POSITIVE),
    ("x ** -0.5", lambda x: x**-0.5, POSITIVE),
    ("x ** 1.5", lambda x: x**1.5, POSITIVE),
    ("2.5 ** x", lambda x: 2.5**x, WIDE),
    ("0 ** x", lambda x: 0**x, POSITIVE),
    ("x % 0.7", lambda x: x % 0.7, WIDE),
    ("2.5 % x", lambda x: 2.5 % x, POSITIVE),
    ("x // 0.7", lambda x: x // 0.7, WIDE),
    ("x > 0.5", lambda x: x > 0.5, WIDE),
)

# Activations that are primitives, with their options: NumPy's, TensorFlow's, the options.
PARTS = {"right": 1.2, "left": 0.8, "width": 1.5}


def elu(x: Any, right: float, left: float, width: float) -> Any:
    return np.where(x > 0, right * x, left * np.expm1(np.minimum(x, 0) / width))


def normal_cdf(x: Any, approximate: bool) -> Any:
    inner = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)) if approximate else erf(x / math.sqrt(2))
    return (1 + inner) / 2


def tf_normal_cdf(tf: Any, x: Any, approximate: bool) -> Any:
    cubic = math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)
    return (1 + (tf.tanh(cubic) if approximate else tf.math.erf(x / math.sqrt(2)))) / 2


def normal_density(x: Any, exp: Any) -> Any:
    return exp(-x * x / 2) / math.sqrt(2 * math.pi)


def tf_slope(function: Any) -> Any:
    """The gradient of TensorFlow's function, at each element."""

    def slope(tf: Any, x: Any, **options: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(tf, x, **options)
        return tape.gradient(y, x)

    return slope


def gelu_slope(x: Any, approximate: bool) -> Any:
    cdf = normal_cdf(x, approximate)
    rise = 2 * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
    return cdf + x * (cdf * (1 - cdf) * rise if approximate else normal_density(x, np.exp))


def mish_slope(x: Any) -> Any:
    t = np.tanh(softplus(x))
    return t + x * sigmoid(x) * (1 - t * t)


def tf_gelu(tf: Any, x: Any, approximate: bool) -> Any:
    return x * tf_normal_cdf(tf, x, approximate)


def tf_mish(tf: Any, x: Any) -> Any:
    return x * tf.tanh(tf.math.softplus(x))


def tf_elu(tf: Any, x: Any, right: float, left: float, width: float) -> Any:
    return tf.where(x > 0, right * x, left * tf.math.expm1(x / width))


ACTIVATIONS: tuple[tuple[str, str, Any, Any, dict[str, Any]], ...] = (
    (
        "leaky_relu",
        "",
        lambda x, slope: np.where(x > 0, x, slope * x),
        lambda tf, x, slope: tf.where(x > 0, x, slope * x),
        {"slope": 0.3},
    ),
    (
        "leaky_relu",
        ", steep",
        lambda x, slope: np.where(x > 0, x, slope * x),
        lambda tf, x, slope: tf.where(x > 0, x, slope * x),
        {"slope": 1.5},
    ),
    (
        "leaky_relu",
        ", down",
        lambda x, slope: np.where(x > 0, x, slope * x),
        lambda tf, x, slope: tf.where(x > 0, x, slope * x),
        {"slope": -0.5},
    ),
    ("relu6", "", lambda x: np.clip(x, 0, 6), lambda tf, x: tf.nn.relu6(x), {}),
    (
        "elu",
        "",
        elu,
        tf_elu,
        PARTS,
    ),
    ("elu", ", plain", elu, lambda tf, x, **_: tf.nn.elu(x), {"right": 1.0, "left": 1.0, "width": 1.0}),
    (
        "elu_slope",
        "",
        lambda x, right, left, width: np.where(x > 0, right, left / width * np.exp(x / width)),
        tf_slope(tf_elu),
        PARTS,
    ),
    (
        "elu_slope",
        ", plain",
        lambda x, **_: np.exp(np.minimum(x, 0)),
        tf_slope(tf_elu),
        {"right": 1.0, "left": 1.0, "width": 1.0},
    ),
    ("gelu", "", lambda x, approximate: x * normal_cdf(x, approximate), tf_gelu, {"approximate": False}),
    (
        "gelu",
        ", approximate",
        lambda x, approximate: x * normal_cdf(x, approximate),
        tf_gelu,
        {"approximate": True},
    ),
    ("gelu_slope", "", gelu_slope, tf_slope(tf_gelu), {"approximate": False}),
    ("gelu_slope", ", approximate", gelu_slope, tf_slope(tf_gelu), {"approximate": True}),
    ("silu", "", lambda x: x * sigmoid(x), lambda tf, x: x * tf.sigmoid(x), {}),
    (
        "silu_slope",
        "",
        lambda x: sigmoid(x) * (1 + x * sigmoid(-x)),
        tf_slope(lambda tf, x: x * tf.sigmoid(x)),
        {},
    ),
    ("mish", "", lambda x: x * np.tanh(softplus(x)), tf_mish, {}),
    ("mish_slope", "", mish_slope, tf_slope(tf_mish), {}),
    ("normal_cdf", "", normal_cdf, tf_normal_cdf, {"approximate": False}),
    ("normal_cdf", ", approximate", normal_cdf, tf_normal_cdf, {"approximate": True}),
    ("tanh_softplus", "", lambda x: np.tanh(softplus(x)), lambda tf, x: tf.tanh(tf.math.softplus(x)), {}),
    (
        "hard_sigmoid",
        "",
        lambda x: np.clip(x / 6 + 0.5, 0, 1),
        lambda tf, x: tf.clip_by_value(x / 6 + 0.5, 0.0, 1.0),
        {},
    ),
    (
        "hard_silu",
        "",
        lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
        lambda tf, x: x * tf.clip_by_value(x / 6 + 0.5, 0.0, 1.0),
        {},
    ),
    (
        "hard_silu_slope",
        "",
        lambda x: np.where(np.abs(x) <= 3, x / 3 + 0.5, x > 3),
        tf_slope(lambda tf, x: x * tf.clip_by_value(x / 6 + 0.5, 0.0, 1.0)),
        {},
    ),
    (
        "soft_shrink",
        "",
        lambda x, threshold: np.sign(x) * np.maximum(np.abs(x) - threshold, 0),
        lambda tf, x, threshold: tf.sign(x) * tf.maximum(tf.abs(x) - threshold, 0),
        {"threshold": 0.7},
    ),
    (
        "hard_shrink",
        "",
        lambda x, threshold: np.where(np.abs(x) > threshold, x, 0),
        lambda tf, x, threshold: tf.where(tf.abs(x) > threshold, x, 0),
        {"threshold": 0.7},
    ),
    ("softsign", "", lambda x: x / (1 + np.abs(x)), lambda tf, x: tf.nn.softsign(x), {}),
    ("log_sigmoid", "", lambda x: -softplus(-x), lambda tf, x: tf.math.log_sigmoid(x), {}),
)
ACROSS = (-7.5, 7.5)  # over all kinks, none of them among the samples

CHOSEN = (np.arange(12).reshape(3, 4) % 3 == 0, *samples([((3, 4), (3, 4))], WIDE)[0])
CHOICES = (CHOSEN, (CHOSEN[0], CHOSEN[1][0], CHOSEN[2][:, :1]), (np.array(True), *samples([((2,), ())], WIDE)[0]),
           (np.ones((0, 2), bool), *samples([((2,), (0, 1))], WIDE)[0]))  # fmt: skip
BETWEEN = samples((((3, 4), (4,), ()), ((2, 3), (1,), (2, 1))), WIDE, (-1.5, -0.5), (0.5, 1.5))


def activation(name: str, title: str, ref: Any, tf_function: Any, options: dict[str, Any]) -> Row:
    call = next(getattr(ops, n) for n in (f"{name}_p", name) if hasattr(ops, n))
    return Row(
        name + title,
        lambda x: call(x, **options),
        lambda x: ref(x, **options),
        samples(ONE, ACROSS),
        lambda tf, x: tf_function(tf, x, **options),
        name,
        ints="float",
    )


PUBLIC = {"multiply_from_zero": "scale", "multiply_from_zeros": "scale_both", "divide_from_zero": "over"}

ROWS = [
    *(Row(name, getattr(ops, name), ref, samples(ONE, limits), tf, name, *grad, ints=ints)
      for name, ref, tf, limits, ints, *grad in ONE_ARGUMENT),
    *(Row(name, getattr(ops, PUBLIC.get(name, name)), ref, samples(TWO, *limits), tf, name,
          *grad, ints=ints) for name, ref, tf, limits, ints, *grad in TWO_ARGUMENTS),
    *(Row(name, getattr(ops, name), ref, (BOOLS[:n], INTS[:n]), tf_logic(name), name, False)
      for name, ref, n in LOGIC),
    *(Row(name, f, f, samples(ONE, limits), lambda tf, x, f=f: f(x), grad=">" not in name and "//" not in name)
      for name, f, limits in NUMBERS),
    *starmap(activation, ACTIVATIONS),
    Row("where", tg.where, np.where, CHOICES, "where", "where", ints=None),
    Row("where, a number", lambda x: tg.where(x > 0, x, 0.5), lambda x: np.where(x > 0, x, 0.5), samples(ONE, WIDE),
        lambda tf, x: tf.where(x > 0, x, tf.constant(0.5, x.dtype))),
    Row("clip", lambda x: tg.clip(x, -1, 0.7), lambda x: np.clip(x, -1, 0.7), samples(ONE, WIDE),
        lambda tf, x: tf.clip_by_value(x, -1.0, 0.7), "clip"),
    Row("clip, below", lambda x: tg.clip(x, 0), lambda x: np.clip(x, 0, None), samples(ONE, WIDE), "nn.relu",
        ints="same"),
    Row("clip, above", lambda x: tg.clip(x, max=1), lambda x: np.clip(x, None, 1), samples(ONE, WIDE),
        lambda tf, x: tf.minimum(x, 1.0), ints="same"),
    Row("clip, tensors", tg.clip, np.clip, BETWEEN, "clip_by_value", ints=None),
    Row("maximum, a number", lambda x: tg.maximum(x, 0.3), lambda x: np.maximum(x, 0.3), samples(ONE, WIDE),
        lambda tf, x: tf.maximum(x, 0.3)),
    Row("minimum, a number", lambda x: tg.minimum(0.3, x), lambda x: np.minimum(0.3, x), samples(ONE, WIDE),
        lambda tf, x: tf.minimum(x, 0.3)),
    Row("atan2, a number", lambda x: tg.atan2(0.3, x), lambda x: np.arctan2(0.3, x), samples(ONE, WIDE),
        lambda tf, x: tf.atan2(tf.constant(0.3, x.dtype), x)),
]  # fmt: skip
