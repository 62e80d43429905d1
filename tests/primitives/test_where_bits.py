"""where(mask, x, 0) of many elements, which NumPy's backend does on bits: exactly what np.where gives."""

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.backends.numpy_backend import MANY

SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.5, -2.0, 6e-8]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32"])
@pytest.mark.parametrize("otherwise", [0.0, -0.0, 1.0])
@pytest.mark.parametrize("turned", [False, True])
def test_the_bits_of_np_where(dtype: str, otherwise: float, turned: bool) -> None:
    if dtype == "int32":
        x, otherwise = np.arange(2 * MANY, dtype=dtype).reshape(2, -1), int(otherwise)
    else:
        x = np.resize(np.array(SPECIAL, dtype), (2, MANY))
    mask = np.random.default_rng(0).random(x.shape) > 0.5
    if turned:  # neither is dense
        x, mask = x.T, mask.T
    got = tg.where(tg.tensor(mask), tg.tensor(x), otherwise).numpy()
    want = np.where(mask, x, np.asarray(otherwise, dtype))
    assert got.dtype == want.dtype and got.tobytes() == want.tobytes()
