"""`Sequential` with its arrays on a GPU: without one, on the stand-in for CuPy."""

from typing import Any

import numpy as np
import pytest
from compiled_cases import X, Y

import tapegrad as tg
from compiler_gpu import gpu  # noqa: F401
from tapegrad import nn
from tapegrad.models import Sequential


@pytest.mark.usefixtures("soon")
def test_fit_evaluate_and_predict_run_the_emitted_kernels(gpu: Any) -> None:  # noqa: F811
    found = []
    with tg.use_backend("cupy"):
        for run_eagerly in (False, True):
            tg.manual_seed(0)
            model = Sequential(nn.Dense(8, "relu", in_features=6), nn.Dropout(0.2), nn.Dense(1, "sigmoid"))
            model.compile("adam", "binary_crossentropy", ["accuracy"], run_eagerly=run_eagerly)
            history = model.fit(X, Y, epochs=4, batch_size=16, validation_split=0.2, verbose=0).history
            for _ in range(4):
                p = model.predict(X)
            found.append([*history.values(), p])
            for step in model.stats().values():
                assert set(step["programs"]) == (set() if run_eagerly else {"cupy"})
                assert bool(step["compiled"]) is not run_eagerly
    for got, want in zip(*found, strict=True):
        assert np.allclose(got, want, rtol=1e-5, atol=1e-6)
