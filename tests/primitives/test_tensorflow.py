"""Each row's value and gradient against TensorFlow's, in float64, eagerly."""

from typing import Any

import numpy as np
import pytest

from primitives.harness import close, cotangent, run
from primitives.table import Case, cases

pytestmark = [pytest.mark.tensorflow, pytest.mark.xdist_group("tensorflow")]


@pytest.fixture(scope="module")
def tf() -> Any:
    return pytest.importorskip("tensorflow")


@pytest.mark.parametrize("case", cases(lambda row: row.tf), ids=lambda case: case.id)
def test_tensorflow_agrees(case: Case, tf: Any):
    ours = run(case)
    theirs = [tf.constant(a) for a in case.arrays]
    leaves = [x for x in theirs if x.dtype.is_floating]
    with tf.GradientTape() as tape:
        for x in leaves:
            tape.watch(x)
        y = case.row.tensorflow(tf, *theirs)
    close(ours.y, y.numpy())
    if case.row.grad:
        gradients = tape.gradient(y, leaves, tf.constant(cotangent(ours.y)), unconnected_gradients="zero")
        for got, want in zip(ours.grads, gradients, strict=True):
            close(got, np.asarray(tf.convert_to_tensor(want)))
