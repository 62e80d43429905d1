"""The float32 functions of compiled loops: against float64, which is the truth here, and at the special values."""

from typing import Any

import numpy as np
import pytest

numba = pytest.importorskip("numba", reason="numba is not installed")

rng = np.random.default_rng(0)
EVERYWHERE = (rng.choice([-1, 1], 200_000) * 10 ** (rng.random(200_000) * 76 - 38)).astype("float32")
SPECIAL = np.array(
    [0, -0.0, np.inf, -np.inf, np.nan, 1, -1, -2, 1e-45, -1e-45, 88.72, 88.73, -103.9, -104.2], "float32"
)
# function -> from where to where its values are neither all alike nor all infinite
ROWS = {"exp": (-104, 89), "expm1": (-20, 89), "log": (0.5, 2), "log1p": (-1, 2), "tanh": (-10, 10)}


@pytest.fixture(scope="module", params=ROWS)
def values(request: Any) -> Any:
    """(what the function makes of x in a compiled loop, the truth, what NumPy's makes of it)"""
    from tapegrad.compiler.emit.numba import numba_math

    function, (low, high) = getattr(numba_math, request.param), ROWS[request.param]
    x = np.concatenate([EVERYWHERE, rng.uniform(low, high, 200_000).astype("float32"), SPECIAL])

    # The options of the emitted programs, under which careless arithmetic would be simplified away.
    @numba.njit(fastmath={"reassoc", "contract", "arcp", "nsz"}, error_model="numpy")
    def loop(x: Any, out: Any) -> None:
        for i in range(x.size):
            out[i] = function(x[i])

    out = np.empty_like(x)
    loop(x, out)
    with np.errstate(all="ignore"):
        numpys = getattr(np, request.param)
        return out, numpys(x.astype("float64")), numpys(x)


def test_nearest(values: Any) -> None:
    """Within 0.52 units in the last place of the truth (the nearest float32 is within 0.5), and nearer than NumPy's."""
    got, truth, numpys = values
    with np.errstate(all="ignore"):
        nearest = truth.astype("float32")
        finite = np.isfinite(nearest) & (truth != 0)
        unit = np.spacing(np.abs(nearest[finite])).astype("float64")
        ours, theirs = (np.abs(a[finite].astype("float64") - truth[finite]) / unit for a in (got, numpys))
    assert ours.max() < 0.52
    assert ours.max() < theirs.max()


def test_special_values(values: Any) -> None:
    got, truth, _ = values
    with np.errstate(all="ignore"):
        want = truth.astype("float32")
    for a, b in zip(got[-SPECIAL.size :], want[-SPECIAL.size :], strict=True):
        assert a == b or (np.isnan(a) and np.isnan(b)), (got[-SPECIAL.size :], want[-SPECIAL.size :])
