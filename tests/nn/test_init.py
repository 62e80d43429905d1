"""Initializers: bounds and moments by their formulas, the same formulas as Keras's, orthogonality, names."""

import math
from functools import partial
from typing import Any

import numpy as np
import pytest

from tapegrad import nn
from tapegrad.nn import init

SHAPES = [(300, 200), (3, 3, 40, 30), (40000,)]
GLOROT, HE, LECUN = (1.0, "fan_avg"), (2.0, "fan_in"), (1.0, "fan_in")
SCALED = [  # name, (scale, mode), uniform
    ("glorot_uniform", GLOROT, True),
    ("glorot_normal", GLOROT, False),
    ("he_uniform", HE, True),
    ("he_normal", HE, False),
    ("lecun_uniform", LECUN, True),
    ("lecun_normal", LECUN, False),
]
KERAS = [  # every one that draws or fills, with Keras's class and options
    *((name, "".join(part.title() for part in name.split("_")), {}) for name, _, _ in SCALED),
    ("zeros", "Zeros", {}),
    ("ones", "Ones", {}),
    ("constant", "Constant", {"value": 2.5}),
    ("random_uniform", "RandomUniform", {}),
    ("random_uniform", "RandomUniform", {"minval": 1.0, "maxval": 3.0}),
    ("random_normal", "RandomNormal", {}),
    ("random_normal", "RandomNormal", {"mean": 2.0, "stddev": 0.3}),
    ("truncated_normal", "TruncatedNormal", {}),
    ("truncated_normal", "TruncatedNormal", {"mean": -1.0, "stddev": 2.0}),
    ("variance_scaling", "VarianceScaling", {}),
    ("variance_scaling", "VarianceScaling", {"scale": 3.0, "mode": "fan_out", "distribution": "uniform"}),
    ("variance_scaling", "VarianceScaling", {"scale": 0.5, "distribution": "untruncated_normal"}),
]


def fan(shape: tuple[int, ...], mode: str) -> float:
    field = math.prod(shape[:-2])
    fan_in, fan_out = (shape[0], shape[0]) if len(shape) == 1 else (field * shape[-2], field * shape[-1])
    return {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[mode]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "scaling", "uniform"), SCALED)
def test_bounds_and_moments(
    name: str, scaling: tuple[float, str], uniform: bool, shape: tuple[int, ...]
) -> None:
    drawn = init.get(name)(shape)
    variance = scaling[0] / fan(shape, scaling[1])
    bound = math.sqrt(3 * variance) if uniform else 2 * math.sqrt(variance) / 0.87962566103423978
    assert drawn.shape == shape and drawn.dtype == np.float64
    assert 0.99 * bound < np.abs(drawn).max() <= bound
    n = drawn.size
    assert abs(drawn.mean()) < 5 * math.sqrt(variance / n)
    assert abs(drawn.var() / variance - 1) < 5 * math.sqrt(2 / n)


@pytest.mark.tensorflow
@pytest.mark.parametrize(("name", "keras_class", "options"), KERAS, ids=str)
def test_distribution_is_kerass(name: str, keras_class: str, options: Any, reference: Any) -> None:
    """Two samples of 60,000: their sorted values lie as close as those of one distribution do (Kolmogorov, Smirnov)."""
    kind = getattr(reference.keras.initializers, keras_class)
    seed = {} if name in ("zeros", "ones", "constant") else {"seed": 3}
    theirs = np.sort(np.asarray(kind(**options, **seed)((300, 200))).ravel())
    ours = np.sort(init.get(name)((300, 200), **options).ravel())
    if not seed:
        np.testing.assert_array_equal(ours, theirs)
        return
    grid = np.concatenate([ours, theirs])
    apart = np.abs(np.searchsorted(ours, grid) - np.searchsorted(theirs, grid)).max() / ours.size
    assert apart < 1.95 * math.sqrt(2 / ours.size)  # chance 0.001
    assert reference.keras.initializers.get(name) is not None


@pytest.mark.tensorflow
@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (3, 4, 5), (2, 3, 4, 5)], ids=str)
def test_fans_are_kerass(shape: tuple[int, ...], reference: Any) -> None:
    from keras.src.initializers.random_initializers import compute_fans

    assert init.fans(shape) == compute_fans(shape)


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5), (2, 3, 4), (2, 2, 9)], ids=str)
@pytest.mark.parametrize("gain", [1.0, 1.5])
def test_orthogonal(shape: tuple[int, ...], gain: float) -> None:
    w = init.orthogonal(shape, gain).reshape(-1, shape[-1])
    product = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
    np.testing.assert_allclose(product, gain**2 * np.eye(len(product)), atol=1e-12)


def test_orthogonal_is_uniform_over_rotations() -> None:
    """Without the sign rule, QR would favour one sign of each column."""
    firsts = [init.orthogonal((3, 3))[0, 0] for _ in range(400)]
    assert abs(np.mean(firsts)) < 5 * math.sqrt(1 / 3 / 400)


def test_identity() -> None:
    np.testing.assert_array_equal(init.identity((2, 3), gain=2.0), [[2, 0, 0], [0, 2, 0]])


def test_the_seed_repeats_them() -> None:
    import tapegrad as tg

    draws = []
    for _ in range(2):
        tg.manual_seed(4)
        draws.append([init.get(name)((5, 4)) for name in ("glorot_uniform", "he_normal", "orthogonal")])
    for a, b in zip(*draws, strict=True):
        np.testing.assert_array_equal(a, b)


def test_get_and_options() -> None:
    assert init.get("he_normal") is init.he_normal and init.get(np.ones) is np.ones
    narrow = partial(init.random_normal, stddev=1e-3)
    assert np.abs(nn.Dense(50, in_features=50, kernel_initializer=narrow).kernel.numpy()).max() < 0.01


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: init.get("he_nromal"),
            ValueError,
            r"unknown initializer 'he_nromal': did you mean 'he_normal'\?; known",
        ),
        (
            lambda: init.get(None),
            TypeError,
            "initializer: expected a callable or one of these names, got None",
        ),
        (
            lambda: init.orthogonal((5,)),
            ValueError,
            r"orthogonal: expected a shape of at least 2 axes, got \(5,\)",
        ),
        (lambda: init.identity((5,)), ValueError, r"identity: expected the shape of a matrix, got \(5,\)"),
        (
            lambda: init.variance_scaling((5, 5), scale=0.0),
            ValueError,
            "scale must be a finite number above 0, got 0.0",
        ),
        (
            lambda: init.variance_scaling((5, 5), mode="fan"),
            ValueError,
            "mode must be 'fan_in', 'fan_out' or 'fan_avg'",
        ),
        (
            lambda: init.variance_scaling((5, 5), distribution="beta"),
            ValueError,
            "distribution must be 'truncated_normal'",
        ),
    ],
)
def test_refused(call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call()
